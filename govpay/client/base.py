"""Base class of the endpoints: path, account header, and the check that an answer belongs to its request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from govpay.client.links import next_query
from govpay.client.odata import Filter, Query
from govpay.client.pages import Order, Page, Position, Walk, parse_page
from govpay.client.resources import Resource
from govpay.client.routes import Route, Routes
from govpay.client.shapes import Shape
from govpay.client.types import Request, Response
from govpay.exceptions import ConfigurationError

if TYPE_CHECKING:
    from govpay.client.transport import Transport

Check = Callable[[Any], None]
R = TypeVar("R", bound=Resource)


def is_a(kind: type[Resource], uid: str | None = None) -> Check:
    """Return a check that the answer is an object of ``kind`` with valid ``VITAL`` properties and, if given, this uid.

    An answer about another object, or with an invalid amount, is never a success, whatever its HTTP status. Then the
    outcome of a write is unknown (A25), and a read is retried.
    """

    def check(document: Any) -> None:
        found = kind(an_object(document))
        for name in kind.VITAL:
            getattr(found, name)
        if uid is not None and getattr(found, kind.VITAL[0]) != uid:
            raise ValueError("the answer is about another object")

    return check


def has_text(*names: str) -> Check:
    """Return a check that the answer has a text in each of these properties."""

    def check(document: Any) -> None:
        for name in names:
            value = an_object(document).get(name)
            if not isinstance(value, str) or not value:
                raise ValueError(f"the answer has no {name}")

    return check


def an_object(document: Any) -> Mapping[str, Any]:
    """Return ``document`` if it is a JSON object. Raises ``ValueError`` otherwise."""
    if not isinstance(document, Mapping):
        raise ValueError("the answer is not an object")
    return document


def is_page(document: Any) -> None:
    """Check that the answer is a page of a list. Raises ``InvalidAnswer`` otherwise."""
    parse_page(document)


class Calls:
    """The three kinds of calls that the endpoints use: read, page and write."""

    def __init__(self, transport: Transport, routes: Routes | None = None) -> None:
        self.transport = transport
        self.routes = routes or Routes()

    def _read(
        self,
        operation: str,
        account_uid: str | None = None,
        *,
        check: Check,
        bearer: str | None = None,
        within: float | None = None,
        **path: str,
    ) -> Response:
        """Send a read and return the answer. ``check`` raises ``ValueError`` if it does not fit the request."""
        request = self._request(operation, account_uid, path, check=check, bearer=bearer, within=within)
        return self.transport.send(request)

    def _one(self, kind: type[R], operation: str, account_uid: str | None, uid: str) -> R:
        """Read one object as a resource."""
        answer = self._read(operation, account_uid, check=is_a(kind, uid), uid=uid)
        return kind(answer.document, answer.request_id)

    def _page(
        self,
        operation: str,
        account_uid: str | None,
        query: Query | None,
        *,
        link: str | None = None,
        within: float | None = None,
        **path: str,
    ) -> Page:
        """Read one page of a list, with our query or with the query of ``link``, the platform's link."""
        encoded = link if link is not None else query.encoded() if query else ""
        request = self._request(operation, account_uid, path, query=encoded, check=is_page, within=within)
        return parse_page(self.transport.send(request).document)

    def _write(
        self,
        operation: str,
        account_uid: str | None,
        body: Shape | None,
        idempotency_key: str,
        *,
        check: Check | None = None,
        **path: str,
    ) -> Response:
        """Send a write at most once and return the answer. Every write sends the idempotency key (A25)."""
        if not isinstance(idempotency_key, str) or not idempotency_key:
            raise ConfigurationError(f"{operation} needs an idempotency key.")
        request = self._request(
            operation,
            account_uid,
            path,
            json=body.to_wire() if body is not None else None,
            idempotency_key=idempotency_key,
            check=check,
        )
        return self.transport.send(request)

    def _request(
        self,
        operation: str,
        account_uid: str | None,
        path: dict[str, str],
        **more: Any,
    ) -> Request:
        route = self.routes[operation]
        return Request(
            operation=operation,
            method=route.method,
            path=self.routes.path(operation, **path),
            account_uid=_account(route, account_uid),
            safe=route.kind == "read",
            credential=route.credential,
            empty_ok=route.answers == "any",
            **more,
        )

    def walk(
        self,
        operation: str,
        account_uid: str | None = None,
        order: Order = "uid",
        page_size: int = 100,
        start: Position | None = None,
        wanted: Filter | None = None,
        **path: str,
    ) -> Walk:
        """Return a lazy walk over the list ``operation`` (``list_payments``, …); see ``pages.Walk``.

        ``account_uid`` is required for account-scoped lists and must be None for the others. Every page is requested
        for this account and at the list's own URL, even if a link leads elsewhere. Nothing is sent before the first
        page is requested. Raises ``ConfigurationError`` for an operation that is not a list.
        """
        route = self.routes[operation]
        if route.answers != "page" or route.browser:
            raise ConfigurationError(f"{operation} is not a list.")
        _account(route, account_uid)
        url = self.transport.config.api_url.rstrip("/") + self.routes.path(operation, **path)

        def fetch(query: Query, link: str | None) -> Page:
            return self._page(operation, account_uid, query, link=link, within=None, **path)

        resolve = partial(next_query, list_url=url)
        return Walk(fetch, order, page_size, start, wanted=wanted, resolve=resolve)


def _account(route: Route, account_uid: str | None) -> str | None:
    """Return the value of the account header. Raises ``ConfigurationError`` when it is missing or not allowed."""
    if not route.account:
        if account_uid is not None:
            raise ConfigurationError(f"{route.operation} takes no payment account.")
        return None
    if not isinstance(account_uid, str) or not account_uid.strip():
        raise ConfigurationError(f"{route.operation} needs the uid of a payment account.")
    return account_uid

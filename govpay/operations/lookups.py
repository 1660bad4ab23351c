"""Look-ups in the platform's lists: with a filter if the API accepts it, else by reading all rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

from govpay.client import (
    BadValue,
    ClientResource,
    Filter,
    PagingFault,
    PaymentAccountResource,
    Position,
    Query,
    Resource,
    field,
)
from govpay.client.links import Repeats
from govpay.client.orders import NotServed, first_served
from govpay.client.pages import ORDERS, Order, uid_of
from govpay.connection import get_endpoints
from govpay.exceptions import APIError, InvalidRequest, NotFound, OperationRefused
from govpay.models import Operation
from govpay.operations.actions import completed
from govpay.sync.lists import comes_whole

#: How far the platform's clock may be behind ours when only the time distinguishes an earlier row from the action's.
CLOCKS_DIFFER = dt.timedelta(minutes=10)

#: A walk by time begins this long before the action. That is more than any difference between the clocks.
REACH_BACK = dt.timedelta(days=1)

#: Earlier than every object on the platform, so that a walk by time from here reads all rows.
THE_BEGINNING = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)

TOP = 100

#: An order, and a filter that is sent with it.
Way = tuple[Order, Filter | None]


def rows_since(listing: str, operation: Operation, wanted: Filter) -> Iterator[dict[str, Any]]:
    """Yield the rows of ``listing`` that match ``wanted``, and perhaps others: the caller compares each row.

    The vendor documents ``$filter`` for names only. If the API refuses or ignores ``wanted``, the rows that changed
    since the action are read instead, and if that fails, the whole list. The list is always read to its end, because a
    row that was not read must not count as absent.

    Raises ``APIError`` when the list cannot be read to its end, when nothing proves that it was (faults R12), or when
    it is not offered (404, 405).
    """
    ways: list[Way] = [("uid", wanted), *((order, None) for order in ORDERS)]
    return _rows(listing, operation, ways, REACH_BACK, PagingFault)


def rows_changed_since(listing: str, operation: Operation) -> Iterator[dict[str, Any]]:
    """Yield the rows of ``listing`` that changed since the operation began, read by time.

    This is a second, independent way to find the operation's effect. Yields no rows if the API refuses that order.

    Raises ``APIError`` when the list cannot be read completely.
    """
    with suppress(NotServed):
        yield from _rows(listing, operation, [("updated_at", None)], CLOCKS_DIFFER, Repeats)


def _rows(
    listing: str, operation: Operation, ways: list[Way], back: dt.timedelta, fault: type[PagingFault]
) -> Iterator[dict[str, Any]]:
    """Yield the rows, read in the first of ``ways`` that works. A read by time begins ``back`` before the action."""
    since = (operation.created_at - back).astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def read(way: Way, errors: list[APIError]) -> Iterator[dict[str, Any]]:
        order, wanted = way
        start = Position("updated_at", updated_at=since) if order == "updated_at" else None
        # The account is None for clients and payment accounts, which belong to no account.
        walk = get_endpoints().walk(listing, operation.account_id, order, TOP, start, wanted)
        for page in walk:
            yield from page.items
        if order == "listing" and walk.pages < 2 and any(isinstance(error, PagingFault) for error in errors):
            raise PagingFault("After pages that repeat, a single page is not the whole list.")
        if not walk.proved and (order == "offset" or not comes_whole(listing)):
            raise PagingFault(
                "Nothing proves that the platform sent all rows. If it always sends the whole list in one answer, name "
                'the list in GOVPAY["UNPAGED_LISTS"].'
            )

    return first_served(listing, ways, read, fault=fault)


def readable(found: Resource, name: str) -> Any:
    """Return the property ``name`` of an object; None if it is missing or cannot be read, such as the day 31/12/2026.

    For texts and times that only help. An identity, an amount, a currency or a status that cannot be read is an error.
    """
    try:
        return getattr(found, name)
    except BadValue:
        return None


def time_of(found: Resource, name: str = "created_at") -> dt.datetime | None:
    """Return the time ``name`` of an object; None if it is missing or cannot be read."""
    return cast("dt.datetime | None", readable(found, name))


def may_be_new(found: Resource, operation: Operation) -> bool:
    """Return whether the object may be newer than the operation. True for an object without a usable time."""
    created = time_of(found)
    return created is None or created >= operation.created_at - CLOCKS_DIFFER


def find_client(name: str) -> ClientResource | None:
    """Return the platform's client with exactly this name, or None; /platform/accounts/. Raises ``APIError``."""
    wanted = field("name").eq(name)
    try:
        page = get_endpoints().list_clients(Query(filter=wanted, top=1))
        if all(document.get("name") == name for document in page.items) and (page.items or page.is_whole):
            return next(map(ClientResource, page.items), None)
    except InvalidRequest as error:
        if error.status != 400:
            raise
    # The API ignores the filter or refuses it, so that the whole list is read.
    rows = rows_since("list_clients", Operation(created_at=THE_BEGINNING), wanted)
    return next((ClientResource(document) for document in rows if document.get("name") == name), None)


def read_account(uid: str) -> PaymentAccountResource:
    """Return the account with this uid. If the API offers no read of a single account, it is found in the list.

    Only the list is documented. Raises ``NotFound`` and other ``APIError``.
    """
    try:
        return get_endpoints().get_payment_account(uid)
    except NotFound:
        wanted = field("uid").eq(uid)
        for row in rows_since("list_payment_accounts", Operation(created_at=THE_BEGINNING), wanted):
            if uid_of(row) == uid:
                return PaymentAccountResource(row)
        raise


def identity_of(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the values that identify an account: its external ids; without external ids, its client and its name."""
    external = (body.get("external_account_id") or "", body.get("external_merchant_id") or "")
    return external if any(external) else (str(body.get("client_id") or ""), str(body.get("name") or ""))


def find_account(body: Mapping[str, Any]) -> PaymentAccountResource | None:
    """Return the existing account that a creation with ``body`` would duplicate; /platform/accounts/ says to reuse it.

    If there are several, the active one is returned; ``None`` if there is none. Raises ``OperationRefused`` if several
    match equally, or if the account belongs to another client. Raises ``APIError``.
    """
    external = body.get("external_account_id") or body.get("external_merchant_id")
    names = ("external_account_id", "external_merchant_id") if external else ("client_id", "name")
    given = [(name, body[name]) for name in names if body.get(name)]
    wanted = field(given[0][0]).eq(given[0][1])
    for name, value in given[1:]:
        wanted &= field(name).eq(value)
    rows = rows_since("list_payment_accounts", Operation(created_at=THE_BEGINNING), wanted)
    found = {row.uid: row for row in map(PaymentAccountResource, rows) if identity_of(row.raw) == identity_of(body)}
    alike = list(found.values())
    if len(alike) > 1:
        alike = [row for row in alike if readable(row, "active")] or alike
    if len(alike) > 1:
        raise OperationRefused(f"Several payment accounts have these external ids: {', '.join(sorted(found))}.")
    if alike and body.get("client_id") and alike[0].client_id not in (None, body["client_id"]):
        raise OperationRefused(f"The payment account {alike[0].uid} with these external ids is another client's.")
    # The answer may lack the client (/platform/accounts/ shows only the uid), but a change must send it.
    return completed(alike[0], {"client_id": body.get("client_id")}) if alike else None

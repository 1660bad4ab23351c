"""The table of all routes of the platform, documented or assumed, and the paths built from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal
from urllib.parse import quote

from govpay.exceptions import ConfigurationError, OperationRefused

Credential = Literal["admin", "session", "none"]
Kind = Literal["read", "write"]

#: The required body of a success: an object (``endpoints`` checks its identity), a list in an envelope of A1, or
#: anything, also an empty body (when no answer is documented).
Answers = Literal["object", "page", "any"]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the platform. ``source`` is a page of the vendor's documentation or an assumption (A#)."""

    operation: str
    method: str
    path: str
    documented: bool
    source: str
    account: bool = True  # needs X-Payment-Account-Uid
    credential: Credential = "admin"
    kind: Kind = "read"
    answers: Answers = "object"
    paged: bool = False
    envelope: str = ""  # another name of the list, in addition to those of A1
    browser: bool = False  # called by the payer's browser; listed for completeness, never called from here

    @property
    def placeholders(self) -> frozenset[str]:
        return frozenset(_PLACEHOLDER.findall(self.path))


_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_TEMPLATE = re.compile(r"(?:/(?:[A-Za-z0-9._~\-]+|\{[a-z_]+\}))+")


def _read(operation: str, path: str, source: str, documented: bool = False, **more: Any) -> Route:
    return Route(operation, "GET", path, documented, source, **more)


def _list(operation: str, path: str, source: str, documented: bool = False, **more: Any) -> Route:
    return Route(operation, "GET", path, documented, source, answers="page", **{"paged": True, **more})


def _write(operation: str, method: str, path: str, source: str, documented: bool = True, **more: Any) -> Route:
    return Route(operation, method, path, documented, source, kind="write", **more)


_ACCOUNTS = "/platform/accounts/"
_PAYMENTS = "/platform/payments/"
_WALLETS = "/platform/wallets/"
_SESSION = "/v1/hosted-sessions/{session_id}"
_SESSION_DOCS = "/api/operations/v1hosted-sessionssessionid"
_BROWSER: dict[str, Any] = {"account": False, "credential": "session", "browser": True}

TABLE: tuple[Route, ...] = (
    # tenants
    _list("list_clients", "/api/clients", _ACCOUNTS, True, account=False),
    _read("get_client", "/api/clients/{uid}", "A6", account=False),
    _write("create_client", "POST", "/api/clients", _ACCOUNTS, account=False),
    _list("list_payment_accounts", "/api/paymentaccounts", _ACCOUNTS, True, account=False),
    _read("get_payment_account", "/api/paymentaccounts/{uid}", "A6", account=False),
    _write("create_payment_account", "POST", "/api/paymentaccounts", _ACCOUNTS, account=False),
    _write("update_payment_account", "PUT", "/api/paymentaccounts/{uid}", "A7", False, account=False),
    _write(
        "set_checkout_config",
        "PUT",
        "/api/paymentaccounts/{uid}/checkout-config",
        "/getting-started/credentials/ (properties beside allowed_origins: assumed)",
        account=False,
        answers="any",
    ),
    _read(
        "get_client_config",
        "/api/paymentaccounts/{uid}/client-config",
        _PAYMENTS,
        True,
        account=False,
        credential="none",
        browser=True,
    ),
    # wallets
    _list("list_customers", "/api/customers", "A6"),
    _read("get_customer", "/api/customers/{uid}", "A6"),
    _write("create_customer", "POST", "/api/customers", _WALLETS),
    _list(
        "list_saved_payment_methods",
        "/api/customers/{customer_uid}/payment-methods",
        _WALLETS,
        True,
        paged=False,
        envelope="methods",
    ),
    _write("save_payment_method", "POST", "/api/customers/{customer_uid}/payment-methods", _WALLETS),
    _write(
        "remove_payment_method",
        "DELETE",
        "/api/customers/{customer_uid}/payment-methods/{uid}",
        _WALLETS,
        answers="any",
    ),
    _write(
        "set_default_payment_method",
        "PUT",
        "/api/customers/{customer_uid}/default-payment-method",
        f"{_WALLETS} (body: A15)",
        answers="any",
    ),
    _write("import_payment_methods", "POST", "/api/saved-payment-methods/import", f"{_WALLETS} (body: A16)"),
    # payments
    _list("list_payments", "/api/payments", "A6"),
    _read("get_payment", "/api/payments/{uid}", "A6"),
    _write("validate_payment", "POST", "/api/payments", _PAYMENTS),
    _write("capture_payment", "POST", "/api/payments/{uid}/capture", f"{_PAYMENTS} (body: A9)"),
    _write("refund_payment", "POST", "/api/payments/{uid}/refund", "A10", False),
    _write("void_payment", "POST", "/api/payments/{uid}/void", "A11", False),
    _list("list_transactions", "/api/transactions", "A6"),
    _read("get_transaction", "/api/transactions/{uid}", "A6"),
    # terminals
    _list("list_terminals", "/api/terminals", "A6, A26"),
    _read("get_terminal", "/api/terminals/{uid}", "A6, A26"),
    # events
    _list("list_subscriptions", "/api/webhooks/subscriptions", "A6, A20", paged=False, envelope="subscriptions"),
    _write("set_subscriptions", "PUT", "/api/webhooks/subscriptions", _ACCOUNTS, answers="any"),
    _read("get_webhook_secret", "/api/webhooks/secret", "/guides/webhooks/ (field: A18)", True),
    _list("list_event_types", "/api/webhooks/types", f"{_ACCOUNTS} (shape: A19)", True, paged=False),
    # sessions, the server's side
    _write("create_hosted_session", "POST", "/v1/hosted-sessions", "/api/operations/v1hosted-sessions/"),
    _read("get_hosted_session", _SESSION, f"{_SESSION_DOCS}/get/", True, account=False, credential="session"),
    _write("update_hosted_session", "PATCH", _SESSION, f"{_SESSION_DOCS}/patch/"),
    _write("expire_hosted_session", "POST", f"{_SESSION}/expire", f"{_SESSION_DOCS}expire/", answers="any"),
    # sessions, the payer's browser
    _write("quote_session_fee", "POST", f"{_SESSION}/quote-fee", f"{_SESSION_DOCS}quote-fee/", **_BROWSER),
    _write("confirm_session", "POST", f"{_SESSION}/confirm", f"{_SESSION_DOCS}confirm/", **_BROWSER),
    _write("send_challenge", "POST", f"{_SESSION}/challenge/send", f"{_SESSION_DOCS}challengesend/", **_BROWSER),
    _list(
        "list_session_methods",
        f"{_SESSION}/payment-methods",
        "/component/wallet/",
        True,
        paged=False,
        envelope="methods",
        **_BROWSER,
    ),
    _write("save_session_method", "POST", f"{_SESSION}/payment-methods", "/component/wallet/", **_BROWSER),
    _write(
        "remove_session_method",
        "DELETE",
        f"{_SESSION}/payment-methods/{{uid}}",
        "A32",
        False,
        answers="any",
        **_BROWSER,
    ),
    _write(
        "set_default_session_method",
        "PUT",
        f"{_SESSION}/default-payment-method",
        "A32",
        False,
        answers="any",
        **_BROWSER,
    ),
)

BY_OPERATION: dict[str, Route] = {route.operation: route for route in TABLE}


class Routes:
    """The table with the host's overrides (``GOVPAY["ROUTES"]``: operation id -> path template).

    Only the path may change, and its placeholders must be the same. Raises ``ConfigurationError`` for
    an unknown operation id, other placeholders, or an invalid path.
    """

    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        self._routes = dict(BY_OPERATION)
        for operation, path in (overrides or {}).items():
            self._routes[operation] = self._overridden(operation, path)

    def _overridden(self, operation: str, path: str) -> Route:
        setting = f'GOVPAY["ROUTES"][{operation!r}]'
        route = BY_OPERATION.get(operation)
        if route is None:
            near = get_close_matches(str(operation), BY_OPERATION, n=1, cutoff=0.5)
            raise ConfigurationError(f"{setting}: no such operation." + (f" Did you mean {near[0]!r}?" if near else ""))
        if not isinstance(path, str) or not _TEMPLATE.fullmatch(path) or _has_dots(path):
            raise ConfigurationError(f"{setting} must be a path such as {route.path!r}.")
        changed = replace(route, path=path, documented=False, source=f"{setting} (was {route.path})")
        if changed.placeholders != route.placeholders or len(_PLACEHOLDER.findall(path)) != len(route.placeholders):
            names = ", ".join(f"{{{name}}}" for name in sorted(route.placeholders)) or "no placeholder"
            raise ConfigurationError(f"{setting} must contain {names}, each once, and no other placeholder.")
        return changed

    def __getitem__(self, operation: str) -> Route:
        try:
            return self._routes[operation]
        except KeyError:
            raise ConfigurationError(f"no such operation: {operation!r}") from None

    def __iter__(self) -> Any:
        return iter(self._routes.values())

    def path(self, operation: str, **values: str) -> str:
        """Return the percent-encoded path of ``operation``. A value that could change the route is refused.

        Raises ``TypeError`` when the values do not match the placeholders, and ``OperationRefused`` when a value is
        empty or cannot be one path segment.
        """
        route = self[operation]
        if values.keys() != route.placeholders:
            raise TypeError(f"{operation} takes {sorted(route.placeholders)}, not {sorted(values)}")
        return _PLACEHOLDER.sub(lambda found: segment(found[1], values[found[1]]), route.path)


def _has_dots(path: str) -> bool:
    return any(part in (".", "..") for part in path.split("/"))


def segment(name: str, value: str) -> str:
    """Return ``value`` as exactly one path segment.

    Slashes are refused and not encoded: many servers decode ``%2F`` before routing, so ``x/refund`` could become
    another operation. Dots are refused, because clients and servers normalize them. Raises ``OperationRefused``
    with the name of the parameter, never its value.
    """
    if not isinstance(value, str) or not value or len(value) > 128:
        raise OperationRefused(f"{name} must be a text of 1 to 128 characters.")
    if value.strip(".") == "" or any(c in "/\\" or not c.isprintable() for c in value):
        raise OperationRefused(f"{name} contains characters that are not allowed in a path.")
    return quote(value, safe="")

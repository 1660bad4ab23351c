"""The properties of a payment account: their names, their values in requests, and their comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict
from urllib.parse import urlsplit

from govpay.client import tenant_shapes
from govpay.models import PaymentAccount
from govpay.models.choices import OperationAction, OperationState
from govpay.operations import journal
from govpay.operations import tenant_options as options

#: The properties of a payment account that a request may carry; /platform/accounts/.
PROPERTIES = tuple(tenant_shapes.CreatePaymentAccount.__dataclass_fields__)

PORTS = {"http": 80, "https": 443}


class AccountProperties(TypedDict, total=False):
    """The optional properties of a payment account; /platform/accounts/. The limits are in cents."""

    external_account_id: str | None
    external_merchant_id: str | None
    active: bool | None
    enable_ach: bool | None
    enable_credit_card: bool | None
    minimum_payment_amount: int | None
    maximum_payment_amount: int | None
    callback_url: str | None
    webhook_enabled: bool | None


def wire_properties(properties: AccountProperties) -> dict[str, Any]:
    """Return the properties for a request: limits in dollars, and no property that is ``None``.

    Raises ``TypeError`` for an unknown property, like a call with a wrong argument, and ``OperationRefused``
    for a limit that is not an amount.
    """
    given: dict[str, Any] = dict(properties)
    unknown = given.keys() - AccountProperties.__annotations__.keys()
    if unknown:
        raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
    named = {name: given[name] for name in AccountProperties.__annotations__ if given.get(name) is not None}
    return {
        name: options.dollars(name, value) if name.endswith("_payment_amount") else value
        for name, value in named.items()
    }


def as_sent(account_uid: str) -> dict[str, Any]:
    """Return the account's properties as last sent from here; an empty string for one that was removed.

    Properties are left out if it is not known whether they arrived.
    """
    actions = (OperationAction.CREATE_ACCOUNT, OperationAction.UPDATE_ACCOUNT)
    sent = journal.entries().filter(account=account_uid, action__in=actions).exclude(state=OperationState.FAILED)
    found: dict[str, Any] = {}
    for state, reason in sent.order_by("created_at", "pk").values_list("state", "reason"):
        for name, value in json.loads(reason).items():
            if state == OperationState.SUCCEEDED:
                found[name] = value
            else:
                found.pop(name, None)
    return found


def filled(document: Mapping[str, Any], account: PaymentAccount) -> dict[str, Any]:
    """Return ``document``, with missing properties added from the last request, or else from the row.

    The vendor does not document which properties a read of one account shows, and a property that a request leaves out
    may be removed (A7). A property that is ``null`` is not missing: the account has no value for it.
    """
    row = PaymentAccount.objects.filter(uid=account.uid).first() or account
    sent, found = as_sent(account.uid), dict(document)
    for name in PROPERTIES:
        if name not in found:
            value = sent[name] if name in sent else _of_row(row, account, name)
            if value not in (None, ""):
                found[name] = value
    return found


def _of_row(row: PaymentAccount, account: PaymentAccount, name: str) -> Any:
    # The caller's object may have values that a sync has removed from the row meanwhile.
    values = [value for value in (getattr(row, name), getattr(account, name)) if value not in (None, "")]
    value = values[0] if values else None
    return options.dollars(name, value) if name.endswith("_payment_amount") else value


def alike(name: str, one: Any, other: Any) -> bool:
    """Return whether both values mean the same: the platform may answer with a URL or colour in lower case."""
    return bool(_plain(name, one) == _plain(name, other))


def _plain(name: str, value: Any) -> Any:
    if name == "allowed_origins" and isinstance(value, list | tuple):
        return {_address(each).rstrip("/") for each in map(str, value)}  # the order does not matter
    if isinstance(value, str) and name == "accent_color":
        return value.lower()
    if isinstance(value, str) and name in ("callback_url", "logo_url"):
        return _address(value)
    return value


def _address(text: str) -> str:
    """Return the URL with scheme and host in lower case, and without the scheme's default port."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return text
    host = parts.netloc.lower()
    if port is not None and port == PORTS.get(parts.scheme):
        host = host.removesuffix(f":{port}")
    return parts._replace(netloc=host).geturl()

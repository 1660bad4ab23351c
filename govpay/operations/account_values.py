"""The properties of a payment account: their list, their values on the wire, and their comparison."""

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
    """The properties of a request: limits in dollars, and none that is ``None``.

    Raises ``TypeError`` for an unknown property, like a call with a wrong argument, and ``OperationRefused``
    for a limit that is no amount.
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
    """The account's properties as they were last sent from here, an empty text for one that was taken away.

    Without those of which nobody knows whether they arrived.
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
    """``document`` with the properties that it does not speak of: as last sent, else as the row has them.

    What the single read shows is not documented, and a property that a request leaves out may be taken away (A7).
    A property that is ``null`` is spoken of: there is none.
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
    # The caller's may know more than a row that was synced meanwhile.
    values = [value for value in (getattr(row, name), getattr(account, name)) if value not in (None, "")]
    value = values[0] if values else None
    return options.dollars(name, value) if name.endswith("_payment_amount") else value


def alike(name: str, one: Any, other: Any) -> bool:
    """Whether both values of a property mean the same: a platform may echo an address or a colour in lower case."""
    return bool(_plain(name, one) == _plain(name, other))


def _plain(name: str, value: Any) -> Any:
    if name == "allowed_origins" and isinstance(value, list | tuple):
        return {_address(each).rstrip("/") for each in map(str, value)}  # in whatever order
    if isinstance(value, str) and name == "accent_color":
        return value.lower()
    if isinstance(value, str) and name in ("callback_url", "logo_url"):
        return _address(value)
    return value


def _address(text: str) -> str:
    """With host and scheme in lower case and without the port that goes without saying."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return text
    host = parts.netloc.lower()
    if port is not None and port == PORTS.get(parts.scheme):
        host = host.removesuffix(f":{port}")
    return parts._replace(netloc=host).geturl()

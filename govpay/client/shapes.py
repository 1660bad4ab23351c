"""Request bodies as typed shapes: the base class and the bodies of payments. They are checked before they are sent.

Each ``is_…`` function checks one property and raises ``OperationRefused`` with its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, get_type_hints

from govpay.client.values import MONEY_LIMIT
from govpay.exceptions import OperationRefused

_UNSENDABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_CURRENCY = re.compile(r"[A-Z]{3}")


def refuse(name: str, why: str) -> OperationRefused:
    """Return the error for one property. It never contains the value, which may be card data."""
    return OperationRefused(f"{name} {why}.", field=name)


def is_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise refuse(name, "must be a text")
    if len(value) > 2000 or _UNSENDABLE.search(value):
        raise refuse(name, "is too long or contains control characters")


def is_routing(name: str, value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{9}", value):
        raise refuse(name, "must be a text of nine digits")


def is_suffix(name: str, value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,4}", value):
        raise refuse(name, "must be a text of at most four digits")


def is_last4(name: str, value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}", value):
        raise refuse(name, "must be a text of four digits")


def is_bin(name: str, value: Any) -> None:
    # The card networks allow at most eight digits to be stored. More would be most of a card number.
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4,8}", value):
        raise refuse(name, "must be a text of four to eight digits")


def is_whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
        raise refuse(name, "must be a whole number")


def is_month(name: str, value: Any) -> None:
    is_whole(name, value)
    if not 1 <= value <= 12:
        raise refuse(name, "must be a month from 1 to 12")


def is_year(name: str, value: Any) -> None:
    is_whole(name, value)
    if not 2000 <= value <= 2999:
        raise refuse(name, "must be a year with four digits")


def is_cents(name: str, value: Any) -> None:
    """Return an amount in cents that may be zero: tax, fee."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MONEY_LIMIT:
        raise refuse(name, "must be a whole number of cents, zero or more")


def is_charge(name: str, value: Any) -> None:
    """Return an amount in cents that must be above zero."""
    is_cents(name, value)
    if value == 0:
        raise refuse(name, "must be above zero")


def is_currency(name: str, value: Any) -> None:
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise refuse(name, "must be a currency code of three capitals, such as USD")


def is_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise refuse(name, "must be true or false")


@cache
def checks(shape: type[Any]) -> dict[str, Any]:
    """Return the check of each property by name. A check is a function, or the shape that the value must have."""
    hints = get_type_hints(shape, include_extras=True)
    return {item.name: hints[item.name].__metadata__[0] for item in fields(shape)}


class Shape:
    """Base class of all bodies. Every given property is checked on creation, and ``to_wire`` leaves out None.

    Raises ``OperationRefused`` with the name of the property.
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        kind: Any = type(self)
        wanted = checks(kind)
        for item in fields(kind):
            value, check = getattr(self, item.name), wanted[item.name]
            if value is None and item.default is None:
                continue
            if isinstance(check, type):
                if not isinstance(value, check):
                    raise refuse(item.name, "has the wrong form")
            else:
                check(item.name, value)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object: only documented names, no null."""
        return {
            item.name: to_wire(value)
            for item in fields(self)  # type: ignore[arg-type]
            if (value := getattr(self, item.name)) is not None
        }


def to_wire(value: Any) -> Any:
    """Return ``value`` with every shape in it converted to a plain object."""
    if isinstance(value, Shape):
        return value.to_wire()
    if isinstance(value, list | tuple):
        return [to_wire(item) for item in value]
    if isinstance(value, Mapping):
        return {name: to_wire(item) for name, item in value.items()}
    return value


def from_dict(shape: type[Any], given: Any, where: str) -> Any:
    """Convert ``given`` to ``shape``. Raises ``OperationRefused``, which names an unknown or missing property."""
    if not isinstance(given, Mapping):
        raise refuse(where, "must be an object")
    known = {item.name: item for item in fields(shape)}
    for name in given:
        if name not in known:
            shown = name if isinstance(name, str) and re.fullmatch(r"[a-z_0-9]{1,40}", name) else "a property"
            raise refuse(f"{where}.{shown}", "is not known")
    for name, item in known.items():
        if item.default is not None and given.get(name) is None:
            raise refuse(f"{where}.{name}", "is missing")
    for name, value in given.items():
        if value is None:
            raise refuse(f"{where}.{name}", "must not be null")
    try:
        return shape(**given)
    except OperationRefused as refused:
        raise OperationRefused(f"{where}.{refused.message}", field=f"{where}.{refused.field}") from None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Credit(Shape):
    """A card as a processor token (/platform/payments/). ``card_brand`` is only for saving a method (A17)."""

    fingerprint: Annotated[str, is_text]
    last4: Annotated[str | None, is_last4] = None
    exp_month: Annotated[int | None, is_month] = None
    exp_year: Annotated[int | None, is_year] = None
    bin: Annotated[str | None, is_bin] = None
    holder_name: Annotated[str | None, is_text] = None
    card_brand: Annotated[str | None, is_text] = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ach(Shape):
    """A bank account (A17)."""

    routing_number: Annotated[str, is_routing]
    account_number_suffix: Annotated[str, is_suffix]
    account_type: Annotated[str, is_text]
    bank_name: Annotated[str | None, is_text] = None
    holder_name: Annotated[str | None, is_text] = None
    fingerprint: Annotated[str | None, is_text] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet(Shape):
    """A saved method (/platform/payments/, /platform/wallets/)."""

    saved_payment_method_uid: Annotated[str, is_text]


#: ``payment_method_type`` -> the name of its required block, and the block's shape (/platform/payments/).
METHOD_TYPES: dict[str, tuple[str, type[Any]]] = {
    "credit": ("credit", Credit),
    "ach": ("ach", Ach),
    "wallet_credit": ("wallet", Wallet),
    "wallet_ach": ("wallet", Wallet),
}


def is_method_type(name: str, value: Any) -> None:
    if value not in METHOD_TYPES:
        raise refuse(name, f"must be one of {', '.join(METHOD_TYPES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethod(Shape):
    """The vendor's request object: a type, and the one block of that type."""

    payment_method_type: Annotated[str, is_method_type]
    credit: Annotated[Credit | None, Credit] = None
    ach: Annotated[Ach | None, Ach] = None
    wallet: Annotated[Wallet | None, Wallet] = None

    def __post_init__(self) -> None:
        Shape.__post_init__(self)
        needed, _ = METHOD_TYPES[self.payment_method_type]
        for name in ("credit", "ach", "wallet"):
            if (getattr(self, name) is not None) != (name == needed):
                raise refuse(name, f"{'is missing' if name == needed else 'does not belong'} for this type")


def payment_method_from_dict(given: Any, *, saving: bool = False) -> PaymentMethod:
    """Return the vendor's request object from a dict, strictly (A17, A24).

    ``saving``: for the wallet's routes, which accept ``card_brand`` and no wallet types. Raises
    ``OperationRefused`` naming the unknown, missing, null or mistyped property, never a value.
    """
    where = "payment_method"
    if not isinstance(given, Mapping):
        raise refuse(where, "must be an object")
    kind = given.get("payment_method_type")
    if not isinstance(kind, str) or kind not in METHOD_TYPES:
        raise refuse(f"{where}.payment_method_type", f"must be one of {', '.join(METHOD_TYPES)}")
    block, shape = METHOD_TYPES[kind]
    if saving and block == "wallet":
        raise refuse(f"{where}.payment_method_type", "must be credit or ach for a method to be saved")
    if not saving and isinstance(given.get("credit"), Mapping) and "card_brand" in given["credit"]:
        raise refuse(f"{where}.credit.card_brand", "belongs to saving a method only")
    if block not in given:
        raise refuse(f"{where}.{block}", "is missing")
    parts = {**given, block: from_dict(shape, given[block], f"{where}.{block}")}
    made: PaymentMethod = from_dict(PaymentMethod, parts, where)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatePayment(Shape):
    """``POST /api/payments`` (/platform/payments/). Amounts in cents; the base must be above zero."""

    base_amount: Annotated[int, is_charge]
    tax_amount: Annotated[int | None, is_cents] = None
    currency: Annotated[str, is_currency]
    reference_id: Annotated[str, is_text]
    payment_method: Annotated[PaymentMethod, PaymentMethod]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePayment(Shape):
    """``POST /api/payments/{uid}/capture`` (A9): repeats the validation exactly. Amounts in cents.

    If ``tax_amount`` was not sent at validation, it must be None here and is not sent (the vendor's wallet sample
    leaves it out).
    """

    base_amount: Annotated[int, is_charge]
    tax_amount: Annotated[int | None, is_cents] = None
    processing_fee_amount: Annotated[int, is_cents]
    total_amount: Annotated[int, is_charge]
    currency: Annotated[str, is_currency]
    reference_id: Annotated[str, is_text]
    payment_method: Annotated[PaymentMethod, PaymentMethod]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPayment(Shape):
    """``POST /api/payments/{uid}/refund`` (A10). Cents; ``reference_id`` is our own, unique per refund."""

    amount: Annotated[int, is_charge]
    reference_id: Annotated[str, is_text]
    reason: Annotated[str | None, is_text] = None

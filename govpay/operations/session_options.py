"""Checks of a hosted session's options before anything is sent. Each refusal names its option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from govpay import conf
from govpay.client import tenant_shapes
from govpay.client.cards import refuse_cards
from govpay.exceptions import OperationRefused
from govpay.models import Customer, PaymentAccount
from govpay.models.money import is_currency

#: The payment methods that a session may allow; /api/operations/v1hosted-sessions/.
METHODS = ("card", "ach", "apple_pay", "paypal")
#: Properties of ``fraud_signals`` that are not checked for card numbers: a telephone number, a time in milliseconds.
NUMBERS = ("phone", "request_timestamp")


def _is_this_machine(parts: SplitResult) -> bool:
    return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")


def check_return_addresses(**addresses: Any) -> None:
    for name, address in addresses.items():
        check_return_address(name, address)


def check_return_address(name: str, address: Any) -> None:
    """Check an address to which a payer is sent back. Raises ``OperationRefused`` with the allowed addresses."""
    try:
        parts = urlsplit(address) if isinstance(address, str) else urlsplit("")
    except ValueError:
        raise OperationRefused(f"{name} must be an https address.", field=name) from None
    origin = f"{parts.scheme}://{parts.netloc}"
    if settings.DEBUG and parts.scheme in ("http", "https") and parts.netloc:
        return
    if (parts.scheme != "https" and not _is_this_machine(parts)) or not parts.netloc or "@" in parts.netloc:
        raise OperationRefused(f"{name} must be an https address.", field=name)
    allowed = [str(each).rstrip("/").lower() for each in conf.get("CHECKOUT_ORIGINS")]
    if origin.lower() not in allowed:
        raise OperationRefused(f'{name} is not at an origin in GOVPAY["CHECKOUT_ORIGINS"]: {origin}.', field=name)


def customer_uid(customer: Customer | None, account: PaymentAccount) -> str | None:
    if customer is None:
        return None
    if not isinstance(customer, Customer):
        raise OperationRefused("customer must be a Customer.")
    if customer.account_id != account.uid:
        raise OperationRefused("customer belongs to another payment account.", field="customer")
    if customer.deleted_at:
        raise OperationRefused("customer no longer exists on the platform.", field="customer")
    return str(customer.uid)


def currency(code: str) -> str:
    if not isinstance(code, str) or not is_currency(code):
        raise OperationRefused("currency must be an ISO 4217 code such as USD.", field="currency")
    return code


def email(address: str | None) -> str | None:
    if address is not None and (not isinstance(address, str) or address.count("@") != 1 or " " in address):
        raise OperationRefused("customer_email must be an e-mail address.", field="customer_email")
    return address


def methods(methods: Any) -> Sequence[str] | None:
    if methods is None:
        return None
    if not isinstance(methods, list | tuple) or not methods or any(each not in METHODS for each in methods):
        raise OperationRefused(f"allowed_methods must be a list of {', '.join(METHODS)}.", field="allowed_methods")
    return methods


def line_items(items: Any) -> Any:
    return forms("line_items", tenant_shapes.LineItem, items)


def forms(name: str, shape: type[Any], values: Any) -> Any:
    if values is None:
        return None
    if isinstance(values, str | Mapping) or not isinstance(values, Sequence):
        raise OperationRefused(f"{name} must be a list of objects.", field=name)
    return [form(f"{name}[{index}]", shape, value) for index, value in enumerate(values)]


def form(name: str, shape: type[Any], value: Any) -> Any:
    """Return ``value`` as ``shape``, the vendor's object. Raises ``OperationRefused``, which names a wrong property."""
    if isinstance(value, shape):
        _check_cards(name, value.to_wire())
        return value
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise OperationRefused(f"{name} must be an object.", field=name)
    _check_cards(name, value)
    known = tuple(shape.__dataclass_fields__)
    for each in value:
        if each not in known:
            raise OperationRefused(f"{name} has no {each!r}; it has {', '.join(known)}.", field=name)
    try:
        return shape(**value)
    except TypeError:
        raise OperationRefused(f"{name} lacks a required property: {', '.join(known)}.", field=name) from None
    except OperationRefused as refused:
        raise OperationRefused(f"{name}: {refused}", field=f"{name}.{refused.field}") from None


def _check_cards(name: str, value: Mapping[str, Any]) -> None:
    refuse_cards(**{name: {each: item for each, item in value.items() if each not in NUMBERS}})

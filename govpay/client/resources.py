"""The platform's objects as resources: the unchanged document with typed properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

from govpay.client import values
from govpay.client.values import BadValue, Optional, Required


class Resource:
    """A document of the platform, unchanged in ``raw``, with typed properties.

    Properties are read when accessed. A property is None when it is missing or null, and raises ``BadValue`` (a
    ``ValueError`` with ``field`` and ``why``) when the value has a wrong type. Amounts are integer cents.
    Unknown properties and enum values are accepted.
    """

    #: Properties that are checked in an answer about one object; its uid first.
    VITAL: ClassVar[tuple[str, ...]] = ("uid",)

    __slots__ = ("raw", "request_id")
    raw: Mapping[str, Any]
    request_id: str  # of its answer, if it is not from a list

    def __init__(self, raw: Mapping[str, Any], request_id: str = "") -> None:
        object.__setattr__(self, "raw", raw)
        object.__setattr__(self, "request_id", request_id)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is read-only")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is read-only")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash((type(self), str(self.raw.get("uid"))))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.raw, self.request_id)

    def __repr__(self) -> str:
        # The document is not shown, because it may contain a payer's data.
        return f"<{type(self).__name__}>"


class _Entity(Resource):
    """The properties of every entity (A5). ``updated_at_raw`` keeps every digit, for a keyset."""

    __slots__ = ()
    uid = Required(values.uid)
    created_at = Optional(values.timestamp)
    updated_at = Optional(values.timestamp)
    updated_at_raw = Optional(values.timestamp_text, "updated_at")


class ClientResource(_Entity):
    """A merchant organization (/platform/accounts/)."""

    __slots__ = ()
    customer_id = Optional(values.text)
    name = Optional(values.text)
    timezone = Optional(values.text)
    subdomain = Optional(values.text)


class PaymentAccountResource(_Entity):
    """A merchant account; its uid is the ``X-Payment-Account-Uid`` (/platform/accounts/).

    The API has the two limits in decimal dollars (A27). They are cents here.
    """

    __slots__ = ()
    client_id = Optional(values.uid)
    name = Optional(values.text)
    processor = Optional(values.text)
    external_account_id = Optional(values.text)
    external_merchant_id = Optional(values.text)
    active = Optional(values.flag)
    enable_ach = Optional(values.flag)
    enable_credit_card = Optional(values.flag)
    minimum_payment_amount = Optional(values.dollars)
    maximum_payment_amount = Optional(values.dollars)
    callback_url = Optional(values.text)
    webhook_enabled = Optional(values.flag)
    allowed_origins = Optional(values.texts)


class CustomerResource(_Entity):
    """A payer (A13)."""

    __slots__ = ()
    reference_id = Optional(values.text)
    name = Optional(values.text)
    email = Optional(values.text)
    default_payment_method_uid = Optional(values.uid)


class SavedMethodResource(_Entity):
    """A payer's saved card or bank account (A14), also in the flat form of a session's ``saved_methods``
    (/api/operations/v1hosted-sessionssessionid/get/). It never has a card number, because the API sends none.
    """

    __slots__ = ()
    uid = Required(values.uid, "saved_payment_method_uid", "uid", "id")
    customer_uid = Optional(values.uid)
    is_default = Optional(values.flag)

    @property
    def method_type(self) -> str | None:
        """``credit`` or ``ach``; the ``card`` of a session is returned unchanged."""
        named = _first_text(self._parts(), "payment_method_type", "type")
        return named or next((name for name in ("credit", "ach") if self.raw.get(name)), None)

    @property
    def brand(self) -> str | None:
        return _first_text(self._parts(), "card_brand", "brand")

    @property
    def last4(self) -> str | None:
        return _last4(self._parts())

    @property
    def exp_month(self) -> int | None:
        return _first_whole(self._parts(), "exp_month")

    @property
    def exp_year(self) -> int | None:
        return _first_whole(self._parts(), "exp_year")

    @property
    def holder_name(self) -> str | None:
        return _first_text(self._parts(), "holder_name")

    @property
    def bank_name(self) -> str | None:
        return _first_text(self._parts(), "bank_name")

    @property
    def account_type(self) -> str | None:
        return _first_text(self._parts(), "account_type")

    def _parts(self) -> list[Mapping[str, Any]]:
        nested = _object(self.raw, "payment_method")
        parts = [] if nested is None else [*_method_parts(nested)]
        return [*parts, *_method_parts(self.raw)]


class PaymentResource(_Entity):
    """A payment (A8). ``payment_method`` is the sanitized copy of the one in the request."""

    VITAL = (
        "uid",
        "status",
        "base_amount",
        "tax_amount",
        "processing_fee_amount",
        "total_amount",
        "refunded_amount",
        "currency",
    )

    __slots__ = ()
    reference_id = Optional(values.text)
    customer_uid = Optional(values.uid)
    session_id = Optional(values.uid)
    base_amount = Optional(values.cents)
    tax_amount = Optional(values.cents)
    processing_fee_amount = Optional(values.cents)
    total_amount = Optional(values.cents)
    refunded_amount = Optional(values.cents)
    currency = Optional(values.text)
    status = Optional(values.text)
    decline_code = Optional(values.text)
    captured_at = Optional(values.timestamp)

    @property
    def method_type(self) -> str | None:
        """``credit``, ``ach``, ``wallet_credit`` or ``wallet_ach`` (/platform/payments/)."""
        return _first_text(self._parts(), "payment_method_type")

    @property
    def brand(self) -> str | None:
        return _first_text(self._parts(), "card_brand", "brand")

    @property
    def last4(self) -> str | None:
        return _last4(self._parts())

    @property
    def holder_name(self) -> str | None:
        return _first_text(self._parts(), "holder_name")

    @property
    def saved_payment_method_uid(self) -> str | None:
        for part in self._parts():
            value = part.get("saved_payment_method_uid")
            if value is not None:
                return values.uid("saved_payment_method_uid", value)
        return None

    def _parts(self) -> list[Mapping[str, Any]]:
        method = _object(self.raw, "payment_method")
        return [] if method is None else _method_parts(method)


class TransactionResource(_Entity):
    """One movement of a payment's money (A12)."""

    VITAL = ("uid", "payment_uid", "type", "amount", "currency", "status")

    __slots__ = ()
    payment_uid = Optional(values.uid)
    type = Optional(values.text)
    amount = Optional(values.cents)
    currency = Optional(values.text)
    status = Optional(values.text)
    reference_id = Optional(values.text)
    processor_transaction_id = Optional(values.text)
    reason = Optional(values.text)
    reason_code = Optional(values.text)


class TerminalResource(_Entity):
    """A card reader (A26)."""

    __slots__ = ()
    name = Optional(values.text)
    serial_number = Optional(values.text)
    model = Optional(values.text)
    status = Optional(values.text)
    payment_account_uid = Optional(values.uid)


class SubscriptionResource(Resource):
    """Whether one event type is delivered (A20). It has no uid; ``event_type`` identifies it."""

    VITAL = ("event_type",)
    __slots__ = ()
    event_type = Required(values.uid)
    enabled = Optional(values.flag)


class HostedSessionResource(Resource):
    """A hosted session, as created or as read (/api/operations/v1hosted-sessionssessionid/get/).

    ``client_secret`` and ``hosted_url`` (its fragment contains the secret) are credentials: keep them encrypted.
    """

    VITAL = ("session_id",)

    __slots__ = ()
    session_id = Required(values.uid)
    client_secret = Optional(values.text)
    hosted_url = Optional(values.text)
    status = Optional(values.text)
    scope = Optional(values.text)
    amount = Optional(values.cents)
    currency = Optional(values.text)
    description = Optional(values.text)
    line_items = Optional(values.mappings)
    customer_email = Optional(values.text)
    layout = Optional(values.text)
    allowed_methods = Optional(values.texts)
    setup_future_usage = Optional(values.text)
    branding = Optional(values.mapping)
    required_avs_fields = Optional(values.texts)
    saved_methods = Optional(values.mappings)
    expires_at = Optional(values.timestamp)
    merchant_display_name = Optional(values.text)
    page_message = Optional(values.text)
    challenge = Optional(values.mapping)
    metadata = Optional(values.mapping)


def _object(raw: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = raw.get(name)
    return None if value is None else values.mapping(name, value)


_BLOCKS = ("credit", "ach", "wallet")


def _method_parts(method: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the objects that may hold a payment method's properties, first the object that its type names."""
    parts = [values.mapping(name, method[name]) for name in _BLOCKS if method.get(name) is not None]
    parts.append(method)
    return parts


def _first_text(parts: list[Mapping[str, Any]], *names: str) -> str | None:
    for part in parts:
        for name in names:
            if part.get(name) is not None:
                return values.text(name, part[name])
    return None


def _first_whole(parts: list[Mapping[str, Any]], name: str) -> int | None:
    for part in parts:
        if part.get(name) is not None:
            return values.whole(name, part[name])
    return None


def _last4(parts: list[Mapping[str, Any]]) -> str | None:
    """Return the last four digits. A longer ``last4`` raises ``BadValue``, because it may be the full card number."""
    for name in ("last4", "account_number_suffix"):
        for part in parts:
            if part.get(name) is not None:
                found = values.text(name, part[name])
                if len(found) > 4 and name == "last4":
                    raise BadValue(name, "has more than four characters")
                return found[-4:]
    return None

"""The request bodies for clients, accounts, wallets, webhooks and hosted sessions, as typed shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from govpay.client.session_values import is_moment, is_object, is_quantity, is_seconds
from govpay.client.shapes import (
    MONEY_LIMIT,
    PaymentMethod,
    Shape,
    is_cents,
    is_charge,
    is_currency,
    is_flag,
    is_text,
    refuse,
)
from govpay.client.values import hundredfold

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-]+(?::\d{1,5})?")
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
_LOOPBACK = re.compile(r"http://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?(?:/\S*)?")


def is_dollars(name: str, value: Any) -> None:
    """Return an amount in decimal dollars (A27): a number with at most two decimals."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refuse(name, "must be a number of dollars")
    cents = hundredfold(value)
    if cents != cents.to_integral_value() or not 0 <= cents < MONEY_LIMIT:
        raise refuse(name, "must be zero or more dollars and whole cents")


def is_callback(name: str, value: Any) -> None:
    """Check a callback URL: https (/guides/webhooks/), or plain http to this machine, for the sandbox."""
    is_text(name, value)
    if not (re.fullmatch(r"https://[^\s/\\@]+(?:/\S*)?", value) or _LOOPBACK.fullmatch(value)):
        raise refuse(name, "must be an https address")


def is_address(name: str, value: Any) -> None:
    is_text(name, value)
    if not re.fullmatch(r"https?://[^\s/\\@]+(?:[/?#]\S*)?", value):
        raise refuse(name, "must be a web address")


def is_origins(name: str, value: Any) -> None:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise refuse(name, "must be a list of origins")
    for item in value:
        if not isinstance(item, str) or not _ORIGIN.fullmatch(item):
            raise refuse(name, "must hold origins such as https://pay.example.gov")


def is_texts(name: str, value: Any) -> None:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise refuse(name, "must be a list of texts")
    for item in value:
        is_text(name, item)


def is_color(name: str, value: Any) -> None:
    if not isinstance(value, str) or not _COLOR.fullmatch(value):
        raise refuse(name, "must be a color such as #1a2b3c")


def one_of(*allowed: str) -> Any:
    """Return a check that the value is one of ``allowed``."""

    def check(name: str, value: Any) -> None:
        if value not in allowed:
            raise refuse(name, f"must be one of {', '.join(allowed)}")

    return check


def many(shape: type[Any]) -> Any:
    """Return a check for a list of one shape that is not empty."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, list | tuple) or not value or not all(isinstance(item, shape) for item in value):
            raise refuse(name, "must be a list with at least one valid item")

    return check


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateClient(Shape):
    """``POST /api/clients`` (/platform/accounts/; required: A30)."""

    name: Annotated[str, is_text]
    customer_id: Annotated[str | None, is_text] = None
    timezone: Annotated[str | None, is_text] = None
    subdomain: Annotated[str | None, is_text] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePaymentAccount(Shape):
    """``POST /api/paymentaccounts`` and, for the update, ``PUT`` (/platform/accounts/, A7, A27, A30).

    The two limits are decimal dollars here, as in the API.
    """

    client_id: Annotated[str, is_text]
    name: Annotated[str, is_text]
    processor: Annotated[str, is_text]
    external_account_id: Annotated[str | None, is_text] = None
    external_merchant_id: Annotated[str | None, is_text] = None
    active: Annotated[bool | None, is_flag] = None
    enable_ach: Annotated[bool | None, is_flag] = None
    enable_credit_card: Annotated[bool | None, is_flag] = None
    minimum_payment_amount: Annotated[float | None, is_dollars] = None
    maximum_payment_amount: Annotated[float | None, is_dollars] = None
    callback_url: Annotated[str | None, is_callback] = None
    webhook_enabled: Annotated[bool | None, is_flag] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutConfig(Shape):
    """``PUT /api/paymentaccounts/{uid}/checkout-config`` (/getting-started/credentials/): at least one property.

    The same call stores display name, logo, accent color and page message (/component/theming/). Their property
    names are not documented. Assumed: the names of a session's config.
    """

    allowed_origins: Annotated[Sequence[str] | None, is_origins] = None
    merchant_display_name: Annotated[str | None, is_text] = None
    logo_url: Annotated[str | None, is_address] = None
    accent_color: Annotated[str | None, is_color] = None
    page_message: Annotated[str | None, is_text] = None

    def __post_init__(self) -> None:
        Shape.__post_init__(self)
        if not self.to_wire():
            raise refuse("allowed_origins", "or another option must be given")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCustomer(Shape):
    """``POST /api/customers`` (/platform/wallets/; required: A30)."""

    reference_id: Annotated[str, is_text]
    name: Annotated[str | None, is_text] = None
    email: Annotated[str | None, is_text] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SavePaymentMethod(Shape):
    """``POST /api/customers/{uid}/payment-methods`` (/platform/wallets/)."""

    payment_method: Annotated[PaymentMethod, PaymentMethod]


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultPaymentMethod(Shape):
    """The body of ``PUT /api/customers/{uid}/default-payment-method``. It is our assumption (A15)."""

    saved_payment_method_uid: Annotated[str, is_text]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedMethod(Shape):
    """One row of an import (A16)."""

    customer_reference_id: Annotated[str, is_text]
    payment_method: Annotated[PaymentMethod, PaymentMethod]


def is_import(name: str, value: Any) -> None:
    many(ImportedMethod)(name, value)
    if len(value) > 500:
        raise refuse(name, "may hold 500 rows in one call")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPaymentMethods(Shape):
    """``POST /api/saved-payment-methods/import`` (A16): at most 500 rows."""

    payment_methods: Annotated[Sequence[ImportedMethod], is_import]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription(Shape):
    """One event type of ``PUT /api/webhooks/subscriptions``, on or off."""

    event_type: Annotated[str, is_text]
    enabled: Annotated[bool, is_flag]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSubscriptions(Shape):
    """``PUT /api/webhooks/subscriptions`` (/platform/accounts/, /guides/webhooks/)."""

    subscriptions: Annotated[Sequence[Subscription], many(Subscription)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineItem(Shape):
    """One line item of a session (/api/operations/v1hosted-sessions/). Amount in cents."""

    description: Annotated[str, is_text]
    amount: Annotated[int, is_cents]
    quantity: Annotated[int | None, is_quantity] = None
    metadata: Annotated[Mapping[str, Any] | None, is_object] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Branding(Shape):
    """The look of a hosted session's page."""

    logo_url: Annotated[str | None, is_address] = None
    accent_color: Annotated[str | None, is_color] = None
    merchant_display_name: Annotated[str | None, is_text] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudSignals(Shape):
    """Known facts about the payer (/api/operations/v1hosted-sessions/, from its sample)."""

    ip_address: Annotated[str | None, is_text] = None
    user_agent: Annotated[str | None, is_text] = None
    email: Annotated[str | None, is_text] = None
    phone: Annotated[str | None, is_text] = None
    account_type: Annotated[str | None, is_text] = None
    request_timestamp: Annotated[int | None, is_moment] = None
    is_authorized: Annotated[bool | None, is_flag] = None
    is_admin: Annotated[bool | None, is_flag] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodBadge(Shape):
    """A badge on some saved methods of a wallet session; /component/wallet/."""

    label: Annotated[str, is_text]
    color: Annotated[str, is_color]
    payment_method_uids: Annotated[Sequence[str], is_texts]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedMethod(Shape):
    """A locked saved method of a wallet session, with the reason; /component/wallet/."""

    payment_method_uid: Annotated[str, is_text]
    reason: Annotated[str, is_text]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateHostedSession(Shape):
    """``POST /v1/hosted-sessions`` (/api/operations/v1hosted-sessions/, /component/wallet/). Amounts in cents.

    A payment session needs amount, currency and both URLs. A wallet session needs ``customer_id``.
    """

    amount: Annotated[int | None, is_cents] = None
    currency: Annotated[str | None, is_currency] = None
    description: Annotated[str | None, is_text] = None
    line_items: Annotated[Sequence[LineItem] | None, many(LineItem)] = None
    customer_id: Annotated[str | None, is_text] = None
    customer_email: Annotated[str | None, is_text] = None
    success_url: Annotated[str | None, is_address] = None
    cancel_url: Annotated[str | None, is_address] = None
    layout: Annotated[str | None, one_of("embedded", "hosted")] = None
    allowed_methods: Annotated[Sequence[str] | None, is_texts] = None
    setup_future_usage: Annotated[str | None, one_of("off", "on_session", "off_session")] = None
    scope: Annotated[str | None, one_of("payment", "wallet")] = None
    expires_in_seconds: Annotated[int | None, is_seconds] = None
    branding: Annotated[Branding | None, Branding] = None
    required_avs_fields: Annotated[Sequence[str] | None, is_texts] = None
    metadata: Annotated[Mapping[str, Any] | None, is_object] = None
    fraud_signals: Annotated[FraudSignals | None, FraudSignals] = None
    method_badges: Annotated[Sequence[MethodBadge] | None, many(MethodBadge)] = None
    locked_payment_methods: Annotated[Sequence[LockedMethod] | None, many(LockedMethod)] = None

    def __post_init__(self) -> None:
        Shape.__post_init__(self)
        if self.scope == "wallet":
            needed: tuple[str, ...] = ("customer_id",)
        else:
            needed = ("amount", "currency", "success_url", "cancel_url")
            if self.amount is not None:
                is_charge("amount", self.amount)
        for name in needed:
            if getattr(self, name) is None:
                raise refuse(name, "is missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateHostedSession(Shape):
    """``PATCH`` of a session (/api/operations/v1hosted-sessionssessionid/patch/): at least one property. Cents."""

    amount: Annotated[int | None, is_charge] = None
    line_items: Annotated[Sequence[LineItem] | None, many(LineItem)] = None

    def __post_init__(self) -> None:
        Shape.__post_init__(self)
        if self.amount is None and self.line_items is None:
            raise refuse("amount", "or line_items must be given")

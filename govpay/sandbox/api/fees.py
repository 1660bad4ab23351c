"""The platform's rules on money: the convenience fee, the account's limits, the cards that decline."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from govpay.sandbox.errors import invalid
from govpay.sandbox.shapes import Doc

# Rates in basis points, and flat fees in cents. 276 and 30 give the vendor's sample: 423 on 14227 [/component/events/].
CARD_RATES = {"visa": 276, "mastercard": 276, "discover": 266, "amex": 325}
OTHER_CARD_RATE = 295
CARD_FLAT = 30
ACH_FLAT = 150

# The last four digits of the cards that are declined. The first is the vendor's test card [/guides/go-live/]; the
# others are our choice.
DECLINING_CARDS = {
    "0002": "card_declined",
    "9995": "insufficient_funds",
    "0127": "incorrect_cvc",
    "0119": "processing_error",
    "0069": "expired_card",
}
_DECLINE_TEXTS = {
    "card_declined": "The card was declined.",
    "insufficient_funds": "The card has insufficient funds.",
    "incorrect_cvc": "The security code is incorrect.",
    "processing_error": "The processor could not complete the payment.",
    "expired_card": "The card has expired.",
}


class Instrument(NamedTuple):
    """The properties of a payment method that decide about fees and declines. `kind` is credit or ach."""

    kind: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    customer_uid: str | None


def fee(amount: int, instrument: Instrument) -> int:
    """Return the convenience fee in cents, rounded half up. `amount` is base plus tax in cents."""
    if instrument.kind == "ach":
        return ACH_FLAT
    rate = CARD_RATES.get(instrument.brand, OTHER_CARD_RATE)
    return (amount * rate + 5000) // 10_000 + CARD_FLAT


def check_limits(account: Doc, amount: int) -> None:
    """Raise a 422 `Refusal` if `amount` (base plus tax in cents) is outside the account's limits, in dollars (A27)."""
    low, high = (
        int(Fraction(str(account[name])) * 100) for name in ("minimum_payment_amount", "maximum_payment_amount")
    )
    if not low <= amount <= high:
        invalid("The amount is outside the payment account's limits.")


def decline_code(instrument: Instrument, today: str) -> str | None:
    """Return the decline code of a capture on this instrument, or None; `today` is ISO. Bank accounts never decline."""
    if instrument.kind == "ach":
        return None
    if f"{instrument.exp_year:04}-{instrument.exp_month:02}" < today[:7]:
        return "expired_card"
    return DECLINING_CARDS.get(instrument.last4)


def decline_text(code: str) -> str:
    return _DECLINE_TEXTS.get(code, "The payment was declined.")

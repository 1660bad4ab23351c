"""Payment methods in requests: the rules for cards, bank accounts and references to saved methods."""

from __future__ import annotations

import re
from typing import Any

from govpay.sandbox.errors import invalid, malformed
from govpay.sandbox.shapes import Doc, Part, SandboxShape, integer, shape, text


def is_token(value: str, path: str) -> None:
    """Return a processor token. A card number is refused, as on the platform (PCI scope, [/component/theming/])."""
    digits = re.sub(r"[\s-]", "", value)
    if re.fullmatch(r"\d{13,19}", digits) and passes_luhn(digits):
        invalid(f"{path} must be a token, not a card number.")


def passes_luhn(digits: str) -> bool:
    doubled = [sum(divmod(int(digit) * 2, 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0


_CARD: dict[str, Part] = {
    "fingerprint": text(required=True, rule=is_token),
    "last4": text(required=True, pattern=r"\d{4}"),
    "exp_month": integer(required=True, low=1, high=12),
    "exp_year": integer(required=True, low=2000, high=2099),
    "bin": text(pattern=r"\d{6,8}"),
    "holder_name": text(),
}
ACH = shape(
    routing_number=text(required=True, pattern=r"\d{9}"),
    account_number_suffix=text(required=True, pattern=r"\d{1,6}"),
    account_type=text(required=True, choices=("checking", "savings")),
    bank_name=text(),
    holder_name=text(),
    fingerprint=text(required=True, rule=is_token),
)
WALLET = shape(saved_payment_method_uid=text(required=True))

# `card_brand` is allowed only when a method is saved (A17).
PAYABLE: dict[str, tuple[str, SandboxShape]] = {
    "credit": ("credit", SandboxShape(_CARD)),
    "ach": ("ach", ACH),
    "wallet_credit": ("wallet", WALLET),
    "wallet_ach": ("wallet", WALLET),
}
SAVABLE: dict[str, tuple[str, SandboxShape]] = {
    "credit": ("credit", SandboxShape({**_CARD, "card_brand": text()})),
    "ach": ("ach", ACH),
}


def payment_method(variants: dict[str, tuple[str, SandboxShape]], *, required: bool = True) -> Part:
    """`payment_method_type` decides which one other property is required."""

    def check_type(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            malformed(f"{path} must be an object.")
        kind = value.get("payment_method_type")
        if not isinstance(kind, str):
            malformed(f"{path}.payment_method_type is required and must be a string.")
        if kind in variants:
            _variant(kind).check_type(value, path)

    def check_value(value: Doc, path: str) -> None:
        kind = value["payment_method_type"]
        if kind not in variants:
            invalid(f"{path}.payment_method_type must be one of: {', '.join(variants)}.")
        _variant(kind).check_value(value, path)

    def _variant(kind: str) -> SandboxShape:
        name, wanted = variants[kind]
        return SandboxShape({"payment_method_type": text(required=True), name: wanted.part(required=True)})

    return Part("object", check_type, check_value, required)


def sanitized(method: Doc) -> Doc:
    """Return the payment method as requested, but without `fingerprint` (A8)."""
    return {
        name: {key: part for key, part in value.items() if key != "fingerprint"} if isinstance(value, dict) else value
        for name, value in method.items()
    }


def brand_of(card: Doc) -> str:
    """Return the card's brand in lower case: the given `card_brand`, else the brand of its first digits."""
    if card.get("card_brand"):
        return str(card["card_brand"]).lower()
    first = str(card.get("bin") or "")
    if first.startswith("4"):
        return "visa"
    if first[:2] in ("34", "37"):
        return "amex"
    if first[:1] == "5" or "2221" <= first[:4] <= "2720":
        return "mastercard"
    return "discover" if first.startswith("6") else "unknown"

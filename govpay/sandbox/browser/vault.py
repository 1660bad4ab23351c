"""The processor's vault for browsers: takes a card or a bank account, and returns a token that lasts 15 minutes.

The vendor's component does this in an iframe of the processor. The vendor's documentation does not describe the
request, so we chose the route and its body. Full card and account numbers and the CVV are checked but never stored. A
card keeps its last four digits, first six (`bin`), expiry and brand; a bank account keeps its routing number, last four
digits, type and bank name.
"""

from __future__ import annotations

import re
import secrets
from datetime import timedelta

from govpay.sandbox.answers import Answer
from govpay.sandbox.api.methods import brand_of, passes_luhn
from govpay.sandbox.api.sessions import check_open
from govpay.sandbox.calls import SESSION, Call, SandboxRoute
from govpay.sandbox.clock import iso
from govpay.sandbox.errors import Refusal, invalid, malformed
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc, check, integer, shape, text
from govpay.sandbox.store import StoredRow

# About 15 minutes [/platform/payments/].
LIFETIME = timedelta(minutes=15)
PREFIX = "ptk_"

TOKENIZE = shape(
    card=shape(
        number=text(required=True),
        exp_month=integer(required=True, low=1, high=12),
        exp_year=integer(required=True, low=2000, high=2099),
        cvv=text(required=True, pattern=r"\d{3,4}"),
    ).part(),
    # Any validly formatted number is accepted [/guides/go-live/].
    ach=shape(
        routing_number=text(required=True, pattern=r"\d{9}"),
        account_number=text(required=True, pattern=r"\d{4,17}"),
        account_type=text(required=True, choices=("checking", "savings")),
    ).part(),
)


def card_details(number: str, exp_month: int, exp_year: int) -> Doc:
    """Return the stored properties of a card; 422 for an invalid number. The error never quotes it."""
    digits = re.sub(r"[ -]", "", number)
    if not re.fullmatch(r"[0-9]{13,19}", digits) or not passes_luhn(digits):
        invalid("card.number is not a card number.")
    brand = brand_of({"bin": digits[:6]})
    return {
        "last4": digits[-4:],
        "exp_month": exp_month,
        "exp_year": exp_year,
        "bin": digits[:6],
        "card_brand": brand,
    }


def bank_details(routing_number: str, account_number: str, account_type: str) -> Doc:
    return {
        "routing_number": routing_number,
        "account_number_suffix": account_number[-4:],
        "account_type": account_type,
        # There is no directory of bank names here.
        "bank_name": "Test Bank",
    }


def keep(platform: Platform, session: StoredRow, kind: str, details: Doc) -> tuple[str, str]:
    """Create a token of this session for `kind` (card or ach). Returns it with its expiry."""
    token, ends = PREFIX + secrets.token_hex(12), iso(platform.clock.now() + LIFETIME)
    kept = session.private.setdefault("tokens", {})
    kept[token] = {"kind": kind, "details": details, "expires_at": ends}
    platform.store.put(session)
    return token, ends


def details_of(platform: Platform, session: StoredRow, token: str, kind: str) -> Doc | None:
    """Return the data of a token of this vault; None for other tokens."""
    if not token.startswith(PREFIX):
        return None
    kept = session.private.get("tokens", {}).get(token)
    if kept is None or kept["kind"] != kind:
        invalid(f"processor_token names no {kind} of this session.")
    if kept["expires_at"] <= platform.clock.text():
        raise Refusal(422, "validation_error", "processor_token has expired.", recoverable=True)
    return dict(kept["details"])


def tokenize(call: Call, uid: str) -> Answer:
    """`POST /component/tokens/{sessionId}`: exactly one of `card` and `ach`."""
    session = check_open(call)
    body = check(call.body, TOKENIZE)
    if len(body) != 1:
        malformed("Exactly one of card and ach is required.")
    if "card" in body:
        card = body["card"]
        kind, details = "card", card_details(card["number"], card["exp_month"], card["exp_year"])
    else:
        kind, details = "ach", bank_details(**body["ach"])
    token, ends = keep(call.platform, session, kind, details)
    return Answer(201, {"processor_token": token, "expires_at": ends, "payment_method": {kind: details}})


ROUTES = [SandboxRoute("POST", "/component/tokens/<uid>", tokenize, SESSION, json=True)]

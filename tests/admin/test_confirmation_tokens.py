"""The signed key of a confirmation form."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.core import signing

from govpay.admin import confirmation_tokens
from govpay.admin.confirmation_tokens import ShownPayment, TokenRefused
from govpay.models import Payment

ANA, BEN = SimpleNamespace(pk=1), SimpleNamespace(pk=2)
SHOWN = {7: ShownPayment("captured", 500, "USD", 900), 9: ShownPayment("validated", 0, "EUR", None)}


def test_says_what_was_shown() -> None:
    token = confirmation_tokens.read(
        confirmation_tokens.sign(ANA, "refund", [7, 9, 11], SHOWN), ANA, "refund", [7, 9, 11]
    )
    assert token.shown == SHOWN
    assert token.ids == (7, 9, 11)
    assert isinstance(token.key, uuid.UUID)


def test_each_page_has_a_key_of_its_own() -> None:
    keys = {
        confirmation_tokens.read(confirmation_tokens.sign(ANA, "void", [7], SHOWN), ANA, "void", [7]).key
        for _ in range(5)
    }
    assert len(keys) == 5


def test_payments_of_one_form_have_keys_of_their_own_and_always_the_same() -> None:
    text = confirmation_tokens.sign(ANA, "refund", [7, 9], SHOWN)
    first, second = Payment(uid="pay_7"), Payment(uid="pay_9")
    one, two = (confirmation_tokens.read(text, ANA, "refund", [7, 9]) for _ in range(2))
    assert one.key_for(first) == two.key_for(first) != one.key_for(second)
    single = confirmation_tokens.read(confirmation_tokens.sign(ANA, "refund", [7], SHOWN), ANA, "refund", [7])
    assert single.key_for(first) == single.key


@pytest.mark.parametrize(
    ("user", "action", "ids"),
    [(BEN, "refund", [7]), (ANA, "capture", [7]), (ANA, "refund", [9]), (ANA, "refund", [7, 9])],
)
def test_serves_nobody_and_nothing_else(user: Any, action: str, ids: list[int]) -> None:
    text = confirmation_tokens.sign(ANA, "refund", [7], SHOWN)
    with pytest.raises(TokenRefused):
        confirmation_tokens.read(text, user, action, ids)


def test_runs_out() -> None:
    with time_machine.travel("2026-03-01 12:00", tick=False) as clock:
        text = confirmation_tokens.sign(ANA, "refund", [7], SHOWN)
        clock.shift(confirmation_tokens.LIFETIME - 1)
        confirmation_tokens.read(text, ANA, "refund", [7])
        clock.shift(2)
        with pytest.raises(TokenRefused, match="too long"):
            confirmation_tokens.read(text, ANA, "refund", [7])


@pytest.mark.parametrize(
    "change", [lambda t: t[:-2] + "xx", lambda t: "", lambda t: "a:b:c", lambda t: t[3:], lambda t: "\x00"]
)
def test_cannot_be_made_up(change: Any) -> None:
    with pytest.raises(TokenRefused):
        confirmation_tokens.read(change(confirmation_tokens.sign(ANA, "refund", [7], SHOWN)), ANA, "refund", [7])


def test_other_signed_values_are_refused() -> None:
    with pytest.raises(TokenRefused):
        confirmation_tokens.read(
            signing.dumps(["1", "refund", [7], uuid.uuid4().hex, []], salt="other"), ANA, "refund", [7]
        )
    with pytest.raises(TokenRefused):
        confirmation_tokens.read(signing.dumps({"a": 1}, salt=confirmation_tokens.SALT), ANA, "refund", [7])

"""Planted secrets are masked (faults S1)."""

from __future__ import annotations

import pytest

from govpay.client.redaction import mask, one_line

SECRETS = [
    "Authorization: Bearer abcdef123456",
    "bearer   aaaaaaaa.bbbb-cccc",
    "Basic dXNlcjpwYXNzd29yZA==",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl",
    "token=eyJhbGciOiJub25lIn0.eyJjYW5hcnkiOjF9.",
    "cs_abc123_secret_canary",
    "cs_secret_canary",
    "4111111111111111",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "card:5555555555554444!",
]
CANARIES = ["abcdef123456", "bbbb", "dXNlcjp", "eyJ", "canary", "1111 1111", "1111-1111", "11111111", "5555555"]


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_masked(secret: str) -> None:
    for text in (secret, f"before {secret} after", f"({secret})", f"x\n{secret}\ny"):
        found = one_line(text)
        assert "***" in found
        assert not [canary for canary in CANARIES if canary in found]


def test_the_secrets_of_the_call_are_masked_in_whatever_form() -> None:
    assert mask("the token opaque-123 was refused", ("opaque-123",)) == "the token *** was refused"
    assert mask("nothing", ("", "no")) == "nothing"


def test_no_half_of_a_secret_survives_the_cut() -> None:
    for before in range(150, 205):
        found = one_line("x" * before + " cs_abc_secret_canary and more")
        assert "canary"[:3] not in found
        assert len(found) <= 200
        assert "4111" not in one_line("x" * before + " 4111111111111111 and more")
    for before in range(3900, 4001):
        assert "4111" not in one_line("<p>" * (before // 3) + "4111111111111111" + "x" * 100)


@pytest.mark.parametrize(
    "text",
    [
        "Payment pay_9f3k2 is not captured", "req_550e8400-e29b-41d4-a716-446655440000", "2026-06-11T10:00:00.1234567Z",
        "amount 14227 of 14650", "call 555-123-4567", "session cs_a1b2c3d4e5f6g7h8", "ending in 4242", "12:34",
    ],
)  # fmt: skip
def test_what_people_need_is_left(text: str) -> None:
    assert one_line(text) == text


#: Half of a surrogate pair, a code point without a character, the right-to-left override, a soft hyphen, a line
#: separator, a C1 control character, NUL, one of private use.
UNPRINTABLE = ["\ud800", "\udfff", "\u0378", "\u202e", "\u00ad", "\u2028", "\x85", "\x00", "\ue000"]


@pytest.mark.parametrize("character", UNPRINTABLE, ids=ascii)
def test_what_cannot_be_printed_becomes_a_space(character: str) -> None:
    found = one_line(f"not{character}{character}captured")
    assert found == "not captured"
    assert found.isprintable()
    assert "1111" not in one_line(f"4111{character}1111{character}1111{character}1111"), "no card number hides so"


def test_every_script_is_left() -> None:
    for text in ("Peña señala", "支払い", "دفع", "платёж", "👍 𠮷"):
        assert one_line(text) == text


def test_huge_and_hostile_texts_take_no_time() -> None:
    for text in ("<" * 1_000_000, "1 " * 500_000, "eyJ" * 300_000, "cs_" * 300_000, "\u0000" * 1_000_000):
        assert len(one_line(text)) <= 200

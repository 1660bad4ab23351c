"""The check for card numbers: what it refuses, what it accepts, and that its errors quote no value."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest

from govpay.client import cards
from govpay.client.cards import looks_like_card, refuse_cards
from govpay.exceptions import OperationRefused
from tests.patience import without_hanging

CARDS = [
    "4111111111111111",
    "378282246310005",
    "5555555555554444",
    "6011111111111117",
    "4222222222222",
    "30569309025904",
]


@pytest.mark.parametrize("number", CARDS)
def test_card_numbers_are_seen_in_whatever_dress(number: str) -> None:
    fours = [number[start : start + 4] for start in range(0, len(number), 4)]
    for text in (
        number,
        " ".join(fours),
        "-".join(fours),
        " - ".join(fours),
        f"card {number}, thanks",
        f"VISA{number}",
        f"tok_{number}",
        f"Flat 12 {' '.join(fours)}" if len(fours[-1]) in (4, 3) and len(fours) == 4 and len(number) == 16 else number,
        "\u00a0".join(fours),
        "\u2013".join(fours),
        number.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)}),
        number.translate({ord("0") + digit: 0x0660 + digit for digit in range(10)}),
        f"a\n{number}\nb",
    ):
        assert looks_like_card(text), text


@pytest.mark.parametrize(
    "text",
    [
        "", "Pat O'Hara", "4111111111111112", "411111111111", "41111111111111111111", "INV-2026-0042", "555-123-4567",
        "pay_9f3k2", "1111", "411111", "12/2040", "550e8400-e29b-41d4-a716-446655440000", "2026-11-22T20:31:38",
        "a1b4111111111111111c2d", "021000021", "4111.1111",
    ],
)  # fmt: skip
def test_what_people_write_passes(text: str) -> None:
    assert not looks_like_card(text)


def test_identifiers_that_are_minted_pass() -> None:
    rng = random.Random(5)
    for _ in range(20_000):
        found = uuid.UUID(int=rng.getrandbits(128), version=4)
        assert not looks_like_card(str(found))
        assert not looks_like_card(f"gp-{found.hex}")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"name": "4111 1111 1111 1111"}, "name looks like a card number"),
        ({"method": {"credit": {"fingerprint": "4111111111111111"}}}, r"method\.credit\.fingerprint looks"),
        ({"method": {"4111111111111111": "x"}}, "The name of a property of method looks"),
        ({"rows": ["a", {"b": 4111111111111111}]}, r"rows\[1\]\.b looks"),
        ({"token": b"4111111111111111"}, "token looks"),
    ],
)
def test_refusal_names_the_argument_and_never_the_value(value: dict[str, Any], named: str) -> None:
    with pytest.raises(OperationRefused, match=named) as error:
        refuse_cards(**value)
    assert "1111" not in str(error.value)


def test_huge_texts_take_no_time() -> None:
    """Only the text next to a number is checked, because copying it for two thousand numbers would be slow."""

    class Text(str):
        copied = 0

        def __getitem__(self, key: Any) -> str:
            found = super().__getitem__(key)
            Text.copied += len(found)
            return found

    text = Text("a1" * 2000)
    runs = list(cards._RUN.finditer(text))
    assert not any(cards._stands_alone(text, run) for run in runs)
    assert Text.copied <= len(runs) * 80
    with without_hanging():
        for huge in ("1 " * 40_000, "a1" * 40_000, "4" * 80_000, "1-" * 40_000, "x" * 80_000):
            assert not looks_like_card(huge)

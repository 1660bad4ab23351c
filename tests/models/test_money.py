"""``govpay.models.money``: minor units, exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import translation

from govpay.models.money import format_money, is_amount, is_currency, to_major, to_minor


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("12.34", "USD", 1234), ("12", "USD", 1200), ("0.01", "USD", 1), (" 5.5 ", "USD", 550), ("1234", "JPY", 1234)]
    + [("1.234", "KWD", 1234), ("90071992547409.91", "USD", 2**53 - 1)],
)
def test_what_staff_type(text: str, currency: str, minor: int) -> None:
    assert to_minor(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("12.345", "USD"),
        ("1.5", "JPY"),
        ("", "USD"),
        ("abc", "USD"),
        ("NaN", "USD"),
        ("Infinity", "USD"),
        ("1,5", "USD"),
    ]
    + [("1e30", "USD")],
)
def test_what_is_no_exact_amount_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ValueError):
        to_minor(text, currency)


def test_major_units_are_exact_decimals() -> None:
    assert to_major(1234, "USD") == Decimal("12.34")
    assert to_major(1234, "JPY") == Decimal("1234")


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "1", None, 2**53])
def test_no_amounts(value: object) -> None:
    assert not is_amount(value)


def test_currencies() -> None:
    assert is_currency("USD")
    assert not any(map(is_currency, ("usd", "XYZW", "ZZZ", "", None, 5)))


def test_money_is_written_in_the_active_language() -> None:
    assert format_money(123456, "USD") == "$1,234.56"
    with translation.override("de"):
        assert format_money(123456, "EUR") == "1.234,56\xa0€"
    assert format_money(500, "JPY") == "¥500"
    assert format_money(-500, "USD") == "-$5.00"


def test_what_is_not_known_is_shown_as_such() -> None:
    assert format_money(None, "USD") == "—"
    assert format_money(1234, "QQQ") == "QQQ 12.34"
    assert format_money(1234, "") == "12.34"

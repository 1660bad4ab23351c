"""``govpay.models.money``: minor units, exactly."""

from __future__ import annotations

import decimal
import re
from decimal import Decimal
from pathlib import Path

import pytest
from babel.numbers import get_currency_precision
from django.conf.global_settings import LANGUAGES
from django.test import override_settings
from django.utils import translation
from django.utils.formats import get_format, reset_format_cache

import govpay
from govpay.admin.actions import OneRefundForm
from govpay.admin.confirmation_tokens import ShownPayment
from govpay.client.tenant_shapes import is_dollars
from govpay.client.values import BadValue, dollars
from govpay.exceptions import OperationRefused
from govpay.models.money import (
    MAX_AMOUNT,
    digits,
    format_money,
    is_amount,
    is_currency,
    read_amount,
    to_major,
    write_amount,
)
from govpay.reports.terms import parse_amount
from govpay.sandbox.api.fees import check_limits

APP = Path(govpay.__file__).parent


#: What staff type, by language. The narrow and the non-breaking space separate thousands in French.
TYPED = [
    ("en", "12.34", "USD", 1234),
    ("en", "12", "USD", 1200),
    ("en", "0.01", "USD", 1),
    ("en", " 5.5 ", "USD", 550),
    ("en", "1234", "JPY", 1234),
    ("en", "1.234", "KWD", 1234),
    ("en", "1,234.50", "USD", 123450),
    ("en", "1,234,567", "USD", 123456700),
    ("en", "90071992547409.91", "USD", 2**53 - 1),
    ("es", "10,00", "USD", 1000),
    ("es", "1.234,50", "USD", 123450),
    ("es", "1234,5", "USD", 123450),
    ("es", "12.34", "USD", 1234),
    ("es", "1.234.567", "USD", 123456700),
    ("es", "1,234", "KWD", 1234),
    ("es-mx", "1,234.50", "USD", 123450),
    ("de", "1.234,50", "EUR", 123450),
    ("fr", "1 234,50", "EUR", 123450),
    ("fr", "1\u202f234,50", "EUR", 123450),
    ("de-ch", "1'234.50", "CHF", 123450),
    ("fr", "1\u00a0234", "EUR", 123400),
]

#: What is refused, by language, with a part of the message.
REFUSED = [
    *(("en", text, "USD", "such as 12.34") for text in ("", "abc", "NaN", "Infinity", "1e30", "-1.00", "+1")),
    *(
        ("en", text, "USD", "such as 12.34")
        for text in ("10,00", "1,5", "1.234,50", "12,34,567", "1,234,5", ".5", "5.")
    ),
    *(("en", text, "USD", "such as 12.34") for text in ("01,234", "1 234", "1.2.3", "$5", "5 USD", "\u0661\u0662")),
    ("en", "90071992547409.92", "USD", "such as 12.34"),
    ("en", "12.345", "USD", "2 decimals"),
    ("en", "10.000", "USD", "2 decimals"),
    ("en", "1.5", "JPY", "0 decimals"),
    ("en", "10,000", "USD", "such as 10000.00"),
    ("en", "10,000", "JPY", "such as 10000."),
    ("en", "1,234", "KWD", "such as 1234.000"),
    ("es", "1.234", "USD", "1234,00"),
    ("es", "1.234", "KWD", "1234,000"),
    ("es", "10,000", "USD", "2 decimal"),
    ("es", "1,234.50", "USD", "12,34"),
    ("es", "1.234,567", "USD", "2 decimal"),
    ("es", "12.34,50", "USD", "12,34"),
    ("fr", "1 234 5", "EUR", "12,34"),
    ("fr", "1.234", "EUR", "2 decimal"),
]


@pytest.mark.parametrize(("language", "text", "currency", "minor"), TYPED)
def test_what_staff_type(language: str, text: str, currency: str, minor: int) -> None:
    with translation.override(language):
        assert read_amount(text, currency) == minor


@pytest.mark.parametrize(("language", "text", "currency", "words"), REFUSED)
def test_what_is_no_single_exact_amount_is_refused(language: str, text: str, currency: str, words: str) -> None:
    with translation.override(language), pytest.raises(ValueError) as refused:
        read_amount(text, currency)
    assert words in str(refused.value)


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD", "CLF"])
def test_an_amount_that_we_write_is_read_as_the_same_amount(currency: str) -> None:
    for language, _name in LANGUAGES:
        with translation.override(language):
            for amount in (1, 12, 1234, 123456, 12345678901, MAX_AMOUNT):
                assert read_amount(write_amount(amount, currency), currency) == amount, language
                assert int(re.sub("[^0-9]", "", format_money(amount, currency))) == amount, language


@override_settings(USE_THOUSAND_SEPARATOR=True, FORMAT_MODULE_PATH="tests.formats")
def test_number_formats_of_the_host_do_not_reach_amounts() -> None:
    reset_format_cache()
    try:
        assert get_format("DECIMAL_SEPARATOR") == "!"
        assert (read_amount("1,234.50", "USD"), write_amount(123450, "USD")) == (123450, "1234.50")
        assert format_money(123450, "USD") == "$1,234.50"
        shown = ShownPayment("captured", 123450, "USD", 123450)
        form = OneRefundForm(shown=shown, data={"amount": "1,234.50"})
        assert 'value="1234.50"' in str(OneRefundForm(shown=shown))
        assert form.is_valid(), form.errors
        assert form.cleaned_data["amount"] == 123450
    finally:
        reset_format_cache()


#: ISO 4217's list one: decimals of the currencies that CLDR shows with another number, and of some others.
ISO_4217 = {
    **dict.fromkeys(("USD", "EUR", "ALL", "AFN", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "MRU", "RSD"), 2),
    **dict.fromkeys(("SOS", "SYP", "YER", "COP", "IDR", "HUF", "TWD"), 2),
    **dict.fromkeys(("JPY", "KRW", "VND", "CLP", "ISK", "PYG", "UGX", "XAF", "XOF", "UYI"), 0),
    **dict.fromkeys(("IQD", "KWD", "BHD", "JOD", "OMR", "TND", "LYD"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


@pytest.mark.parametrize("currency", ISO_4217)
def test_decimals_are_those_of_iso_4217(currency: str) -> None:
    count = ISO_4217[currency]
    assert digits(currency) == count
    assert to_major(12345678, currency) == Decimal(12345678) / 10**count
    for language in ("en", "es", "de", "fr"):
        with translation.override(language):
            assert re.sub("[^0-9]", "", format_money(12345678, currency)) == "12345678"


def test_display_data_would_give_other_decimals() -> None:
    """Otherwise the test above shows nothing."""
    assert [code for code in ISO_4217 if get_currency_precision(code) != ISO_4217[code]]


#: A context that rounds to three digits, and one that raises whatever is not exact.
CONTEXTS = [
    decimal.Context(prec=3, rounding=decimal.ROUND_UP),
    decimal.Context(prec=2, traps=[decimal.Inexact, decimal.Rounded, decimal.FloatOperation, decimal.InvalidOperation]),
]


@pytest.mark.parametrize("context", CONTEXTS, ids=["rounds", "raises"])
def test_the_decimal_context_of_the_thread_changes_nothing(context: decimal.Context) -> None:
    with decimal.localcontext(context):
        assert format(to_major(1234567, "USD"), "f") == "12345.67"
        assert format_money(123456789, "USD") == "$1,234,567.89"
        assert format_money(123456789, "QQQ") == "QQQ 1,234,567.89"
        assert read_amount("1,234,567.89", "USD") == 123456789
        assert write_amount(123456789, "USD") == "1234567.89"
        assert parse_amount("$1,234,567.89")[0].minor_units(2) == 123456789
        assert dollars("x", 1234567.89) == 123456789
        assert dollars("x", Decimal("1234567.89")) == 123456789
        for fraction in (1234567.891, Decimal("1." + "0" * 70 + "1")):
            with pytest.raises(BadValue, match="fraction of a cent"):
                dollars("x", fraction)
        is_dollars("x", 1234567.89)
        with pytest.raises(OperationRefused):
            is_dollars("x", 1234567.891)
        check_limits({"minimum_payment_amount": 1234567.89, "maximum_payment_amount": 1234567.89}, 123456789)


def test_amounts_are_calculated_in_no_other_place() -> None:
    """A further module with decimals needs a line in the test above."""
    found = {
        str(path.relative_to(APP))
        for path in APP.rglob("*.py")
        if re.search(r"^(from|import) (decimal|fractions)\b", path.read_text(), re.MULTILINE)
    }
    ours = {"client/odata.py", "client/values.py", "models/money.py", "reports/terms.py", "sandbox/api/fees.py"}
    assert found == ours


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


def test_an_amount_of_thousands_of_digits_is_refused_in_our_words() -> None:
    with pytest.raises(ValueError, match="Enter an amount such as"):
        read_amount("1" * 5000, "USD")

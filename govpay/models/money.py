"""Money as integer minor units (cents): currencies, parsing of input, and formatting."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.numbers import format_currency, get_currency_precision, list_currencies
from django.utils.translation import get_language, to_locale
from django.utils.translation import gettext as _

#: Maximum amount in minor units. It also keeps sums within a 64-bit column.
MAX_AMOUNT = 2**53 - 1


@lru_cache(maxsize=1)
def _currencies() -> frozenset[str]:
    return frozenset(list_currencies())


def is_currency(code: object) -> bool:
    """Whether ``code`` is an ISO 4217 code in capital letters."""
    return isinstance(code, str) and len(code) == 3 and code in _currencies()


def is_amount(value: object) -> bool:
    """Whether ``value`` is a positive whole number of minor units."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_AMOUNT


def digits(currency: str) -> int:
    """The number of decimals of the currency; 2 for an unknown one."""
    return get_currency_precision(currency) if is_currency(currency) else 2


def to_major(amount: int, currency: str) -> Decimal:
    """Convert minor units to an exact decimal of major units: 1234 → 12.34."""
    return Decimal(amount).scaleb(-digits(currency))


def to_minor(text: str, currency: str) -> int:
    """Convert input such as ``12.34`` to minor units. Raises ``ValueError`` when it is not exact."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(_("Enter an amount such as 12.34.")) from None
    if not value.is_finite() or abs(value) > MAX_AMOUNT:
        raise ValueError(_("Enter an amount such as 12.34."))
    minor = value.scaleb(digits(currency))
    if minor != minor.to_integral_value():
        raise ValueError(
            _("%(currency)s has %(number)d decimals.") % {"currency": currency, "number": digits(currency)}
        )
    return int(minor)


def format_money(amount: int | None, currency: str) -> str:
    """Format minor units in the active language: ``1234, "USD"`` → ``$12.34``; ``None`` → ``—``.

    A currency that ISO 4217 does not know is written unchanged before a plain number with two decimals.
    """
    if amount is None:
        return "—"
    value = to_major(amount, currency)
    if not is_currency(currency):
        return f"{currency} {value:,.2f}".strip()
    return str(format_currency(value, currency, locale=language_locale(get_language() or "en-us")))


@lru_cache(maxsize=64)
def language_locale(language: str) -> Locale:
    try:
        return Locale.parse(to_locale(language))
    except (UnknownLocaleError, ValueError):
        return Locale.parse("en_US")

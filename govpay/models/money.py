"""Money as integer minor units (cents): currencies, parsing of input, and formatting.

Nothing here depends on the thread's decimal context or on the host's number formats.
"""

from __future__ import annotations

import decimal
import re
from copy import copy
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from django.utils.translation import get_language, to_locale
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from babel import Locale

#: Maximum amount in minor units. It also keeps sums within a 64-bit column.
MAX_AMOUNT = 2**53 - 1

#: Maximum length of an amount that somebody types. Python refuses to read numbers of some thousand digits.
MAX_AMOUNT_LENGTH = 64

#: Decimals of the currencies that do not have two: the column "minor unit" of ISO 4217's list one (SIX, the standard's
#: maintenance agency). CLDR, which Babel has, lists how prices are shown instead, such as IQD and LBP without decimals.
DECIMALS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF"), 0),
    **dict.fromkeys(("UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}

#: Babel rounds in the thread's context. With this one it has nothing to round.
EXACT = decimal.Context(prec=60, rounding=decimal.ROUND_HALF_EVEN, traps=[decimal.InvalidOperation, decimal.Inexact])

#: Signs that separate thousands, as people type them where Babel has a narrow space or a curly apostrophe.
_SPACES, _APOSTROPHES = " \u00a0\u2009\u202f", "'\u2019"


@lru_cache(maxsize=1)
def _currencies() -> frozenset[str]:
    from babel.numbers import list_currencies  # noqa: PLC0415 - 18 ms, which processes without amounts do not spend

    return frozenset(list_currencies())


def is_currency(code: object) -> bool:
    """Return whether ``code`` is an ISO 4217 code in capital letters."""
    return isinstance(code, str) and len(code) == 3 and code in _currencies()


def is_amount(value: object) -> bool:
    """Return whether ``value`` is a positive whole number of minor units."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_AMOUNT


def digits(currency: str) -> int:
    """Return the number of decimals of the currency by ISO 4217; 2 for an unknown one."""
    return DECIMALS.get(currency, 2)


def to_major(amount: int, currency: str) -> Decimal:
    """Convert minor units to an exact decimal of major units: 1234 → 12.34."""
    return Decimal(f"{amount}E-{digits(currency)}")  # unlike scaleb, the constructor never rounds


def write_amount(amount: int, currency: str) -> str:
    """Write minor units as ``read_amount`` reads them in the active language: 123450 → ``1234,50`` in Spanish."""
    return f"{to_major(amount, currency):f}".replace(".", _signs()[0])


def read_amount(text: str, currency: str) -> int:
    """Convert an amount that staff typed to minor units: ``12.34`` → 1234, in Spanish also ``1.234,50`` → 123450.

    Decimals follow the active language's sign or a point; the language's other sign may separate thousands. Raises
    ``ValueError`` for any other text, for a text that can be read as two amounts (``1,234``), and for more decimals
    than the currency has.
    """
    text, (point, group) = text.strip(), _signs()
    thousands = re.escape(next((signs for signs in (_SPACES, _APOSTROPHES) if group in signs), group))
    grouped = rf"[1-9][0-9]{{0,2}}(?P<sign>[{thousands}])[0-9]{{3}}(?:(?P=sign)[0-9]{{3}})*"
    local = re.fullmatch(rf"(?P<whole>[0-9]+|{grouped})(?:{re.escape(point)}(?P<part>[0-9]+))?", text)
    plain = re.fullmatch(r"(?P<whole>[0-9]+)(?P<sign>[.,])(?P<part>[0-9]+)", text)
    found = local or (plain if plain and plain["sign"] == "." else None)
    if not found or len(text) > MAX_AMOUNT_LENGTH:
        raise ValueError(_("Enter an amount such as %(example)s.") % {"example": write_amount(1234, currency)})
    whole, part, count = re.sub("[^0-9]", "", found["whole"]), found["part"] or "", digits(currency)
    minor = int(whole + part[:count].ljust(count, "0"))
    if local and plain and plain["part"] != part:
        text = _("This can be read as two amounts. Write it without a sign for thousands, such as %(example)s.")
        raise ValueError(text % {"example": write_amount(minor, currency)})
    if minor > MAX_AMOUNT:
        raise ValueError(_("Enter an amount such as %(example)s.") % {"example": write_amount(1234, currency)})
    if len(part) > count:
        raise ValueError(_("%(currency)s has %(number)d decimals.") % {"currency": currency, "number": count})
    return minor


def format_money(amount: int | None, currency: str) -> str:
    """Format minor units in the active language: ``1234, "USD"`` → ``$12.34``; ``None`` → ``—``.

    A currency that is not in ISO 4217 is shown as its code before a plain number with two decimals.
    """
    if amount is None:
        return "—"
    value, locale = to_major(amount, currency), _active_locale()
    with decimal.localcontext(EXACT):
        if not is_currency(currency):
            return f"{currency} {value:,.2f}".strip()
        pattern = copy(locale.currency_formats["standard"])
        pattern.frac_prec = (digits(currency), digits(currency))  # Babel would take CLDR's number of decimals
        return str(pattern.apply(value, locale, currency=currency, currency_digits=False))


def _signs() -> tuple[str, str]:
    """Return the active language's signs before decimals and between thousands."""
    from babel.numbers import get_decimal_symbol, get_group_symbol  # noqa: PLC0415 - see above

    locale = _active_locale()
    return get_decimal_symbol(locale), get_group_symbol(locale)


def _active_locale() -> Locale:
    return language_locale(get_language() or "en-us")


@lru_cache(maxsize=64)
def language_locale(language: str) -> Locale:
    from babel import Locale, UnknownLocaleError  # noqa: PLC0415 - see above

    try:
        return Locale.parse(to_locale(language))
    except (UnknownLocaleError, ValueError):
        return Locale.parse("en_US")

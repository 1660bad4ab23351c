"""Parses the text of a search into terms: words, quoted phrases, and amounts in the language's writing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from functools import cached_property, lru_cache

from django.db.models import Q
from django.utils.translation import get_language

from govpay.models.folding import fold, name_words, plain
from govpay.models.money import EXACT, MAX_AMOUNT, digits, is_currency, language_locale

#: Maximum number of terms. Further ones are ignored.
MAX_TERMS = 8
#: Number of decimals of most currencies.
USUAL_DIGITS = 2

_SIGN = r"[A-Z]{0,3}[$¢£¥\u20a0-\u20cf][A-Z]{0,3}|[A-Z]{3}"
_AMOUNT = re.compile(rf"(?P<before>{_SIGN})?(?P<number>\d[\d.,'\u2019\u066b\u066c]*)(?P<after>{_SIGN})?", re.IGNORECASE)
#: No-break spaces inside an amount, such as between the thousands in French.
_JOINED = re.compile(r"(?<=\d)[\u00a0\u202f](?=\d)")
#: A currency and a number with spaces in between, as many languages write amounts.
_SPACED = re.compile(
    rf"(?:(?<=\s)|^)(?:(?P<sign>{_SIGN})\s+(?P<number>\d\S*)|(?P<first>\d\S*)\s+(?P<last>{_SIGN}))(?=\s|$)"
)
_TERM = re.compile(r'"([^"]+)"|(\S+)')


@dataclass(frozen=True)
class Amount:
    """An amount that somebody typed, in major units, with its currency or an empty text."""

    value: Decimal
    currency: str = ""

    def matches(self, column: str, lookup: str = "exact") -> Q:
        """Return the condition that compares ``column`` (minor units) of a row that has the column ``currency``."""
        if self.currency:
            minor = self.minor_units(digits(self.currency), lookup)
            return Q(**{f"{column}__{lookup}": minor}, currency=self.currency) if minor is not None else _NOTHING
        unusual = currencies_by_digits()
        found = _NOTHING
        for decimals in (USUAL_DIGITS, *unusual):
            minor = self.minor_units(decimals, lookup)
            if minor is None:
                continue
            usual = decimals == USUAL_DIGITS
            listed = Q(
                currency__in=[code for codes in unusual.values() for code in codes] if usual else unusual[decimals]
            )
            found |= Q(**{f"{column}__{lookup}": minor}) & (~listed if usual else listed)
        return found

    def minor_units(self, decimals: int, lookup: str = "exact") -> int | None:
        """Return whole minor units of a currency with so many decimals, or ``None`` if there is no such amount.

        The end of a range (``lookup`` is ``gte`` or ``lte``) may lie between two amounts and is rounded inwards.
        """
        sign, numbers, exponent = self.value.as_tuple()
        minor = Decimal((sign, numbers, int(exponent) + decimals))  # unlike scaleb, the constructor never rounds
        whole = minor.to_integral_value({"gte": ROUND_CEILING, "lte": ROUND_FLOOR}.get(lookup))
        if lookup != "exact":
            return int(min(whole, Decimal(MAX_AMOUNT)))
        return int(whole) if minor == whole and minor <= MAX_AMOUNT else None


_NOTHING = Q(pk__in=[])


@lru_cache(maxsize=1)
def currencies_by_digits() -> dict[int, list[str]]:
    """Return the currencies whose number of decimals is not two, by that number."""
    from babel.numbers import list_currencies  # noqa: PLC0415 - Babel's data is loaded with its first use

    found: dict[int, list[str]] = {}
    for code in sorted(list_currencies()):
        if (decimals := digits(code)) != USUAL_DIGITS:
            found.setdefault(decimals, []).append(code)
    return found


@dataclass(frozen=True)
class Term:
    """One word or quoted phrase, or the whole text. ``text`` has plain dashes and no invisible characters."""

    text: str

    @cached_property
    def folded(self) -> str:
        return fold(self.text)

    @cached_property
    def words(self) -> list[str]:
        """The folded words, if the term may be a name: it has a letter."""
        # "O'Brien" is one word here, and each name has the joined word too.
        return name_words(self.text.replace("'", "")) if any(map(str.isalpha, self.folded)) else []

    @cached_property
    def is_word(self) -> bool:
        """Whether the term has only letters, so that it is most probably a part of a name."""
        return self.folded.translate({ord("'"): None, ord("-"): None}).isalpha()

    @cached_property
    def last4(self) -> str:
        """The four digits of ``1111``, ``····1111`` or ``*1111``, else an empty text."""
        found = re.fullmatch(r"[·•*.xX…]*([0-9]{4})", self.text)
        return found[1] if found else ""

    @cached_property
    def amounts(self) -> list[Amount]:
        """The amounts that the term may mean: one, or none."""
        return parse_amount(self.text)


def parse_amount(text: str) -> list[Amount]:
    """Return what ``text`` means as an amount: as the active language writes it, else with a decimal point."""
    parts = _AMOUNT.fullmatch(_JOINED.sub("", text).strip())
    if parts is None:
        return []
    sign = (parts["before"] or parts["after"] or "").upper()
    currency = sign if is_currency(sign) else ""
    if sign.isalpha() and not currency:
        return []
    with localcontext(EXACT):
        value = _number(parts["number"])
    return [] if value is None else [Amount(value, currency)]


def _number(text: str) -> Decimal | None:
    from babel.numbers import NumberFormatError, parse_decimal  # noqa: PLC0415 - see above

    try:
        value = Decimal(parse_decimal(text, locale=language_locale(get_language() or "en-us"), strict=True))
    except NumberFormatError:
        value = Decimal(text) if re.fullmatch(r"[0-9]+\.[0-9]{1,2}", text) else None  # type: ignore[assignment]
    return value if value is not None and value.is_finite() else None


def parse(text: str) -> tuple[Term, list[Term]]:
    """Return the whole text as one term, and its terms. All terms must match a row, or the whole text must."""
    joined = plain(_JOINED.sub("", text)).replace("\u201c", '"').replace("\u201d", '"')
    spaced = _SPACED.sub(_without_space, joined)
    terms = [Term(phrase or word) for phrase, word in _TERM.findall(spaced)]
    # A dash between two words is no term.
    told = [term for term in dict.fromkeys(terms) if any(map(str.isalnum, term.folded))] or terms[:1]
    return Term(joined), [term for term in told if term.folded][:MAX_TERMS]


def _without_space(found: re.Match[str]) -> str:
    sign, number = found["sign"] or found["last"], found["number"] or found["first"]
    both = f"{sign}{number}" if found["sign"] else f"{number}{sign}"
    return both if parse_amount(both) else found[0]

"""What accounts took in four spans up to today, each beside the span of the same length before it."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from govpay.reports.days import business_day
from govpay.reports.totals import totals

#: Name of the span → (length in days, how many days before today it ends).
SPANS: dict[str, tuple[int, int]] = {"today": (1, 0), "yesterday": (1, 1), "week": (7, 0), "month": (30, 0)}
#: Number of days that are read: the longest span and the one before it.
DAYS_READ = 60
#: The figures of a row of ``totals`` that a span adds up.
FIGURES = (
    "count_captures",
    "sum_captures",
    "sum_fees",
    "sum_voids",
    "sum_refunds",
    "sum_disputes",
    "sum_returns",
    "net",
)


@dataclass
class AccountFigures:
    """The figures of one account and currency in one span, and in the span before. Sums in minor units."""

    account_uid: str
    currency: str
    first: dt.date
    last: dt.date
    now: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FIGURES, 0))
    before: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FIGURES, 0))


@dataclass
class DayFigure:
    """What one currency took on one business day over all accounts, in minor units."""

    day: dt.date
    currency: str
    gross: int = 0
    count: int = 0


@dataclass
class Spans:
    """The figures of each span, and those of each day of the longest one."""

    rows: dict[str, list[AccountFigures]]
    days: list[DayFigure]
    #: The last business day that an account has reached.
    today: dt.date


def spans_of(accounts: Iterable[Any], now: dt.datetime) -> Spans:
    """Return the figures of ``accounts`` up to ``now``. Accounts whose business day differs are read separately."""
    by_today: defaultdict[dt.date, list[Any]] = defaultdict(list)
    for account in accounts:
        by_today[business_day(account, now)].append(account)
    rows: dict[str, dict[tuple[str, str], AccountFigures]] = {name: {} for name in SPANS}
    days: dict[tuple[dt.date, str], DayFigure] = {}
    for today, chosen in by_today.items():
        for row in totals(chosen, today - dt.timedelta(days=DAYS_READ - 1), today, by=("day", "account")):
            for name, entry, is_now in _spans_with(row, today):
                found = rows[name].setdefault((entry.account_uid, entry.currency), entry)
                _add(found.now if is_now else found.before, row)
            if (today - row["day"]).days < SPANS["month"][0]:
                point = days.setdefault((row["day"], row["currency"]), DayFigure(row["day"], row["currency"]))
                point.gross += row["sum_captures"]
                point.count += row["count_captures"]
    last = max(by_today, default=now.date())
    return Spans({name: list(found.values()) for name, found in rows.items()}, list(days.values()), last)


def _spans_with(row: Any, today: dt.date) -> Iterator[tuple[str, AccountFigures, bool]]:
    """Yield the name of each span that counts the day of ``row``, an empty entry, and whether it is the span itself."""
    for name, (length, offset) in SPANS.items():
        last = today - dt.timedelta(days=offset)
        first = last - dt.timedelta(days=length - 1)
        place = (last - row["day"]).days // length
        if place in (0, 1):
            yield name, AccountFigures(row["account"], row["currency"], first, last), place == 0


def _add(figures: dict[str, int], row: Any) -> None:
    for name in FIGURES:
        figures[name] += row[name]

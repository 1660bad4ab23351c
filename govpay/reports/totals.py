"""Totals: counts and sums of movements, grouped by business day, account, method and other keys."""

from __future__ import annotations

import calendar
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import CharField, Count, F, Q, Sum, Value
from django.db.models.functions import Replace

from govpay.models.choices import TransactionType
from govpay.reports.days import ONE_DAY, Accounts, day_start, zones_of
from govpay.reports.period_number import PeriodNumber
from govpay.reports.sources import Source, sources, with_person

#: The first day of the period of a day, for each key of time, finest first.
PERIODS: dict[str, Callable[[dt.date], dt.date]] = {
    "day": lambda day: day,
    "week": lambda day: day - ONE_DAY * day.weekday(),
    "month": lambda day: day.replace(day=1),
}

#: The other keys, and the columns of a source that hold them. ``method_group``: ``credit`` or ``ach``, saved or not.
KEYS: dict[str, Any] = {
    "account": F("m_account"),
    "method": F("m_method"),
    "method_group": Replace(F("m_method"), Value("wallet_"), Value(""), output_field=CharField()),
    "brand": F("m_brand"),
    "person": F("m_person"),
}

#: The figures to which movements of a kind are added.
FIGURE_OF_KIND: dict[str, str] = {
    TransactionType.CAPTURE: "captures",
    TransactionType.VOID: "voids",
    TransactionType.REFUND: "refunds",
    TransactionType.CHARGEBACK: "disputes",
    TransactionType.CHARGEBACK_REVERSAL: "disputes",
    TransactionType.ACH_RETURN: "returns",
}

#: The figures whose sums make up ``net``.
IN_NET = ("captures", "voids", "refunds", "disputes", "returns", "corrections")

#: ``fees``, ``base`` and ``tax`` are parts of captures and voids; ``pending`` is a part of the refunds.
FIGURES = (*IN_NET, "fees", "base", "tax", "pending")


#: Maximum number of periods in one statement. A longer span is counted in parts.
MAX_PERIODS = 400


class TotalsRow(dict[str, Any]):
    """The totals of one group: its keys, ``currency``, ``count_…`` and ``sum_…`` of each figure, and ``net``.

    Sums are in minor units; money to the merchant is positive, so ``sum_refunds`` is at most 0. Keys are also
    attributes. With ``compare`` the row has ``previous``: the totals of the same group in the span before.
    """

    def __init__(self, keys: dict[str, Any], currency: str) -> None:
        super().__init__(keys, currency=currency, net=0)
        for figure in FIGURES:
            self[f"count_{figure}"] = self[f"sum_{figure}"] = 0

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def add(self, figure: str, count: int, amount: int) -> None:
        self[f"count_{figure}"] += count
        self[f"sum_{figure}"] += amount
        if figure in IN_NET:
            self["net"] += amount

    def include(self, other: TotalsRow) -> None:
        """Add the figures of another row."""
        for figure in FIGURES:
            self.add(figure, other[f"count_{figure}"], other[f"sum_{figure}"])


def totals(
    accounts: Accounts, first: dt.date, last: dt.date, by: Iterable[str] = ("day",), compare: bool = False
) -> list[TotalsRow]:
    """Return the totals of the business days ``first`` to ``last``, a row for each group and currency with movements.

    ``by``: keys of ``PERIODS`` and ``KEYS``, in the order in which the rows are sorted. A week is named by its Monday,
    a month by its first day. ``compare`` also counts the span before (``span_before``). Raises ``ValueError`` for an
    unknown key. Executes one statement for each kind of movement and time zone, and again for every further
    ``MAX_PERIODS``.
    """
    by = tuple(by)
    unknown = set(by) - set(PERIODS) - set(KEYS)
    if unknown:
        raise ValueError(f"by must be among {', '.join((*PERIODS, *KEYS))}, not {', '.join(sorted(unknown))}")
    if first > last:
        return []
    zones = defaultdict(list)
    for account, zone in zones_of(accounts).items():
        zones[zone].append(account)
    rows = _count(zones, first, last, by)
    if compare:
        rows = _compared(rows, _count(zones, *span_before(first, last), by), (first, last), by)
    return [rows[key] for key in sorted(rows)]


def span_before(first: dt.date, last: dt.date) -> tuple[dt.date, dt.date]:
    """Return the span of the same length that ends the day before ``first``. Whole months go with whole months."""
    day_before = first - ONE_DAY
    if first.day == 1 and last.day == calendar.monthrange(last.year, last.month)[1]:
        months = (last.year - first.year) * 12 + last.month - first.month + 1
        years, month = divmod(first.year * 12 + first.month - 1 - months, 12)
        return dt.date(years, month + 1, 1), day_before
    return day_before - (last - first), day_before


def periods(first: dt.date, last: dt.date, unit: str) -> list[dt.date]:
    """Return the names of the days, weeks or months from ``first`` to ``last``."""
    days = (first + ONE_DAY * number for number in range((last - first).days + 1))
    return list(dict.fromkeys(map(PERIODS[unit], days)))


_Zones = dict[ZoneInfo, list[str]]
_Rows = dict[tuple[Any, ...], TotalsRow]


def _count(zones: _Zones, first: dt.date, last: dt.date, by: Sequence[str]) -> _Rows:
    """Return the rows of one span by their keys and currency."""
    unit = next((unit for unit in PERIODS if unit in by), "")
    others = [key for key in by if key in KEYS]
    rows: _Rows = {}
    for zone, accounts in zones.items():
        names = periods(first, last, unit) if unit else [first]
        starts = [day_start(zone, max(name, first)) for name in names] + [day_start(zone, last + ONE_DAY)]
        for low in range(0, len(names), MAX_PERIODS):
            part = starts[low : low + MAX_PERIODS + 1]
            for source in sources(accounts, part[0], part[-1]):
                for group in _grouped(source, part[:-1], others):
                    name = names[low + group["g_period"]]
                    keys = {key: PERIODS[key](name) if key in PERIODS else group[f"g_{key}"] for key in by}
                    place = (*keys.values(), group["m_currency"])
                    _add(rows.setdefault(place, TotalsRow(keys, group["m_currency"])), group)
    return rows


def _grouped(source: Source, starts: Sequence[dt.datetime], others: Sequence[str]) -> Iterable[dict[str, Any]]:
    """Group ``source`` in one statement: by kind, currency, period and the other keys."""
    if "person" in others:
        source = with_person(source)
    source = source.annotate(g_period=PeriodNumber(tuple(starts)), **{f"g_{key}": KEYS[key] for key in others})
    names = ("m_kind", "m_currency", "m_pending", "g_period", *(f"g_{key}" for key in others))
    has_fee = ~Q(m_fee=0)
    return source.values(*names).annotate(
        count=Count("*"),
        count_fees=Count("m_fee", filter=has_fee),
        **{f"sum_{name}": Sum(f"m_{name}") for name in ("amount", "base", "tax", "fee")},
    )


def _add(row: TotalsRow, group: dict[str, Any]) -> None:
    """Add one group of a statement. PostgreSQL returns sums of bigints as decimals."""
    count, kind = group["count"], group["m_kind"]
    row.add(FIGURE_OF_KIND[kind], count, int(group["sum_amount"]))
    if group["m_pending"]:
        row.add("pending", count, int(group["sum_amount"]))
    if kind in (TransactionType.CAPTURE, TransactionType.VOID):
        sign = 1 if kind == TransactionType.CAPTURE else -1
        row.add("fees", sign * group["count_fees"], int(group["sum_fee"]))
        row.add("base", sign * count, int(group["sum_base"]))
        row.add("tax", sign * count, int(group["sum_tax"]))


def _compared(rows: _Rows, before: _Rows, span: tuple[dt.date, dt.date], by: Sequence[str]) -> _Rows:
    """Add ``previous`` to each row. Periods are compared by their place in the span: the first with the first."""
    places = {key: _places(span, key) for key in by if key in PERIODS}
    for old in before.values():
        keys = {key: places[key][old[key]] if key in places else old[key] for key in by}
        row = rows.setdefault((*keys.values(), old.currency), TotalsRow(keys, old.currency))
        if "previous" in row:
            row["previous"].include(old)
        else:
            row["previous"] = old
    for row in rows.values():
        row.setdefault("previous", TotalsRow({key: row[key] for key in by}, row.currency))
    return rows


def _places(span: tuple[dt.date, dt.date], unit: str) -> dict[dt.date, dt.date]:
    """Return each period of the span before → the period of ``span`` in the same place, or the last one."""
    old, new = periods(*span_before(*span), unit), periods(*span, unit)
    return {period: new[min(place, len(new) - 1)] for place, period in enumerate(old)}

"""Movements: the single rows of a register, each with its business day and its signed amount."""

from __future__ import annotations

import datetime as dt
import heapq
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q

from govpay.reports.days import ONE_DAY, Accounts, day_start, zones_of
from govpay.reports.sources import COLUMNS, Source, of_person, sources

#: Rows that one statement reads.
CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement of money. Amounts are in minor units; money to the merchant is positive.

    ``amount`` includes base, tax and fee. These three are known for captures and voids, and 0 for the other kinds.
    """

    #: A type of transaction (assumption A12).
    kind: str
    account_uid: str
    payment_uid: str
    #: Empty for captures, and where the platform offers no transactions.
    transaction_uid: str
    #: Identifies the movement for ever.
    key: str
    #: The business day of the account.
    day: dt.date
    moment: dt.datetime
    amount: int
    base: int
    tax: int
    fee: int
    currency: str
    method: str
    brand: str
    #: A refund that the platform accepted and has not settled.
    pending: bool
    #: The platform does not say when it happened. ``moment`` is the creation or the last change of its row.
    estimated: bool = False

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(name) from None


def movements(accounts: Accounts, first: dt.date, last: dt.date, person: str | None = None) -> Iterator[Movement]:
    """Yield the movements of the business days ``first`` to ``last``, by account, then moment.

    ``person``: only movements of this member of staff (a username; empty: of nobody), as ``totals`` groups them.

    ``accounts`` is a queryset or a list. Rows that are marked as gone still count. Reads ``CHUNK`` rows at a time by
    keyset, so the memory does not grow with their number, and no cursor stays open.
    """
    for account, zone in zones_of(accounts).items() if first <= last else ():
        days = [first + ONE_DAY * number for number in range((last - first).days + 1)]
        starts = [day_start(zone, day) for day in days]
        found = sources([account], starts[0], day_start(zone, last + ONE_DAY))
        streams = [_stream(source if person is None else of_person(source, person)) for source in found]
        for row in heapq.merge(*streams):
            yield _movement(row, days[bisect_right(starts, row[0]) - 1])


def _stream(source: Source) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of ``source`` as (moment, key, columns), in this order."""
    rows = source.annotate(m_row=F("uid")).order_by("m_moment", "m_row")
    after = Q()
    while True:
        chunk = list(rows.filter(after).values_list("m_moment", "m_row", *COLUMNS)[:CHUNK])
        yield from chunk
        if len(chunk) < CHUNK:
            return
        moment, row, *_ = chunk[-1]
        after = Q(m_moment__gte=moment) & (Q(m_moment__gt=moment) | Q(m_row__gt=row))


def _movement(row: tuple[Any, ...], day: dt.date) -> Movement:
    column = dict(zip(COLUMNS, row[2:], strict=True))
    kind, payment, transaction = column["m_kind"], column["m_payment"], column["m_transaction"]
    return Movement(
        kind=kind,
        account_uid=column["m_account"],
        payment_uid=payment,
        transaction_uid=transaction,
        key=f"{kind}:{transaction or payment}",
        day=day,
        moment=column["m_moment"],
        amount=column["m_amount"],
        base=column["m_base"],
        tax=column["m_tax"],
        fee=column["m_fee"],
        currency=column["m_currency"],
        method=column["m_method"],
        brand=column["m_brand"],
        pending=column["m_pending"],
        estimated=column["m_estimated"],
    )

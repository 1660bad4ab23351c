"""Rows of the mirror for tests of the reports, and what must be true of every report."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from itertools import count
from typing import Any

from govpay.models import Client, Payment, PaymentAccount, Transaction
from govpay.reports import Movement, movements, totals

#: The span of a report that includes every row of a test.
EVER = (dt.date(2026, 1, 1), dt.date(2027, 12, 31))

NOON = dt.datetime(2026, 6, 10, 18, tzinfo=dt.UTC)  # noon in Denver

_numbers = count(1)


def account(uid: str = "acc_1", timezone: str = "America/Denver") -> PaymentAccount:
    Client.objects.get_or_create(uid=f"client_{uid}", defaults={"timezone": timezone})
    return PaymentAccount.objects.create(uid=uid, client_id=f"client_{uid}", name=uid)


def payment(captured_at: dt.datetime | None = NOON, **columns: Any) -> Payment:
    """Return a captured payment of 10.00, with 0.60 tax and 0.40 fee included."""
    given = {
        "uid": f"pay_{next(_numbers)}",
        "account_id": "acc_1",
        "status": "captured",
        "base_amount": 900,
        "tax_amount": 60,
        "processing_fee_amount": 40,
        "total_amount": 1000,
        "refunded_amount": 0,
        "currency": "USD",
        "method_type": "credit",
        "brand": "visa",
        "captured_at": captured_at,
        "remote_created_at": captured_at,
        "remote_updated_at": captured_at,
    }
    return Payment.objects.create(**{**given, **columns})


def transaction(
    of: Payment, kind: str, amount: int | None = 1000, at: dt.datetime | None = NOON, **columns: Any
) -> Transaction:
    given = {
        "uid": f"trx_{next(_numbers)}",
        "payment_id": of.uid,
        "account_id": of.account_id,
        "type": kind,
        "amount": amount,
        "currency": of.currency,
        "status": "succeeded",
        "remote_created_at": at,
    }
    return Transaction.objects.create(**{**given, **columns})


def all_of(*accounts: PaymentAccount) -> list[Movement]:
    return list(movements(accounts or PaymentAccount.objects.all(), *EVER))


def sums(rows: Iterable[Movement]) -> dict[str, int]:
    """The sum of the amounts of each kind."""
    found: dict[str, int] = {}
    for row in rows:
        found[row.kind] = found.get(row.kind, 0) + row.amount
    return found


def totals_agree(first: dt.date, last: dt.date, accounts: Any = None) -> None:
    """Whether the totals by every key at once are the sums of the movements of the same days."""
    accounts = PaymentAccount.objects.all() if accounts is None else accounts
    expected: dict[tuple[Any, ...], dict[str, int]] = {}
    for row in movements(accounts, first, last):
        place = (row.day, row.account_uid, row.method, row.brand, row.currency)
        found = expected.setdefault(place, {"net": 0, "sum_fees": 0, "rows": 0})
        found["net"] += row.amount
        found["sum_fees"] += row.fee
        found["rows"] += 1
    counted = totals(accounts, first, last, by=("day", "account", "method", "brand"))
    kinds = ("captures", "voids", "refunds", "disputes", "returns")
    assert {
        (row.day, row.account, row.method, row.brand, row.currency): row for row in counted
    }.keys() == expected.keys()
    for row in counted:
        place = expected[row.day, row.account, row.method, row.brand, row.currency]
        assert (row.net, row.sum_fees) == (place["net"], place["sum_fees"])
        assert sum(row[f"count_{kind}"] for kind in kinds) == place["rows"]
        assert sum(row[f"sum_{kind}"] for kind in kinds) == row.net

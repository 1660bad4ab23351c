"""Part 3b: totals, with many payments and their transactions in the table. Prints JSON."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from statistics import median
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks import ready, rest
from govpay.models import Payment, PaymentAccount, Transaction
from govpay.reports import totals

#: Of fifty payments, which have a further transaction. The others have their capture only.
TYPES = "CASE i % 50 WHEN 0 THEN 'refund' WHEN 1 THEN 'void' WHEN 2 THEN 'chargeback' WHEN 3 THEN 'ach_return' END"

#: The payments are twenty seconds apart and end on the first of March 2026: a month has 130 000 of them.
LAST = dt.date(2026, 2, 28)
MONTH = (dt.date(2026, 2, 1), LAST)
YEAR = (dt.date(2025, 7, 1), LAST)


def main(rows: int, rounds: int) -> None:
    ready.empty_database()
    rest.fill(rows)
    fill_transactions()
    accounts = PaymentAccount.objects.all()
    cases: dict[str, Any] = {
        "a month by day": (MONTH, ("day",)),
        "a month by day and account": (MONTH, ("day", "account")),
        "a month by method": (MONTH, ("method",)),
        "all by month": (YEAR, ("month",)),
        "one day by account": ((LAST, LAST), ("account",)),
    }
    found = {}
    for what, (span, by) in cases.items():
        with CaptureQueriesContext(connection) as context:
            counted = totals(accounts, *span, by=by)
        assert counted, what
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            totals(accounts, *span, by=by)
            times.append(time.perf_counter() - started)
        captures = sum(row.count_captures for row in counted)
        found[what] = {"wall": median(times), "statements": len(context), "captures": captures}
    print(json.dumps(found))


def fill_transactions() -> None:
    """A capture for each payment, and one further transaction for some."""
    Transaction.objects.all().delete()
    payments, table = Payment._meta.db_table, Transaction._meta.db_table
    first = Transaction.objects.create(
        uid="trx_0", status="succeeded", currency="USD", raw={"uid": "trx_0", "payment_uid": "pay_0", "type": "capture"}
    )
    columns = [str(field.column) for field in Transaction._meta.concrete_fields if not field.primary_key]
    same = dict.fromkeys(columns, "") | {column: f"t.{column}" for column in columns}
    of_payment = {
        "payment_id": "p.uid",
        "account_id": "p.account_id",
        "amount": "p.total_amount",
        "remote_created_at": "p.captured_at",
        "remote_updated_at": "p.captured_at",
    }
    number = "CAST(substr(p.uid, 5) AS integer)"
    with connection.cursor() as cursor:
        for prefix, kind in (("cap", "'capture'"), ("trx", TYPES.replace("i %", f"{number} %"))):
            values = {**same, **of_payment, "uid": f"'{prefix}_' || p.uid", "type": kind}
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values[column] for column in columns)} "
                f"FROM {payments} p CROSS JOIN {table} t WHERE t.id = {first.pk} AND {kind} IS NOT NULL"
            )
        cursor.execute(f"DELETE FROM {table} WHERE id = {first.pk}")
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

"""The search reads indexes: no statement of it scans a large table."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from govpay.models import Customer, Operation, Payment, PaymentLink, SavedPaymentMethod, Transaction
from govpay.reports.search import SEARCHED, search

pytestmark = [pytest.mark.django_db, pytest.mark.ci]

ROWS = 2_000
#: Each kind of term, and several at once. Each matches one row at most.
TEXTS = [
    *("given1777", "given1777 family1777", "bill-1777", "$17.77", "1777", "p1777@example.com", "pay_1777", "ZFT-1777"),
    *("family1777 1777", "given1777 17.77 bill-1777", "nobody"),
]
LARGE = "payment|customer|savedpaymentmethod|transaction|paymentlink|operation"


@pytest.fixture
def large(db: Any) -> None:
    """``ROWS`` rows in each table, with statistics."""
    numbers = range(ROWS)
    Customer.objects.bulk_create(
        Customer(uid=f"cus_{n}", name=f"Given{n} Family{n}", email=f"p{n}@example.com", account_id="acc_0")
        for n in numbers
    )
    SavedPaymentMethod.objects.bulk_create(
        SavedPaymentMethod(uid=f"spm_{n}", customer_id=f"cus_{n}", holder_name=f"Given{n}", last4=f"{n % 10000:04}")
        for n in numbers
    )
    columns = [{"account_id": "acc_0", "currency": "USD", "reference_id": f"BILL-{n}"} for n in numbers]
    Payment.objects.bulk_create(
        Payment(
            uid=f"pay_{n}",
            customer_id=f"cus_{n}",
            saved_method_id=f"spm_{n}",
            session_id=f"cs_{n}",
            holder_name=f"Given{n} Family{n}",
            last4=f"{n % 10000:04}",
            total_amount=n,
            **columns[n],
        )
        for n in numbers
    )
    Transaction.objects.bulk_create(
        Transaction(uid=f"txn_{n}", payment_id=f"pay_{n}", amount=n, processor_transaction_id=f"ZFT-{n}", **columns[n])
        for n in numbers
    )
    expiry = "2030-01-01T00:00Z"
    PaymentLink.objects.bulk_create(
        PaymentLink(public_id=f"l_{n}", customer_id=f"cus_{n}", amount=n, expires_at=expiry, **columns[n])
        for n in numbers
    )
    Operation.objects.bulk_create(
        Operation(payment_id=f"pay_{n}", action="quote", amount=n, deadline_at=expiry, **columns[n]) for n in numbers
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def plan_of(sql: str) -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # A small table is read faster without an index. This shows whether there is one that can be used.
            cursor.execute("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        cursor.execute(f"{explain} {sql}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def scans(plan: str) -> list[str]:
    """Return the lines that read a whole large table. SQLite may read the whole index of the names."""
    if connection.vendor == "postgresql":
        return re.findall(rf"Seq Scan on govpay_(?:{LARGE})\b.*", plan)
    return [line for line in re.findall(r"SCAN .*", plan) if "search_name" not in line and "created" not in line]


@pytest.mark.usefixtures("large")
def test_no_search_scans_a_table() -> None:
    for model in SEARCHED:
        for text in TEXTS:
            with CaptureQueriesContext(connection) as context:
                rows, is_frequent = search(model, text, model._default_manager.all())
                found = len(rows[:100])
            assert not is_frequent
            assert found == 0 if text == "nobody" else found <= 1, (model, text)
            assert 1 <= len(context.captured_queries) <= 3
            for query in context.captured_queries:
                plan = plan_of(query["sql"])
                if model is Operation:
                    plan = plan.replace("SCAN U0", "", 1)  # the users, which are few
                assert not scans(plan), (model, text, query["sql"], plan)

"""Totals: they are the sums of the movements, by each key, in few statements."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection

from govpay.models import Operation, PaymentAccount
from govpay.models.people import person
from govpay.reports import span_before, totals
from tests.reading import statements
from tests.reports.rows import EVER, NOON, account, payment, totals_agree, transaction

pytestmark = pytest.mark.django_db

DAY = dt.date(2026, 6, 10)
ONE = dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def accounts() -> Any:
    return [account(), account("acc_2", timezone="Asia/Tokyo")]


def test_figures_of_one_day(accounts: Any) -> None:
    payment()
    transaction(payment(), "refund", 300)
    transaction(payment(), "refund", 200, status="pending")
    transaction(payment(), "chargeback", 1000)
    transaction(payment(), "chargeback_reversal", 400)
    transaction(payment(), "ach_return", 1000)
    transaction(payment(status="voided"), "void", 1000)
    [row] = totals(accounts, DAY, DAY)
    assert (row.day, row.currency) == (DAY, "USD")
    assert {name: row[name] for name in row if row[name] and name not in ("day", "currency")} == {
        "count_captures": 7,
        "sum_captures": 7000,
        "count_voids": 1,
        "sum_voids": -1000,
        "count_refunds": 2,
        "sum_refunds": -500,
        "count_disputes": 2,
        "sum_disputes": -600,
        "count_returns": 1,
        "sum_returns": -1000,
        "count_fees": 6,
        "sum_fees": 240,
        "count_base": 6,
        "sum_base": 5400,
        "count_tax": 6,
        "sum_tax": 360,
        "count_pending": 1,
        "sum_pending": -200,
        "net": 3900,
    }
    assert row["net"] == row.net
    assert row.count_corrections == row.sum_corrections == 0
    with pytest.raises(AttributeError):
        _ = row.no_such


def test_currencies_are_never_added(accounts: Any) -> None:
    payment()
    payment(currency="CAD")
    assert [(row.currency, row.net) for row in totals(accounts, DAY, DAY, by=())] == [("CAD", 1000), ("USD", 1000)]


def test_periods_and_the_zone_of_each_account(accounts: Any) -> None:
    """20:00 in Denver is 11:00 of the next day in Tokyo. The tenth of June 2026 is a Wednesday."""
    evening = NOON + dt.timedelta(hours=8)
    payment(evening)
    payment(evening, account_id="acc_2")
    by_day = {
        (row.day, row.account): row.net for row in totals(accounts, DAY - ONE * 9, DAY + ONE * 30, ("day", "account"))
    }
    assert by_day == {(DAY, "acc_1"): 1000, (DAY + ONE, "acc_2"): 1000}
    [row] = totals(accounts, DAY - ONE, DAY + ONE * 30, by=("week", "month"))
    assert (row.week, row.month, row.net) == (dt.date(2026, 6, 8), dt.date(2026, 6, 1), 2000)


def test_keys(accounts: Any, make_staff: Any) -> None:
    user = make_staff("Finance", name="jo")
    row = payment(method_type="wallet_credit", brand="amex")
    refund = transaction(row, "refund", 100)
    void = payment(status="voided", method_type="ach", brand="")
    transaction(void, "void")

    def done(action: str, of: Any, result: str, state: str = "succeeded") -> None:
        Operation.objects.create(
            action=action,
            payment=of,
            result_uid=result,
            state=state,
            account_id="acc_1",
            **person("actor", user),
            deadline_at=NOON,
            reference_id=f"{action}-{result}-{state}",
        )

    done("capture", row, row.uid, "failed")
    done("capture", row, row.uid)
    done("void", void, void.uid)
    done("refund", row, "another")
    found = {
        key: {row[key]: (row.count_captures, row.net) for row in totals(accounts, DAY, DAY, by=(key,))}
        for key in ("account", "method", "method_group", "brand", "person")
    }
    assert found == {
        "account": {"acc_1": (2, 900)},
        "method": {"wallet_credit": (1, 900), "ach": (1, 0)},
        "method_group": {"credit": (1, 900), "ach": (1, 0)},
        "brand": {"amex": (1, 900), "": (1, 0)},
        "person": {"jo": (1, 0), "": (1, 900)},
    }
    done("refund", row, refund.uid)
    assert [row.net for row in totals(accounts, DAY, DAY, by=("person",))] == [1000, -100]


def test_unknown_key_and_empty_span(accounts: Any) -> None:
    with pytest.raises(ValueError, match="weekday"):
        totals(accounts, DAY, DAY, by=("weekday",))
    payment()
    assert totals(accounts, DAY, DAY - ONE) == []


@pytest.mark.parametrize(
    ("first", "last", "before"),
    [
        ((2026, 6, 10), (2026, 6, 10), ((2026, 6, 9), (2026, 6, 9))),
        ((2026, 6, 10), (2026, 6, 16), ((2026, 6, 3), (2026, 6, 9))),
        ((2026, 3, 1), (2026, 3, 31), ((2026, 2, 1), (2026, 2, 28))),
        ((2026, 1, 1), (2026, 3, 31), ((2025, 10, 1), (2025, 12, 31))),
        ((2024, 1, 1), (2024, 12, 31), ((2023, 1, 1), (2023, 12, 31))),
        ((2026, 2, 2), (2026, 2, 28), ((2026, 1, 6), (2026, 2, 1))),
    ],
)
def test_span_before(first: Any, last: Any, before: Any) -> None:
    assert span_before(dt.date(*first), dt.date(*last)) == tuple(dt.date(*each) for each in before)


def test_comparison(accounts: Any) -> None:
    """Each row has the row of the span before, also where only one of the two has movements."""
    payment(NOON)
    payment(NOON - ONE * 2)
    payment(NOON - ONE * 2)
    payment(NOON - ONE * 3, currency="CAD")
    rows = totals(accounts, DAY - ONE, DAY, compare=True)
    assert [(row.day, row.currency, row.net, row.previous.day, row.previous.net) for row in rows] == [
        (DAY - ONE, "CAD", 0, DAY - ONE * 3, 1000),
        (DAY, "USD", 1000, DAY - ONE * 2, 2000),
    ]
    [row] = totals(accounts, DAY, DAY, by=(), compare=True)
    assert (row.net, row.previous.net) == (1000, 0)


def test_weeks_of_spans_that_do_not_begin_on_mondays_are_all_compared(accounts: Any) -> None:
    for number in range(45):
        payment(NOON - ONE * number)
    for length in (1, 2, 6, 8, 13, 20):
        rows = totals(accounts, DAY - ONE * (length - 1), DAY, by=("week",), compare=True)
        assert sum(row.net for row in rows) == sum(row.previous.net for row in rows) == 1000 * length


def test_statements_do_not_grow_with_days_and_accounts(accounts: Any) -> None:
    """One grouped statement for each kind and zone, and two for the zones and what the platform offers."""

    def counted(first: dt.date) -> int:
        with statements() as found:
            totals(PaymentAccount.objects.all(), first, DAY, by=("day", "account", "method"))
        assert sum("GROUP BY" in sql for sql in found.all) == 6 * 2
        return len(found)

    before = counted(DAY)
    for number in range(20):
        account(f"acc_more_{number}")
        payment(account_id=f"acc_more_{number}")
    assert counted(DAY - ONE * 300) == before == 2 + 7 * 2
    totals_agree(*EVER)


@pytest.mark.postgres
def test_captures_are_counted_from_an_index_alone(accounts: Any) -> None:
    """Each statement that would read all payments otherwise, by the plan of a database that may not scan tables."""
    for number in range(5):
        payment(NOON + ONE * number)
    with statements() as found:
        totals(accounts, DAY, DAY + ONE * 30, by=("day",))
    plans = []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        for sql in found.all:
            if "GROUP BY" in sql:
                cursor.execute(f"EXPLAIN {sql}")
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
    denver = plans[:6]
    assert "Index Only Scan using govpay_payment_captured" in denver[0]
    assert "govpay_payment_undated" in denver[1]
    assert "govpay_transaction_incomplete" in denver[3]
    assert "govpay_transaction_incomplete" in denver[5]
    assert not [plan for plan in plans if "Seq Scan on govpay" in plan]

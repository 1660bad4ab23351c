"""The list of what needs a person: what is in it, what it says, and what it costs."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from govpay.attention import Item, count_items, find_items
from govpay.models import Operation, Payment, Transaction
from tests.admin.rows import operation, payment, relatives

pytestmark = pytest.mark.django_db

NOW = timezone.now()
MINUTE = dt.timedelta(minutes=1)


def found() -> list[Item]:
    return find_items(Operation.objects.all(), Payment.objects.all())


def lost(**given: Any) -> Operation:
    now = timezone.now()
    return operation(
        Payment.objects.get(uid="pay_0"),
        **{
            "amount": 500,
            "error": "[req_1] No answer came.",
            "deadline_at": now - 6 * MINUTE,
            "created_at": now - 7 * MINUTE,
            "checked_at": now - MINUTE / 2,
            **given,
        },
    )


@pytest.fixture(autouse=True)
def _relatives(db: None) -> None:
    relatives()


def test_nothing() -> None:
    lost(state="succeeded")
    lost(state="unknown", payment_id="pay_9", deadline_at=timezone.now() - 4 * MINUTE)
    lost(state="failed")
    payment()
    assert found() == []
    assert count_items(Operation.objects.all(), Payment.objects.all()) == 0


@pytest.mark.parametrize("state", ["unknown", "started"])
def test_outcome_unknown_for_long(state: str) -> None:
    lost(state=state, look_up_error="[req_2] The platform failed.")
    (item,) = found()
    assert (item.kind, item.what) == ("unknown", "Refund of $5.00")
    assert "No answer came." in item.known
    assert "The platform failed." in item.known
    assert "Last looked up at" in item.known
    assert "looked up each minute, next at" in item.next
    assert item.payment == Payment.objects.get(uid="pay_0")


def test_what_comes_next_is_what_happens() -> None:
    row = lost(absent_at=timezone.now() - MINUTE)
    assert "ends as not carried out" in found()[0].next
    Operation.objects.filter(pk=row.pk).update(checked_at=timezone.now() - 10 * MINUTE)
    assert "no worker has done so" in found()[0].next
    Operation.objects.filter(pk=row.pk).update(checked_at=None)
    assert "no worker has done so" in found()[0].next


@pytest.mark.parametrize(
    ("attention", "known", "step"),
    [
        ("late_failure", "R01", "The money has not left"),
        ("not_executed", "R01", "Press Try again"),
        ("contradicted", "shows it now", "a second time"),
    ],
)
def test_ended_otherwise(attention: str, known: str, step: str) -> None:
    lost(state="failed", error="It failed later: R01.", attention=attention, attention_at=NOW)
    (item,) = found()
    assert (item.kind, item.since) == (attention, NOW)
    assert known in item.known
    assert step in item.next


@pytest.mark.parametrize(
    ("later", "words", "step"),
    [(0, "no trace of it", "See whether the money has moved"), (1, "tells otherwise", "a second time")],
)
def test_settled_by_hand_and_contradicted(later: int, words: str, step: str) -> None:
    ended = NOW + later * MINUTE
    lost(
        state="succeeded",
        error="",
        attention="contradicted",
        attention_at=NOW,
        settled_at=NOW,
        finished_at=ended,
    )
    assert words in found()[0].known
    assert step in found()[0].next


@pytest.mark.parametrize("flag", ["chargeback", "return", "reversal"])
def test_flag_on_a_payment(flag: str) -> None:
    row = payment(flag=flag, flagged_at=NOW)
    (item,) = found()
    assert (item.kind, item.row, item.payment, item.since) == (flag, row, row, NOW)
    assert "$107.50" in item.what
    assert item.known == "The bank has given no reason."
    types = {"chargeback": "chargeback", "return": "ach_return", "reversal": "chargeback_reversal"}
    Transaction.objects.create(uid="txn_1", account_id="acc_0", payment=row, type="capture", reason_code="x")
    Transaction.objects.create(uid="txn_2", account_id="acc_0", payment=row, type=types[flag], reason_code="R01")
    assert found()[0].known == "The bank's reason: R01."
    assert item.next.startswith("Nothing by itself.")


def test_oldest_first_and_three_statements() -> None:
    for number in range(3):
        lost(payment_id=f"pay_{number}", created_at=NOW - (10 + number) * MINUTE)
        lost(state="failed", attention="not_executed", attention_at=NOW - number * MINUTE)
        payment(flag="return", flagged_at=NOW - number * MINUTE)
    with CaptureQueriesContext(connection) as statements:
        items = found()
        assert len([item.payment and item.payment.reference_id for item in items]) == 9
    assert len(statements) == 3
    for kind in ("unknown", "not_executed", "return"):
        since = [item.since for item in items if item.kind == kind]
        assert since == sorted(since)
    with CaptureQueriesContext(connection) as statements:
        assert count_items(Operation.objects.all(), Payment.objects.all()) == 9
    assert len(statements) == 1

"""The items of the review queue: selection, texts, and statement counts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from govpay.models import Operation, Payment, Transaction
from govpay.review import Group, Item, count_items, find_items
from tests.admin.rows import operation, payment, relatives

pytestmark = pytest.mark.django_db

NOW = timezone.now()
MINUTE = dt.timedelta(minutes=1)


def found() -> list[Any]:
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
    [(0, "no trace of it", "See whether the money has moved"), (1, "shows another outcome", "a second time")],
)
def test_resolved_by_hand_and_contradicted(later: int, words: str, step: str) -> None:
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


TYPES = {"chargeback": "chargeback", "return": "ach_return", "reversal": "chargeback_reversal"}


def moved(flag: str, *, at: dt.datetime = NOW, backlog: bool = False, **given: Any) -> Payment:
    """A payment that a movement has flagged; ``given`` is of the movement."""
    row = payment(flag=flag, flagged_at=NOW, flag_backlog=backlog)
    movement = {"uid": f"move_{row.uid}", "account_id": "acc_0", "payment": row, "type": TYPES[flag]}
    Transaction.objects.create(**{**movement, "status": "succeeded", "remote_created_at": at, **given})
    Payment.objects.filter(pk=row.pk).update(flag_movement=movement["uid"])
    return row


def refund(row: Payment, amount: int, at: dt.datetime, status: str = "succeeded") -> None:
    number = Transaction.objects.count()
    Transaction.objects.create(
        uid=f"refund_{number}", payment=row, type="refund", amount=amount, status=status, remote_created_at=at
    )


@pytest.mark.parametrize("flag", ["chargeback", "return", "reversal"])
def test_flag_on_a_payment(flag: str) -> None:
    row = payment(flag=flag, flagged_at=NOW)
    (item,) = found()
    assert (item.kind, item.row, item.payment, item.since) == (flag, row, row, NOW)
    assert "$107.50" in item.what
    assert item.known == "The bank has given no reason."
    assert item.next.startswith("Nothing happens automatically.")


@pytest.mark.parametrize(
    ("flag", "code", "means", "do", "by"),
    [
        ("return", "R01", "There was not enough money", "charge the account again when", "within 180 days"),
        ("return", "R10", "was not authorized. (R10)", "Do not charge this account again", "60 calendar days"),
        ("chargeback", "10.4", "somebody else made this payment", "answer with what shows it", "names the day"),
        ("chargeback", "4853", "disputes what was paid for", "cardholder's letter", "20 to 45 days"),
    ],
)
def test_reason_is_told_in_words_with_what_to_do_and_by_when(
    flag: str, code: str, means: str, do: str, by: str
) -> None:
    moved(flag, reason_code=code, at=NOW - dt.timedelta(days=2))
    (item,) = found()
    assert item.since == NOW - dt.timedelta(days=2), "when the platform says that it happened"
    assert means in item.known
    assert f"({code})" in item.known
    assert do in item.next
    assert by in item.next


def test_reversal_is_explained_and_asks_for_nothing() -> None:
    moved("reversal", reason_code="10.4")
    (item,) = found()
    assert "somebody else made this payment. (10.4)" in item.known
    assert item.next == "Nothing happens automatically. The transactions show what was given back to you."


def test_unknown_code_is_shown_as_it_is_without_advice() -> None:
    moved("return", reason_code="R99")
    (item,) = found()
    assert item.known == "The bank's reason: R99."
    assert item.next == "Nothing happens automatically. The debit was not honoured: the amount is owed again."


# --- Refunded, then disputed ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "stake"),
    [("chargeback", "Name the refund in your answer"), ("return", "you have to ask for it back"), ("reversal", "")],
)
def test_what_was_refunded_before_is_said(flag: str, stake: str) -> None:
    row = moved(flag, amount=10_750, at=NOW - dt.timedelta(days=5))
    refund(row, 1500, dt.datetime(2026, 3, 4, tzinfo=dt.UTC))
    refund(row, 2500, dt.datetime(2026, 3, 9, tzinfo=dt.UTC), "pending")
    refund(row, 100, dt.datetime(2026, 3, 9, tzinfo=dt.UTC), "failed")
    refund(row, 700, NOW)
    (item,) = found()
    assert "$40.00 of it had been refunded before, last on 03/09/2026." in item.known
    assert stake in item.known
    assert ("The bank takes the whole amount again" in item.known) == bool(stake)


def test_bank_that_takes_the_rest_alone_is_not_accused() -> None:
    row = moved("chargeback", amount=6750)
    refund(row, 4000, NOW - MINUTE)
    (item,) = found()
    assert "The bank takes the rest, $67.50." in item.known
    assert "whole amount" not in item.known


def test_refund_whose_transaction_is_not_known_is_said_without_a_day() -> None:
    row = moved("chargeback", amount=10_750)
    Payment.objects.filter(pk=row.pk).update(refunded_amount=4000)
    assert "$40.00 of it has been refunded." in found()[0].known


# --- The first load -------------------------------------------------------------------------------


def test_flags_of_the_first_load_are_one_item_an_account_and_kind() -> None:
    old = NOW - dt.timedelta(days=50)
    for _ in range(3):
        moved("chargeback", backlog=True)
    moved("chargeback", backlog=True, at=old)
    euro = moved("chargeback", backlog=True)
    Payment.objects.filter(pk=euro.pk).update(currency="EUR", refunded_amount=500)
    moved("return", backlog=True)
    other = moved("return", backlog=True)
    Payment.objects.filter(pk=other.pk).update(account="acc_1")
    moved("return")
    single, *groups = found()
    assert isinstance(single, Item)
    assert all(isinstance(group, Group) for group in groups)
    assert [group.what for group in groups] == [
        "Disputed: 5 payments, €107.50 + $430.00",
        "Returned by the bank: 1 payment, $107.50",
        "Returned by the bank: 1 payment, $107.50",
    ]
    assert [(group.kind, group.account_uid) for group in groups] == [
        ("chargeback", "acc_0"),
        ("return", "acc_0"),
        ("return", "acc_1"),
    ]
    assert groups[0].since == old
    assert "€5.00 of it has been refunded." in groups[0].known
    assert "Do not refund it" in groups[0].next
    assert count_items(Operation.objects.all(), Payment.objects.all()) == 4
    Payment.objects.update(flag="")
    assert found() == []
    assert count_items(Operation.objects.all(), Payment.objects.all()) == 0


def test_refund_that_failed_late_is_explained() -> None:
    error = "The refund was accepted and failed later."
    means = "There is no such account, or it is not the payer's."
    lost(state="failed", error=error, error_code="R03", attention="late_failure", attention_at=NOW)
    lost(state="failed", error=f"{error} {means}", error_code="R03", attention="late_failure", attention_at=NOW)
    assert [item.known for item in found()] == [f"{error} {means}"] * 2


def test_oldest_first_and_four_statements() -> None:
    for number in range(3):
        lost(payment_id=f"pay_{number}", created_at=NOW - (10 + number) * MINUTE)
        lost(state="failed", attention="not_executed", attention_at=NOW - number * MINUTE)
        payment(flag="return", flagged_at=NOW - number * MINUTE)
    with CaptureQueriesContext(connection) as statements:
        items = found()
        assert len([item.payment and item.payment.reference_id for item in items]) == 9
    assert len(statements) == 4
    for kind in ("unknown", "not_executed", "return"):
        since = [item.since for item in items if item.kind == kind]
        assert since == sorted(since)
    with CaptureQueriesContext(connection) as statements:
        assert count_items(Operation.objects.all(), Payment.objects.all()) == 9
    assert len(statements) == 1

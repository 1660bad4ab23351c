"""Reconciliation: it only reads, closes operations whose outcome is found, and leaves the others open."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from govpay import operations
from govpay.exceptions import OperationRefused, OutcomeUnknown
from govpay.models import Operation, Payment
from tests.operations.merchant import MINUTE, Merchant, at_once, only, refund_of

pytestmark = pytest.mark.django_db(transaction=True)

REFUND = "POST /api/payments/{uid}/refund"


def lose(merchant: Merchant, close: str, payment: Payment | None = None) -> Operation:
    merchant.sandbox.fault(REFUND, times=1, close=close)
    with pytest.raises(OutcomeUnknown) as error:
        operations.refund_payment(payment=payment or merchant.captured(), amount=5)
    return only(key=error.value.operation_key)


def test_found_is_settled_at_once_without_waiting_for_the_deadline(merchant: Merchant, heard: list[Any]) -> None:
    operation = lose(merchant, "after")
    payment = Payment.objects.get()
    assert str(operations.reconcile()) == "succeeded=1 failed=0 waiting=0 late_failures=0"
    operation.refresh_from_db()
    assert (operation.state, operation.error, operation.error_class) == ("succeeded", "", "")
    assert operation.finished_at is not None
    assert refund_of(operation).reference_id == operation.reference_id
    payment.refresh_from_db()
    assert payment.refunded_amount == 5, "the payment was read too"
    assert heard == [
        ("payment_refunded", payment.uid, "operation"),
        ("operation_finished", "refund succeeded", "operation"),
    ]
    assert str(operations.reconcile()) == "succeeded=0 failed=0 waiting=0 late_failures=0"
    assert len(merchant.posts("refund")) == 1


def test_absent_needs_two_reads_so_far_apart_after_the_deadline(merchant: Merchant, heard: list[Any]) -> None:
    operation = lose(merchant, "before")

    def look() -> tuple[str, bool]:
        operations.reconcile()
        operation.refresh_from_db()
        return operation.state, operation.absent_at is not None

    assert look() == ("unknown", False), "before the deadline its absence proves nothing"
    assert operation.checked_at is not None
    merchant.pass_deadlines()
    assert look() == ("unknown", True)
    assert look() == ("unknown", True), "at once is not again"
    Operation.objects.update(absent_at=timezone.now() - dt.timedelta(seconds=899))
    assert look() == ("unknown", True)
    merchant.pass_absent_after()
    assert look() == ("failed", True)
    assert "Not executed" in operation.error
    assert heard == [("operation_finished", "refund failed", "operation")]
    assert len(merchant.posts("refund")) == 1
    operations.refund_payment(payment=Payment.objects.get(), amount=5)
    assert (only().state, only().attempts) == ("succeeded", 2), "the same operation, tried again"
    assert len(merchant.ledger("refund")) == 1


def test_action_that_is_committed_after_the_first_look_is_found_by_the_second(merchant: Merchant) -> None:
    operation = lose(merchant, "before")
    merchant.pass_deadlines()
    operations.reconcile()
    merchant.sandbox.refund(Payment.objects.get().uid, 5, operation.reference_id)
    merchant.pass_absent_after()
    assert operations.reconcile().succeeded == 1
    assert refund_of(only()).amount == 5


def test_call_under_way_is_left_alone(merchant: Merchant) -> None:
    lose(merchant, "after")
    Operation.objects.update(state="started")
    assert str(operations.reconcile()) == "succeeded=0 failed=0 waiting=0 late_failures=0"
    merchant.pass_deadlines()
    assert operations.reconcile().succeeded == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"close": "before"}, {"badjson": True}, {"status": 401}])
def test_platform_that_is_down_leaves_everything_as_it_is(
    merchant: Merchant, impatient: None, fault: dict[str, Any]
) -> None:
    lose(merchant, "before")
    merchant.pass_deadlines()
    operations.reconcile()
    merchant.pass_absent_after()
    before = Operation.objects.values().get()
    merchant.sandbox.fault("GET *", **fault)
    assert str(operations.reconcile()) == "succeeded=0 failed=0 waiting=1 late_failures=0"
    after = Operation.objects.values().get()
    assert after.pop("checked_at") >= before.pop("checked_at")
    assert (before.pop("look_up_error"), bool(after.pop("look_up_error"))) == ("", True)
    assert after == before
    merchant.sandbox.clear_faults()
    assert operations.reconcile().failed == 1


def test_one_that_cannot_be_told_does_not_hold_up_the_others(merchant: Merchant) -> None:
    stuck, free = lose(merchant, "after"), lose(merchant, "after")
    # As if its account were gone on the platform: every read is refused.
    Operation.objects.filter(pk=stuck.pk).update(account_id="acc_gone")
    assert str(operations.reconcile()) == "succeeded=1 failed=0 waiting=1 late_failures=0"
    assert only(pk=free.pk).state == "succeeded"


def test_the_longest_unseen_come_first(merchant: Merchant) -> None:
    older, newer = lose(merchant, "before"), lose(merchant, "before")
    Operation.objects.filter(pk=older.pk).update(checked_at=timezone.now())
    operations.reconcile(limit=1)
    assert only(pk=newer.pk).checked_at is not None
    last = only(pk=older.pk).checked_at
    operations.reconcile(limit=1)
    assert only(pk=older.pk).checked_at > last  # type: ignore[operator]


def test_two_reconcilers_at_once_settle_once(merchant: Merchant, heard: list[Any]) -> None:
    lost = [lose(merchant, "after") for _ in range(2)] + [lose(merchant, "before") for _ in range(2)]
    merchant.pass_deadlines()
    Operation.objects.update(absent_at=timezone.now() - MINUTE * 20)
    merchant.sandbox.fault("GET /api/transactions", delay=0.1)
    outcomes = at_once(*[operations.reconcile] * 3)
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert {only(pk=row.pk).state for row in lost[:2]} == {"succeeded"}
    assert {only(pk=row.pk).state for row in lost[2:]} == {"failed"}
    finished = [what for name, what, _ in heard if name == "operation_finished"]
    assert sorted(finished) == ["refund failed"] * 2 + ["refund succeeded"] * 2
    assert len(merchant.posts("refund")) == 4


def test_answer_that_comes_after_all_counts_more_than_absence(merchant: Merchant, heard: list[Any]) -> None:
    """Our process was stopped for minutes, others looked meanwhile, and then it goes on."""
    payment = merchant.captured()

    def meanwhile() -> None:
        Operation.objects.update(deadline_at=timezone.now() - MINUTE, absent_at=timezone.now() - MINUTE * 20)
        # The platform has not committed it yet.
        assert operations.reconcile().failed == 1

    with merchant.while_it_acts(lambda: at_once(meanwhile)):
        refund = operations.refund_payment(payment=payment, amount=5)
    assert (only().state, only().result_uid, only().error) == ("succeeded", refund.uid, "")
    finished = [what for name, what, _ in heard if name == "operation_finished"]
    assert finished == ["refund failed", "refund succeeded"]


def test_payment_with_an_unknown_outcome_is_closed_to_all_actions(merchant: Merchant) -> None:
    lose(merchant, "before")
    payment = Payment.objects.get()
    for action in (operations.refund_payment, operations.void_payment):
        with pytest.raises(OperationRefused, match="earlier action on this payment is not known yet: Refund"):
            action(payment=payment)
    assert merchant.reconcile_all().failed == 1
    assert operations.void_payment(payment=payment).status == "voided"


def test_nothing_is_ever_written_to_the_platform(merchant: Merchant) -> None:
    for close in ("before", "after"):
        lose(merchant, close)
    before = len(merchant.posts())
    for _ in range(3):
        merchant.reconcile_all()
    assert len(merchant.posts()) == before
    assert not Operation.objects.filter(state__in=("started", "unknown")).exists()

"""Refunds: never more than the remaining amount, each once, and the outcome of accepted ones."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from govpay import operations
from govpay.exceptions import APIError, Conflict, InvalidRequest, OperationRefused, OutcomeUnknown
from govpay.models import Operation, Payment, Transaction
from govpay.operations import Snapshot
from tests.operations.merchant import Merchant, only, refund_of

pytestmark = pytest.mark.django_db(transaction=True)

REFUND = "POST /api/payments/{uid}/refund"


def left(payment: Payment) -> int:
    return Payment.objects.with_pending_refunds().get(pk=payment.pk).refundable_amount


def test_refund_of_a_part_and_of_the_rest(merchant: Merchant, heard: list[Any]) -> None:
    payment = merchant.captured()
    total = payment.total_amount or 0
    part = operations.refund_payment(payment=payment, amount=1200, reason="  paid\ntwice ")
    assert (part.type, part.status, part.amount, part.reason) == ("refund", "succeeded", 1200, "paid twice")
    assert part.payment_id == payment.uid
    row = Payment.objects.get()
    assert (row.status, row.refunded_amount, left(row)) == ("partially_refunded", 1200, total - 1200)
    rest = operations.refund_payment(payment=payment)
    assert rest.amount == total - 1200
    row.refresh_from_db()
    assert (row.status, row.refunded_amount, left(row)) == ("refunded", total, 0)
    assert merchant.moved("refund", payment) == total
    rows = list(Operation.objects.order_by("pk").values_list("state", "amount", "currency", "reason", "result_uid"))
    assert rows == [
        ("succeeded", 1200, "USD", "paid twice", part.uid),
        ("succeeded", total - 1200, "USD", "", rest.uid),
    ]
    told = [("payment_refunded", row.uid, "operation"), ("operation_finished", "refund succeeded", "operation")]
    assert heard == told * 2


def test_two_equal_partial_refunds_are_two(merchant: Merchant) -> None:
    payment = merchant.captured()
    first = operations.refund_payment(payment=payment, amount=500)
    second = operations.refund_payment(payment=payment, amount=500)
    assert first.uid != second.uid
    assert first.reference_id != second.reference_id
    assert merchant.moved("refund", payment) == 1000


@pytest.mark.parametrize("amount", [0, -1, True, False, 1.0, "5", 2**53])
@pytest.mark.django_db(transaction=False)
def test_amount_that_is_none_is_refused_before_anything(amount: Any) -> None:
    with pytest.raises(OperationRefused, match="positive whole number"):
        operations.refund_payment(payment=Payment(uid="pay_1"), amount=amount)
    assert not Operation.objects.exists()


@pytest.mark.parametrize("reason", ["a\x00b", "x" * 2001])
@pytest.mark.django_db(transaction=False)
def test_reason_that_cannot_be_kept_is_refused_before_anything(reason: str) -> None:
    with pytest.raises(OperationRefused, match="reason"):
        operations.refund_payment(payment=Payment(uid="pay_1"), reason=reason)
    assert not Operation.objects.exists()


def test_more_than_is_left_is_refused_before_http(merchant: Merchant) -> None:
    payment = merchant.captured()
    operations.refund_payment(payment=payment, amount=1000)
    with pytest.raises(OperationRefused, match=r"Only \$93\.06 is left to refund"):
        operations.refund_payment(payment=payment, amount=(payment.total_amount or 0) - 999)
    assert len(merchant.posts("refund")) == 1
    assert Operation.objects.count() == 1


@pytest.mark.parametrize("status", ["validated", "failed", "voided", "refunded", "charged_back", "expired"])
def test_only_captured_money_is_refunded(merchant: Merchant, status: str) -> None:
    with pytest.raises(OperationRefused, match="Only captured money"):
        operations.refund_payment(payment=merchant.add(status))
    assert not merchant.posts()


def test_pending_refund_reserves_its_amount(merchant: Merchant) -> None:
    """A pending refund reserves its amount, although it may still fail."""
    payment = merchant.bank_payment()
    total = payment.total_amount or 0
    refund = operations.refund_payment(payment=payment, amount=total - 100)
    assert refund.status == "pending"
    row = Payment.objects.get()
    assert (row.status, row.refunded_amount, left(row)) == ("captured", 0, 100)
    with pytest.raises(OperationRefused, match="Only"):
        operations.refund_payment(payment=payment, amount=101)
    operations.refund_payment(payment=payment)
    assert merchant.moved("refund", payment) == total


def test_refund_in_a_state_that_we_do_not_know_reserves_its_amount(merchant: Merchant) -> None:
    payment = merchant.bank_payment()
    refund = operations.refund_payment(payment=payment, amount=1000)
    merchant.sandbox.touch("transaction", refund.uid, status="under_review")
    merchant.sync()
    assert left(payment) == (payment.total_amount or 0) - 1000


def test_refund_counts_before_the_payments_own_sum_is_known(merchant: Merchant, impatient: None) -> None:
    payment = merchant.captured()
    total = payment.total_amount or 0
    merchant.sandbox.fault("GET /api/payments/{uid}", status=503)
    refund = operations.refund_payment(payment=payment, amount=total - 1)
    assert (refund.status, only().state) == ("succeeded", "succeeded")
    assert Payment.objects.get().refunded_amount == 0, "it could not be read again"
    assert left(payment) == 1
    with pytest.raises(OperationRefused, match="Only"):
        operations.refund_payment(payment=payment, amount=2)
    assert len(merchant.posts("refund")) == 1
    merchant.sandbox.clear_faults()
    merchant.sync("payments")
    assert (Payment.objects.get().refunded_amount, left(payment)) == (total - 1, 1)


@pytest.mark.parametrize("seen", [Snapshot("captured", 5), Snapshot("refunded"), Snapshot("captured", total=5)])
def test_payment_that_differs_from_what_was_shown_is_refused(merchant: Merchant, seen: Snapshot) -> None:
    payment = merchant.captured()
    with pytest.raises(OperationRefused, match="changed since it was shown"):
        operations.refund_payment(payment=payment, amount=1, seen=seen)
    assert not merchant.posts("refund")
    operations.refund_payment(payment=payment, amount=1, seen=Snapshot("captured", payment.total_amount))


def test_stale_instance_counts_for_nothing(merchant: Merchant) -> None:
    payment, stale = merchant.captured(), Payment.objects.get()
    operations.refund_payment(payment=payment)
    assert stale.status == "captured"
    with pytest.raises(OperationRefused, match="Only captured money"):
        operations.refund_payment(payment=stale, amount=1)
    assert len(merchant.posts("refund")) == 1


# --- Refused, or accepted in odd ways ---------------------------------------------------------------


def test_refunds_made_elsewhere_are_learnt_from_the_refusal(merchant: Merchant) -> None:
    payment = merchant.bank_payment()
    total = payment.total_amount or 0
    merchant.sandbox.refund(payment.uid, total - 10, "elsewhere")
    with pytest.raises(InvalidRequest, match="exceeds what is left"):
        operations.refund_payment(payment=payment, amount=11)
    assert only().state == "failed"
    assert left(payment) == 10, "the payment's transactions were read again"
    operations.refund_payment(payment=payment)
    assert merchant.moved("refund", payment) == total


def test_refund_that_fails_at_once_has_failed(merchant: Merchant, heard: list[Any]) -> None:
    payment = merchant.captured()
    body = {"uid": "trx_1", "status": "failed", "reason_code": "closed_account"}
    merchant.sandbox.fault(REFUND, times=1, status=201, body=json.dumps(body))
    with pytest.raises(APIError, match="The refund failed") as failed:
        operations.refund_payment(payment=payment, amount=5)
    assert only().error_code == failed.value.code == "closed_account"
    assert "closed_account" not in str(failed.value)
    assert only().state == "failed"
    assert Transaction.objects.get(uid="trx_1").payment_id == payment.uid, "though the answer did not say"
    assert left(payment) == payment.total_amount
    assert heard == [("operation_finished", "refund failed", "operation")]


def test_answer_that_says_little_is_completed_with_what_was_asked(merchant: Merchant) -> None:
    payment = merchant.captured()
    merchant.sandbox.fault(REFUND, times=1, status=201, body='{"uid": "trx_1", "status": "succeeded"}')
    refund = operations.refund_payment(payment=payment, amount=5, reason="r")
    refund.refresh_from_db()
    assert (refund.payment_id, refund.type, refund.amount, refund.currency) == (payment.uid, "refund", 5, "USD")
    assert (refund.reference_id, refund.reason) == (only().reference_id, "r")
    assert left(payment) == (payment.total_amount or 0) - 5


def test_duplicate_refund_is_the_one_that_arrived(merchant: Merchant, heard: list[Any]) -> None:
    """A proxy that repeats the request: the first one acts, ours gets the answer to the second."""
    payment = merchant.captured()
    merchant.sandbox.fault(REFUND, times=1, status=409, body='{"code":"duplicate_refund","message":"Twice."}', act=True)
    refund = operations.refund_payment(payment=payment, amount=5)
    assert refund.reference_id == only().reference_id
    assert only().state == "succeeded"
    assert Payment.objects.get().refunded_amount == merchant.moved("refund", payment) == 5
    assert len(merchant.posts("refund")) == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 200, "body": "[]"}])
def test_duplicate_refund_that_cannot_be_found_is_unknown(
    merchant: Merchant, impatient: None, fault: dict[str, Any]
) -> None:
    payment = merchant.captured()
    merchant.sandbox.fault(REFUND, times=1, status=409, body='{"code":"duplicate_refund","message":"Twice."}', act=True)
    merchant.sandbox.fault("GET /api/transactions", **fault)
    with pytest.raises(OutcomeUnknown, match="Twice"):
        operations.refund_payment(payment=payment, amount=5)
    assert only().state == "unknown"
    merchant.sandbox.clear_faults()
    assert operations.reconcile().succeeded == 1
    assert merchant.moved("refund", payment) == refund_of(only()).amount == 5


def test_any_other_conflict_is_a_refusal(merchant: Merchant) -> None:
    payment = merchant.captured()
    merchant.sandbox.charge_back(payment.uid)
    with pytest.raises(Conflict, match="charged_back"):
        operations.refund_payment(payment=payment, amount=5)
    assert only().state == "failed"
    assert Payment.objects.get().status == "charged_back"


# --- Afterwards ------------------------------------------------------------------------------------


def test_bank_refund_that_fails_days_later_changes_everything(merchant: Merchant, heard: list[Any]) -> None:
    """The operation turns to failed, its amount is free again, and signals report it."""
    payment, key = merchant.bank_payment(), uuid.uuid4()
    refund = operations.refund_payment(payment=payment, amount=1000, key=key)
    good = operations.refund_payment(payment=payment, amount=50)
    assert operations.reconcile().late_failures == 0
    merchant.sandbox.settle(fail=[refund.uid])
    merchant.sync()
    outcome = operations.reconcile()
    assert outcome.late_failures == 1
    operation = only(key=key)
    assert (operation.state, operation.result_uid) == ("failed", refund.uid)
    assert "failed later. There is no such account" in operation.error
    assert operation.error_code == "R03"
    assert only(result_uid=good.uid).state == "succeeded"
    refund.refresh_from_db()
    payment.refresh_from_db()
    assert (refund.status, payment.refunded_amount) == ("failed", 50)
    assert left(payment) == (payment.total_amount or 0) - 50
    for _ in range(2):
        merchant.sync()
        assert operations.reconcile().late_failures == 0
    assert heard.count(("operation_finished", "refund failed", "sync")) == 1
    assert heard.count(("operation_finished", "refund succeeded", "operation")) == 2
    with pytest.raises(APIError, match="failed later"):
        operations.refund_payment(payment=payment, amount=1000, key=key)
    operations.refund_payment(payment=payment, amount=1000)


def test_refund_that_appears_after_it_was_given_up_is_a_success(merchant: Merchant, heard: list[Any]) -> None:
    payment = merchant.captured()
    merchant.sandbox.fault(REFUND, times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        operations.refund_payment(payment=payment, amount=5)
    assert merchant.reconcile_all().failed == 1
    # What the platform had kept in some queue is carried out after all.
    merchant.sandbox.refund(payment.uid, 5, only().reference_id)
    merchant.sync()
    assert left(payment) == (payment.total_amount or 0) - 5
    assert operations.reconcile().late_failures == 1
    assert (only().state, only().error) == ("succeeded", "")
    assert refund_of(only()).amount == 5
    finished = [what for name, what, _ in heard if name == "operation_finished"]
    assert finished == ["refund failed", "refund succeeded"]
    assert operations.reconcile().late_failures == 0


def test_refusal_of_a_refund_that_the_platform_has_made_is_found_out(merchant: Merchant, heard: list[Any]) -> None:
    """As when a gateway sends a request twice and passes on the second answer: the reference is proof."""
    payment = merchant.captured()
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", status=409, act=True, times=1)
    with pytest.raises(Conflict):
        operations.refund_payment(payment=payment, amount=5)
    payment.refresh_from_db()
    assert (only().state, payment.refunded_amount) == ("failed", 5), "the money is shown at once"
    assert operations.reconcile().late_failures == 1
    assert (only().state, only().error, refund_of(only()).amount) == ("succeeded", "", 5)
    assert operations.reconcile().late_failures == 0
    finished = [what for name, what, _ in heard if name == "operation_finished"]
    assert finished == ["refund failed", "refund succeeded"]
    assert len(merchant.posts("refund")) == 1

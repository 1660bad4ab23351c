"""*Resolve by hand*: a person's answer closes an operation, and the platform's record overrides it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from govpay import operations
from govpay.exceptions import InvalidRequest, OperationRefused, OutcomeUnknown
from govpay.models import Operation, Payment
from govpay.models.choices import OperationAttention
from govpay.operations.reconciliation import reconcile_one
from tests.operations.merchant import Merchant, at_once, only

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def officer(db: None) -> User:
    return User.objects.create_user("officer", is_staff=True)


def lost_refund(merchant: Merchant, close: str, **given: Any) -> Operation:
    """One whose answer was lost, on a platform that cannot be read either."""
    payment = merchant.captured()
    merchant.sandbox.fault(f"POST /api/payments/{payment.uid}/refund", times=1, close=close)
    with pytest.raises(OutcomeUnknown):
        operations.refund_payment(payment=payment, amount=500, **given)
    merchant.sandbox.fault("GET /api/transactions", status=400)
    merchant.pass_deadlines()
    return only(payment=payment.uid)


def lost_capture(merchant: Merchant, close: str) -> tuple[Operation, Payment]:
    payment = merchant.quoted()
    merchant.sandbox.fault(f"POST /api/payments/{payment.uid}/capture", times=1, close=close)
    with pytest.raises(OutcomeUnknown):
        operations.capture_payment(payment=payment)
    merchant.sandbox.fault(f"GET /api/payments/{payment.uid}", status=400)
    merchant.pass_deadlines()
    return only(action="capture"), payment


def by_hand(operation: Operation, officer: Any, carried_out: bool, reason: str = "Seen in the portal.") -> Operation:
    return operations.resolve_manually(operation=operation, carried_out=carried_out, reason=reason, actor=officer)


def an_hour_later() -> None:
    for operation in Operation.objects.exclude(checked_at=None):
        Operation.objects.filter(pk=operation.pk).update(checked_at=operation.checked_at - HOUR)


@pytest.mark.parametrize("carried_out", [True, False])
def test_word_closes_it_and_opens_the_payment(
    merchant: Merchant, officer: User, heard: list[Any], carried_out: bool
) -> None:
    operation = lost_refund(merchant, "after" if carried_out else "before")
    heard.clear()
    with pytest.raises(OperationRefused, match="not known yet"):
        operations.refund_payment(payment=operation.payment, amount=1)
    row = by_hand(operation, officer, carried_out)
    assert row.state == ("succeeded" if carried_out else "failed")
    assert (row.settled_by, row.settlement) == (officer, "Seen in the portal.")
    assert row.settled_at is not None
    assert row.finished_at is not None
    assert heard == [("operation_finished", f"refund {row.state}", "operation")]
    assert len(merchant.posts("refund")) == 1, "nothing was sent"
    merchant.sandbox.clear_faults()
    operations.refund_payment(payment=Payment.objects.get(), amount=1, confirm_second_refund=not carried_out)


def test_same_key_tries_again_what_somebody_settled_as_not_carried_out(merchant: Merchant, officer: User) -> None:
    operation = lost_refund(merchant, "before", key="0b6f3a5e-4a6b-4c57-9b3c-111111111111")
    by_hand(operation, officer, False)
    with pytest.raises(OperationRefused, match="cannot be read now"):
        operations.refund_payment(payment=operation.payment, amount=500, key=operation.key)
    assert len(merchant.posts("refund")) == 1, "nothing is sent before the platform was read"
    merchant.sandbox.clear_faults()
    operations.refund_payment(payment=operation.payment, amount=500, key=operation.key)
    row = only()
    assert (row.state, row.attempts, row.settled_at, row.settlement) == ("succeeded", 2, None, "")
    assert row.earlier_attempts[0]["resolved_by"] == "officer"
    assert row.earlier_attempts[0]["resolution"] == "Seen in the portal."
    assert {post["idempotency_key"] for post in merchant.posts("refund")} == {str(operation.key)}


def test_platform_is_asked_first_and_its_word_counts(merchant: Merchant, officer: User) -> None:
    operation = lost_refund(merchant, "after")
    merchant.sandbox.clear_faults()
    row = by_hand(operation, officer, False)
    assert (row.state, row.settled_at, row.settlement) == ("succeeded", None, "")


def test_refused(merchant: Merchant, officer: User) -> None:
    operation = lost_refund(merchant, "before")
    for reason in ("", "  \n "):
        with pytest.raises(OperationRefused, match="how you know"):
            by_hand(operation, officer, False, reason)
    with pytest.raises(OperationRefused, match="signed-in"):
        by_hand(operation, None, False)
    with pytest.raises((OperationRefused, InvalidRequest)):
        by_hand(operation, officer, False, "The card 4111 1111 1111 1111 shows it.")
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a transaction"):
        by_hand(operation, officer, False)
    Operation.objects.update(deadline_at=timezone.now() + HOUR)
    with pytest.raises(OperationRefused, match="under way"):
        by_hand(operation, officer, False)
    assert only().state == "unknown"
    merchant.pass_deadlines()
    by_hand(operation, officer, True)
    with pytest.raises(OperationRefused, match="known already"):
        by_hand(operation, officer, False)


def test_two_people_at_once(merchant: Merchant, officer: User) -> None:
    operation = lost_refund(merchant, "before")
    outcomes = at_once(*[lambda done=done: by_hand(operation, officer, done) for done in (True, False) * 3])
    row = only()
    told = [each for each in outcomes if isinstance(each, Operation)]
    assert [each.state for each in told] == [row.state], "one of them settled it, and the others hear so"
    assert all(isinstance(each, Operation | OperationRefused) for each in outcomes), outcomes


# --- What the platform says afterwards ------------------------------------------------------------


def test_not_carried_out_and_found_later(merchant: Merchant, officer: User, heard: list[Any]) -> None:
    operation = lost_refund(merchant, "after")
    by_hand(operation, officer, False)
    merchant.sandbox.clear_faults()
    assert operations.recheck_resolved() == 0, "asked only an hour later"
    an_hour_later()
    heard.clear()
    assert operations.recheck_resolved() == 1
    row = only()
    assert (row.state, row.attention, row.error) == ("succeeded", OperationAttention.CONTRADICTED, "")
    assert row.settled_by == officer, "who said otherwise stays known"
    assert ("operation_finished", "refund succeeded", "operation") in heard
    an_hour_later()
    assert operations.recheck_resolved() == 0


def test_not_carried_out_and_the_sync_brings_it(merchant: Merchant, officer: User) -> None:
    operation = lost_refund(merchant, "after")
    by_hand(operation, officer, False)
    merchant.sandbox.clear_faults()
    merchant.sync()
    operations.reconcile()
    assert (only().state, only().attention) == ("succeeded", OperationAttention.CONTRADICTED)


def test_carried_out_and_the_platform_has_no_trace(merchant: Merchant, officer: User) -> None:
    operation = lost_refund(merchant, "before")
    by_hand(operation, officer, True)
    merchant.sandbox.clear_faults()
    an_hour_later()
    assert operations.recheck_resolved() == 1
    row = only()
    assert (row.state, row.attention) == ("succeeded", OperationAttention.CONTRADICTED), "somebody's word stays"


def test_carried_out_and_it_was(merchant: Merchant, officer: User) -> None:
    operation = lost_refund(merchant, "after")
    by_hand(operation, officer, True)
    merchant.sandbox.clear_faults()
    an_hour_later()
    assert operations.recheck_resolved() == 0
    assert (only().state, only().attention) == ("succeeded", "")


def test_watched_for_three_days_and_not_while_the_platform_is_down(merchant: Merchant, officer: User) -> None:
    operation = lost_refund(merchant, "after")
    by_hand(operation, officer, False)
    an_hour_later()
    assert operations.recheck_resolved() == 0, "it cannot be read"
    assert only().state == "failed"
    merchant.sandbox.clear_faults()
    an_hour_later()
    Operation.objects.update(settled_at=timezone.now() - 73 * HOUR)
    before = len(merchant.sandbox.requests())
    assert operations.recheck_resolved() == 0
    assert len(merchant.sandbox.requests()) == before


def test_second_capture_is_not_taken_for_the_first(merchant: Merchant, officer: User) -> None:
    first, _payment = lost_capture(merchant, "before")
    by_hand(first, officer, False)
    merchant.sandbox.clear_faults()
    operations.capture_payment(payment=Payment.objects.get())
    an_hour_later()
    assert operations.recheck_resolved() == 0
    first.refresh_from_db()
    assert (first.state, first.attention) == ("failed", "")
    assert len(merchant.ledger("capture")) == 1


def test_carried_out_is_the_answer_to_the_same_key_and_what_came_of_it_is_found(
    merchant: Merchant, officer: User
) -> None:
    operation = lost_refund(merchant, "after", key="0b6f3a5e-4a6b-4c57-9b3c-222222222222")
    by_hand(operation, officer, True)

    def again() -> Any:
        return operations.refund_payment(payment=operation.payment, amount=500, key=operation.key)

    with pytest.raises(OutcomeUnknown, match="resolved it as carried out"):
        again()
    merchant.sandbox.clear_faults()
    an_hour_later()
    assert operations.recheck_resolved() == 0
    assert again().uid == only().result_uid
    assert (only().state, only().attention) == ("succeeded", "")
    assert len(merchant.posts("refund")) == 1


def test_capture_by_hand_is_the_answer_to_the_same_key(merchant: Merchant, officer: User) -> None:
    first, payment = lost_capture(merchant, "after")
    by_hand(first, officer, True)
    merchant.sandbox.clear_faults()
    assert operations.capture_payment(payment=payment, key=first.key).uid == payment.uid
    assert len(merchant.posts("capture")) == 1


def test_refund_is_asked_about_whatever_came_later(merchant: Merchant, officer: User) -> None:
    """Its reference is its own, so no later refund is taken for it."""
    operation = lost_refund(merchant, "before")
    by_hand(operation, officer, True)
    merchant.sandbox.clear_faults()
    operations.refund_payment(payment=Payment.objects.get(), amount=1)
    an_hour_later()
    assert operations.recheck_resolved() == 1
    operation.refresh_from_db()
    assert (operation.state, operation.attention) == ("succeeded", OperationAttention.CONTRADICTED)


def test_capture_that_was_voided_since_stays_captured(merchant: Merchant, officer: User) -> None:
    first, _payment = lost_capture(merchant, "after")
    by_hand(first, officer, True)
    merchant.sandbox.clear_faults()
    merchant.sync()
    operations.void_payment(payment=Payment.objects.get())
    merchant.sandbox.touch("payment", str(first.payment_id), captured_at=None)
    an_hour_later()
    assert operations.recheck_resolved() == 0
    first.refresh_from_db()
    assert (first.state, first.attention) == ("succeeded", "")


def test_only_money_is_asked_about_again(merchant: Merchant, officer: User, settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://a.example"]}
    session = operations.create_hosted_session(
        account=merchant.account, amount=500, success_url="https://a.example/", cancel_url="https://a.example/"
    )
    merchant.sandbox.fault("PATCH /v1/hosted-sessions/{uid}", times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        operations.update_hosted_session(session=session, amount=700)
    merchant.sandbox.fault("GET /v1/hosted-sessions/{uid}", status=400)
    merchant.pass_deadlines()
    by_hand(only(action="update_session"), officer, True)
    merchant.sandbox.clear_faults()
    an_hour_later()
    before = len(merchant.sandbox.requests())
    assert operations.recheck_resolved() == 0
    assert len(merchant.sandbox.requests()) == before


def test_dealt_with_once_is_dealt_with(merchant: Merchant, officer: User) -> None:
    operation = lost_refund(merchant, "before")
    by_hand(operation, officer, True)
    merchant.sandbox.clear_faults()
    an_hour_later()
    assert operations.recheck_resolved() == 1
    Operation.objects.update(attention="")
    an_hour_later()
    assert operations.recheck_resolved() == 0
    assert only().attention == ""


def test_one_that_cannot_be_looked_up_does_not_hold_up_the_others(merchant: Merchant, officer: User) -> None:
    settled = [lost_refund(merchant, "after"), lost_refund(merchant, "after")]
    for operation in settled:
        by_hand(operation, officer, False)
    merchant.sandbox.clear_faults()
    an_hour_later()
    Operation.objects.filter(pk=settled[0].pk).update(account=None)
    assert operations.recheck_resolved() == 1


def test_action_of_another_release_is_settled_by_word_alone(merchant: Merchant, officer: User) -> None:
    operation = lost_refund(merchant, "before")
    Operation.objects.update(action="transfer")
    assert by_hand(operation, officer, False).state == "failed"


# --- Who told first ---------------------------------------------------------------------------------


def test_look_up_under_way_while_somebody_settles(merchant: Merchant, officer: User) -> None:
    """The platform's word replaces the other, and somebody is told."""
    operation = lost_refund(merchant, "after")
    found = Operation.objects.get(pk=operation.pk)
    by_hand(operation, officer, False)
    merchant.sandbox.clear_faults()
    assert reconcile_one(found) == "succeeded"
    assert (only().state, only().attention) == ("succeeded", OperationAttention.CONTRADICTED)


def test_late_success_does_not_say_start_anew(merchant: Merchant) -> None:
    """Two ticks overlap: the first finds no trace and closes the row, the second has found it."""
    operation = lost_refund(merchant, "after")
    merchant.sandbox.clear_faults()
    stale = Operation.objects.get(pk=operation.pk)
    Operation.objects.update(
        state="failed", error_class="APIConnectionError", absent_at=timezone.now(), attention="not_executed"
    )
    assert reconcile_one(stale) == "succeeded"
    assert (only().state, only().attention) == ("succeeded", OperationAttention.CONTRADICTED)


# --- What raises attention by itself --------------------------------------------------------------


def test_lost_and_not_executed_needs_somebody(merchant: Merchant) -> None:
    operation = lost_refund(merchant, "before")
    merchant.sandbox.clear_faults()
    merchant.reconcile_all()
    operation.refresh_from_db()
    assert (operation.state, operation.attention) == ("failed", OperationAttention.NOT_EXECUTED)
    assert operation.attention_at is not None


def test_late_failure_needs_somebody(merchant: Merchant) -> None:
    payment = merchant.bank_payment()
    refund = operations.refund_payment(payment=payment, amount=500)
    assert only().attention == ""
    merchant.sandbox.settle(fail=[refund.uid])
    merchant.sync()
    operations.reconcile()
    assert (only().state, only().attention) == ("failed", OperationAttention.LATE_FAILURE)


def test_plain_refusal_and_success_need_nobody(merchant: Merchant) -> None:
    payment = merchant.captured()
    operations.refund_payment(payment=payment, amount=500)
    merchant.sandbox.fault(f"POST /api/payments/{payment.uid}/refund", times=1, status=422)
    with pytest.raises(InvalidRequest):
        operations.refund_payment(payment=payment, amount=500)
    merchant.reconcile_all()
    assert not Operation.objects.exclude(attention="").exists()


def test_why_it_could_not_be_looked_up_is_kept(merchant: Merchant) -> None:
    operation = lost_refund(merchant, "before")
    operations.reconcile()
    operation.refresh_from_db()
    assert operation.look_up_error
    merchant.sandbox.clear_faults()
    operations.reconcile()
    operation.refresh_from_db()
    assert operation.look_up_error == ""

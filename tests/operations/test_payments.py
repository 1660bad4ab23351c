"""Capture and void: repetitions, refusals before any HTTP, and the signals of each outcome."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from govpay import operations
from govpay.exceptions import (
    Conflict,
    Gone,
    InvalidRequest,
    NotFound,
    OperationRefused,
    OutcomeUnknown,
    PaymentDeclined,
)
from govpay.models import Operation, Payment, PaymentAccount
from govpay.models.choices import PaymentStatus, label_of
from govpay.operations import Snapshot
from tests.operations.merchant import Merchant, bank_account, card, only

pytestmark = pytest.mark.django_db(transaction=True)

CAPTURE, VOID = "POST /api/payments/{uid}/capture", "POST /api/payments/{uid}/void"


@pytest.fixture
def bodies(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What came in at the platform's capture route."""
    found: list[dict[str, Any]] = []
    app = merchant.sandbox._server.app
    real = app._run

    def run(method: str, call: Any, request_id: str) -> Any:
        if call.path.endswith("/capture"):
            found.append(json.loads(call.data))
        return real(method, call, request_id)

    monkeypatch.setattr(app, "_run", run)
    return found


# --- Capture ---------------------------------------------------------------------------------------


def test_capture_takes_the_money_once(merchant: Merchant, heard: list[Any]) -> None:
    payment = merchant.quoted(14_000, tax_amount=227)
    row = operations.capture_payment(payment=payment)
    assert (row.status, row.pk) == ("captured", payment.pk)
    assert row.captured_at is not None
    (entry,) = merchant.ledger()
    assert (entry["kind"], entry["amount"], entry["payment_uid"]) == ("capture", payment.total_amount, payment.uid)
    operation = only(action="capture")
    assert (operation.state, operation.amount, operation.currency) == ("succeeded", payment.total_amount, "USD")
    assert (operation.payment_id, operation.result_uid, operation.error) == (payment.uid, payment.uid, "")
    assert operation.finished_at is not None
    assert heard[1:] == [
        ("payment_captured", payment.uid, "operation"),
        ("operation_finished", "capture succeeded", "operation"),
    ]


@pytest.mark.parametrize("method", [card(holder_name="Pat Exämple", bin="41111122"), bank_account(bank_name="B & Co")])
def test_capture_repeats_the_validation_exactly(merchant: Merchant, bodies: list[Any], method: dict[str, Any]) -> None:
    payment = merchant.quoted(5000, tax_amount=10, method=method, reference_id="INV/7 'x'")
    operations.capture_payment(payment=payment)
    assert bodies == [
        {
            "base_amount": 5000,
            "tax_amount": 10,
            "processing_fee_amount": payment.processing_fee_amount,
            "total_amount": payment.total_amount,
            "currency": "USD",
            "reference_id": "INV/7 'x'",
            "payment_method": method,
        }
    ]


def test_capture_does_not_send_a_tax_that_the_document_does_not_have(merchant: Merchant, bodies: list[Any]) -> None:
    """The vendor's wallet sample leaves it out."""
    method = merchant.saved_method().uid
    payment = merchant.add("validated", method=method, tax_amount=0)
    del (document := dict(payment.raw))["tax_amount"]
    merchant.sandbox.touch("payment", payment.uid, tax_amount=None)
    merchant.sync("payments")
    with pytest.raises(InvalidRequest):  # our platform wants it
        operations.capture_payment(payment=payment)
    assert "tax_amount" not in bodies[0]
    assert bodies[0]["payment_method"] == document["payment_method"]


@pytest.mark.parametrize(("currency", "base"), [("JPY", 1200), ("KWD", 12_345)])
def test_currency_with_other_decimals_is_captured_and_refunded_in_its_own_units(
    merchant: Merchant, currency: str, base: int
) -> None:
    payment = merchant.add("validated", method=merchant.saved_method().uid, base_amount=base, currency=currency)
    captured = operations.capture_payment(payment=payment)
    assert operations.refund_payment(payment=captured, amount=base).amount == base
    with pytest.raises(OperationRefused, match=r"Only .* left"):
        operations.refund_payment(payment=captured, amount=base)
    assert {entry["currency"] for entry in merchant.ledger()} == {currency}


@pytest.mark.parametrize("status", ["captured", "failed", "voided", "partially_refunded", "refunded", "expired", "odd"])
def test_only_a_validated_payment_is_captured(merchant: Merchant, status: str) -> None:
    payment = merchant.add("validated" if status == "odd" else status)
    if status == "odd":
        merchant.sandbox.touch("payment", payment.uid, status="odd")
        merchant.sync("payments")
    with pytest.raises(
        OperationRefused,
        match=f"Only a payment that waits for capture .* of this one: {label_of(status, PaymentStatus)}",
    ):
        operations.capture_payment(payment=payment)
    assert not merchant.posts()
    assert not Operation.objects.exists()


def test_payment_validated_elsewhere_is_refused_unless_it_names_a_saved_method(merchant: Merchant) -> None:
    with pytest.raises(OperationRefused, match="validated elsewhere"):
        operations.capture_payment(payment=merchant.add("validated"))
    wallet = merchant.add("validated", method=merchant.saved_method().uid)
    assert operations.capture_payment(payment=wallet).status == "captured"
    assert len(merchant.posts()) == 1


@pytest.mark.parametrize(("kind", "minutes"), [("card", 15), ("wallet", 24 * 60)])
def test_expired_validation_is_refused_before_http(merchant: Merchant, kind: str, minutes: int) -> None:
    payment = merchant.quoted() if kind == "card" else merchant.add("validated", method=merchant.saved_method().uid)
    assert payment.remote_created_at is not None
    end = payment.remote_created_at + dt.timedelta(minutes=minutes)
    with time_machine.travel(end), pytest.raises(OperationRefused, match="has expired"):
        operations.capture_payment(payment=payment)
    assert not merchant.posts("capture")
    with time_machine.travel(end - dt.timedelta(seconds=30)):
        assert operations.capture_payment(payment=payment).status == "captured"


def test_expiry_that_only_the_platform_knows_of(merchant: Merchant, heard: list[Any]) -> None:
    payment = merchant.quoted()
    merchant.sandbox.advance(16 * 60)
    with pytest.raises(Gone, match="expired"):
        operations.capture_payment(payment=payment)
    assert Payment.objects.get().status == "expired", "it was read again"
    assert only(action="capture").state == "failed"
    assert only(action="quote").validated_method is None
    assert merchant.ledger() == []


def test_decline_leaves_the_payment_failed_and_says_so_once(merchant: Merchant, heard: list[Any]) -> None:
    payment = merchant.quoted(method=card("9995"))
    with pytest.raises(PaymentDeclined, match="insufficient funds") as error:
        operations.capture_payment(payment=payment)
    assert error.value.code == "insufficient_funds"
    row = Payment.objects.get()
    assert (row.status, row.decline_code) == ("failed", "insufficient_funds")
    operation = only(action="capture")
    assert (operation.state, operation.error_code) == ("failed", "insufficient_funds")
    assert operation.remote_request_id == error.value.request_id != ""
    merchant.sync()
    operations.reconcile()
    assert [signal for signal in heard if signal[0] == "payment_failed"] == [("payment_failed", row.uid, "operation")]
    assert heard.count(("operation_finished", "capture failed", "operation")) == 1
    with pytest.raises(OperationRefused, match="Failed"):
        operations.capture_payment(payment=row)


def test_decline_that_comes_as_a_success_is_a_decline(merchant: Merchant) -> None:
    payment = merchant.quoted(method=card("0002"))
    body = json.dumps({"uid": payment.uid, "status": "failed", "decline_code": "card_declined"})
    merchant.sandbox.fault(CAPTURE, times=1, status=200, body=body)
    with pytest.raises(PaymentDeclined, match="The bank declined the card") as error:
        operations.capture_payment(payment=payment)
    assert error.value.code == only(action="capture").error_code == "card_declined"
    assert only(action="capture").state == "failed"
    assert Payment.objects.get().decline_code == "card_declined"


def test_answer_that_says_little_does_not_empty_the_row(merchant: Merchant) -> None:
    payment = merchant.quoted()
    body = json.dumps({"uid": payment.uid})
    merchant.sandbox.fault(CAPTURE, times=1, status=200, body=body, act=True)
    row = operations.capture_payment(payment=payment)
    row.refresh_from_db()
    assert (row.status, row.total_amount, row.reference_id) == ("captured", payment.total_amount, payment.reference_id)
    operations.refund_payment(payment=row, amount=5)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(409, "already_captured", Conflict), (422, "validation_error", InvalidRequest), (404, "not_found", NotFound)],
)
def test_refusal_of_the_platform_reads_the_payment_again(merchant: Merchant, status: int, code: str, kind: Any) -> None:
    payment = merchant.quoted()
    merchant.sandbox.touch("payment", payment.uid, status="voided")
    body = json.dumps({"code": code, "message": "The platform's words."})
    merchant.sandbox.fault(CAPTURE, times=1, status=status, body=body)
    with pytest.raises(kind, match="The platform's words"):
        operations.capture_payment(payment=payment)
    assert Payment.objects.get().status == "voided"
    assert (only(action="capture").state, only(action="capture").error_code) == ("failed", code)
    assert len(merchant.posts("capture")) == 1


def test_refusal_is_told_even_when_the_payment_cannot_be_read(merchant: Merchant, impatient: None) -> None:
    payment = merchant.quoted()
    merchant.sandbox.fault(CAPTURE, times=1, status=409)
    merchant.sandbox.fault("GET /api/payments/{uid}", status=503)
    with pytest.raises(Conflict):
        operations.capture_payment(payment=payment)
    assert only(action="capture").state == "failed"


# --- What the caller holds, and what was shown ------------------------------------------------------


def test_stale_instance_counts_for_nothing(merchant: Merchant) -> None:
    payment, stale = merchant.quoted(), Payment.objects.get()
    operations.capture_payment(payment=payment)
    assert stale.status == "validated"
    with pytest.raises(OperationRefused, match="captured"):
        operations.capture_payment(payment=stale)
    assert len(merchant.posts("capture")) == 1


@pytest.mark.parametrize("column", ["total_amount", "currency"])
def test_instance_with_other_money_is_refused(merchant: Merchant, column: str) -> None:
    payment = merchant.quoted()
    setattr(payment, column, {"total_amount": 1, "currency": "EUR"}[column])
    with pytest.raises(OperationRefused, match="amount has changed"):
        operations.capture_payment(payment=payment)
    assert not merchant.posts("capture")


@pytest.mark.parametrize(
    "seen", [Snapshot("captured"), Snapshot("validated", total=1), Snapshot("validated", currency="EUR")]
)
def test_payment_that_differs_from_what_was_shown_is_refused(merchant: Merchant, seen: Snapshot) -> None:
    payment = merchant.quoted()
    for action in (operations.capture_payment, operations.void_payment):
        with pytest.raises(OperationRefused, match="changed since it was shown"):
            action(payment=payment, seen=seen)
    assert not merchant.posts(payment.uid)
    shown = Snapshot("validated", 0, payment.total_amount, payment.currency)
    assert operations.capture_payment(payment=payment, seen=shown).status == "captured"


@pytest.mark.parametrize("action", [operations.capture_payment, operations.void_payment, operations.refund_payment])
def test_payments_of_others_and_of_nobody_are_refused(merchant: Merchant, action: Any) -> None:
    payment = merchant.add("validated", method=merchant.saved_method().uid)
    other = merchant.add_account(name="Courts")
    with pytest.raises(OperationRefused, match="another payment account"):
        action(payment=Payment(uid=payment.uid, account_id=other.uid))
    with pytest.raises(OperationRefused, match="another payment account"):
        action(payment=Payment(uid=payment.uid))
    with pytest.raises(OperationRefused, match="no such payment"):
        action(payment=Payment(uid="pay_none", account_id=other.uid))
    PaymentAccount.objects.filter(uid=merchant.account.uid).update(deleted_at=timezone.now())
    with pytest.raises(OperationRefused, match="no longer has this payment account"):
        action(payment=payment)
    PaymentAccount.objects.update(deleted_at=None)
    Payment.objects.update(deleted_at=timezone.now())
    with pytest.raises(OperationRefused, match="no longer has this payment"):
        action(payment=payment)
    assert not merchant.posts()
    assert not Operation.objects.exists()


# --- Void ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["validated", "captured"])
def test_void_cancels_before_capture_and_on_its_day(merchant: Merchant, heard: list[Any], status: str) -> None:
    payment = merchant.add(status)
    assert operations.void_payment(payment=payment).status == "voided"
    assert merchant.moved("void", payment) == payment.total_amount
    operation = only(action="void")
    assert (operation.state, operation.amount) == ("succeeded", payment.total_amount)
    assert heard == [("operation_finished", "void succeeded", "operation")]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ("partially_refunded", "cannot be voided"),
        ("refunded", "cannot be voided"),
        ("voided", "cannot be voided"),
        ("failed", "cannot be voided"),
        ("charged_back", "cannot be voided"),
        ("expired", "cannot be voided"),
    ],
)
def test_void_of_what_is_over_is_refused(merchant: Merchant, status: str, why: str) -> None:
    with pytest.raises(OperationRefused, match=why):
        operations.void_payment(payment=merchant.add(status))
    assert not merchant.posts()


def test_void_is_refused_after_the_utc_day_of_capture(merchant: Merchant) -> None:
    payment = merchant.captured()
    day = payment.captured_at.date() + dt.timedelta(days=1)  # type: ignore[union-attr]
    with (
        time_machine.travel(dt.datetime.combine(day, dt.time(0, 1), dt.UTC)),
        pytest.raises(OperationRefused, match="only on the day of capture"),
    ):
        operations.void_payment(payment=payment)
    assert not merchant.posts()


def test_void_is_refused_while_a_refund_is_pending(merchant: Merchant) -> None:
    payment = merchant.bank_payment()
    operations.refund_payment(payment=payment, amount=5)
    assert Payment.objects.get().status == "captured", "the platform counts it when it has settled"
    with pytest.raises(OperationRefused, match="with a refund cannot be voided"):
        operations.void_payment(payment=payment)
    assert not merchant.posts("void")


# --- Lost answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "route"), [("capture", CAPTURE), ("void", VOID)])
def test_lost_answer_is_looked_up_and_never_sent_again(
    merchant: Merchant, heard: list[Any], action: str, route: str
) -> None:
    payment = merchant.quoted()
    merchant.sandbox.fault(route, times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        {"capture": operations.capture_payment, "void": operations.void_payment}[action](payment=payment)
    assert only(action=action).state == "unknown"
    assert operations.reconcile().succeeded == 1
    assert Payment.objects.get().status == {"capture": "captured", "void": "voided"}[action]
    assert heard.count(("operation_finished", f"{action} succeeded", "operation")) == 1
    assert len(merchant.posts(action)) == len(merchant.ledger(action)) == 1
    assert only(action="quote").validated_method is None


@pytest.mark.parametrize(
    ("changes", "state", "error"),
    [
        ({"status": "charged_back"}, "succeeded", ""),
        ({"status": "voided", "captured_at": "2030-01-01T00:00:00Z"}, "succeeded", ""),
        ({"status": "settled", "captured_at": "2030-01-01T00:00:00Z"}, "succeeded", ""),
        ({"status": "settled", "captured_at": "31/12/2030"}, "succeeded", ""),
        ({"status": "failed", "decline_code": 7}, "failed", "PaymentDeclined"),
        ({"status": "failed", "decline_code": "card_declined"}, "failed", "PaymentDeclined"),
        ({"status": "voided"}, "failed", "Conflict"),
        ({"status": "expired"}, "failed", "Gone"),
        ({"status": "processing"}, "unknown", "OutcomeUnknown"),
        ({"status": None}, "unknown", "OutcomeUnknown"),
    ],
    ids=str,
)
def test_lost_capture_is_judged_by_what_the_payment_has_become(
    merchant: Merchant, changes: dict[str, Any], state: str, error: str
) -> None:
    payment = merchant.quoted()
    merchant.sandbox.fault(CAPTURE, times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        operations.capture_payment(payment=payment)
    merchant.sandbox.touch("payment", payment.uid, **changes)
    merchant.reconcile_all()
    operation = only(action="capture")
    assert (operation.state, operation.error_class) == (state, error)
    assert len(merchant.posts("capture")) == 1


@pytest.mark.parametrize(
    ("status", "state", "error"),
    [("refunded", "failed", "Conflict"), ("expired", "failed", "Gone"), ("odd", "unknown", "OutcomeUnknown")],
)
def test_lost_void_is_judged_by_what_the_payment_has_become(
    merchant: Merchant, status: str, state: str, error: str
) -> None:
    payment = merchant.captured()
    merchant.sandbox.fault(VOID, times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        operations.void_payment(payment=payment)
    merchant.sandbox.touch("payment", payment.uid, status=status)
    merchant.reconcile_all()
    assert (only().state, only().error_class) == (state, error)


@pytest.mark.parametrize("status", [404, 405])
def test_payment_that_cannot_be_read_proves_nothing(merchant: Merchant, status: int) -> None:
    payment = merchant.quoted()
    merchant.sandbox.fault(CAPTURE, times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        operations.capture_payment(payment=payment)
    merchant.sandbox.fault("GET /api/payments/{uid}", status=status)
    merchant.reconcile_all()
    assert only(action="capture").state == "unknown"
    merchant.sandbox.clear_faults()
    assert operations.reconcile().succeeded == 1

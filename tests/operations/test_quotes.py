"""Quotes: refusals before any HTTP, what is stored of the method, and when it is deleted."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from govpay import operations
from govpay.exceptions import EncryptionError, InvalidRequest, OperationRefused, OutcomeUnknown, PaymentDeclined
from govpay.models import Operation, Payment, PaymentAccount, SavedPaymentMethod
from tests.operations.merchant import Merchant, bank_account, card, only

pytestmark = pytest.mark.django_db(transaction=True)

VALIDATE = "POST /api/payments"


def test_quote_carries_the_platforms_fee_and_captures_nothing(merchant: Merchant, heard: list[Any]) -> None:
    payment = operations.quote_payment(
        account=merchant.account, base_amount=14_000, tax_amount=227, payment_method=card(), reference_id="INV-1"
    )
    assert (payment.status, payment.reference_id, payment.currency) == ("validated", "INV-1", "USD")
    assert (payment.base_amount, payment.tax_amount) == (14_000, 227)
    # The vendor's own sample: 14227 gives 423.
    assert (payment.processing_fee_amount, payment.total_amount) == (423, 14_650)
    assert payment == Payment.objects.get()
    assert merchant.ledger() == []
    operation = only()
    assert (operation.action, operation.state, operation.amount) == ("quote", "succeeded", 14_227)
    assert (operation.payment_id, operation.result_uid) == (payment.uid, payment.uid)
    assert heard == [("operation_finished", "quote succeeded", "operation")]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"base_amount": 0}, "base_amount"),
        ({"base_amount": -5}, "base_amount"),
        ({"base_amount": True}, "base_amount"),
        ({"base_amount": 12.0}, "base_amount"),
        ({"base_amount": "1200"}, "base_amount"),
        ({"base_amount": Decimal(1200)}, "base_amount"),
        ({"base_amount": 2**53}, "base_amount"),
        ({"base_amount": None}, "base_amount"),
        ({"base_amount": 2**53 - 1, "tax_amount": 1}, "too large"),
        ({"tax_amount": -1}, "tax_amount"),
        ({"tax_amount": False}, "tax_amount"),
        ({"tax_amount": 0.0}, "tax_amount"),
        ({"tax_amount": None}, "tax_amount"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "ABC"}, "currency"),
        ({"currency": "US"}, "currency"),
        ({"currency": None}, "currency"),
        ({"reference_id": ""}, "reference_id"),
        ({"reference_id": "  "}, "reference_id"),
        ({"reference_id": "a\x00b"}, "reference_id"),
        ({"reference_id": "x" * 256}, "reference_id"),
        ({"reference_id": 12}, "reference_id"),
        ({"payment_method": None}, "either"),
        ({"payment_method": {}}, "payment_method_type"),
        ({"payment_method": {"payment_method_type": "cash"}}, "payment_method_type"),
        ({"payment_method": {"payment_method_type": "credit"}}, r"payment_method\.credit is missing"),
        ({"payment_method": card(holder="Pat")}, r"payment_method\.credit\.holder is not known"),
        ({"payment_method": card(last4=1111)}, "last4"),
        ({"payment_method": card(exp_month="12")}, "exp_month"),
        ({"payment_method": card(card_brand="visa")}, "card_brand"),
        ({"payment_method": card(bin=None)}, "bin must not be null"),
        ({"payment_method": bank_account(routing_number="12")}, "routing_number"),
        ({"payment_method": {**card(), "ach": bank_account()["ach"]}}, "ach"),
        ({"payment_method": {**card(), "descriptor": "x"}}, r"payment_method\.descriptor is not known"),
        ({"payment_method": [card()]}, "must be an object"),
        ({"saved_method": SavedPaymentMethod(uid="pm_1", method_type="credit")}, "either"),
    ],
    ids=lambda value: str(value)[:60],
)
@pytest.mark.django_db(transaction=False)
def test_bad_input_is_refused_by_name_before_anything(wrong: dict[str, Any], named: str) -> None:
    # Nobody listens where the settings point to: any call would be another error.
    asked = {"account": PaymentAccount(uid="acc_1"), "base_amount": 1200, "payment_method": card(), **wrong}
    with pytest.raises(OperationRefused, match=named):
        operations.quote_payment(**asked)
    assert not Operation.objects.exists()


def test_refusal_never_quotes_the_card(merchant: Merchant) -> None:
    with pytest.raises(OperationRefused) as error:
        operations.quote_payment(
            account=merchant.account, base_amount=1, payment_method=card(fingerprint="tok_canary", cvv="123")
        )
    assert "tok_canary" not in str(error.value)
    assert "123" not in str(error.value)


def test_currency_is_the_platforms_to_refuse(merchant: Merchant) -> None:
    with pytest.raises(InvalidRequest, match="currency"):
        merchant.quoted(currency="JPY")
    assert only().currency == "JPY"


# --- Saved methods and accounts --------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "wire"), [("credit", "wallet_credit"), ("ach", "wallet_ach")])
def test_saved_method_is_quoted_and_captured(merchant: Merchant, kind: str, wire: str) -> None:
    method = merchant.saved_method(kind)
    payment = operations.quote_payment(account=merchant.account, base_amount=900, saved_method=method)
    assert (payment.method_type, payment.saved_method_uid) == (wire, method.uid)
    operation = only()
    assert operation.customer_id == method.customer_id
    # The platform's later answers are free to say less of the method than capture has to repeat.
    Payment.objects.update(method_type="", saved_method=None)
    assert operations.capturable_methods([payment]) == {payment.uid}
    operations.capture_payment(payment=payment)
    assert merchant.moved("capture", payment) == payment.total_amount


@pytest.mark.parametrize("way", ["instance", "document"])
@pytest.mark.parametrize("fault", ["foreign", "removed"])
def test_foreign_or_removed_saved_method_is_refused(merchant: Merchant, way: str, fault: str) -> None:
    account = merchant.add_account(name="Courts") if fault == "foreign" else merchant.account
    method = merchant.saved_method(account=account)
    if fault == "removed":
        # The caller's instance does not know it yet.
        SavedPaymentMethod.objects.update(deleted_at=timezone.now())
    document = {"payment_method_type": "wallet_credit", "wallet": {"saved_payment_method_uid": method.uid}}
    asked: dict[str, Any] = {"saved_method": method} if way == "instance" else {"payment_method": document}
    with pytest.raises(OperationRefused, match="another payment account" if fault == "foreign" else "removed"):
        operations.quote_payment(account=merchant.account, base_amount=900, **asked)
    assert not merchant.posts()
    assert not Operation.objects.exists()


def test_account_that_is_gone_is_refused(merchant: Merchant) -> None:
    with pytest.raises(OperationRefused, match="no such payment account"):
        operations.quote_payment(account=PaymentAccount(uid="acc_none"), base_amount=1, payment_method=card())
    PaymentAccount.objects.update(deleted_at=timezone.now())
    with pytest.raises(OperationRefused, match="no longer has this payment account"):
        operations.quote_payment(account=merchant.account, base_amount=1, payment_method=card())
    assert not merchant.posts()


# --- Ways to end -----------------------------------------------------------------------------------


def test_platform_that_refuses_the_value_leaves_no_method_behind(merchant: Merchant, heard: list[Any]) -> None:
    account = merchant.add_account(name="Small", maximum_payment_amount=5)
    with pytest.raises(InvalidRequest, match="limits"):
        merchant.quoted(600, account=account)
    operation = only()
    assert (operation.state, operation.error_class, operation.validated_method) == ("failed", "InvalidRequest", None)
    assert heard == [("operation_finished", "quote failed", "operation")]


def test_decline_at_validation_is_one(merchant: Merchant) -> None:
    body = json.dumps({"uid": "pay_x", "status": "failed", "decline_code": "card_declined"})
    merchant.sandbox.fault(VALIDATE, times=1, status=201, body=body)
    with pytest.raises(PaymentDeclined, match="The bank declined the card"):
        merchant.quoted()
    assert (only().state, only().validated_method) == ("failed", None)
    assert Payment.objects.get().status == "failed"


def test_answer_with_the_documented_properties_alone_is_enough(merchant: Merchant) -> None:
    """/platform/payments/ names uid, fee, total and the method; no more."""
    method = card()
    sent = merchant.sandbox.add_payment(
        merchant.account.uid, payment_method=method, base_amount=5000, reference_id="INV-7"
    )
    body = {name: sent[name] for name in ("uid", "processing_fee_amount", "total_amount", "payment_method")}
    merchant.sandbox.fault(VALIDATE, times=1, status=201, body=json.dumps(body))
    payment = merchant.quoted(5000, method=method, reference_id="INV-7")
    assert (payment.base_amount, payment.tax_amount, payment.currency) == (5000, 0, "USD")
    assert (payment.status, payment.reference_id) == ("validated", "INV-7")
    assert operations.capture_payment(payment=payment).status == "captured"
    assert merchant.moved("capture", payment) == sent["total_amount"]


def test_lost_answer_is_found_by_its_reference(merchant: Merchant) -> None:
    merchant.sandbox.fault(VALIDATE, times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        merchant.quoted(reference_id="INV-9")
    assert operations.reconcile().succeeded == 1
    payment = Payment.objects.get()
    assert only().payment_id == payment.uid
    # Its method was kept, so it can be captured after all.
    assert operations.capture_payment(payment=payment).status == "captured"
    assert len(merchant.posts()) == 2


def test_lost_answer_is_found_although_its_payment_has_an_odd_date(merchant: Merchant) -> None:
    merchant.sandbox.fault(VALIDATE, times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        merchant.quoted()
    [payment] = merchant.sandbox.all("payment")
    merchant.sandbox.touch("payment", payment["uid"], created_at="31/12/2026")
    assert operations.reconcile().succeeded == 1


def test_lost_answers_with_one_reference_find_one_payment_each(merchant: Merchant) -> None:
    earlier = merchant.quoted(reference_id="INV-9")
    merchant.sandbox.fault(VALIDATE, times=2, close="after")
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            merchant.quoted(reference_id="INV-9")
    assert operations.reconcile().succeeded == 2
    found = list(Operation.objects.values_list("result_uid", flat=True))
    assert len(set(found)) == 3
    assert earlier.uid in found


def test_lost_answer_is_found_although_its_payment_was_voided_meanwhile(merchant: Merchant) -> None:
    """M3, M6: the sync brings the payment before reconciliation looks, and staff void it."""
    merchant.sandbox.fault("POST /api/payments", times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        merchant.quoted()
    merchant.sync()
    voided = operations.void_payment(payment=Payment.objects.get())
    merchant.reconcile_all()
    quote = only(action="quote")
    assert (quote.state, quote.error, quote.result_uid) == ("succeeded", "", voided.uid)
    assert quote.validated_method is None
    assert Payment.objects.get().status == "voided"


@pytest.mark.parametrize("given", [{"base_amount": 9_999}, {"currency": "EUR"}, {"created_at": "2020-01-01T00:00:00Z"}])
def test_lost_answer_is_not_taken_for_another_quote(merchant: Merchant, given: dict[str, Any]) -> None:
    merchant.sandbox.add_payment(merchant.account.uid, reference_id="INV-9", **given)
    merchant.sandbox.fault(VALIDATE, times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        merchant.quoted(reference_id="INV-9")
    assert merchant.reconcile_all().failed == 1
    operation = only()
    assert (operation.payment_id, operation.error_class, operation.validated_method) == (
        None,
        "APIConnectionError",
        None,
    )


# --- The sealed method -----------------------------------------------------------------------------


def sealed() -> str | None:
    """What lies in the table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT validated_method FROM govpay_operation WHERE action = 'quote'")
        ((value,),) = cursor.fetchall()
    return value


def test_method_is_sealed_at_rest_and_wiped_by_the_capture(merchant: Merchant) -> None:
    method = card(fingerprint="tok_canary_1")
    payment = merchant.quoted(method=method)
    kept = sealed()
    assert kept
    assert "tok_canary_1" not in kept
    assert "tok_canary_1" not in str(only().__dict__) + str(Payment.objects.values())
    assert operations.capturable_methods([payment]) == {payment.uid}
    operations.capture_payment(payment=payment)
    assert sealed() is None
    assert operations.capturable_methods([payment]) == set()


def test_method_is_wiped_by_void_and_by_decline(merchant: Merchant) -> None:
    operations.void_payment(payment=merchant.quoted())
    assert sealed() is None
    Operation.objects.all().delete()
    with pytest.raises(PaymentDeclined):
        operations.capture_payment(payment=merchant.quoted(method=card("0002")))
    assert sealed() is None


@pytest.mark.parametrize("status", ["captured", "voided", "expired", "failed"])
def test_method_is_wiped_when_the_sync_brings_the_end(merchant: Merchant, status: str) -> None:
    payment = merchant.quoted()
    operations.reconcile()
    assert sealed(), "not before"
    merchant.sandbox.touch("payment", payment.uid, status=status)
    merchant.sync("payments")
    operations.reconcile()
    assert sealed() is None


def test_method_is_wiped_when_the_validation_has_expired(merchant: Merchant) -> None:
    merchant.quoted()
    Operation.objects.update(method_expires_at=timezone.now() + dt.timedelta(minutes=1))
    operations.reconcile()
    assert sealed()
    Operation.objects.update(method_expires_at=timezone.now() - dt.timedelta(minutes=1))
    operations.reconcile()
    assert sealed() is None


def test_method_of_a_quote_that_stays_unknown_is_wiped_as_well(merchant: Merchant) -> None:
    merchant.sandbox.fault(VALIDATE, times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        merchant.quoted()
    merchant.sandbox.fault("GET /api/payments", status=404)
    Operation.objects.update(method_expires_at=timezone.now() - dt.timedelta(minutes=1))
    operations.reconcile()
    assert (only().state, sealed()) == ("unknown", None)


def test_lost_key_is_named_and_nothing_is_sent(merchant: Merchant, settings: Any) -> None:
    payment = merchant.quoted()
    settings.SECRET_KEY = "another"
    with pytest.raises(EncryptionError, match="ENCRYPTION_KEYS"):
        operations.capture_payment(payment=payment, key=uuid.uuid4())
    assert not merchant.posts("capture")
    assert not Operation.objects.filter(action="capture").exists()

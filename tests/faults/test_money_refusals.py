"""M5 and M7: the platform refuses, or the page is out of date. The refusal is final, explained, and moves no money."""

from __future__ import annotations

from typing import Any

import pytest

from govpay import operations
from govpay.exceptions import Conflict, InvalidRequest, OperationRefused
from govpay.models import Operation, Payment
from govpay.operations import Snapshot
from tests.amounts import repeats
from tests.operations.merchant import Merchant, listening

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = repeats(20, 4, 20)


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None) -> Merchant:
    return Merchant(sandbox)


def shown(payment: Payment) -> Snapshot:
    row = Payment.objects.with_pending_refunds().get(pk=payment.pk)
    return Snapshot(row.status, row.refundable_amount, row.total_amount, row.currency)


def test_captured_by_somebody_else_meanwhile(merchant: Merchant) -> None:
    """M5: 409, read again, explained, told once, not repeated."""
    for _ in range(ROUNDS):
        payment = merchant.quoted()
        merchant.sandbox.touch("payment", payment.uid, status="captured")
        with listening() as heard, pytest.raises(Conflict, match="captured before"):
            operations.capture_payment(payment=payment)
        assert Payment.objects.get(pk=payment.pk).status == "captured"
        assert heard == [
            ("payment_captured", payment.uid, "operation"),
            ("operation_finished", "capture failed", "operation"),
        ] or heard == [
            ("operation_finished", "capture failed", "operation"),
            ("payment_captured", payment.uid, "operation"),
        ]
        assert len(merchant.posts(f"{payment.uid}/capture")) == 1
        with pytest.raises(OperationRefused, match="captured"):
            operations.capture_payment(payment=payment)


def test_refunded_by_somebody_else_meanwhile(merchant: Merchant) -> None:
    """M5: more than is left; the refusal brings what is left now."""
    for _ in range(ROUNDS):
        payment = merchant.captured()
        total = payment.total_amount or 0
        merchant.sandbox.refund(payment.uid, total - 1, f"elsewhere-{payment.uid}")
        with pytest.raises(InvalidRequest, match="exceeds"):
            operations.refund_payment(payment=payment, amount=2)
        assert shown(payment).refundable == 1
        assert merchant.moved("refund", payment) == total - 1
        assert len(merchant.posts(payment.uid)) == 1
    assert set(Operation.objects.values_list("state", flat=True)) == {"failed"}


@pytest.mark.parametrize("change", ["total", "currency", "status", "refund"])
def test_changed_since_the_page_was_shown(merchant: Merchant, change: str) -> None:
    """M7: nothing is sent, whatever differs."""
    for _ in range(ROUNDS // 2):
        payment = merchant.captured()
        seen = shown(payment)
        if change == "refund":
            merchant.sandbox.refund(payment.uid, 1, f"elsewhere-{payment.uid}")
        else:
            changes = {"total": {"total_amount": 1}, "currency": {"currency": "CAD"}, "status": {"status": "returned"}}
            merchant.sandbox.touch("payment", payment.uid, **changes[change])
        merchant.sync()
        fresh = Payment.objects.get(pk=payment.pk)
        for row in (payment, fresh):
            with pytest.raises(OperationRefused, match="changed since it was shown"):
                operations.refund_payment(payment=row, amount=1, seen=seen)
            with pytest.raises(OperationRefused):
                operations.void_payment(payment=row, seen=seen)
        assert merchant.posts(payment.uid) == []
    assert not Operation.objects.exists()

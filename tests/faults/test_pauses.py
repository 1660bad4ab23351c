"""R1: a 429 pauses the calls of its own account and kind, in all processes, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from govpay import operations
from govpay.connection import get_endpoints, reset
from govpay.exceptions import RateLimited
from govpay.sync.pull import pull
from tests.operations.merchant import Merchant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def merchant(sandbox: Any) -> Merchant:
    """A merchant whose list of payments was read too fast: the platform asked for four minutes."""
    merchant = Merchant(sandbox)
    sandbox.fault("GET /api/payments", status=429, retry_after=240, times=1)
    assert pull("payments", merchant.account.uid).state == "failed"
    return merchant


def test_reads_of_the_account_wait_in_every_process(merchant: Merchant) -> None:
    reset()  # another process
    asked = len(merchant.sandbox.requests())
    assert pull("transactions", merchant.account.uid).state == "failed"
    with pytest.raises(RateLimited):
        get_endpoints().get_payment(merchant.account.uid, "pay_1")
    assert len(merchant.sandbox.requests()) == asked


def test_money_and_secrets_of_the_account_do_not_wait(merchant: Merchant) -> None:
    payment = merchant.captured()
    refund = operations.refund_payment(payment=payment, amount=100)
    assert refund.status == "succeeded"
    assert merchant.moved("refund", payment) == 100
    assert get_endpoints().get_webhook_secret(merchant.account.uid) == merchant.sandbox.webhook_secret(
        merchant.account.uid
    )


def test_another_account_does_not_wait(merchant: Merchant) -> None:
    other = merchant.add_account()
    merchant.sandbox.add_payments(other.uid, 3)
    assert pull("payments", other.uid).fetched == 3


def test_a_limited_write_pauses_writes_and_no_reads(merchant: Merchant) -> None:
    other = merchant.add_account()
    payment = merchant.captured()
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", status=429, retry_after=240, times=1)
    with pytest.raises(RateLimited):
        operations.refund_payment(payment=payment, amount=100)
    reset()  # another process
    asked = len(merchant.posts())
    with pytest.raises(RateLimited):
        operations.refund_payment(payment=payment, amount=100)
    assert len(merchant.posts()) == asked
    assert pull("payments", other.uid).state == "succeeded"

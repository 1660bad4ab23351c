"""M1, a thousand times in ``make soak``: two concurrent actions of any kind on one payment send only one POST."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from govpay import operations
from govpay.exceptions import OperationRefused
from govpay.models import Operation, Payment
from tests.amounts import rounds
from tests.operations.merchant import Merchant, at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.soak(3)]


def one_form_twice(payment: Payment) -> list[Callable[[], Any]]:
    return [partial(operations.refund_payment, payment=payment, amount=700, key=uuid.uuid4())] * 2


def two_administrators(payment: Payment) -> list[Callable[[], Any]]:
    """Both refund more than half."""
    return [partial(operations.refund_payment, payment=payment, amount=6_000) for _ in range(2)]


def two_captures(payment: Payment) -> list[Callable[[], Any]]:
    return [partial(operations.capture_payment, payment=payment) for _ in range(2)]


def refund_against_void(payment: Payment) -> list[Callable[[], Any]]:
    return [
        partial(operations.refund_payment, payment=payment, amount=10_000),
        partial(operations.void_payment, payment=payment),
    ]


PAIRS = (one_form_twice, two_administrators, two_captures, refund_against_void)


def subject_of(merchant: Merchant, number: int) -> Payment:
    if PAIRS[number % len(PAIRS)] is two_captures:
        customer = merchant.sandbox.add_customer(merchant.account.uid)["uid"]
        return merchant.add("validated", method=merchant.sandbox.add_method(customer)["saved_payment_method_uid"])
    return merchant.bank_payment() if number % 3 == 0 else merchant.captured()


def test_racing_pairs(sandbox: Any) -> None:
    merchant, sent = Merchant(sandbox), 0
    for number in rounds(1000, 5, 40):
        payment = subject_of(merchant, number)
        results = at_once(*PAIRS[number % len(PAIRS)](payment))
        errors = [result for result in results if isinstance(result, Exception)]
        assert all(isinstance(error, OperationRefused) for error in errors), errors
        assert len(errors) == (0 if PAIRS[number % len(PAIRS)] is one_form_twice else 1), (number, results)
        posts, sent = len(merchant.posts()) - sent, len(merchant.posts())
        assert posts == 1, number
        effects = [entry for entry in merchant.ledger("", payment) if entry["kind"] in ("refund", "void")]
        captures = merchant.ledger("capture", payment)
        assert (len(captures), len(effects)) == (1, 0 if PAIRS[number % len(PAIRS)] is two_captures else 1), number
    assert set(Operation.objects.values_list("state", flat=True)) == {"succeeded"}

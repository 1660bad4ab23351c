"""Incomplete answers are completed with what is known here."""

from __future__ import annotations

from govpay.client import PaymentResource
from govpay.operations.actions import completed


def test_what_is_missing_or_null_is_filled_in_and_nothing_else() -> None:
    found = PaymentResource({"uid": "pay_1", "status": None, "total_amount": 0}, "req_1")
    whole = completed(found, {"status": "captured", "total_amount": 5, "tax_amount": None, "currency": "USD"})
    assert whole.raw == {"uid": "pay_1", "status": "captured", "total_amount": 0, "currency": "USD"}
    assert whole.request_id == "req_1"
    assert found.raw["status"] is None, "the answer itself is left alone"


def test_answer_that_says_everything_is_kept_as_it_came() -> None:
    found = PaymentResource({"uid": "pay_1", "status": "captured"})
    assert completed(found, {"status": "validated"}) is found

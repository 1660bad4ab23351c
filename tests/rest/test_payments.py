"""Payments over REST: read, quoted, captured, refunded, voided, on the stand-in's ledger."""

from __future__ import annotations

import pytest

from govpay.models import Operation, Payment
from tests.operations.town import Town, card, only
from tests.rest.conftest import Program, problem

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_payment_is_quoted_captured_and_refunded(till: Program, town: Town) -> None:
    quote = till.act(
        "payments/quote",
        {"account": town.account.uid, "base_amount": 12_345, "reference_id": "INV-1", "payment_method": card()},
    )
    assert quote.status_code == 201, quote.content
    payment = quote.json()
    assert payment["status"] == "validated"
    assert payment["total_amount"] == 12_345 + payment["processing_fee_amount"]
    assert payment["currency"] == "USD"
    assert quote["Location"].endswith(f"/govpay/api/v1/payments/{payment['uid']}")
    operation = only(action="quote")
    assert quote["Operation-Id"] == str(operation.key)
    assert operation.actor == till.user

    captured = till.act(f"payments/{payment['uid']}/capture", {"total_amount": payment["total_amount"]})
    assert captured.status_code == 200, captured.content
    assert captured.json()["status"] == "captured"

    refund = till.act(f"payments/{payment['uid']}/refund", {"amount": 500, "currency": "USD", "reason": "Overpaid"})
    assert refund.status_code == 201, refund.content
    assert (refund.json()["type"], refund.json()["amount"]) == ("refund", 500)

    row = Payment.objects.get(uid=payment["uid"])
    assert town.moved("refund", row) == 500
    found = till.get(f"payments/{row.uid}").json()
    assert found["refundable_amount"] == payment["total_amount"] - 500
    assert found["transactions"][0]["type"] == "refund"
    assert {each["action"] for each in found["operations"]} == {"quote", "capture", "refund"}
    assert {each["actor"] for each in found["operations"]} == {"finance"}
    assert found["events"] == []
    assert Operation.objects.filter(state="succeeded").count() == 3


def test_a_payment_is_voided(till: Program, town: Town) -> None:
    payment = town.quoted()
    answer = till.act(f"payments/{payment.uid}/void")
    assert answer.status_code == 200, answer.content
    assert answer.json()["status"] == "voided"
    problem(till.act(f"payments/{payment.uid}/void"), 422, "refused")

"""Refunds, their settlement, disputes and returns."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from govpay.sandbox import Sandbox
from govpay.sandbox.errors import Refusal

from .conftest import Caller, bank

Doc = dict[str, Any]


@pytest.fixture
def paid(sandbox: Sandbox, account: Doc) -> Doc:
    """A captured card payment with a total of 10 306 cents."""
    return sandbox.add_payment(account["uid"], status="captured")


@pytest.fixture
def banked(sandbox: Sandbox, account: Doc) -> Doc:
    return sandbox.add_payment(account["uid"], status="captured", payment_method=bank())


def refund(call: Caller, payment: Doc, amount: int, reference: str, **more: Any) -> Any:
    body = {"amount": amount, "reference_id": reference, **more}
    return call("POST", f"/api/payments/{payment['uid']}/refund", body)


def test_partial_then_the_rest(sandbox: Sandbox, call: Caller, paid: Doc) -> None:
    answer = refund(call, paid, 306, "r1", reason="Billed twice")
    assert answer.status_code == 201
    transaction = answer.json()
    assert {
        "type": "refund", "amount": 306, "status": "succeeded", "payment_uid": paid["uid"], "reference_id": "r1",
        "reason": "Billed twice", "currency": "USD",
    }.items() <= transaction.items()  # fmt: skip
    payment = call.get(f"/api/payments/{paid['uid']}")
    assert (payment["status"], payment["refunded_amount"]) == ("partially_refunded", 306)
    assert refund(call, paid, 10_000, "r2").status_code == 201
    payment = call.get(f"/api/payments/{paid['uid']}")
    assert (payment["status"], payment["refunded_amount"]) == ("refunded", 10_306)
    call.refused(422, "POST", f"/api/payments/{paid['uid']}/refund", {"amount": 1, "reference_id": "r3"})
    assert call.get("/api/transactions?$filter=reference_id eq 'r1'") == [transaction]
    assert [effect["kind"] for effect in sandbox.ledger()] == ["capture", "refund", "refund"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"reference_id": "r"}, 400),
        ({"amount": 5}, 400),
        ({"amount": None, "reference_id": "r"}, 400),
        ({"amount": "5", "reference_id": "r"}, 400),
        ({"amount": 5.0, "reference_id": "r"}, 400),
        ({"amount": 5, "reference_id": "r", "currency": "USD"}, 400),
        ({"amount": 5, "reference_id": "r", "reason": None}, 400),
        ({"amount": 0, "reference_id": "r"}, 422),
        ({"amount": -5, "reference_id": "r"}, 422),
        ({"amount": 5, "reference_id": ""}, 422),
        ({"amount": 10_307, "reference_id": "r"}, 422),
    ],
)
def test_wrong_refund_is_refused(sandbox: Sandbox, call: Caller, paid: Doc, body: Doc, status: int) -> None:
    call.refused(status, "POST", f"/api/payments/{paid['uid']}/refund", body, code="validation_error")
    assert len(sandbox.ledger()) == 1


def test_a_reference_is_used_once(sandbox: Sandbox, call: Caller, account: Doc, paid: Doc) -> None:
    assert refund(call, paid, 100, "r1").status_code == 201
    again = refund(call, paid, 100, "r1")
    assert (again.status_code, again.json()["code"]) == (409, "duplicate_refund")
    other = sandbox.add_payment(account["uid"], status="captured")
    assert refund(call, other, 100, "r1").status_code == 409
    assert refund(call, paid, 100, "r2").status_code == 201


@pytest.mark.parametrize("status", ["validated", "failed", "voided", "expired", "charged_back", "returned"])
def test_only_captured_money_can_go_back(sandbox: Sandbox, call: Caller, account: Doc, status: str) -> None:
    payment = sandbox.add_payment(account["uid"], status=status)
    answer = refund(call, payment, 1, "r1")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_bank_refund_is_pending_and_reserves_its_amount(sandbox: Sandbox, call: Caller, banked: Doc) -> None:
    total = banked["total_amount"]
    answer = refund(call, banked, total - 100, "r1").json()
    assert answer["status"] == "pending"
    payment = call.get(f"/api/payments/{banked['uid']}")
    assert (payment["status"], payment["refunded_amount"]) == ("captured", 0)
    assert refund(call, banked, 101, "r2").status_code == 422
    assert sandbox.settle() == [answer["uid"]]
    payment = call.get(f"/api/payments/{banked['uid']}")
    assert (payment["status"], payment["refunded_amount"]) == ("partially_refunded", total - 100)
    settled = call.get(f"/api/transactions/{answer['uid']}")
    assert settled["status"] == "succeeded"
    assert settled["updated_at"] > answer["updated_at"]
    assert [effect["kind"] for effect in sandbox.ledger()] == ["capture", "refund", "refund_settled"]


def test_bank_refund_settles_by_itself(sandbox: Sandbox, call: Caller, banked: Doc) -> None:
    refund(call, banked, banked["total_amount"], "r1")
    sandbox.advance(30)
    assert call.get(f"/api/payments/{banked['uid']}")["status"] == "captured"
    sandbox.advance(31)
    assert call.get(f"/api/payments/{banked['uid']}")["status"] == "refunded"


def test_bank_refund_can_fail_and_free_its_amount(sandbox: Sandbox, call: Caller, banked: Doc) -> None:
    refund(call, banked, banked["total_amount"], "r1")
    before = call.get(f"/api/payments/{banked['uid']}")["updated_at"]
    sandbox.settle(fail=["r1"])
    payment = call.get(f"/api/payments/{banked['uid']}")
    assert (payment["status"], payment["refunded_amount"]) == ("captured", 0)
    assert payment["updated_at"] > before
    assert call.get("/api/transactions?$filter=reference_id eq 'r1'")[0]["status"] == "failed"
    assert refund(call, banked, 5, "r1").status_code == 409
    assert refund(call, banked, banked["total_amount"], "r2").status_code == 201
    assert [effect["kind"] for effect in sandbox.ledger()] == ["capture", "refund", "refund_failed", "refund"]


def test_twenty_at_once_never_exceed_the_total(sandbox: Sandbox, account: Doc, paid: Doc) -> None:
    assert sandbox.address
    callers = [Caller(sandbox.address, account["uid"]) for _ in range(20)]
    barrier, statuses = threading.Barrier(20), []

    def go(number: int) -> None:
        barrier.wait()
        for attempt in range(2):
            statuses.append(refund(callers[number], paid, 1_000, f"r{number}-{attempt}").status_code)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] * 10 + [422] * 30
    done = sum(entry["amount"] for entry in sandbox.ledger() if entry["kind"] == "refund")
    payment = sandbox.get("payment", paid["uid"])
    assert payment is not None
    assert done == payment["refunded_amount"] == 10_000


def test_twenty_captures_at_once_capture_once(sandbox: Sandbox, account: Doc) -> None:
    assert sandbox.address
    from .conftest import capture_body, card, validation

    callers = [Caller(sandbox.address, account["uid"]) for _ in range(20)]
    payment = callers[0]("POST", "/api/payments", validation()).json()
    barrier, statuses = threading.Barrier(20), []

    def go(caller: Caller) -> None:
        barrier.wait()
        answer = caller("POST", f"/api/payments/{payment['uid']}/capture", capture_body(payment, card()))
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=go, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 19
    assert len(sandbox.ledger()) == 1


def test_disputes_and_returns(sandbox: Sandbox, call: Caller, paid: Doc, banked: Doc) -> None:
    lost = sandbox.charge_back(paid["uid"])
    assert (lost["type"], lost["amount"], lost["reason_code"]) == ("chargeback", paid["total_amount"], "4853")
    assert call.get(f"/api/payments/{paid['uid']}")["status"] == "charged_back"
    returned = sandbox.return_payment(banked["uid"], "R01")
    assert (returned["type"], returned["reason_code"]) == ("ach_return", "R01")
    assert call.get(f"/api/payments/{banked['uid']}")["status"] == "returned"


@pytest.mark.parametrize("refunded", [306, 10_306])
@pytest.mark.parametrize("amount", [None, 1, 10_306])
def test_a_refunded_payment_can_be_disputed(
    sandbox: Sandbox, call: Caller, paid: Doc, refunded: int, amount: int | None
) -> None:
    """A dispute of the remaining amount, the whole total or any amount: more than the total may be taken back."""
    refund(call, paid, refunded, "r1")
    before = call.get(f"/api/payments/{paid['uid']}")
    lost = sandbox.charge_back(paid["uid"], "10.4", amount)
    left = 10_306 - refunded
    assert (lost["type"], lost["amount"], lost["reason_code"]) == ("chargeback", amount or left or 10_306, "10.4")
    payment = call.get(f"/api/payments/{paid['uid']}")
    assert (payment["status"], payment["refunded_amount"]) == ("charged_back", refunded)
    call.refused(409, "POST", f"/api/payments/{paid['uid']}/refund", {"amount": 1, "reference_id": "r2"})
    with pytest.raises(Refusal):
        sandbox.charge_back(paid["uid"])
    assert sandbox.reverse_chargeback(paid["uid"])["amount"] == lost["amount"]
    assert call.get(f"/api/payments/{paid['uid']}")["status"] == before["status"]
    kinds = [effect["kind"] for effect in sandbox.ledger()]
    assert kinds == ["capture", "refund", "chargeback", "chargeback_reversal"]


def test_a_dispute_is_of_some_cents_of_a_payment(sandbox: Sandbox, call: Caller, paid: Doc) -> None:
    for amount in (0, -1, 10_307, "1", True):
        with pytest.raises(ValueError, match="cents"):
            sandbox.charge_back(paid["uid"], amount=amount)  # type: ignore[arg-type]
    body = {"payment": paid["uid"], "amount": 10_307}
    assert call("POST", "/_sandbox/chargeback", body, token=None).status_code == 400
    assert call("POST", "/_sandbox/chargeback", {**body, "amount": 5}, token=None).json()["amount"] == 5
    assert [effect["kind"] for effect in sandbox.ledger()] == ["capture", "chargeback"]


@pytest.mark.parametrize(("share", "settled"), [(0.5, True), (1, True), (1, False)])
def test_a_refunded_bank_payment_can_be_returned(
    sandbox: Sandbox, call: Caller, banked: Doc, share: float, settled: bool
) -> None:
    total = banked["total_amount"]
    refund(call, banked, int(total * share), "r1")
    if settled:
        sandbox.settle()
    returned = sandbox.return_payment(banked["uid"], "R01")
    assert (returned["type"], returned["amount"]) == ("ach_return", total)
    sandbox.settle()
    payment = call.get(f"/api/payments/{banked['uid']}")
    assert (payment["status"], payment["refunded_amount"]) == ("returned", int(total * share))
    with pytest.raises(Refusal):
        sandbox.return_payment(banked["uid"])

"""The same key tries again what was not executed; a second refund is confirmed; a restore loses no request."""

from __future__ import annotations

from typing import Any

import pytest

from govpay import operations
from govpay.models import Operation, Payment
from govpay.sync.pull import GLOBAL, SCOPED, pull
from tests.backups import Backup
from tests.operations.merchant import Merchant, only
from tests.rest.conftest import Program, problem

pytestmark = pytest.mark.django_db(transaction=True)


def lose(
    finance_program: Program, merchant: Merchant, action: str, payment: Payment, body: dict[str, Any]
) -> Operation:
    """An act that the platform never saw, looked up until it was closed as not executed."""
    merchant.sandbox.fault(f"POST /api/payments/{payment.uid}/{action}", times=1, close="before")
    answer = finance_program.act(f"payments/{payment.uid}/{action}", body, key="k")
    assert answer.status_code == 202
    assert (answer.json()["attempts"], answer.json()["attempted_at"], answer.json()["retried_by"]) == (1, None, None)
    merchant.reconcile_all()
    assert only().state == "failed"
    return only()


@pytest.mark.parametrize(
    ("action", "body", "status"), [("capture", {}, 200), ("refund", {"amount": 700}, 201), ("void", {}, 200)]
)
def test_the_same_key_tries_again(
    finance_program: Program, merchant: Merchant, action: str, body: dict[str, Any], status: int
) -> None:
    payment = merchant.captured() if action == "refund" else merchant.quoted()
    known = set(Operation.objects.values_list("pk", flat=True))
    merchant.sandbox.fault(f"POST /api/payments/{payment.uid}/{action}", times=1, close="before")
    path = f"payments/{payment.uid}/{action}"
    assert finance_program.act(path, body, key="k").status_code == 202
    merchant.reconcile_all()
    again, third = (finance_program.act(path, body, key="k") for _ in range(2))
    assert again.status_code == third.status_code == status, again.content
    assert again.json() == third.json()
    row = Operation.objects.exclude(pk__in=known).get()
    assert again["Operation-Id"] == str(row.key)
    assert [post["idempotency_key"] for post in merchant.posts(action)] == [str(row.key)] * 2
    assert len(merchant.ledger(action, payment)) == 1
    shown = finance_program.get(f"operations/{row.key}").json()
    assert (shown["state"], shown["attempts"], shown["retried_by"]) == ("succeeded", 2, finance_program.user.username)
    assert shown["attempted_at"]


def test_another_body_does_not_try_it_again(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.captured()
    lose(finance_program, merchant, "refund", payment, {"amount": 700})
    problem(finance_program.act(f"payments/{payment.uid}/refund", {"amount": 701}, key="k"), 409, "key-reused")
    assert (only().attempts, len(merchant.posts("refund"))) == (1, 1)


def test_the_same_refund_under_another_key_is_refused(finance_program: Program, merchant: Merchant) -> None:
    """A new key has another reference, so the platform could not recognize the duplicate."""
    payment = merchant.captured()
    lose(finance_program, merchant, "refund", payment, {"amount": 700})
    answer = finance_program.act(f"payments/{payment.uid}/refund", {"amount": 700}, key="another")
    assert "Try that one again" in problem(answer, 422, "refused")["detail"]
    assert len(merchant.posts("refund")) == 1


def test_another_amount_is_confirmed(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.captured()
    lose(finance_program, merchant, "refund", payment, {"amount": 700})
    path = f"payments/{payment.uid}/refund"
    for body in ({"amount": 800}, {"amount": 800, "confirm_second_refund": False}):
        found = problem(finance_program.act(path, body), 400, "invalid")
        assert [each["field"] for each in found["errors"]] == ["confirm_second_refund"]
        assert "$7.00" in found["detail"]
    problem(finance_program.act(path, {"amount": 800, "confirm_second_refund": "true"}), 400, "invalid")
    assert len(merchant.posts("refund")) == 1
    assert finance_program.act(path, {"amount": 800, "confirm_second_refund": True}).status_code == 201
    assert merchant.moved("refund", payment) == 800
    merchant.sandbox.refund(payment.uid, 700, Operation.objects.get(amount=700).reference_id)
    merchant.sync()
    operations.reconcile()
    assert Operation.objects.get(amount=700).attention == "contradicted"


def test_a_reference_that_arrived_meanwhile_is_the_outcome(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.captured()
    row = lose(finance_program, merchant, "refund", payment, {"amount": 700})
    there = merchant.sandbox.refund(payment.uid, 700, row.reference_id)
    answer = finance_program.act(f"payments/{payment.uid}/refund", {"amount": 700}, key="k")
    assert (answer.status_code, answer.json()["uid"]) == (201, there["uid"])
    assert len(merchant.posts("refund")) == 1


# --- After a restore --------------------------------------------------------------------------------------


def test_a_request_that_was_forgotten_by_a_restore_is_one_refund(finance_program: Program, merchant: Merchant) -> None:
    """Faults M10, from outside: two requests, one key, a backup restored between them."""
    payment = merchant.captured()
    backup = Backup()
    path, body = f"payments/{payment.uid}/refund", {"amount": 2_500, "reason": "Storm"}
    first = finance_program.act(path, body, key="storm-1")
    backup.restore()
    again = finance_program.act(path, body, key="storm-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["uid"] == first.json()["uid"]
    assert first["Operation-Id"] == again["Operation-Id"]
    assert merchant.moved("refund", payment) == 2_500


def test_while_held_it_is_asked_for_again_later(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.captured()
    backup = Backup()
    path, body = f"payments/{payment.uid}/refund", {"amount": 2_500}
    first = finance_program.act(path, body, key="k")
    backup.restore()
    operations.begin_restore()
    held = finance_program.act(path, body, key="k")
    assert "restored from a backup" in problem(held, 503, "held")["detail"]
    assert int(held["Retry-After"]) > 0
    assert not Operation.objects.exists()
    for name in (*GLOBAL, *SCOPED):
        pull(name, merchant.account.uid if name in SCOPED else None, full=True)
    assert operations.finish_restore() == 1
    again = finance_program.act(path, body, key="k")
    assert (again.status_code, again.json()["uid"]) == (201, first.json()["uid"])
    problem(finance_program.act(path, {"amount": 2_400}, key="k"), 409, "key-reused")
    problem(finance_program.act(f"payments/{payment.uid}/void", key="k"), 409, "key-reused")
    assert len(merchant.posts("refund")) == 1

"""M1: double clicks, two tabs, two administrators, a task that runs twice. Each time, one action sends one POST."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection, connections

from govpay import operations
from govpay.exceptions import OperationRefused
from govpay.models import Operation, Payment
from govpay.operations import Snapshot
from tests.amounts import repeats
from tests.operations.merchant import Merchant, at_once, bank_account, card

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = repeats(20, 4, 20)


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None) -> Merchant:
    return Merchant(sandbox)


def captured(merchant: Merchant, **given: Any) -> list[Payment]:
    """One payment for each round."""
    for _ in range(ROUNDS):
        merchant.sandbox.add_payment(merchant.account.uid, "captured", **given)
    merchant.sync()
    return list(Payment.objects.all())


def refused(results: list[Any]) -> list[Any]:
    """The refusals among ``results``; every other error is one of the test."""
    errors = [result for result in results if isinstance(result, Exception)]
    assert all(isinstance(error, OperationRefused) for error in errors), errors
    return errors


def journal_is_the_ledger(merchant: Merchant) -> None:
    done = Operation.objects.filter(state="succeeded", action="refund")
    ours = sorted(done.values_list("reference_id", "amount"))
    theirs = sorted(
        (entry["reference_id"], entry["amount"]) for entry in merchant.ledger() if entry["kind"] == "refund"
    )
    assert ours == theirs
    assert not Operation.objects.filter(state__in=("started", "unknown")).exists()
    for payment in Payment.objects.all():
        assert merchant.moved("refund", payment) <= (payment.total_amount or 0)


def test_double_click_on_a_refund(merchant: Merchant) -> None:
    """M1: a form that is submitted twice sends one request."""
    for payment in captured(merchant):
        click = partial(operations.refund_payment, payment=payment, amount=700, key=uuid.uuid4())
        results = at_once(click, click)
        assert refused(results) == []
        assert results[0] == results[1]
        assert len(merchant.posts(payment.uid)) == 1
    journal_is_the_ledger(merchant)


def test_double_click_on_a_capture(merchant: Merchant) -> None:
    """M1."""
    for _ in range(ROUNDS):
        payment = merchant.quoted(method=card())
        click = partial(operations.capture_payment, payment=payment, key=uuid.uuid4())
        results = at_once(click, click, click)
        assert [row.status for row in results] == ["captured"] * 3
        assert len(merchant.posts(payment.uid)) == len(merchant.ledger("capture", payment)) == 1


@pytest.mark.parametrize("method", [None, bank_account()], ids=["card", "bank"])
def test_two_administrators_refund_the_same_payment(merchant: Merchant, method: Any) -> None:
    """M1: the refunded sum never exceeds the captured amount."""
    for payment in captured(merchant, payment_method=method):
        total = payment.total_amount or 0
        refund = partial(operations.refund_payment, payment=payment, amount=total * 6 // 10)
        results = at_once(*[partial(refund, key=uuid.uuid4()) for _ in range(2)])
        assert len(refused(results)) == 1
        # The one who lost tries again, a moment later: now the rule itself refuses.
        with pytest.raises(OperationRefused, match="Only"):
            refund()
        assert len(merchant.posts(payment.uid)) == 1
    journal_is_the_ledger(merchant)


def test_two_tabs_that_showed_the_same_figures(merchant: Merchant) -> None:
    """M1 and M7: what the second page showed is true no longer, though enough would be left."""
    for payment in captured(merchant):
        seen = Snapshot("captured", payment.total_amount, payment.total_amount, "USD")
        tab = partial(operations.refund_payment, payment=payment, amount=100, seen=seen)
        results = at_once(partial(tab, key=uuid.uuid4()), partial(tab, key=uuid.uuid4()))
        assert len(refused(results)) == 1
        with pytest.raises(OperationRefused, match="changed since it was shown"):
            tab()
        assert len(merchant.posts(payment.uid)) == 1
    journal_is_the_ledger(merchant)


def test_capture_against_void_against_capture(merchant: Merchant) -> None:
    """M1: whatever actions meet on one payment, one of them is sent at a time."""
    for _ in range(ROUNDS // 2):
        payment = merchant.quoted()
        actions: list[Callable[[], Any]] = [
            partial(operations.capture_payment, payment=payment),
            partial(operations.void_payment, payment=payment),
            partial(operations.capture_payment, payment=payment),
        ]
        results = at_once(*actions)
        winners = len(results) - len(refused(results))
        posts = merchant.posts(payment.uid)
        assert winners == len(posts) == len(merchant.ledger("", payment)) >= 1
        # A void that came after the capture is one as well; two captures never are.
        assert len(merchant.ledger("capture", payment)) <= 1


LEVELS = [
    pytest.param("", id="as configured"),
    pytest.param("REPEATABLE_READ", marks=pytest.mark.postgres),
    pytest.param("SERIALIZABLE", marks=pytest.mark.postgres),
]


@pytest.mark.parametrize("level", LEVELS)
def test_second_action_begins_while_the_first_is_being_closed(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """M1: it waits for the first one's commit, and must then see what that one did, whatever the isolation."""
    if level:
        from django.db.backends.postgresql.psycopg_any import IsolationLevel

        monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "isolation_level", IsolationLevel[level])
    payment = merchant.captured(payment_method=bank_account())
    refund = partial(operations.refund_payment, payment=payment, amount=(payment.total_amount or 0) * 6 // 10)
    closing = threading.Event()

    def slowly(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        result = execute(sql, *rest)
        if sql.startswith('UPDATE "govpay_operation"') and '"finished_at"' in sql:
            closing.set()
            time.sleep(0.5)
        return result

    def first() -> Any:
        with connection.execute_wrapper(slowly):
            return refund()

    def second() -> Any:
        assert closing.wait(300)
        return refund()

    results = at_once(first, second)
    (error,) = refused(results)
    assert results[1] is error
    assert "Only" in str(error), "it waited, and then its own rule refused"
    assert len(merchant.posts(payment.uid)) == 1
    journal_is_the_ledger(merchant)

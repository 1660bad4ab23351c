"""``govpay.sync.outbox``: one signal for each real change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from govpay import signals
from govpay.models import Client, HostedSession, OutboxSignal, Payment, SavedPaymentMethod, Transaction
from govpay.sync import mapping, outbox
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_documents
from tests.reading import Heard, listening

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def receiving(name: str, receive: Any) -> Iterator[None]:
    signals.BY_NAME[name].connect(receive)
    try:
        yield
    finally:
        signals.BY_NAME[name].disconnect(receive)


def owe(*uids: str, name: str = "payment_captured") -> None:
    for uid in uids:
        row = Payment.objects.create(uid=uid, status="captured")
        outbox.enqueue([(name, Payment, row.pk)], source="sync")


def moved(kind: str, status: str | None = "succeeded") -> dict[str, Any]:
    return {"type": kind, "status": status}


CHANGES: list[tuple[Any, dict[str, Any], dict[str, Any], list[str]]] = [
    (Payment, {}, {"status": "captured"}, ["payment_captured"]),
    (Payment, {"status": "validated"}, {"status": "captured"}, ["payment_captured"]),
    (Payment, {"status": "captured"}, {"status": "captured"}, []),
    (Payment, {"status": "refunded"}, {"status": "captured"}, []),
    (Payment, {"status": "validated"}, {"status": "failed"}, ["payment_failed"]),
    (Payment, {"status": "validated"}, {"status": "charged_back"}, ["payment_captured"]),
    (Payment, {"status": "captured"}, {"status": "charged_back"}, []),
    (Payment, {"status": "captured"}, {"status": "voided"}, []),
    (Transaction, {}, moved("refund"), ["payment_refunded"]),
    (Transaction, {}, moved("refund", "pending"), []),
    (Transaction, {"status": "pending"}, moved("refund"), ["payment_refunded"]),
    (Transaction, {"status": "pending"}, moved("refund", "failed"), []),
    (Transaction, {"status": "succeeded"}, moved("refund"), []),
    (Transaction, {}, moved("capture"), []),
    (Transaction, {}, moved("chargeback"), ["payment_disputed"]),
    (Transaction, {}, moved("chargeback", None), ["payment_disputed"]),
    (Transaction, {}, moved("chargeback", "failed"), []),
    (Transaction, {"status": "pending"}, moved("chargeback"), []),
    (Transaction, {}, moved("ach_return"), ["payment_returned"]),
    (Transaction, {}, moved("chargeback_reversal"), []),
    (Payment, {"status": "captured"}, {"status": "something_new", "refunded_amount": None}, []),
    (HostedSession, {"status": "active"}, {"status": "completed"}, ["session_completed"]),
    (HostedSession, {"status": "active"}, {"status": "expired"}, ["session_expired"]),
    (HostedSession, {"status": "expired"}, {"status": "expired"}, []),
    (SavedPaymentMethod, {}, {"uid": "spm_1"}, ["saved_method_changed"]),
    (Transaction, {}, {"status": "succeeded"}, []),
]


def test_what_a_change_is_worth() -> None:
    for model, old, new, expected in CHANGES:
        assert outbox.of_change(model, old, new) == expected, (model, old, new)


def test_what_is_owed_is_sent_in_order_and_once(heard: Heard) -> None:
    owe("a", "b", "c")
    assert heard.signals == []
    assert outbox.dispatch() == 3
    assert heard.signals == [("payment_captured", uid, "sync") for uid in "abc"]
    assert outbox.dispatch() == 0
    assert not OutboxSignal.objects.exists()


def test_a_limit_leaves_the_rest_for_the_next_tick(heard: Heard) -> None:
    owe("a", "b", "c")
    assert outbox.dispatch(limit=2) == 2
    assert [uid for _, uid, _ in heard.signals] == ["a", "b"]
    assert OutboxSignal.objects.count() == 1


def test_nothing_is_owed_for_signals_that_nobody_hears() -> None:
    owe("a")
    assert not OutboxSignal.objects.exists()


def test_a_change_that_is_rolled_back_sends_no_signal(heard: Heard) -> None:
    page = [{"uid": "a", "status": "captured"}]

    def work() -> None:
        save_documents(mapping.PAYMENT, page, extra={"account_id": "x"})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_transaction(work)
    outbox.dispatch()
    assert heard.signals == []


def test_nothing_is_sent_from_inside_a_transaction(heard: Heard) -> None:
    owe("a")
    with transaction.atomic():
        assert outbox.dispatch() == 0
    assert heard.signals == []
    assert outbox.dispatch() == 1


def test_a_row_that_is_gone_is_told_to_nobody(heard: Heard) -> None:
    owe("a")
    Payment.objects.all().delete()
    assert outbox.dispatch() == 1
    assert heard.signals == []


def test_a_receiver_that_raises_holds_up_nobody(heard: Heard) -> None:
    def broken(**_: Any) -> None:
        raise ZeroDivisionError

    with receiving("payment_captured", broken):
        owe("a", "b")
        assert outbox.dispatch() == 2
    assert [uid for _, uid, _ in heard.signals] == ["a", "b"]
    assert not OutboxSignal.objects.exists()


def write_row(row: Payment, **_: Any) -> None:
    Client.objects.create(uid=f"seen-{row.uid}")


def test_a_database_error_of_a_receiver_undoes_the_sending_and_is_repeated() -> None:
    """A receiver's database effects happen once, however often it is called."""
    trouble = [IntegrityError, IntegrityError]

    def clumsy(**_: Any) -> None:
        if trouble:
            raise trouble.pop()

    with receiving("payment_captured", write_row), receiving("payment_captured", clumsy):
        owe("a", "b")
        assert outbox.dispatch() == 0
        assert not Client.objects.exists()
        assert list(OutboxSignal.objects.values_list("attempts", flat=True)) == [1, 1]
        assert outbox.dispatch() == 2
    assert sorted(Client.objects.values_list("uid", flat=True)) == ["seen-a", "seen-b"]
    assert not OutboxSignal.objects.exists()


def test_a_receiver_that_swallows_its_database_error_loses_nothing() -> None:
    calls = []

    def swallows(row: Payment, **_: Any) -> None:
        calls.append(row.uid)
        if len(calls) == 1:
            Client.objects.create(uid="twice")
            with pytest.raises(IntegrityError):
                Client.objects.create(uid="twice")

    with receiving("payment_captured", write_row), receiving("payment_captured", swallows):
        owe("a")
        assert outbox.dispatch() == 0
        assert outbox.dispatch() == 1
    assert list(Client.objects.values_list("uid", flat=True)) == ["seen-a"]


def test_a_receiver_that_never_manages_is_given_up() -> None:
    def hopeless(**_: Any) -> None:
        raise IntegrityError

    with receiving("payment_captured", hopeless):
        owe("a")
        for _ in range(outbox.MAX_ATTEMPTS):
            outbox.dispatch()
    assert not OutboxSignal.objects.exists()


def test_dispatchers_at_once_send_each_signal_once(heard: Heard) -> None:
    with receiving("payment_captured", write_row):
        owe(*(f"pay_{number:02}" for number in range(40)))
        start = threading.Barrier(4)
        failures: list[Exception] = []

        def run() -> None:
            try:
                start.wait(300)
                outbox.dispatch()
            except Exception as error:
                failures.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
    assert failures == []
    assert Client.objects.count() == len(heard.signals) == len(set(heard.signals)) == 40


def test_a_row_is_up_to_date_when_its_signal_arrives() -> None:
    seen = []

    def look(row: Payment, **_: Any) -> None:
        seen.append(row.status)

    with receiving("payment_captured", look), listening([]):
        owe("a")
        Payment.objects.update(status="refunded")
        outbox.dispatch()
    assert seen == ["refunded"]

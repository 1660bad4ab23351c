"""M4: SIGKILL of the process that carries out an action, at every step and during the POST. No loss, no duplicate."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from govpay import operations
from govpay.exceptions import OperationRefused, OutcomeUnknown
from govpay.models import Operation, OutboxSignal, Payment
from govpay.operations.journal import STEPS
from tests.amounts import rounds
from tests.operations.merchant import Merchant, card, only, wait_for
from tests.processes import start_python
from tests.signal_recorder import book

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.soak(3)]

#: Kills of each action at each step: a thousand together with those during the POST.
ROUNDS = 30 * len(STEPS)
DURING = 40

#: Steps after the platform has acted, and steps after the journal row is closed.
ACTED, CLOSED = STEPS[STEPS.index("answered") :], STEPS[STEPS.index("closed") :]

#: Action → signals that its success sends, in addition to ``operation_finished``.
SIGNALS_OF: dict[str, list[str]] = {
    "capture": ["payment_captured"],
    "refund": ["payment_refunded"],
    "void": [],
    "quote": [],
}

#: For each line on stdin it forks a process that carries out the line, and prints how the process ended.
WORKER = """
import json, os, signal, sys, traceback
import tests.host
from django.db import connections
from govpay import operations
from govpay.models import Operation, Payment, PaymentAccount
from tests.operations.merchant import card
from tests.breakpoints import watching

def work(action, pk, key):
    if action == "reconcile":
        operations.reconcile()
    elif action == "retry":
        operations.retry_operation(operation=Operation.objects.get(pk=pk))
    elif action == "quote":
        account = PaymentAccount.objects.get(pk=pk)
        operations.quote_payment(account=account, base_amount=700, payment_method=card(), key=key)
    else:
        getattr(operations, f"{action}_payment")(payment=Payment.objects.get(pk=pk), key=key)

for line in sys.stdin:
    action, pk, key, last = json.loads(line)
    connections.close_all()
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        continue
    try:
        with watching(lambda step: step == last and os.kill(os.getpid(), signal.SIGKILL)):
            work(action, pk, key)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
"""


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None) -> Merchant:
    return Merchant(sandbox)


class Worker:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, action: str, pk: int = 0, dies_at: str = "") -> tuple[int, uuid.UUID]:
        """Start the action; return the process number and the operation's key."""
        key = uuid.uuid4()
        assert self._process.stdin
        self._process.stdin.write(json.dumps([action, pk, str(key), dies_at]) + "\n")
        self._process.stdin.flush()
        return int(self._line()), key

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def ended(self) -> int:
        return int(self._line())

    def dies(self, action: str, pk: int, step: str) -> uuid.UUID:
        key = self.start(action, pk, dies_at=step)[1]
        assert self.ended() == -signal.SIGKILL, f"{action} never came to {step!r}"
        return key

    def reconcile(self) -> None:
        self.start("reconcile")
        assert self.ended() == 0

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        assert line, "the process has ended"
        return line


@pytest.fixture
def worker(merchant: Merchant, told: Any) -> Iterator[Worker]:
    process = start_python(WORKER, stdin=subprocess.PIPE, stderr=None)
    try:
        yield Worker(process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def told(transactional_db: None) -> Iterator[Callable[[], list[str]]]:
    """Returns the names of the signals that all processes have recorded since the last call."""
    with book() as read:
        yield lambda: [name for name, _ in read()]


def subject_of(action: str, merchant: Merchant, round_: int) -> Any:
    """The object of the action."""
    if action == "quote":
        return merchant.account
    return (
        merchant.quoted(method=card())
        if action == "capture" or (action == "void" and round_ % 2)
        else merchant.captured()
    )


def settle(merchant: Merchant, worker: Worker) -> None:
    """Reconcile in another process, as the ticks of the next minutes do."""
    merchant.pass_deadlines()
    worker.reconcile()
    merchant.pass_absent_after()
    worker.reconcile()
    assert not OutboxSignal.objects.exists()


def settled(merchant: Merchant, key: uuid.UUID, *, done: bool, name: str = "") -> Operation:
    """Check that the journal agrees with the ledger, and that at most one request was sent."""
    operation = only(key=key)
    action = operation.action
    assert operation.state == ("succeeded" if done else "failed"), f"{name}: {operation.error}"
    posts = [request for request in merchant.posts() if request["idempotency_key"] == str(key)]
    assert len(posts) <= 1, name
    if action == "quote":
        made = [each for each in merchant.sandbox.all("payment") if each["reference_id"] == operation.reference_id]
        assert [each["uid"] for each in made] == ([operation.result_uid] if done else []), name
    else:
        entries = [entry for entry in merchant.ledger(action) if entry["payment_uid"] == operation.payment_id]
        assert [entry["amount"] for entry in entries] == ([operation.amount] if done else []), name
    return operation


def signals_of(operation: Operation) -> list[str]:
    """The signals that hosts must get, each once."""
    return sorted(["operation_finished", *(SIGNALS_OF[operation.action] if operation.state == "succeeded" else [])])


@pytest.mark.parametrize("action", SIGNALS_OF)
def test_killed_at_every_step(merchant: Merchant, worker: Worker, told: Any, action: str) -> None:
    """M4: between any two steps of the action. Before the journal row there was no action; after it, none is lost."""
    for number in rounds(ROUNDS, len(STEPS)):
        step = STEPS[number % len(STEPS)]
        key = worker.dies(action, subject_of(action, merchant, number).pk, step)
        states = list(Operation.objects.filter(key=key).values_list("state", flat=True))
        assert states == ([] if step == "claimed" else ["succeeded" if step in CLOSED else "started"]), step
        sent = [request for request in merchant.posts() if request["idempotency_key"] == str(key)]
        assert len(sent) == (step in ACTED), step
        settle(merchant, worker)
        if step == "claimed":
            assert told() == []
            continue
        operation = settled(merchant, key, done=step in ACTED, name=step)
        assert told() == signals_of(operation), step
        if action == "quote" and step in ACTED:
            # A result that reconciliation found can be used as if the answer had arrived.
            assert operations.capture_payment(payment=Payment.objects.get(uid=operation.result_uid)).captured_at


def test_killed_at_every_step_of_a_second_attempt(merchant: Merchant, worker: Worker, told: Any) -> None:
    """M4, M9: *Try again* is killed between any two steps before the first attempt has arrived: one effect."""
    for number in rounds(ROUNDS, len(STEPS)):
        step, action = STEPS[number % len(STEPS)], ("refund", "capture", "void")[number % 3]
        payment = subject_of(action, merchant, number)
        merchant.sandbox.fault(f"POST /api/payments/{payment.uid}/{action}", times=1, act_after=100.0)
        with pytest.raises(OutcomeUnknown) as lost:
            getattr(operations, f"{action}_payment")(payment=payment)
        settle(merchant, worker)
        operation = only(key=lost.value.operation_key)
        assert operation.state == "failed"
        told()
        worker.dies("retry", operation.pk, step)
        row = only(pk=operation.pk)
        state = "failed" if step == "claimed" else "succeeded" if step in CLOSED else "started"
        assert (row.state, row.attempts) == (state, 1 + (step != "claimed")), step
        assert len(merchant.posts(f"{payment.uid}/{action}")) == 1 + (step in ACTED), step
        settle(merchant, worker)
        assert only(pk=operation.pk).state == ("succeeded" if step in ACTED else "failed"), step
        if step in ACTED:
            assert told() == signals_of(only(pk=operation.pk)), step
        operations.retry_operation(operation=operation)
        merchant.sandbox.advance(100)
        row = only(pk=operation.pk)
        assert (row.state, row.attempts) == ("succeeded", 2 + (step in ("journalled", "sending"))), step
        entries = [entry for entry in merchant.ledger(action, payment) if entry["kind"] == action]
        assert [entry["amount"] for entry in entries] == [operation.amount], step
        assert {post["idempotency_key"] for post in merchant.posts(f"{payment.uid}/{action}")} == {str(operation.key)}
        told()


def test_killed_during_the_post(merchant: Merchant, worker: Worker, told: Any) -> None:
    """M4: the sender is killed after the request has arrived; the platform acts, or does not."""
    for round_ in rounds(DURING, 2, 12):
        action, acts = ("refund", "capture")[round_ // 2 % 2], round_ % 2 == 0
        payment = subject_of(action, merchant, round_)
        pids: list[int] = []
        if not acts:
            merchant.sandbox.fault(f"POST /api/payments/{payment.uid}/{action}", times=1, close="before")
        with merchant.while_it_acts(lambda pids=pids: (wait_for(lambda: pids), worker.kill(pids[0]))):
            pid, key = worker.start(action, payment.pk)
            pids.append(pid)
            assert worker.ended() == -signal.SIGKILL
            if acts:
                wait_for(lambda action=action, payment=payment: merchant.ledger(action, payment))
        assert only(key=key).state == "started"
        settle(merchant, worker)
        assert told() == signals_of(settled(merchant, key, done=acts))
        assert len(merchant.posts(f"{payment.uid}/{action}")) == 1


def test_reconciliation_is_killed_as_well(merchant: Merchant, worker: Worker, told: Any) -> None:
    """M4: the process that reconciles is killed too, repeatedly; the next one finds the outcome."""
    for step in ("stored", "closed", "read again"):
        keys = [worker.dies(action, subject_of(action, merchant, 1).pk, "answered") for action in SIGNALS_OF]
        merchant.pass_deadlines()
        for _ in keys:
            worker.dies("reconcile", 0, step)
        worker.reconcile()
        assert not OutboxSignal.objects.exists()
        found = [settled(merchant, key, done=True) for key in keys]
        assert told() == sorted(name for operation in found for name in signals_of(operation)), step


def test_killed_process_blocks_its_payment_until_it_is_settled(merchant: Merchant, worker: Worker) -> None:
    """M4: no second action can start before the outcome of the first is known."""
    payment = merchant.captured()
    key = worker.dies("refund", payment.pk, "answered")
    with pytest.raises(OperationRefused, match="under way"):
        operations.refund_payment(payment=payment)
    assert operations.reconcile().succeeded == 0, "its call may still be under way"
    settle(merchant, worker)
    settled(merchant, key, done=True)
    with pytest.raises(OperationRefused, match="Only captured"):
        operations.refund_payment(payment=Payment.objects.get())

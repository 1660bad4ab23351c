"""M4: SIGKILL of the process that asks, before, during and after the POST. Nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache

from govpay import operations
from govpay.exceptions import OperationRefused
from govpay.models import Operation, Payment
from tests.amounts import repeats
from tests.operations.town import Town, card, listening, only, wait_for
from tests.processes import start_python

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = repeats(20, 10)

#: For each line on stdin it starts a process that carries out the deed, and prints its number.
WORKER = """
import os, sys, time, traceback
from django.db import connection, connections
from govpay import operations
from govpay.models import Payment

def hang_when_closing(execute, sql, params, many, context):
    if sql.startswith('UPDATE "govpay_operation"') and '"finished_at"' in sql:
        time.sleep(60)
    return execute(sql, params, many, context)

for line in sys.stdin:
    action, pk, key, hang = line.split()
    connections.close_all()
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("over", flush=True)
        continue
    if hang == "hang":
        connection.execute_wrappers.append(hang_when_closing)
    try:
        getattr(operations, f"{action}_payment")(payment=Payment.objects.get(pk=pk), key=key)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
"""


@pytest.fixture
def town(sandbox: Any, transactional_db: None) -> Town:
    return Town(sandbox)


class Worker:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, action: str, payment: Payment, hang: bool = False) -> tuple[int, uuid.UUID]:
        key = uuid.uuid4()
        assert self._process.stdin
        self._process.stdin.write(f"{action} {payment.pk} {key} {'hang' if hang else '-'}\n")
        self._process.stdin.flush()
        return int(self._line()), key

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def ended(self) -> None:
        assert self._line() == "over"

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        assert line, "the process has ended"
        return line


@pytest.fixture
def worker(town: Town) -> Iterator[Worker]:
    process = start_python(WORKER, stdin=subprocess.PIPE, stderr=None)
    try:
        yield Worker(process)
    finally:
        process.kill()
        process.communicate()


def deed_of(round_: int, town: Town) -> tuple[str, Payment]:
    action = ("refund", "capture")[round_ % 2]
    return action, town.captured() if action == "refund" else town.quoted(method=card())


def settled(town: Town, key: uuid.UUID, action: str, payment: Payment, *, done: bool) -> None:
    """What reconciliation makes of it is what the ledger says, and it sends nothing."""
    operation = only(key=key)
    assert (operation.state, operation.payment_id) == ("started", payment.uid)
    with listening() as heard:
        town.settle_all()
    operation.refresh_from_db()
    entries = [entry for entry in town.ledger("", payment) if entry["kind"] == action]
    assert operation.state == ("succeeded" if done else "failed"), operation.error
    assert [entry["amount"] for entry in entries] == ([operation.amount] if done else [])
    finished = [what for name, what, _ in heard if name == "operation_finished"]
    assert finished == [f"{action} {operation.state}"]


def test_killed_before_the_post(town: Town, worker: Worker) -> None:
    """M4: the journal row is there already, and the money has not moved."""
    for round_ in range(ROUNDS):
        action, payment = deed_of(round_, town)
        # The process waits for a token: after its journal row, before its call.
        cache.clear()
        fault = town.sandbox.fault("POST /oauth2/token", delay=0.5)
        pid, key = worker.start(action, payment)
        wait_for(lambda fault=fault: fault.hits)
        wait_for(lambda key=key: Operation.objects.filter(key=key).exists())
        worker.kill(pid)
        worker.ended()
        town.sandbox.clear_faults()
        cache.clear()  # the dead process held the lease on the token
        settled(town, key, action, payment, done=False)
        assert town.posts(f"{payment.uid}/{action}") == []


@pytest.mark.parametrize("acts", [True, False], ids=["acts", "does not act"])
def test_killed_during_the_post(town: Town, worker: Worker, acts: bool) -> None:
    """M4: the request is there, its sender is gone; the platform acts all the same, or does not."""
    for round_ in range(ROUNDS):
        action, payment = deed_of(round_, town)
        pids: list[int] = []
        if not acts:
            town.sandbox.fault(f"POST /api/payments/{payment.uid}/{action}", times=1, close="before")
        with town.while_it_acts(lambda pids=pids: (wait_for(lambda: pids), worker.kill(pids[0]))):
            pid, key = worker.start(action, payment)
            pids.append(pid)
            worker.ended()
            if acts:
                wait_for(lambda action=action, payment=payment: town.ledger(action, payment))
        settled(town, key, action, payment, done=acts)
        assert len(town.posts(f"{payment.uid}/{action}")) == 1


def test_killed_after_the_answer_and_before_it_was_recorded(town: Town, worker: Worker) -> None:
    """M4: the answer is lost with its reader."""
    for round_ in range(ROUNDS):
        action, payment = deed_of(round_, town)
        pid, key = worker.start(action, payment, hang=True)
        request: Callable[[], Any] = lambda action=action, payment=payment: [  # noqa: E731
            request for request in town.posts(f"{payment.uid}/{action}") if request["status"]
        ]
        wait_for(request)
        worker.kill(pid)
        worker.ended()
        settled(town, key, action, payment, done=True)
        assert len(town.posts(f"{payment.uid}/{action}")) == 1


def test_killed_process_blocks_its_payment_until_it_is_settled(town: Town, worker: Worker) -> None:
    """M4: nobody can start anew before it is known what became of the first."""
    payment = town.captured()
    pid, key = worker.start("refund", payment, hang=True)
    wait_for(lambda: town.ledger("refund", payment))
    worker.kill(pid)
    worker.ended()
    with pytest.raises(OperationRefused, match="under way"):
        operations.refund_payment(payment=payment)
    assert operations.reconcile().succeeded == 0, "its call may still be under way"
    settled(town, key, "refund", payment, done=True)
    with pytest.raises(OperationRefused, match="Only captured"):
        operations.refund_payment(payment=Payment.objects.get())

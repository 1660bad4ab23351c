"""M1, D2, W4: several processes and threads act on one payment, or write its row, at the same moment."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from functools import partial
from typing import Any

import pytest
from django.db import connection, connections

from govpay import operations, tasks
from govpay.exceptions import OperationRefused
from govpay.models import Operation, OutboxSignal, Payment, Transaction, WebhookEvent
from govpay.sync.pull import pull
from tests.amounts import repeats, rounds
from tests.events import event_for
from tests.operations.merchant import Merchant, at_once, bank_account, card, listening
from tests.processes import start_python

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.soak]

PROCESSES = 4
ROUNDS = 10

#: Connections to PostgreSQL that are left to other processes.
SPARE = 30

#: For each line, all its threads repeat the same action concurrently until a rule refuses it.
MEMBER = """
import json, random, sys, threading, time
from django.db import OperationalError, connection, connections
from govpay import operations
from govpay.exceptions import OperationRefused
from govpay.models import Payment

def connect():
    for _ in range(200):
        try:
            return connection.ensure_connection()
        except OperationalError:  # all are taken, maybe by another test
            time.sleep(0.1)

def work(action, pk, asked):
    connect()
    action, payment = getattr(operations, f"{action}_payment"), Payment.objects.get(pk=pk)
    barrier.wait(300)
    try:
        while True:
            try:
                action(payment=payment, **asked)
                done.append("done")
            except OperationRefused as error:
                if "under way" not in str(error) and "just ended" not in str(error):
                    return
                time.sleep(random.uniform(0.01, 0.03) * count)
    except Exception as error:
        done.append(repr(error))
    finally:
        connections.close_all()

count = int(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    given, done, barrier = json.loads(line), [], threading.Barrier(count)
    threads = [threading.Thread(target=work, args=given) for _ in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(json.dumps(done), flush=True)
"""


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None) -> Merchant:
    return Merchant(sandbox)


def threads_of_each() -> int:
    """16 repetitions on PostgreSQL, limited by its connections. SQLite allows only one writer at a time."""
    if connection.vendor != "postgresql":
        return 4
    with connection.cursor() as cursor:
        cursor.execute("SHOW max_connections")
        room = int(cursor.fetchone()[0]) - SPARE
    return min(repeats(16, 4, 16), room // PROCESSES)


class Fleet:
    def __init__(self) -> None:
        count = str(threads_of_each())
        self.members = [start_python(MEMBER, count, stdin=subprocess.PIPE, stderr=None) for _ in range(PROCESSES)]
        for member in self.members:
            assert member.stdout is not None
            assert member.stdout.readline() == "ready\n"

    def all_do(self, action: str, payment: Payment, **asked: Any) -> Counter[str]:
        """How often it succeeded, and every error except refusals."""
        for member in self.members:
            assert member.stdin is not None
            member.stdin.write(json.dumps([action, payment.pk, asked]) + "\n")
            member.stdin.flush()
        found = Counter[str]()
        for member in self.members:
            assert member.stdout is not None
            found.update(json.loads(member.stdout.readline()))
        return found

    def stop(self) -> None:
        for member in self.members:
            member.kill()
            member.communicate()


@pytest.fixture
def fleet(merchant: Merchant) -> Any:
    fleet = Fleet()
    yield fleet
    fleet.stop()


@pytest.mark.ci
def test_threads_of_four_processes_at_one_payment(merchant: Merchant, fleet: Fleet) -> None:
    """M1: refunded as often as the captured amount allows and captured once, each time by one POST."""
    for _ in rounds(ROUNDS, 1, 1):
        for method in (None, bank_account()):
            payment = merchant.captured(payment_method=method)
            total, part = payment.total_amount or 0, 3000
            assert fleet.all_do("refund", payment, amount=part) == {"done": total // part}
            assert len(merchant.posts(payment.uid)) == total // part
            assert merchant.moved("refund", payment) == total // part * part <= total
            ours = Operation.objects.filter(payment=payment.uid, state="succeeded")
            theirs = [(entry["reference_id"], entry["amount"]) for entry in merchant.ledger("refund", payment)]
            assert sorted(ours.values_list("reference_id", "amount")) == sorted(theirs)
        payment = merchant.quoted(method=card())
        assert fleet.all_do("capture", payment) == {"done": 1}
        assert len(merchant.posts(payment.uid)) == len(merchant.ledger("capture", payment)) == 1
    assert set(Operation.objects.values_list("state", flat=True)) == {"succeeded"}


LEVELS = [
    pytest.param("", id="as configured"),
    pytest.param("REPEATABLE_READ", marks=pytest.mark.postgres),
    pytest.param("SERIALIZABLE", marks=pytest.mark.postgres),
]


@pytest.fixture
def isolation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the isolation level of every connection that is opened from now on."""
    if request.param:
        from django.db.backends.postgresql.psycopg_any import IsolationLevel

        options = connections.settings["default"]["OPTIONS"]
        monkeypatch.setitem(options, "isolation_level", IsolationLevel[request.param])
        connections.close_all()
    return str(request.param)


@pytest.mark.parametrize("isolation", LEVELS, indirect=True)
def test_everybody_writes_one_row_at_once(merchant: Merchant, isolation: str, caplog: pytest.LogCaptureFixture) -> None:
    """D2, W4, M6: an operation, two deliveries, two lists and a tick. The newest state wins, and nobody fails."""
    caplog.set_level("WARNING", "govpay")
    merchant.sync()  # a first load sends no signals
    made = [merchant.sandbox.add_payment(merchant.account.uid, "captured")["uid"] for _ in range(repeats(100, 3, 16))]
    merchant.sync()
    with listening() as heard:
        for uid in made:
            payment = Payment.objects.get(uid=uid)
            elsewhere = merchant.sandbox.refund(uid, 100, f"elsewhere-{uid}")["uid"]
            events = [event_for(merchant.account.uid, "payment.refunded", payment_uid=uid, transaction_uid=elsewhere)]
            events.append(event_for(merchant.account.uid, "payment.completed", payment_uid=uid))
            results = at_once(
                partial(operations.refund_payment, payment=payment, amount=700),
                *[partial(tasks.process_event, event.pk) for event in events],
                partial(pull, "payments", merchant.account.uid),
                partial(pull, "transactions", merchant.account.uid),
                operations.reconcile,
            )
            assert not [result for result in results if isinstance(result, Exception)], results
            assert [run.state for run in results[3:5]] == ["succeeded"] * 2
            row, there = Payment.objects.get(uid=uid), merchant.sandbox.get("payment", uid)
            assert (row.status, row.refunded_amount, row.raw) == ("partially_refunded", 800, there)
            assert set(Transaction.objects.filter(payment=uid, type="refund").values_list("amount", flat=True)) == {
                *(100, 700)
            }
            assert len(merchant.posts(uid)) == 1
    assert set(Operation.objects.values_list("state", flat=True)) == {"succeeded"}
    assert set(WebhookEvent.objects.values_list("state", flat=True)) == {"processed"}
    assert not OutboxSignal.objects.exists()
    told = Counter((name, what) for name, what, _ in heard)
    sent = {told["payment_refunded", uid] for uid in made}
    # A receiver may be called more than once, because the sending transaction may have to be repeated there.
    assert sent == {2} if isolation != "SERIALIZABLE" else min(sent) == 2
    assert told["operation_finished", "refund succeeded"] >= len(made)
    found = [record.getMessage() for record in caplog.records if record.name.startswith("govpay")]
    assert [line for line in found if not line.endswith("it is tried again")] == []


@pytest.mark.parametrize("isolation", LEVELS, indirect=True)
def test_actions_race_and_no_conflict_of_the_database_is_seen(merchant: Merchant, isolation: str) -> None:
    """D2: many concurrent actions on one payment: each succeeds or is refused by a rule, despite conflicts."""
    for round_ in rounds(100, 2, 12):
        payment = merchant.quoted() if round_ % 2 else merchant.captured()
        actions = [partial(operations.refund_payment, payment=payment, amount=100) for _ in range(6)]
        actions += [
            partial(operations.capture_payment, payment=payment),
            partial(operations.void_payment, payment=payment),
        ]
        results = at_once(*actions, operations.reconcile)
        errors = [result for result in results if isinstance(result, Exception)]
        assert all(isinstance(error, OperationRefused) for error in errors), errors
        done = len(actions) - len(errors)
        assert len(merchant.posts(payment.uid)) == len(merchant.ledger("", payment)) - (round_ % 2 == 0) == done >= 1

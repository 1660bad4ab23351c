"""Real Celery workers on real brokers: they sync, are killed during a sync, and others continue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import current_app
from django.utils import timezone

from govpay import tasks
from govpay.models import Heartbeat, Payment, SyncCursor, SyncRun, WebhookEvent
from govpay.schedule import EVENTS, MONEY, QUEUES, SYNC
from tests.conftest import RABBITMQ_URL, REDIS_URL
from tests.events import event_for
from tests.processes import ROOT, child_environment

pytestmark = pytest.mark.django_db(transaction=True)

BROKERS = [
    pytest.param(REDIS_URL, marks=pytest.mark.redis, id="redis"),
    pytest.param(RABBITMQ_URL, marks=[pytest.mark.rabbitmq, pytest.mark.ci], id="rabbitmq"),
]


@pytest.fixture
def queue() -> str:
    return f"govpay-test-{uuid.uuid4().hex}"


@pytest.fixture
def start_worker(broker: str, queue: str) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A worker process of the project on ``broker``, which sees this test's database."""
    started: list[subprocess.Popen[bytes]] = []

    def start(queues: str = queue) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "project", "worker", "-Q", queues, "-c", "1"]
            + ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"],
            cwd=ROOT,
            env={**child_environment(), "TEST_BROKER_URL": broker},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def send(broker: str, queue: str, task: Any, *args: Any, **kwargs: Any) -> None:
    with current_app.connection_for_write(broker) as connection:
        task.apply_async(args, kwargs, queue=queue, connection=connection)


@pytest.mark.parametrize("broker", BROKERS)
def test_a_killed_worker_loses_nothing_and_doubles_nothing(
    sandbox: Any, broker: str, queue: str, start_worker: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """Faults C1, D3, D4: SIGKILL in mid-sync; the lease of the dead is taken over at once."""
    account = sandbox.add_account()["uid"]
    sandbox.add_payments(account, 600)
    tasks.sync_all()
    sandbox.fault("GET /api/payments", delay=0.3, times=1000)
    worker = start_worker()
    send(broker, queue, tasks.sync_account, account, resources=["payments"])
    wait_for(lambda: Payment.objects.count() >= 100)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    assert SyncCursor.objects.get(resource="payments").lease_token is not None
    before = len([call for call in sandbox.requests() if call["path"] == "/api/payments"])
    done = Payment.objects.count()
    sandbox.clear_faults()
    start_worker()
    # Whether the broker gives the message again at once or after its time-out, the next tick sends it anew.
    send(broker, queue, tasks.sync_account, account, resources=["payments"])
    wait_for(lambda: SyncCursor.objects.get(resource="payments").completed_at is not None)
    assert Payment.objects.count() == 600
    calls = len([call for call in sandbox.requests() if call["path"] == "/api/payments"]) - before
    # The pages that were missing, the one that had been read and not committed, the empty last one.
    assert calls <= (600 - done) // 100 + 2 + 2  # and what a redelivered message reads again: two calls


@pytest.fixture
def empty_queues(broker: str) -> Iterator[None]:
    """The queues of ``govpay.schedule`` on this broker, without messages of another run."""

    def clear() -> None:
        with current_app.connection_for_write(broker) as connection:
            for name in QUEUES:
                with connection.SimpleQueue(name) as messages:
                    messages.clear()

    clear()
    yield
    clear()


@pytest.mark.usefixtures("empty_queues")
@pytest.mark.parametrize("broker", BROKERS)
def test_accounts_that_hang_hold_no_event_of_another(
    sandbox: Any, broker: str, start_worker: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """Faults C3: lists and events of 6 of 12 accounts hang, and their events come before those of the healthy ones.

    One event of each account that hangs is read, and no second one. One process serves all events of the healthy ones
    within 5 seconds, although it has read nothing of any account before.
    """
    accounts = [str(sandbox.add_account()["uid"]) for _ in range(12)]
    hanging, healthy = accounts[:6], accounts[6:]
    tasks.sync_all()
    good = [sandbox.add_payment(uid, "captured")["uid"] for uid in healthy]
    stuck = [sandbox.add_payment(uid, "captured")["uid"] for uid in hanging for _ in range(2)]
    hangs = sandbox.fault("GET /api/customers", delay=1000, times=1000)
    for uid in stuck:
        sandbox.fault(f"GET /api/payments/{uid}", delay=1000, times=1000)
    for uid in hanging:
        send(broker, SYNC, tasks.sync_account, uid)
    start_worker(SYNC)
    wait_for(lambda: hangs.hits > 0)
    warm_up = event_for(healthy[0], "no.such.type")
    send(broker, EVENTS, tasks.process_event, warm_up.pk)
    send(broker, MONEY, tasks.heartbeat)
    start_worker(MONEY)
    start_worker(EVENTS)
    wait_for(lambda: WebhookEvent.objects.filter(pk=warm_up.pk, state="ignored").exists())
    waiting = [event_for(hanging[at // 2], "payment.completed", payment_uid=uid) for at, uid in enumerate(stuck)]
    waiting += [
        event_for(account, "payment.completed", payment_uid=uid) for account, uid in zip(healthy, good, strict=True)
    ]
    started_at = timezone.now()
    for each in waiting:
        send(broker, EVENTS, tasks.process_event, each.pk)
    done = WebhookEvent.objects.filter(account__in=healthy, state="processed")
    wait_for(lambda: done.count() == len(healthy))
    read = [call["path"].removeprefix("/api/payments/") for call in sandbox.requests()]
    assert [uid for uid in read if uid in (*stuck, *good)] == [*stuck[::2], *good]
    seconds = (done.latest("processed_at").processed_at - started_at).total_seconds()
    print(f"events of 6 healthy accounts, sent after those of 6 that hang: {seconds:.1f} s, one process, {broker}")
    assert seconds <= 5
    wait_for(lambda: Heartbeat.objects.filter(name="beat").exists())
    assert not SyncRun.objects.exclude(account=None).exclude(state="running").exists(), "the lists still hang"


@pytest.mark.usefixtures("empty_queues")
@pytest.mark.parametrize("broker", BROKERS[:1])
def test_one_worker_on_redis_serves_money_and_events_before_lists(
    sandbox: Any, broker: str, start_worker: Callable[..., subprocess.Popen[bytes]]
) -> None:
    accounts = [str(sandbox.add_account()["uid"]) for _ in range(3)]
    tasks.sync_all()
    payment = sandbox.add_payment(accounts[0], "captured")["uid"]
    events = [event_for(accounts[0], "payment.completed", payment_uid=payment).pk for _ in range(3)]
    for uid in accounts:
        send(broker, SYNC, tasks.sync_account, uid, resources=["terminals"])
    for pk in events:
        send(broker, EVENTS, tasks.process_event, pk)
        send(broker, MONEY, tasks.heartbeat)
    start_worker(",".join(reversed(QUEUES)))
    wait_for(lambda: SyncRun.objects.filter(resource="terminals", state="succeeded").count() == 3)
    processed = sorted(each.processed_at for each in WebhookEvent.objects.all() if each.processed_at)
    assert len(processed) == len(events)
    first_list = SyncRun.objects.filter(resource="terminals").earliest("started_at")
    assert Heartbeat.objects.get(name="beat").last_seen < processed[0]
    assert processed[-1] < first_list.started_at


@pytest.mark.usefixtures("empty_queues")
@pytest.mark.parametrize("broker", BROKERS)
def test_one_worker_serves_events_between_the_slots_of_a_long_list(
    sandbox: Any, settings: Any, broker: str, start_worker: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """Faults C3: after each slot the next task may be of any queue on RabbitMQ. The list takes thirty slots here."""
    settings.GOVPAY = {**settings.GOVPAY, "SYNC_SLOT": 0.1}
    long, other = (str(sandbox.add_account()["uid"]) for _ in range(2))
    sandbox.add_payments(long, 3000)
    payment = sandbox.add_payment(other, "captured")["uid"]
    tasks.sync_all()
    sandbox.fault("GET /api/payments", delay=0.2, times=1000)
    send(broker, SYNC, tasks.sync_account, long, resources=["payments"])
    start_worker(",".join(QUEUES))
    wait_for(lambda: Payment.objects.exists())
    before = SyncRun.objects.filter(resource="payments").count()
    event = event_for(other, "payment.completed", payment_uid=payment)
    send(broker, EVENTS, tasks.process_event, event.pk)
    wait_for(lambda: WebhookEvent.objects.filter(pk=event.pk, state="processed").exists())
    slots = SyncRun.objects.filter(resource="payments").count() - before
    print(f"an event waited for {slots} slots of a list, one worker, {broker}")
    assert SyncCursor.objects.get(resource="payments", account=long).completed_at is None

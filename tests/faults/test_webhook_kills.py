"""Hundreds of deliveries in any order, some twice, while workers are killed: correct rows, and each signal once."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from govpay.models import OutboxSignal, Payment, Transaction, WebhookEvent
from govpay.sync.pull import pull
from tests.events import account_on, envelope, sign
from tests.processes import ROOT, child_environment

pytestmark = pytest.mark.django_db(transaction=True)

#: Payments, each with four deliveries, and how many are delivered in all: some 30 % are duplicates.
SIZES = [pytest.param(57, 300, id="300"), pytest.param(190, 1000, marks=pytest.mark.postgres, id="1000")]

DELIVER = """
import base64, json, sys
from django.test import Client
client = Client()
for line in sys.stdin:
    account, body, signature = json.loads(line)
    answer = client.post(f"/govpay/webhooks/{account}/", base64.b64decode(body), content_type="application/json",
                         headers={"X-Webhook-Signature": signature})
    print(answer.status_code, flush=True)
"""


@pytest.fixture
def heard() -> Iterator[Callable[[], Counter[tuple[str, str]]]]:
    """What the workers' receivers wrote down."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE tests_heard (name VARCHAR(64), uid VARCHAR(128), source VARCHAR(16))")

    def read() -> Counter[tuple[str, str]]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name, uid FROM tests_heard")
            return Counter((str(name), str(uid)) for name, uid in cursor.fetchall())

    yield read
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE tests_heard")


@pytest.fixture
def start_worker() -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """A worker on the broker that needs no server."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "project", "worker", "-I", "tests.host", "-c", "2", "-l", "ERROR"]
            + ["--without-gossip", "--without-mingle", "--without-heartbeat"],
            cwd=ROOT,
            env={**child_environment(), "TEST_BROKER_URL": ""},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def history(sandbox: Any, account: str, payments: int) -> list[dict[str, Any]]:
    """What happened to the payments, each with its delivery."""
    found = []
    for uid in sandbox.add_payments(account, payments):
        found.append(envelope("payment.completed", data={"payment_uid": uid}))
        for number in range(2):
            made = sandbox.refund(uid, 100, f"{uid}-{number}")
            found.append(envelope("payment.refunded", data={"payment_uid": uid, "transaction_uid": made["uid"]}))
        made = sandbox.charge_back(uid)
        found.append(envelope("provider.chargeback", data={"payment_uid": uid, "transaction_uid": made["uid"]}))
    return found


@pytest.mark.parametrize(("payments", "deliveries"), SIZES)
def test_deliveries_and_two_kills(
    sandbox: Any,
    heard: Callable[[], Counter[tuple[str, str]]],
    start_worker: Callable[[], subprocess.Popen[bytes]],
    payments: int,
    deliveries: int,
) -> None:
    account = account_on(sandbox)
    pull("payments", account)
    pull("transactions", account)
    distinct = history(sandbox, account, payments)
    chance = random.Random(3)
    sent = distinct + chance.choices(distinct, k=deliveries - len(distinct))
    chance.shuffle(sent)
    worker = start_worker()
    deliverer = subprocess.Popen(
        [sys.executable, "-c", f"import django; django.setup()\n{DELIVER}"],
        cwd=ROOT,
        env={**child_environment(), "TEST_BROKER_URL": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert deliverer.stdin is not None
    assert deliverer.stdout is not None
    secret = sandbox.webhook_secret(account)
    for number, payload in enumerate(sent):
        deliverer.stdin.write(posted(account, payload, secret) + "\n")
        deliverer.stdin.flush()
        assert deliverer.stdout.readline() == "200\n"
        if number in (deliveries // 3, 2 * deliveries // 3):
            wait_until_at_work(number)
            kill(worker)
            worker = start_worker()
    deliverer.stdin.close()
    deliverer.wait(300)
    settle()
    events = WebhookEvent.objects.all()
    assert events.count() == len(distinct)
    assert set(events.values_list("state", flat=True)) == {"processed"}
    assert {row.uid: (row.status, row.refunded_amount) for row in Payment.objects.all()} == {
        each["uid"]: (each["status"], each["refunded_amount"]) for each in sandbox.all("payment")
    }
    assert Transaction.objects.filter(type="refund").count() == 2 * payments
    told = heard()
    expected = Counter({("event_received", str(pk)): 1 for pk in events.values_list("pk", flat=True)})
    for payment in Payment.objects.all():
        expected += Counter({("payment_captured", payment.uid): 1, ("payment_disputed", payment.uid): 1})
        expected[("payment_refunded", payment.uid)] = 2
    assert told == expected


def posted(account: str, payload: dict[str, Any], secret: str) -> str:
    body = json.dumps(payload).encode()
    return json.dumps([account, base64.b64encode(body).decode(), sign(body, secret)])


def wait_until_at_work(number: int) -> None:
    """So that the kill meets a worker that has events in hand."""
    end = time.monotonic() + 300
    while not WebhookEvent.objects.filter(state="received", claimed_until__gt=timezone.now()).exists():
        assert time.monotonic() < end, f"no worker was at it after {number} deliveries"
        time.sleep(0.005)


def settle() -> None:
    """The queue is worked off; then minutes pass: claims of the dead run out, and the ticks come."""
    end = time.monotonic() + 300
    waiting = WebhookEvent.objects.filter(state="received")
    while left := waiting.count():
        assert time.monotonic() < end, f"{left} events are never worked on"
        time.sleep(3)
        if waiting.count() == left:
            waiting.update(claimed_until=None, due_at=timezone.now())
            tick()
    tick()
    while OutboxSignal.objects.exists():
        assert time.monotonic() < end, "some signals are never sent"
        time.sleep(0.2)


def tick() -> None:
    """What beat does every minute."""
    code = "import tests.host\nfrom govpay import tasks\ntasks.send_outstanding()\ntasks.reconcile_operations()"
    subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{code}"],
        cwd=ROOT,
        env={**child_environment(), "TEST_BROKER_URL": ""},
        check=True,
        timeout=300,
    )

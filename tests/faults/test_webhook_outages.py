"""Deliveries while the broker, the platform or the worker is down (faults W7)."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from django.utils import timezone

from govpay import tasks
from govpay.models import Payment, WebhookEvent
from govpay.sync import inbox, secrets
from tests.events import account_on, deliver, envelope, event_for, known_account, sign
from tests.patience import HANG, SILENCE, wait_until
from tests.processes import ROOT, child_environment, start_python
from tests.reading import read

pytestmark = pytest.mark.django_db(transaction=True)

DELIVER = """
import json, sys
from django.test import Client
client = Client()
for line in sys.stdin:
    account, body, signature = json.loads(line)
    answer = client.post(f"/govpay/webhooks/{account}/", body, content_type="application/json",
                         headers={"X-Webhook-Signature": signature})
    assert answer.status_code == 200, answer.content
"""

#: Notes which threads reach for the broker, whose port is 1.
DIALLED = """
import socket, threading
threads, connect = set(), socket.socket.connect
def noting(self, address):
    if address[1] == 1:
        threads.add(threading.current_thread().name)
    return connect(self, address)
socket.socket.connect = noting
"""

TELL = """
from tests.patience import wait_until
wait_until(lambda: threads)
print(json.dumps(sorted(threads)))
"""


@pytest.mark.parametrize(
    "broker", ["redis://127.0.0.1:1/0", pytest.param("amqp://guest:guest@127.0.0.1:1//", marks=pytest.mark.ci)]
)
def test_a_broker_that_is_down_holds_no_delivery_up(broker: str) -> None:
    """W7: each is kept and answered; none waits for a connection. The sweeper queues them later."""
    account = known_account()
    lines = []
    for _ in range(100):
        body = json.dumps(envelope("payment.completed", data={"payment_uid": "pay_1"}))
        lines.append(json.dumps([account, body, sign(body.encode())]))
    process = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{DIALLED}{DELIVER}{TELL}"],
        cwd=ROOT,
        env={**child_environment(), "TEST_BROKER_URL": broker},
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == ["govpay-batches"]
    assert WebhookEvent.objects.filter(state="received", attempts=0).count() == 100


def test_events_that_were_never_queued_are_worked_on_later(sandbox: Any) -> None:
    """W7: the sweeper finds them."""
    account = account_on(sandbox)
    uid = sandbox.add_payment(account, status="captured")["uid"]
    event = event_for(account, "payment.completed", payment_uid=uid)
    WebhookEvent.objects.update(due_at=timezone.now())
    code = "from govpay import tasks; tasks.send_outstanding(); print('sent')"
    sender = start_python(code)
    assert sender.communicate(timeout=HANG)[0].strip() == "sent"
    event.refresh_from_db()
    assert event.due_at is not None
    assert event.due_at > timezone.now(), "it waits in a queue now"
    tasks.process_event(event.pk)
    assert Payment.objects.get().uid == uid


def test_the_platform_is_slow_and_no_delivery_waits_for_it(sandbox: Any) -> None:
    account = account_on(sandbox)
    secret = sandbox.webhook_secret(account)
    assert deliver(account, envelope(), secret).status_code == 200
    slow = sandbox.fault("GET *", delay=SILENCE)
    for _ in range(20):
        assert deliver(account, envelope(), secret).status_code == 200
    assert slow.hits == 0


def test_a_worker_that_dies_leaves_its_event_to_the_next(sandbox: Any) -> None:
    account = account_on(sandbox)
    uid = sandbox.add_payment(account, status="captured")["uid"]
    event = event_for(account, "payment.completed", payment_uid=uid)
    sandbox.fault(f"GET /api/payments/{uid}", delay=30, times=1)
    worker = start_python(f"from govpay import tasks; tasks.process_event({event.pk})")
    wait_until(lambda: WebhookEvent.objects.get().claimed_until)
    worker.kill()
    worker.communicate()
    sandbox.clear_faults()
    tasks.process_event(event.pk)
    assert WebhookEvent.objects.get().state == "received", "nobody knows yet that it died"
    WebhookEvent.objects.update(claimed_until=timezone.now())
    tasks.process_event(event.pk)
    assert WebhookEvent.objects.get().state == "processed"


def test_four_processes_and_a_secret_that_was_rolled(sandbox: Any) -> None:
    """Faults W2 over processes: one of them asks, all of them learn, nothing is refused."""
    account = account_on(sandbox)
    old = sandbox.webhook_secret(account)
    assert deliver(account, envelope(), old).status_code == 200
    from django.core.cache import cache

    cache.clear()  # a minute later
    secrets.forget()
    new = sandbox.rotate_secret(account)
    lines = []
    for number in range(25):
        body = json.dumps(envelope())
        lines.append(json.dumps([account, body, sign(body.encode(), (old, new)[number % 2])]))
    before = sum(call["path"] == "/api/webhooks/secret" for call in sandbox.requests())
    members = [start_python(DELIVER, stdin=subprocess.PIPE) for _ in range(4)]
    for member in members:
        assert member.stdin is not None
        member.stdin.write("\n".join(lines) + "\n")
        member.stdin.close()
        member.stdin = None
    outputs = [member.communicate(timeout=HANG) for member in members]
    assert [member.returncode for member in members] == [0] * 4, outputs
    assert sum(call["path"] == "/api/webhooks/secret" for call in sandbox.requests()) - before == 1


def test_a_retry_that_comes_too_late_is_refused_and_the_next_sync_brings_what_it_told_of(sandbox: Any) -> None:
    """W1c: the vendor's rule is 4 hours, by the time in the body, which a retry does not change."""
    account = account_on(sandbox)
    read("payments", account)
    secret = sandbox.webhook_secret(account)
    told = [sandbox.add_payment(account, status="captured")["uid"] for _ in range(5)]
    for uid in told:
        late = envelope("payment.completed", age=4 * 3600 + 10, data={"payment_uid": uid})
        assert deliver(account, late, secret).status_code == 401
    assert inbox.stale_count(account) == 5
    assert not WebhookEvent.objects.exists()
    read("payments", account)
    assert set(Payment.objects.values_list("uid", flat=True)) == set(told)
    assert set(Payment.objects.values_list("status", flat=True)) == {"captured"}

"""``govpay_work``: a site without workers. Everything that ticks and workers do is done here, and nothing is queued."""

from __future__ import annotations

import datetime as dt
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from io import StringIO
from typing import Any

import pytest
from celery import current_app
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

from govpay import schedule
from govpay.doctor import heartbeats
from govpay.models import Heartbeat, Operation, Payment, PaymentAccount, SyncRun, WebhookEvent
from govpay.sync import unreachable
from govpay.work import Work
from tests.events import account_on, deliver, envelope, event_for
from tests.operations.merchant import Merchant
from tests.patience import Clock, wait_until
from tests.processes import start_command

pytestmark = pytest.mark.django_db(transaction=True)


def work() -> None:
    call_command("govpay_work", "--once", stdout=StringIO())


@pytest.fixture
def nothing_is_queued() -> Any:
    with current_app.connection_for_read() as broker:
        for name in schedule.QUEUES:
            with broker.SimpleQueue(name) as messages:
                messages.clear()
        yield
        for name in schedule.QUEUES:
            with broker.SimpleQueue(name) as messages:
                assert messages.qsize() == 0


@pytest.mark.usefixtures("nothing_is_queued")
def test_an_empty_site_is_read_to_the_end(sandbox: Any) -> None:
    accounts = [str(sandbox.add_account()["uid"]) for _ in range(25)]
    sandbox.add_payments(accounts[-1], 3)
    work()
    assert set(PaymentAccount.objects.values_list("uid", flat=True)) == set(accounts)
    assert Payment.objects.count() == 3
    before = SyncRun.objects.count()
    work()
    assert SyncRun.objects.count() == before  # nothing is due


def test_a_delivery_is_processed(sandbox: Any) -> None:
    account = account_on(sandbox)
    payment = sandbox.add_payment(account, "captured")["uid"]
    secret = sandbox.webhook_secret(account)
    event = envelope(data={"payment_uid": payment})
    assert deliver(account, event, secret).status_code == 200
    work()
    assert WebhookEvent.objects.get(webhook_id=event["webhook_id"]).state == "processed"
    assert Payment.objects.get().uid == payment


@pytest.mark.usefixtures("nothing_is_queued")
def test_an_event_that_names_no_object_reads_the_lists_here(sandbox: Any) -> None:
    account = account_on(sandbox)
    work()
    sandbox.add_payments(account, 2)
    event_for(account, "ivr.completed")
    work()
    assert WebhookEvent.objects.get().state == "processed"
    assert Payment.objects.count() == 2


def test_lists_that_several_events_ask_for_are_read_once(sandbox: Any) -> None:
    account = account_on(sandbox)
    for _ in range(3):
        event_for(account, "ivr.completed")
    Work().events()
    assert sorted(SyncRun.objects.exclude(account=None).values_list("resource", "state")) == [
        ("payments", "succeeded"),
        ("transactions", "succeeded"),
    ]


def test_an_open_operation_is_settled(sandbox: Any) -> None:
    merchant = Merchant(sandbox)
    payment = merchant.captured()
    past = timezone.now() - dt.timedelta(hours=1)
    times = {"created_at": past, "deadline_at": past, "absent_at": past}
    Operation.objects.create(
        action="capture", state="unknown", account=merchant.account, payment_id=payment.uid, reference_id="ref", **times
    )
    work()
    assert Operation.objects.get().state != "unknown"


def test_what_else_ticks_do(sandbox: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "_recorded_at", 0.0)  # another test may have recorded one a moment ago
    settings.GOVPAY = {**settings.GOVPAY, "DIGEST_RECIPIENTS": ["desk@example.gov"]}
    merchant = Merchant(sandbox)
    past, later = timezone.now() - dt.timedelta(hours=1), timezone.now() + dt.timedelta(hours=1)
    Operation.objects.create(
        action="capture", state="unknown", account=merchant.account, created_at=past, deadline_at=past, absent_at=later
    )
    old = event_for(merchant.account.uid, "payment.completed")
    long_ago = timezone.now() - dt.timedelta(days=400)
    WebhookEvent.objects.filter(pk=old.pk).update(state="processed", received_at=long_ago)
    work()
    assert set(Heartbeat.objects.values_list("name", flat=True)) >= {"beat", "worker"}
    assert sandbox.token_requests == 1
    assert not WebhookEvent.objects.exists()
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("table", ["govpay_heartbeat", "govpay_webhookevent"])
def test_a_step_that_fails_stops_no_other_and_is_told(sandbox: Any, table: str) -> None:
    sandbox.add_account()

    def refuse(run: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if f'"{table}"' in sql and not (table == "govpay_heartbeat" and sql.startswith("SELECT")):
            raise OperationalError("the table cannot be used")
        return run(sql, *rest)

    wrapper: AbstractContextManager[None] = connection.execute_wrapper(refuse)
    with wrapper, pytest.raises(CommandError, match="steps failed"):
        work()
    assert SyncRun.objects.exclude(account=None).exists()


def test_events_that_keep_arriving_do_not_hold_up_the_next_round(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of events ends after ``TICK``. Each look at ``stopped`` takes 40 seconds here."""
    monkeypatch.setattr("govpay.work.time", clock := Clock())
    account = account_on(sandbox)
    for _ in range(2):
        event_for(account, "an.unknown.type")

    def forty_seconds_later() -> bool:
        clock.pass_on(40)
        return False

    step = Work(forty_seconds_later)
    step.events()
    assert list(WebhookEvent.objects.order_by("pk").values_list("state", flat=True)) == ["ignored", "received"]
    step.events()
    assert not WebhookEvent.objects.filter(state="received").exists()


def test_open_operations_are_looked_up_once_a_tick_in_a_round(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("govpay.work.time", clock := Clock())
    merchant, step = Merchant(sandbox), Work()
    states = []
    for seconds in (0, 59, 1):
        clock.pass_on(seconds)
        past = timezone.now() - dt.timedelta(hours=1)
        times = {"created_at": past, "deadline_at": past, "absent_at": past}
        payment = merchant.captured()
        row = Operation.objects.create(
            action="capture", state="unknown", account=merchant.account, payment_id=payment.uid, **times
        )
        step.urgent()
        row.refresh_from_db()
        states.append(row.state != "unknown")
    assert states == [True, False, True]
    assert not Operation.objects.filter(state="unknown").exists()


def test_it_runs_until_it_is_stopped(sandbox: Any) -> None:
    account = account_on(sandbox)
    process = start_command("govpay_work")
    try:
        wait_until(lambda: SyncRun.objects.filter(resource="sessions", state="succeeded").exists())
        payment = sandbox.add_payment(account, "captured")["uid"]
        event_for(account, "payment.completed", payment_uid=payment)
        wait_until(lambda: WebhookEvent.objects.get().state == "processed")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    finally:
        process.kill()


@pytest.mark.usefixtures("nothing_is_queued")
def test_an_event_of_a_slow_account_comes_after_all_others(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults C3: its first read is short. It is read with more time when no other event waits."""
    monkeypatch.setattr(unreachable, "FIRST_READ_TIMEOUT", 0.2)
    slow, healthy = account_on(sandbox), account_on(sandbox)
    uids = [sandbox.add_payment(account, "captured")["uid"] for account in (slow, slow, healthy)]
    sandbox.fault(f"GET /api/payments/{uids[0]}", delay=1.0, times=1)
    for account, uid in zip((slow, slow, healthy), uids, strict=True):
        event_for(account, "payment.completed", payment_uid=uid)
    Work().events()
    assert set(WebhookEvent.objects.values_list("state", "attempts")) == {("processed", 1)}
    paths = [call["path"] for call in sandbox.requests()]
    read = [uids.index(path.rpartition("/")[2]) for path in paths if path.startswith("/api/payments/")]
    assert read == [0, 2, 0, 1]

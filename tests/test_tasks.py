"""``govpay.tasks``: what is due, and that lost and repeated messages do no harm."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from celery import current_app
from celery.signals import task_prerun
from django.core.cache import cache
from django.db import OperationalError
from django.utils import timezone

from govpay import conf, schedule, tasks
from govpay.cache import HEARTBEAT_KEY
from govpay.doctor import heartbeats
from govpay.models import Heartbeat, Operation, Payment, PaymentAccount, SyncCursor, SyncRun
from tests.events import account_on, event_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queue() -> Any:
    """What was queued, as ``(task, args, kwargs)``: the broker of the tests keeps messages in memory."""

    def drain() -> list[tuple[str, list[Any], dict[str, Any]]]:
        found = []
        with current_app.connection_for_read() as connection:
            for name in schedule.QUEUES:
                with connection.SimpleQueue(name) as messages:
                    while messages.qsize():
                        message = messages.get_nowait()
                        args, kwargs, _ = message.payload
                        found.append((message.headers["task"], args, kwargs))
                        message.ack()
        return found

    drain()
    return drain


def test_every_tick_names_a_task_that_exists() -> None:
    registered = set(current_app.tasks)
    for entry in schedule.BEAT_SCHEDULE.values():
        assert entry["task"] in registered
        assert entry["schedule"] == 60


@pytest.mark.parametrize("name", ["refresh_token", "sync_all", "sync_account", "reconcile_operations"])
def test_tasks_ack_late_and_have_limits(name: str) -> None:
    task = current_app.tasks[f"govpay.tasks.{name}"]
    assert task.acks_late
    assert 0 < task.soft_time_limit < task.time_limit


def test_no_task_outlives_the_time_that_rabbitmq_waits_for_it() -> None:
    """RabbitMQ's default ``consumer_timeout`` is 30 minutes."""
    ours = [task for name, task in current_app.tasks.items() if name.startswith("govpay.")]
    assert len(ours) >= len(tasks.TICKS)
    assert all(0 < task.soft_time_limit < task.time_limit < 1800 for task in ours)
    assert float(conf.DEFAULTS["SYNC_SLOT"][1]) < tasks.sync_account.soft_time_limit


def test_one_task_per_account_with_its_due_lists(sandbox: Any, queue: Any) -> None:
    accounts = {sandbox.add_account()["uid"] for _ in range(2)}
    tasks.sync_all()
    queued = queue()
    assert {name for name, _, _ in queued} == {"govpay.tasks.sync_account"}
    assert {args[0] for _, args, _ in queued} == accounts
    assert all(set(kwargs["resources"]) == set(tasks.SCOPED) and not kwargs["full"] for _, _, kwargs in queued)
    for _, args, kwargs in queued:
        tasks.sync_account(*args, **kwargs)
    tasks.sync_all()
    assert queue() == []


def test_a_lost_message_is_made_good_by_the_next_tick(sandbox: Any, queue: Any) -> None:
    """Faults C1."""
    sandbox.add_account()
    tasks.sync_all()
    lost = queue()
    SyncCursor.objects.update(attempted_at=timezone.now() - dt.timedelta(minutes=2))
    tasks.sync_all()
    assert queue() == lost


def test_a_doubled_message_changes_nothing(sandbox: Any) -> None:
    """Faults C1."""
    account = sandbox.add_account()["uid"]
    sandbox.add_payments(account, 30)
    tasks.sync_all()
    tasks.sync_account(account)
    before = list(Payment.objects.order_by("uid").values())
    tasks.sync_account(account)
    assert len(before) == 30
    assert list(Payment.objects.order_by("uid").values()) == before


def test_lists_come_due_again_and_full_ones_too(sandbox: Any, queue: Any) -> None:
    account = sandbox.add_account()["uid"]
    tasks.sync_all()
    tasks.sync_account(account)
    queue()
    long_ago = timezone.now() - dt.timedelta(days=2)
    SyncCursor.objects.filter(resource="payments").update(completed_at=long_ago, attempted_at=long_ago)
    tasks.sync_all()
    assert [kwargs for _, _, kwargs in queue()] == [{"resources": ["payments"], "full": False}]
    SyncCursor.objects.filter(resource="payments").update(full_completed_at=long_ago, attempted_at=long_ago)
    tasks.sync_all()
    assert {"resources": ["payments"], "full": True} in [kwargs for _, _, kwargs in queue()]


def test_a_list_that_fails_rests_a_minute_and_does_not_stop_the_others(sandbox: Any, queue: Any) -> None:
    account = sandbox.add_account()["uid"]
    sandbox.add_payments(account, 3)
    tasks.sync_all()
    queue()
    sandbox.fault("GET /api/customers", status=403, times=100)
    tasks.sync_account(account)
    assert SyncRun.objects.get(resource="customers").state == "failed"
    assert SyncRun.objects.get(resource="payments").state == "succeeded"
    assert Payment.objects.count() == 3
    tasks.sync_all()
    assert queue() == []
    SyncCursor.objects.update(attempted_at=timezone.now() - dt.timedelta(minutes=2))
    tasks.sync_all()
    assert [kwargs["resources"] for _, _, kwargs in queue()] == [["customers"]]


def test_the_token_is_kept_warm(sandbox: Any) -> None:
    tasks.refresh_token()
    tasks.refresh_token()
    assert sandbox.token_requests == 1


def test_a_platform_that_is_down_is_no_traceback(settings: Any) -> None:
    tasks.refresh_token()
    tasks.sync_all()
    assert SyncRun.objects.filter(state="failed").count() == 2


def test_missing_settings_are_no_traceback(settings: Any) -> None:
    settings.GOVPAY = {}
    tasks.refresh_token()
    tasks.sync_all()


def test_reconcile_runs_as_a_task(sandbox: Any) -> None:
    account = sandbox.add_account()["uid"]
    tasks.sync_all()
    assert PaymentAccount.objects.get().uid == account
    payment = sandbox.add_payment(account)
    past = timezone.now() - dt.timedelta(minutes=5)
    Operation.objects.create(
        action="capture",
        account_id=account,
        payment_id=payment["uid"],
        created_at=past,
        deadline_at=past,
        absent_at=past,
    )
    tasks.reconcile_operations()
    assert Operation.objects.get().state == "failed"


def test_old_records_of_runs_are_forgotten(sandbox: Any) -> None:
    SyncRun.objects.create(resource="payments", mode="full", started_at=timezone.now() - dt.timedelta(days=31))
    tasks.sync_all()
    assert not SyncRun.objects.filter(resource="payments").exists()


def test_a_tick_leaves_a_sign_of_beat_and_a_mark_in_the_cache(sandbox: Any) -> None:
    tasks.heartbeat()
    row = Heartbeat.objects.get(name="beat")
    assert cache.get(HEARTBEAT_KEY) == row.mark
    tasks.heartbeat()
    assert Heartbeat.objects.get().mark != row.mark


def test_a_task_in_a_worker_is_a_sign_of_it_and_one_carried_out_here_is_none(sandbox: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(heartbeats, "_recorded_at", 0.0)
    tasks.purge_events.apply()
    assert not Heartbeat.objects.exists()
    tasks.purge_events.push_request(is_eager=False)
    try:
        for _ in range(2):
            task_prerun.send(sender=tasks.purge_events, task_id="1", task=tasks.purge_events)
    finally:
        tasks.purge_events.pop_request()
    assert Heartbeat.objects.get().name == "worker"


def test_a_sign_that_cannot_be_written_stops_no_task(monkeypatch: Any) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(heartbeats, "_recorded_at", 0.0)
    monkeypatch.setattr(heartbeats, "_record", fail)
    heartbeats.record_worker()


def test_a_sync_gives_its_slot_back_and_goes_on_later(sandbox: Any, queue: Any, settings: Any) -> None:
    """A long list keeps a worker for ``SYNC_SLOT`` seconds at most, and no page is read twice."""
    account = sandbox.add_account()["uid"]
    sandbox.add_payments(account, 25)
    settings.GOVPAY = {**settings.GOVPAY, "SYNC_SLOT": 1e-9, "PAGE_SIZE": 10}
    tasks.sync_account(account, resources=["payments"])
    assert Payment.objects.count() == 10
    assert SyncRun.objects.get().state == "interrupted"
    for _ in range(10):
        waiting = queue()
        if not waiting:
            break
        assert waiting == [("govpay.tasks.sync_account", [account], {"resources": ["payments"]})]
        tasks.sync_account(account, resources=["payments"])
    assert Payment.objects.count() == 25
    assert SyncRun.objects.filter(state="succeeded").count() == 1
    assert sum(SyncRun.objects.values_list("fetched", flat=True)) == 25


def test_a_sync_that_a_tick_queued_leaves_the_rest_to_the_next_tick(sandbox: Any, queue: Any, settings: Any) -> None:
    account = sandbox.add_account()["uid"]
    tasks.sync_all()
    queue()
    settings.GOVPAY = {**settings.GOVPAY, "SYNC_SLOT": 1e-9}
    tasks.sync_account.push_request(expires="2040-01-01T00:00:00+00:00")
    try:
        tasks.sync_account.run(account)
    finally:
        tasks.sync_account.pop_request()
    assert queue() == []
    assert list(SyncRun.objects.exclude(account=None).values_list("resource", flat=True)) == ["customers"]
    tasks.sync_all()
    ((_, _, kwargs),) = queue()
    assert kwargs["resources"] == [name for name in tasks.SCOPED if name != "customers"]


def test_a_platform_that_does_not_answer_costs_an_account_one_list(sandbox: Any, queue: Any, settings: Any) -> None:
    """Faults C3: an account that hangs keeps its worker for one call, and not for one call a list."""
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    account = sandbox.add_account()["uid"]
    tasks.sync_all()
    queue()
    fault = sandbox.fault("GET *", status=503, times=100)
    tasks.sync_account(account)
    assert fault.hits == 1
    sandbox.clear_faults()
    tasks.sync_all()
    ((_, _, kwargs),) = queue()
    assert kwargs["resources"] == [name for name in tasks.SCOPED if name != "customers"]


def test_beat_says_when_its_last_tick_was_not_carried_out(queue: Any, caplog: pytest.LogCaptureFixture) -> None:
    cache.clear()
    tasks.purge_events.apply_async()
    assert "was not carried out" not in caplog.text
    queue()  # the message expired, or no worker had time for it
    tasks.purge_events.apply_async()
    assert "the last tick of govpay.tasks.purge_events was not carried out" in caplog.text
    caplog.clear()
    tasks.purge_events.apply()  # a worker carries out the one in the queue
    tasks.purge_events.apply_async()
    tasks.send_digest.apply_async()
    assert "was not carried out" not in caplog.text


def test_beat_says_nothing_of_ticks_when_workers_have_caches_of_their_own(
    settings: Any, queue: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CACHES = {**settings.CACHES, "own": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.GOVPAY = {**settings.GOVPAY, "CACHE": "own"}
    for _ in range(2):
        tasks.purge_events.apply_async()
    assert len(queue()) == 2
    assert "was not carried out" not in caplog.text


def test_ticks_are_those_of_the_schedule() -> None:
    assert {entry["task"] for entry in schedule.BEAT_SCHEDULE.values()} == tasks.TICKS


def test_many_events_queue_one_sync_of_their_lists(sandbox: Any, queue: Any) -> None:
    """A sync that waits serves all events before it starts. An event that arrives later queues another one."""
    account = account_on(sandbox)
    wanted = ("govpay.tasks.sync_account", [account], {"resources": ["payments", "transactions"]})

    def arrive(count: int) -> None:
        tasks.process_events([event_for(account, "ivr.completed").pk for _ in range(count)])

    arrive(3)
    assert queue() == [wanted]
    arrive(1)
    assert queue() == []
    tasks.sync_account(account, resources=["payments", "transactions"])
    arrive(2)
    assert queue() == [wanted]


def test_a_sync_for_an_event_expires_like_a_tick(sandbox: Any, queue: Any) -> None:
    account = account_on(sandbox)
    tasks.process_event(event_for(account, "ivr.completed").pk)
    with current_app.connection_for_read() as connection, connection.SimpleQueue(schedule.SYNC) as messages:
        message = messages.get_nowait()
        message.ack()
    assert message.headers["expires"]


def test_a_sync_that_could_not_be_queued_is_queued_for_the_next_event(
    sandbox: Any, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = account_on(sandbox)

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(tasks.sync_account, "apply_async", refuse)
        tasks.process_event(event_for(account, "ivr.completed").pk)
    tasks.process_event(event_for(account, "ivr.completed").pk)
    assert len(queue()) == 1

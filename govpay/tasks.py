"""The Celery tasks. A task may run twice, late or not at all: the next tick does the work that is still open."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import before_task_publish, task_postrun, task_prerun
from django.db import DatabaseError
from django.utils import timezone

from govpay import operations, review
from govpay.background import Batches
from govpay.cache import FailOpenCache, queued_sync_key
from govpay.connection import get_authorizer
from govpay.doctor import heartbeats
from govpay.exceptions import APIError, ConfigurationError
from govpay.models import SyncRun
from govpay.security.tracebacks import scrub_traceback
from govpay.sync import events, inbox, outbox
from govpay.sync.due import due_lists, next_accounts
from govpay.sync.pull import GLOBAL, SCOPED
from govpay.sync.slots import read_lists

logger = logging.getLogger("govpay.tasks")

#: Seconds after which a queued tick expires, because the next one is already in the queue.
TICK_EXPIRES = 55

#: The tasks that beat queues (``govpay.schedule``).
TICKS = frozenset(
    f"govpay.tasks.{name}"
    for name in ("refresh_token", "sync_all", "reconcile_operations", "send_outstanding", "purge_events")
    + ("send_digest", "heartbeat")
)

#: Maximum number of events in one message. All are of one account, so that none waits for another account's platform.
TOGETHER = 20

_cache = FailOpenCache("mark of queued syncs")

#: Retention of ``SyncRun`` rows.
KEEP_RUNS = dt.timedelta(days=30)

# RabbitMQ closes the channel of a worker that has not acknowledged a message within its ``consumer_timeout``, by
# default 30 minutes. Every task ends before that.
_short: dict[str, Any] = {"acks_late": True, "ignore_result": True, "soft_time_limit": 110, "time_limit": 120}
_long: dict[str, Any] = {
    "acks_late": True,
    "ignore_result": True,
    "soft_time_limit": 1500,
    "time_limit": 1560,
}


@task_prerun.connect(weak=False, dispatch_uid="govpay.worker")
def _note_worker(task: Any = None, **_: Any) -> None:
    """Record the worker's heartbeat when a task of this package starts. An eager task has no worker."""
    if str(getattr(task, "name", "")).startswith("govpay.") and not task.request.is_eager:
        heartbeats.record_worker()


@before_task_publish.connect(weak=False, dispatch_uid="govpay.tick_queued")
def _note_tick_queued(sender: Any = None, **_: Any) -> None:
    if sender in TICKS:
        heartbeats.note_tick_queued(sender)


@task_postrun.connect(weak=False, dispatch_uid="govpay.tick_done")
def _note_tick_done(task: Any = None, **_: Any) -> None:
    if getattr(task, "name", "") in TICKS:
        heartbeats.note_tick_done(task.name)


@shared_task(name="govpay.tasks.heartbeat", **_short)
@scrub_traceback
def heartbeat() -> None:
    """Record the heartbeat of beat, with a mark that shows which cache the worker uses."""
    heartbeats.record_beat()


@shared_task(name="govpay.tasks.refresh_token", **_short)
@scrub_traceback
def refresh_token() -> None:
    """Keep a fresh token in the cache. Fetches a new one only shortly before the old one expires."""
    try:
        get_authorizer().refresh()
    except (APIError, ConfigurationError) as error:
        logger.warning("the token could not be refreshed: %s", error)


@shared_task(name="govpay.tasks.sync_all", **_long)
@scrub_traceback
def sync_all() -> None:
    """Read clients and accounts when they are due, then queue the accounts with due lists, longest waiting first."""
    read_platform_lists()
    for due in next_accounts(operations.held_since()):
        options = {"resources": due.resources, "full": due.full}
        sync_account.apply_async((due.account_uid,), options, expires=TICK_EXPIRES)


def read_platform_lists() -> None:
    """Read clients and accounts when they are due, and delete old records of runs."""
    read_lists(_due(None, GLOBAL, full=True), None, full=True)
    read_lists(_due(None, GLOBAL), None)
    SyncRun.objects.filter(started_at__lt=timezone.now() - KEEP_RUNS).delete()


@shared_task(name="govpay.tasks.sync_account", bind=True, **_long)
@scrub_traceback
def sync_account(self: Any, account_uid: str, resources: Sequence[str] | None = None, full: bool = False) -> None:
    """Read the lists of one account, whether due or not. Skips a list that another worker reads.

    Ends after ``SYNC_SLOT`` seconds. If a tick or an event queued the task (then it has an expiry), a periodic sync
    reads the remaining lists. Otherwise the task queues itself again, because these lists may not be due.
    """
    wanted = SCOPED if resources is None else tuple(resources)
    _cache.delete(queued_sync_key(account_uid, wanted))  # events that arrive from now on need another sync
    left = read_lists([name for name in SCOPED if name in wanted], account_uid, full=full)
    if left and self.request.expires is None:
        _queue_sync(account_uid, left, full=full)


@shared_task(name="govpay.tasks.reconcile_operations", **_short)
@scrub_traceback
def reconcile_operations() -> None:
    """Reconcile open operations, finish a restore, recheck manual resolutions, and close expired payment links."""
    outcome = operations.reconcile()
    operations.finish_restore()
    operations.recheck_resolved()
    operations.close_expired_links()
    if outcome.succeeded or outcome.failed or outcome.late_failures:
        logger.info("reconciled: %s", outcome)


@shared_task(name="govpay.tasks.send_digest", **_short)
def send_digest() -> None:
    """Mail the review queue to ``DIGEST_RECIPIENTS``, when a digest is due and the queue is not empty."""
    review.send_digest()


@shared_task(name="govpay.tasks.process_event", **_short)
@scrub_traceback
def process_event(event_id: int) -> None:
    """Process one stored webhook event, unless another worker processes or has processed it."""
    process(event_id)
    dispatch_signals()


@shared_task(name="govpay.tasks.process_events", **_short)
@scrub_traceback
def process_events(event_ids: Sequence[int]) -> None:
    """Process several events of one account. Events that are not processed in time are queued again later."""
    for event_id in event_ids:
        process(event_id)
    dispatch_signals()


@shared_task(name="govpay.tasks.process_slow_event", **_short)
@scrub_traceback
def process_slow_event(event_id: int) -> None:
    """Process one event of an account that the platform serves slowly, in the queue of lists."""
    process(event_id, patient=True)
    dispatch_signals()


@shared_task(name="govpay.tasks.send_outstanding", **_short)
@scrub_traceback
def send_outstanding() -> None:
    """Queue the events that no worker has started, or that are due for a retry."""
    due = inbox.overdue()
    left = len(due)
    for some in inbox.batches(due, TOGETHER):
        try:
            _publish(some)
        except Exception as error:  # each broker raises its own exceptions
            logger.warning("%d events were not queued (%s)", left, type(error).__name__)
            return
        inbox.note_queued(some)
        left -= len(some)


@shared_task(name="govpay.tasks.purge_events", **_short)
@scrub_traceback
def purge_events() -> None:
    """Delete events older than ``EVENT_RETENTION_DAYS``."""
    count = inbox.purge()
    if count:
        logger.info("%d old webhook events were deleted", count)


def queue_event(event_id: int, *, slow: bool = False) -> bool:
    """Queue an event now. Returns false when the broker cannot be reached; a later tick then queues it."""
    try:
        (process_slow_event if slow else process_event).apply_async((event_id,), retry=False)
    except Exception as error:  # each broker raises its own exceptions
        logger.warning("event %s was not queued (%s)", event_id, type(error).__name__)
        return False
    return True


def replay_events(event_ids: Sequence[int]) -> dict[int, str]:
    """Reset events and queue them. Returns each one's outcome: ``queued``, ``waiting`` (broker down) or ``busy``.

    Call it outside any transaction, so that a worker finds the reset rows.
    """
    put_back = set(inbox.requeue(event_ids))
    outcomes: dict[int, str] = {}
    reachable = True
    for event_id in event_ids:
        if event_id not in put_back:
            outcomes[event_id] = "busy"
            continue
        # A broker that is down is tried only once, because each attempt may take seconds.
        reachable = reachable and queue_event(event_id)
        outcomes[event_id] = "queued" if reachable else "waiting"
    return outcomes


def queue_sync(account_uid: str) -> bool:
    """Queue a sync of all lists of an account. Returns false when the broker cannot be reached."""
    try:
        sync_account.apply_async((account_uid,), retry=False)
    except Exception as error:  # each broker raises its own exceptions
        logger.warning("a sync of %s could not be queued (%s)", account_uid, type(error).__name__)
        return False
    return True


def queue_event_soon(account_uid: str, event_id: int) -> None:
    """Queue an event without waiting for the broker. Events of one account that arrive together share a message."""
    if process_event.app.conf.task_always_eager:
        process_event.delay(event_id)  # in this thread, because a test may have an open transaction
    else:
        _queue.put((account_uid, event_id))


def _publish(event_ids: Sequence[int]) -> None:
    if len(event_ids) == 1:
        process_event.apply_async((event_ids[0],), retry=False)
    else:
        process_events.apply_async((list(event_ids),), retry=False)


def _publish_by_account(arrived: Sequence[tuple[str, int]]) -> None:
    for event_ids in inbox.batches(arrived, TOGETHER):
        _publish(event_ids)


_queue: Batches[tuple[str, int]] = Batches(_publish_by_account, most=TOGETHER)


def process(
    event_id: int,
    *,
    patient: bool = False,
    sync: Callable[[str, Sequence[str]], None] | None = None,
    slow: Callable[[int], object] | None = None,
) -> None:
    """Process one stored event in this process.

    Without ``patient`` an event whose account is slow is passed to ``slow``. ``sync`` reads lists of its account. By
    default both are queued.
    """
    event = inbox.claim(event_id)
    if event is None:
        return
    try:
        outcome = events.work_on(event, patient=patient)
    except SoftTimeLimitExceeded:
        inbox.fail(event, "It took too long.")
        raise
    except Exception as error:
        # One bad document or row must not stop the other events. An event that always fails ends after some attempts.
        logger.exception("event %s (%s) could not be processed", event.webhook_id, event.event_type)
        inbox.fail(event, f"Our own fault: {type(error).__name__}; see the log.")
        return
    if outcome.error:
        logger.warning("event %s (%s): %s", event.webhook_id, event.event_type, outcome.error)
    if outcome.slow:
        (slow or partial(queue_event, slow=True))(event_id)
    if outcome.refunds:
        operations.follow_refunds()
    if outcome.lists:
        (sync or _queue_sync_once)(str(event.account_id), outcome.lists)


def _queue_sync_once(account_uid: str, names: Sequence[str]) -> None:
    """Queue a sync of these lists, unless one waits already. It expires like a tick; the periodic sync follows."""
    key = queued_sync_key(account_uid, names)
    if _cache.add(key, True, TICK_EXPIRES) and not _queue_sync(account_uid, names, expires=TICK_EXPIRES):
        _cache.delete(key)


def _queue_sync(account_uid: str, names: Sequence[str], *, full: bool = False, expires: int | None = None) -> bool:
    options = {"resources": list(names), **({"full": True} if full else {})}
    try:
        sync_account.apply_async((account_uid,), options, retry=False, expires=expires)
    except Exception as error:
        logger.info(
            "not queued (%s): %s of %s are read by the next periodic sync",
            type(error).__name__,
            ", ".join(names),
            account_uid,
        )
        return False
    return True


def dispatch_signals() -> None:
    """Send the signals of the outbox. A failure is logged; the next tick sends them."""
    try:
        outbox.dispatch()
    except DatabaseError:
        logger.exception("signals could not be sent; the next tick sends them")


def _due(account_uid: str | None, names: Sequence[str], *, full: bool = False) -> list[str]:
    """Return the due lists of one account, or of the platform."""
    due = due_lists([account_uid], names, full=full, restored_at=operations.held_since() if full else None)
    return due[0].resources if due else []

"""Heartbeats: rows that workers write, and a mark in the cache that shows whether processes share it."""

from __future__ import annotations

import datetime as dt
import logging
import socket
import time
import uuid
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Case, F, Value, When
from django.utils import timezone

from govpay import conf
from govpay.cache import HEARTBEAT_KEY, FailOpenCache, shared_cache, tick_key
from govpay.checks import UNSHARED_CACHES
from govpay.models import Heartbeat

logger = logging.getLogger("govpay.doctor")

WORKER, BEAT = "worker", "beat"

#: A process without a heartbeat for this long counts as stopped.
MAX_SILENCE = dt.timedelta(minutes=5)

#: A worker writes its row at most once in this many seconds.
WORKER_WRITE_INTERVAL = 30.0

#: Seconds that the mark stays in the cache. Longer than MAX_SILENCE, so that a live worker's mark is found.
MARK_TIMEOUT = 3600

_recorded_at = 0.0
_ticks = FailOpenCache("cache of ticks")


def record_beat() -> None:
    """Record that a worker ran a tick of beat: update the row of beat and put a new mark into the cache."""
    mark = uuid.uuid4().hex
    try:
        shared_cache().set(HEARTBEAT_KEY, mark, timeout=MARK_TIMEOUT)
    except Exception as error:  # each backend has its own exceptions, and their texts may contain a password
        logger.warning("the worker's mark could not be stored in the cache (%s)", type(error).__name__)
        mark = ""  # beat is alive all the same; no value in a cache equals the empty text
    _record(BEAT, mark=mark)


def note_tick_queued(task: str) -> None:
    """Record that Celery beat queues the periodic task ``task``.

    Logs a warning if no worker has finished the previous one. Does nothing with a cache of ``UNSHARED_CACHES``: there
    the mark that a worker removes in ``note_tick_done`` is not reliable.
    """
    if settings.CACHES.get(conf.get("CACHE"), {}).get("BACKEND") in UNSHARED_CACHES:
        return
    if not _ticks.add(tick_key(task), 1, MARK_TIMEOUT):
        logger.warning("the last tick of %s was not carried out: its workers are missing, busy or too few", task)


def note_tick_done(task: str) -> None:
    """Record that a worker carried out a tick."""
    _ticks.delete(tick_key(task))


def record_worker() -> None:
    """Record that a worker began a task. Errors are logged and not raised, so that the task runs."""
    global _recorded_at
    now = time.monotonic()
    if _recorded_at and now - _recorded_at < WORKER_WRITE_INTERVAL:
        return
    _recorded_at = now
    try:
        _record(WORKER)
    except DatabaseError:
        logger.warning("the worker's heartbeat could not be written", exc_info=True)


def _record(name: str, **columns: Any) -> None:
    now = timezone.now()
    columns.update(last_seen=now, host=socket.gethostname()[:255])
    since = Case(When(last_seen__lt=now - MAX_SILENCE, then=Value(now)), default=F("started_at"))
    if not Heartbeat.objects.filter(name=name).update(started_at=since, **columns):
        Heartbeat.objects.bulk_create([Heartbeat(name=name, started_at=now, **columns)], ignore_conflicts=True)

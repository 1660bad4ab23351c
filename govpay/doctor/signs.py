"""Signs of life: rows that workers write, and a mark in the cache that proves whether it is shared."""

from __future__ import annotations

import datetime as dt
import logging
import socket
import time
import uuid
from typing import Any

from django.core.cache import caches
from django.db import DatabaseError
from django.db.models import Case, F, Value, When
from django.utils import timezone

from govpay import conf
from govpay.models import Heartbeat

logger = logging.getLogger("govpay.doctor")

WORKER, BEAT = "worker", "beat"

#: A process that gave no sign for so long is taken for stopped.
SILENCE = dt.timedelta(minutes=5)

#: A worker tells of itself at most so often, in seconds.
NOTE_EVERY = 30.0

#: Seconds that the mark stays in the cache: longer than any silence that is still called alive.
MARK_LIVES = 3600

_noted_at = 0.0


def note_beat() -> None:
    """A tick of beat was carried out: the row, and a fresh mark in the cache."""
    mark = uuid.uuid4().hex
    try:
        caches[conf.get("CACHE")].set(mark_key(), mark, timeout=MARK_LIVES)
    except Exception as error:  # each backend has its own kinds, whose text may name an address with a password
        logger.warning("the mark could not be put into the cache (%s)", type(error).__name__)
        mark = ""  # beat is alive all the same; nothing in a cache is equal to this
    _note(BEAT, mark=mark)


def note_worker() -> None:
    """A worker began a task. Never fails: the task is what matters."""
    global _noted_at
    now = time.monotonic()
    if _noted_at and now - _noted_at < NOTE_EVERY:
        return
    _noted_at = now
    try:
        _note(WORKER)
    except DatabaseError:
        logger.warning("the worker's sign of life could not be written", exc_info=True)


def mark_key() -> str:
    return "govpay:heartbeat:mark"


def _note(name: str, **columns: Any) -> None:
    now = timezone.now()
    columns.update(last_seen=now, host=socket.gethostname()[:255])
    since = Case(When(last_seen__lt=now - SILENCE, then=Value(now)), default=F("started_at"))
    if not Heartbeat.objects.filter(name=name).update(started_at=since, **columns):
        Heartbeat.objects.bulk_create([Heartbeat(name=name, started_at=now, **columns)], ignore_conflicts=True)

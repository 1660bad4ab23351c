"""Leases: one worker per list. A lease survives a crash, and a dead owner is detected."""

from __future__ import annotations

import datetime as dt
import os
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from govpay import conf
from govpay.exceptions import SyncBusy
from govpay.models import SyncCursor
from govpay.sync.transactions import in_transaction, reading

#: An owner on another host counts as dead this long after its last heartbeat.
EXPIRY = dt.timedelta(seconds=60)

#: Seconds between two attempts to take a lease while waiting for it.
LOOK_EVERY = 0.5


class LeaseLost(SyncBusy):
    """Another worker took over the list. The uncommitted work of this worker is rolled back."""


def cursor_for(resource: str, account_uid: str | None) -> SyncCursor:
    """Return the cursor of an account and a resource. It is created if it is missing."""
    cursor, _ = in_transaction(lambda: SyncCursor.objects.get_or_create(resource=resource, account_id=account_uid))
    return cursor


def acquire(cursor: SyncCursor) -> bool:
    """Take the lease in one conditional statement; returns whether it was taken. On success ``cursor`` is refreshed.

    Heartbeats are written and compared by the database's clock, because the clocks of hosts may differ by minutes.
    """
    held = reading(lambda: SyncCursor.objects.get(pk=cursor.pk))
    free = Q(lease_token=None) | Q(heartbeat_at=None) | Q(heartbeat_at__lte=Now() - _expiry())
    if held.lease_token and _owner_is_dead(held):
        free |= Q(lease_token=held.lease_token)
    token, pid = uuid.uuid4(), os.getpid()
    taken = in_transaction(
        lambda: SyncCursor.objects.filter(free, pk=cursor.pk).update(
            lease_token=token,
            lease_host=this_host(),
            lease_pid=pid,
            lease_process_start=process_start(pid),
            heartbeat_at=Now(),
            attempted_at=timezone.now(),
        )
    )
    if taken:
        reading(cursor.refresh_from_db)
    return bool(taken)


def acquire_or_wait(cursor: SyncCursor, *, wait: bool, on_wait: Callable[[SyncCursor], None] | None = None) -> None:
    """Take the lease. Raises ``SyncBusy`` when another worker has it and ``wait`` is false."""
    told = False
    while not acquire(cursor):
        if not wait:
            raise SyncBusy(f"{_named(cursor)} is being read by another worker.")
        if on_wait and not told:
            cursor.refresh_from_db()
            on_wait(cursor)
            told = True
        time.sleep(LOOK_EVERY)


def busy_accounts() -> set[str]:
    """Return the uids of the accounts whose lists a live worker is reading now."""
    held = SyncCursor.objects.exclude(lease_token=None).filter(
        account__isnull=False, heartbeat_at__gt=Now() - _expiry()
    )
    return {str(cursor.account_id) for cursor in held.defer("missing") if not _owner_is_dead(cursor)}


def beat(cursor: SyncCursor, **columns: object) -> None:
    """Write ``columns`` and a heartbeat as the lease's owner. Raises ``LeaseLost`` if the lease has another owner."""
    ours = SyncCursor.objects.filter(pk=cursor.pk, lease_token=cursor.lease_token)
    if not ours.update(heartbeat_at=Now(), **columns):
        raise LeaseLost(f"{_named(cursor)} was taken over by another worker.")
    for name, value in columns.items():
        setattr(cursor, name, value)


def release(cursor: SyncCursor) -> None:
    """Release the lease. Does nothing when the lease was lost."""
    ours = SyncCursor.objects.filter(pk=cursor.pk, lease_token=cursor.lease_token)
    in_transaction(
        lambda: ours.update(lease_token=None, lease_host="", lease_pid=None, lease_process_start="", heartbeat_at=None)
    )
    cursor.lease_token = None


def process_start(pid: int) -> str:
    """Return the start of process ``pid`` in kernel ticks since boot; ``ended`` for a zombie; empty if unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    # The second field is the command in parentheses. It may contain spaces and parentheses itself.
    fields = text.rpartition(")")[2].split()
    return "ended" if fields[0] in ("Z", "X") else fields[19]


def this_host() -> str:
    """Return host name, boot id and process namespace, because the host name alone may not be unique."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip())
        parts.append(os.readlink("/proc/self/ns/pid").strip("pid:[]"))
    except OSError:
        pass  # not Linux: only the host name; ``process_start`` is empty, so processes are not checked
    return "/".join(parts)


def _expiry() -> dt.timedelta:
    """Return the time without a heartbeat after which a lease expires.

    Each page writes a heartbeat. The time is at least ``CALL_TIMEOUT``, so that a slow call does not look dead.
    """
    return max(EXPIRY, dt.timedelta(seconds=float(conf.get("CALL_TIMEOUT"))))


def _owner_is_dead(held: SyncCursor) -> bool:
    if held.lease_host != this_host() or not held.lease_pid or not held.lease_process_start:
        return False
    try:
        os.kill(held.lease_pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # alive, and another user's
    start = process_start(held.lease_pid)
    return bool(start) and start != held.lease_process_start


def _named(cursor: SyncCursor) -> str:
    return f"{cursor.resource} of {cursor.account_id or '-'}"

"""Decides which lists are due for a sync, and which accounts are read first."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from govpay import conf
from govpay.models import SyncCursor, SyncRun
from govpay.models.choices import RunState, SyncMode
from govpay.sync import lease
from govpay.sync.pull import GLOBAL, SCOPED, account_uids

#: Time between two ticks of ``govpay.schedule``.
TICK = dt.timedelta(seconds=60)

#: A list whose last attempt did not reach its end is tried again after this time, which means at the next tick. The
#: time doubles with each failure.
RETRY_AFTER = dt.timedelta(seconds=30)

#: Ticks are not exactly a minute apart. A list that becomes due within this time is read now.
EARLY = dt.timedelta(seconds=30)

#: Sorts before every real time.
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

#: Minimum number of accounts that one tick queues, so that a small site is read at once.
ACCOUNTS_PER_TICK = 20


class Due(NamedTuple):
    """The due lists of one account, and the time of the latest attempt at one of them."""

    account_uid: str | None
    resources: list[str]
    full: bool
    attempted_at: dt.datetime | None


def due_lists(
    uids: Sequence[str | None], names: Sequence[str], *, full: bool = False, restored_at: dt.datetime | None = None
) -> list[Due]:
    """Return the due lists of these accounts (None: the lists that belong to no account).

    A list is due if it was never read, or if its last complete read is older than ``SYNC_INTERVAL``. With ``full``, a
    list is due if its last full pass is older than ``FULL_SYNC_INTERVAL`` or than ``restored_at``. The very first pass
    of a list is a full one, so with ``full`` a list without a first pass is not due. After each further failure, the
    wait before the next attempt doubles, up to ``SYNC_INTERVAL``.
    """
    now = timezone.now()
    interval = dt.timedelta(seconds=float(conf.get("FULL_SYNC_INTERVAL" if full else "SYNC_INTERVAL")))
    since = now - max(interval - EARLY, interval / 2)
    if full and restored_at is not None:
        since = max(since, restored_at)
    asked = Q(account__in=[uid for uid in uids if uid is not None])
    if None in uids:
        asked |= Q(account=None)
    done = "full_completed_at" if full else "completed_at"
    rows = SyncCursor.objects.filter(asked, resource__in=names).defer("missing")  # it may be long
    known = {(row.account_id, row.resource): row for row in _with_failures(rows, full, done)}
    longest = float(conf.get("SYNC_INTERVAL"))
    found = []
    for uid in uids:
        due, attempts = [], []
        for name in names:
            row = known.get((uid, name))
            if row is None:
                due += [] if full else [name]
                continue
            completed_at = getattr(row, done)
            fresh = completed_at > since if completed_at is not None else full
            if not fresh and not _rests(row, now, longest):
                due.append(name)
                attempts += [row.attempted_at] if row.attempted_at is not None else []
        if due:
            found.append(Due(uid, due, full, max(attempts, default=None)))
    return found


def _with_failures(rows: QuerySet[SyncCursor], full: bool, done: str) -> QuerySet[SyncCursor]:
    """Annotate the failed runs of this mode since its last success: ``failures`` (number) and ``failed_at`` (start)."""
    failed = SyncRun.objects.filter(
        Q(account=OuterRef("account_id")) | Q(account=None, resource__in=GLOBAL),
        resource=OuterRef("resource"),
        mode=SyncMode.FULL if full else SyncMode.INCREMENTAL,
        state=RunState.FAILED,
        started_at__gt=Coalesce(OuterRef(done), Value(LONG_AGO)),
    )
    counted = failed.order_by().values("resource").annotate(runs=Count("pk")).values("runs")
    return rows.annotate(
        failures=Subquery(counted), failed_at=Subquery(failed.order_by("-started_at").values("started_at")[:1])
    )


def _rests(row: Any, now: dt.datetime, longest: float) -> bool:
    """Return whether the list must wait before its next read.

    It waits for ``RETRY_AFTER`` after each attempt. After the second failure since its last success, it waits longer
    with each failure, at most ``longest`` seconds.
    """
    if row.attempted_at is not None and row.attempted_at > now - RETRY_AFTER:
        return True
    if (row.failures or 0) < 2:
        return False
    wait = min(RETRY_AFTER.total_seconds() * 2 ** min(row.failures - 1, 16), longest)
    return bool(row.failed_at > now - dt.timedelta(seconds=wait))


def next_accounts(restored_at: dt.datetime | None = None) -> list[Due]:
    """Return the accounts that this tick queues, the longest waiting first.

    At most twice the average number of accounts per tick is returned, so that accounts that became due together are
    spread over the interval. Each account is returned once. If a full and an incremental pass are due, they take turns,
    the full pass first. An account that a worker is reading now is left out, so that an account that hangs occupies
    only one worker.
    """
    every = account_uids()
    busy = lease.busy_accounts()
    uids = [uid for uid in every if uid not in busy]
    found = {due.account_uid: due for due in due_lists(uids, SCOPED)}
    full = {due.account_uid: due for due in due_lists(uids, SCOPED, full=True, restored_at=restored_at)}
    last_full = _lists_last_read_in_full([uid for uid in full if uid in found])
    for uid, due in full.items():
        both = set(due.resources).intersection(found[uid].resources if uid in found else ())
        if not any((uid, name) in last_full for name in both):
            found[uid] = due
    interval = float(conf.get("SYNC_INTERVAL"))
    limit = max(ACCOUNTS_PER_TICK, math.ceil(2 * len(every) * TICK.total_seconds() / interval))
    return sorted(found.values(), key=lambda due: due.attempted_at or LONG_AGO)[:limit]


def _lists_last_read_in_full(uids: Sequence[str | None]) -> set[tuple[str, str]]:
    """Return the lists of these accounts, as (account, list), whose last run was a full one."""
    runs = SyncRun.objects.filter(account=OuterRef("account_id"), resource=OuterRef("resource"))
    cursors = SyncCursor.objects.filter(account__in=uids).annotate(
        last_mode=Subquery(runs.order_by("-started_at").values("mode")[:1])
    )
    found = cursors.filter(last_mode=SyncMode.FULL).order_by().values_list("account_id", "resource")
    return {(str(uid), name) for uid, name in found}

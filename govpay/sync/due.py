"""Which lists are due for a sync, and which accounts are read first."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import NamedTuple

from django.db.models import Q
from django.utils import timezone

from govpay import conf
from govpay.models import SyncCursor
from govpay.sync import lease
from govpay.sync.pull import SCOPED, account_uids

#: Time between two ticks of ``govpay.schedule``.
TICK = dt.timedelta(seconds=60)

#: A list whose last attempt did not reach its end is tried again after this time, which means at the next tick.
RETRY_AFTER = dt.timedelta(seconds=30)

#: Ticks are not exactly a minute apart. A list that becomes due within this time is read now.
EARLY = dt.timedelta(seconds=30)

#: Sorts before every real time.
LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)

#: Minimum number of accounts that one tick queues, so that a small site is read at once.
ACCOUNTS_PER_TICK = 20


class Due(NamedTuple):
    """The due lists of one account, and the time of the last attempt at one of them."""

    account_uid: str | None
    resources: list[str]
    full: bool
    attempted_at: dt.datetime | None


def due_lists(
    uids: Sequence[str | None], names: Sequence[str], *, full: bool = False, restored_at: dt.datetime | None = None
) -> list[Due]:
    """The lists of these accounts (None: the lists without account) that are due.

    A list is due when it was never read, or last before ``SYNC_INTERVAL``. With ``full``: when its last full pass was
    before ``FULL_SYNC_INTERVAL``, or before ``restored_at``. The very first pass is a full one, so a list without a
    first pass is not due for another.
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
    rows = SyncCursor.objects.filter(asked, resource__in=names)
    known = {
        (account_uid, name): (completed_at, attempted_at)
        for account_uid, name, completed_at, attempted_at in rows.values_list(
            "account_id", "resource", done, "attempted_at"
        )
    }
    found = []
    for uid in uids:
        due, attempts = [], []
        for name in names:
            completed_at, attempted_at = known.get((uid, name), (None, None))
            rests = attempted_at is not None and attempted_at > now - RETRY_AFTER
            fresh = completed_at > since if completed_at is not None else full
            if not rests and not fresh:
                due.append(name)
                attempts += [attempted_at] if attempted_at is not None else []
        if due:
            found.append(Due(uid, due, full, max(attempts, default=None)))
    return found


def next_accounts(restored_at: dt.datetime | None = None) -> list[Due]:
    """The accounts that this tick queues: the longest waiting first, and at most twice as many as the interval needs.

    So accounts that became due together are spread over the interval. Each account is queued once, for its full
    passes first. An account that a worker is reading is left out, so that an account that hangs keeps one worker only.
    """
    every = account_uids()
    busy = lease.busy_accounts()
    uids = [uid for uid in every if uid not in busy]
    found = {due.account_uid: due for due in due_lists(uids, SCOPED)}
    found |= {due.account_uid: due for due in due_lists(uids, SCOPED, full=True, restored_at=restored_at)}
    interval = float(conf.get("SYNC_INTERVAL"))
    limit = max(ACCOUNTS_PER_TICK, math.ceil(2 * len(every) * TICK.total_seconds() / interval))
    return sorted(found.values(), key=lambda due: due.attempted_at or LONG_AGO)[:limit]

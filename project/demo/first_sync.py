"""The first sync: queues it for the worker and shows its progress."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from django.db.models import Model, QuerySet
from tqdm import tqdm

from govpay.models import (
    Client,
    Customer,
    Payment,
    PaymentAccount,
    SavedPaymentMethod,
    SyncCursor,
    SyncRun,
    Terminal,
    Transaction,
)
from govpay.models.choices import RunState
from govpay.sync.pull import GLOBAL, SCOPED, account_uids
from govpay.tasks import sync_account, sync_all
from project.demo.processes import HOST

#: The sandbox's name of each list → the table that the first sync fills.
MIRRORS: dict[str, type[Model]] = {
    "clients": Client,
    "accounts": PaymentAccount,
    "customers": Customer,
    "methods": SavedPaymentMethod,
    "payments": Payment,
    "transactions": Transaction,
    "terminals": Terminal,
}

#: Seconds without progress after which the first sync counts as failed.
STALL_TIMEOUT = 90.0


class SyncFailed(Exception):
    """The first sync failed. The text says why."""


def read_stats(port: int) -> dict[str, object] | None:
    """Return the sandbox's number of objects of each kind, or ``None`` while it does not answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/_sandbox/stats")
        answer = connection.getresponse()
        return dict(json.loads(answer.read())) if answer.status == 200 else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def rows_there(stats: dict[str, object] | None) -> int | None:
    """Return how many rows the first sync will store, or ``None`` if that is not known."""
    if stats is None:
        return None
    return sum(count for name in MIRRORS if isinstance(count := stats.get(name), int))


def rows_here() -> int:
    return sum(model._default_manager.count() for model in MIRRORS.values())


def queue_first_sync() -> None:
    """Queue a sync of all lists, also of those that were synced a minute ago."""
    for uid in account_uids():
        sync_account.delay(uid)
    sync_all.delay()


def lists_left(since: dt.datetime) -> list[str]:
    """Return the lists whose sync has not ended ``since`` that time. Empty when the first sync is complete.

    A failed sync of an account's list has ended too, so that one closed account does not block the others.
    """
    done = _finished(SyncCursor.objects.exclude(completed_at=None))
    fresh = _finished(SyncCursor.objects.filter(completed_at__gte=since)) | refused(since)
    left = [f"{name} of the platform" for name in GLOBAL if (None, name) not in done]
    for uid in account_uids():
        left += [f"{name} of {uid}" for name in SCOPED if (uid, name) not in fresh]
    return left


def refused(since: dt.datetime) -> set[tuple[Any, str]]:
    """Return the lists of which every run ``since`` that time has failed."""
    runs = SyncRun.objects.filter(started_at__gte=since)
    return _finished(runs.filter(state=RunState.FAILED)) - _finished(runs.filter(state=RunState.SUCCEEDED))


def _finished(cursors: QuerySet[Any]) -> set[tuple[Any, str]]:
    return {(account, resource) for account, resource in cursors.values_list("account_id", "resource")}


def watch(since: dt.datetime, total: int | None, check: Callable[[], None]) -> None:
    """Show the number of stored rows until every list was synced. ``check`` raises if a process has ended.

    Raises ``SyncFailed`` after ``STALL_TIMEOUT`` without progress.
    """
    tqdm.monitor_interval = 0  # no monitor thread in the demo's process
    on_terminal = sys.stderr.isatty()
    seen, told, moved_at, told_at = -1, -1, time.monotonic(), 0.0
    with tqdm(total=total, unit=" rows", desc="First sync", disable=not on_terminal, leave=True) as bar:
        while True:
            check()
            left = lists_left(since)
            here = rows_here()
            bar.update(here - bar.n)
            if not left:
                break
            signs = here + SyncRun.objects.count()
            now = time.monotonic()
            if signs != seen:
                seen, moved_at = signs, now
            if not on_terminal and here != told and now - told_at >= 2:
                told, told_at = here, now
                print(f"First sync: {here} of {total or '?'} rows", file=sys.stderr, flush=True)
            if now - moved_at > STALL_TIMEOUT:
                raise SyncFailed(f"{left[0]} and {len(left) - 1} more lists were not synced: {_why(since)}")
            time.sleep(0.3)
    for account, name in sorted(refused(since), key=str):
        print(f"{name} of {account or 'the platform'} failed: {_why(since)}", file=sys.stderr, flush=True)


def _why(since: dt.datetime) -> str:
    failed = SyncRun.objects.filter(started_at__gte=since, state=RunState.FAILED).exclude(error="").first()
    return failed.error if failed else "see the worker's log."

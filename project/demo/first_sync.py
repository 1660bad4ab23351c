"""Has the worker read everything once, and shows how far it is."""

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

#: The stand-in's name for each table that the first sync fills.
MIRRORS: dict[str, type[Model]] = {
    "clients": Client,
    "accounts": PaymentAccount,
    "customers": Customer,
    "methods": SavedPaymentMethod,
    "payments": Payment,
    "transactions": Transaction,
    "terminals": Terminal,
}

#: Seconds without a sign of life after which the sync is given up.
PATIENCE = 90.0


class SyncFailed(Exception):
    """The first sync did not come through; the text says why."""


def read_stats(port: int) -> dict[str, object] | None:
    """What the stand-in on ``port`` has, or ``None`` while it does not answer."""
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
    """How many rows are to come, or ``None`` when the platform does not tell."""
    if stats is None:
        return None
    return sum(count for name in MIRRORS if isinstance(count := stats.get(name), int))


def rows_here() -> int:
    return sum(model._default_manager.count() for model in MIRRORS.values())


def order_sync() -> None:
    """Asks the worker to read everything now, also what a run of a minute ago has just read."""
    for uid in account_uids():
        sync_account.delay(uid)
    sync_all.delay()


def lists_left(since: dt.datetime) -> list[str]:
    """The lists that have not answered ``since`` then. Empty: all is here, but for what the platform refused.

    A list of an account that failed has answered: one closed account must not hold up the others.
    """
    done = _finished(SyncCursor.objects.exclude(completed_at=None))
    fresh = _finished(SyncCursor.objects.filter(completed_at__gte=since)) | refused(since)
    left = [f"{name} of the platform" for name in GLOBAL if (None, name) not in done]
    for uid in account_uids():
        left += [f"{name} of {uid}" for name in SCOPED if (uid, name) not in fresh]
    return left


def refused(since: dt.datetime) -> set[tuple[Any, str]]:
    """The lists whose every run ``since`` then has failed."""
    runs = SyncRun.objects.filter(started_at__gte=since)
    return _finished(runs.filter(state=RunState.FAILED)) - _finished(runs.filter(state=RunState.SUCCEEDED))


def _finished(cursors: QuerySet[Any]) -> set[tuple[Any, str]]:
    return {(account, resource) for account, resource in cursors.values_list("account_id", "resource")}


def watch(since: dt.datetime, total: int | None, check: Callable[[], None]) -> None:
    """Shows the rows arriving until every list was read. ``check`` raises when a process died.

    Raises ``SyncFailed`` when nothing moves any more.
    """
    tqdm.monitor_interval = 0  # no thread beside the demo's own
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
            if now - moved_at > PATIENCE:
                raise SyncFailed(f"{left[0]} and {len(left) - 1} more lists did not come: {_why(since)}")
            time.sleep(0.3)
    for account, name in sorted(refused(since), key=str):
        print(f"{name} of {account or 'the platform'} failed: {_why(since)}", file=sys.stderr, flush=True)


def _why(since: dt.datetime) -> str:
    failed = SyncRun.objects.filter(started_at__gte=since, state=RunState.FAILED).exclude(error="").first()
    return failed.error if failed else "the worker's log tells more."

"""Checks of pending work: webhook events, open operations, a restore, rejected rows, lists that are overdue."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from django.db.models import Min, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from govpay import conf, operations
from govpay.doctor.findings import CheckContext, Finding, Level, listed, span
from govpay.models import Operation, PaymentAccount, SyncCursor, SyncRun, WebhookEvent
from govpay.models.choices import EventState
from govpay.models.operations import OPEN_STATES
from govpay.sync.pull import GLOBAL, SCOPED

#: Age of the oldest unprocessed event. Retries double their pauses, up to two hours.
QUEUE_WARNING_AGE, QUEUE_ERROR_AGE = dt.timedelta(minutes=5), dt.timedelta(minutes=60)

#: Age of the oldest open operation. Reconciliation reads twice, a minute apart, and needs the platform to answer.
OPERATION_WARNING_AGE, OPERATION_ERROR_AGE = dt.timedelta(minutes=10), dt.timedelta(hours=24)

#: Rejected rows are reported for this long after the run.
REJECTED_ROWS_AGE = dt.timedelta(days=7)

#: A list that was not read for this many sync intervals is a warning, or an error.
SYNC_WARNING_INTERVALS, SYNC_ERROR_INTERVALS = 3, 12


def check_queue(context: CheckContext) -> Iterator[Finding]:
    """Report events that were stored but not processed, and events that failed."""
    waiting = WebhookEvent.objects.filter(state=EventState.RECEIVED)
    oldest = waiting.aggregate(oldest=Min("received_at"))["oldest"]
    hint = _("See whether workers are alive, and what the events say in the admin.")
    if oldest is None:
        yield Finding("queue", Level.OK, _("No webhook event waits."))
    else:
        age = timezone.now() - oldest
        what = _("%(count)d webhook events wait, the oldest for %(age)s.")
        level = Level.ERROR if age > QUEUE_ERROR_AGE else Level.WARNING if age > QUEUE_WARNING_AGE else Level.OK
        what = what % {"count": waiting.count(), "age": span(age.total_seconds())}
        yield Finding("queue", level, what, "" if level is Level.OK else hint)
    failed = WebhookEvent.objects.filter(state=EventState.FAILED).count()
    if failed:
        what = _("%(count)d webhook events have failed.") % {"count": failed}
        yield Finding("queue", Level.WARNING, what, _("See why in the admin; govpay_replay --failed tries again."))


def check_operations(context: CheckContext) -> Iterator[Finding]:
    """Report operations whose outcome has been unknown for longer than reconciliation usually takes."""
    now = timezone.now()
    every = Operation.objects.filter(state__in=OPEN_STATES)
    open_ = every.filter(created_at__lt=now - OPERATION_WARNING_AGE)
    rows = list(open_.order_by("created_at").values_list("key", "created_at")[:9])
    if not rows:
        what, recent = _("No operation has been open for long."), every.count()
        if recent:
            more = _("The outcomes of %(count)d operations are being looked up.") % {"count": recent}
            what = f"{what} {more}"
        yield Finding("operations", Level.OK, what)
        return
    age = now - rows[0][1]
    what = _("%(count)d operations are open, the oldest for %(age)s: %(keys)s.") % {
        "count": open_.count(),
        "age": span(age.total_seconds()),
        "keys": listed([key for key, _created in rows]),
    }
    hint = _("Run govpay_reconcile; what stays open has to be looked up in the platform's own records.")
    yield Finding("operations", Level.ERROR if age > OPERATION_ERROR_AGE else Level.WARNING, what, hint)


def check_restore(context: CheckContext) -> Iterator[Finding]:
    """Report whether operations are held since this database was restored from a backup."""
    since = operations.held_since()
    if since is None:
        yield Finding("restore", Level.OK, _("Operations are not held."))
        return
    unread = [f"{name} {uid}".strip() for name, uid in operations.unread_lists()]
    what = _("Operations have been held since a restore %(age)s ago. Lists not yet read in full: %(lists)s.") % {
        "age": span((timezone.now() - since).total_seconds()),
        "lists": listed(unread) or "–",
    }
    hint = _("Run govpay_restored; it says which list cannot be read and why.")
    yield Finding("restore", Level.ERROR, what, hint)


def check_quarantine(context: CheckContext) -> Iterator[Finding]:
    """Report rows of the platform that the sync rejected lately."""
    runs = SyncRun.objects.filter(rejected_count__gt=0, started_at__gt=timezone.now() - REJECTED_ROWS_AGE)
    found = runs.order_by("resource").values("resource").annotate(rows=Sum("rejected_count"))
    told = [f"{each['resource']} {each['rows']}" for each in found]
    if told:
        what = _("Rows were rejected within a week: %(lists)s.") % {"lists": listed(told)}
        hint = _("The sync runs in the admin name each row and the reason; the rest of its page was saved.")
        yield Finding("quarantine", Level.WARNING, what, hint)
    else:
        yield Finding("quarantine", Level.OK, _("No row was rejected within a week."))


def check_sync(context: CheckContext) -> Iterator[Finding]:
    """Check that each list was read to its end within a few times ``SYNC_INTERVAL`` (seconds)."""
    interval = float(conf.get("SYNC_INTERVAL"))
    accounts = PaymentAccount.objects.filter(deleted_at=None).order_by("uid").values_list("uid", flat=True)
    columns = ("account_id", "resource", "completed_at", "error", "unproved_at")
    cursors = list(SyncCursor.objects.values_list(*columns))
    yield from _unproved([(account, name) for account, name, _done, _error, since in cursors if since])
    known: dict[tuple[Any, str], Any] = {
        (account, name): (done, error) for account, name, done, error, _since in cursors
    }
    late = any(since for *_rest, since in cursors)
    for account, names in ((None, GLOBAL), *((uid, SCOPED) for uid in accounts)):
        worst: dict[Level, list[str]] = {Level.WARNING: [], Level.ERROR: []}
        for name in names:
            level, text = _list_state(*known.get((account, name), (None, "")), interval=interval)
            if level is not Level.OK:
                worst[level].append(f"{name} ({text})")
        for level, texts in worst.items():
            if texts:
                late = True
                what = _("Lists that are overdue: %(lists)s.") % {"lists": listed(texts)}
                hint = _("See whether beat and workers are alive, and the sync cursors in the admin.")
                yield Finding("sync", level, what, hint, account or "")
    if not late:
        yield Finding("sync", Level.OK, _("Every list was read within its time."))


def _unproved(lists: list[tuple[Any, str]]) -> Iterator[Finding]:
    """Yield one finding for each account with lists that may be incomplete."""
    for account in sorted({account or "" for account, _name in lists}):
        names = sorted(name for each, name in lists if (each or "") == account)
        what = _("Lists that may be incomplete: %(lists)s.") % {"lists": listed(names)}
        hint = _("The platform refuses paging. Name lists that always come in one answer in UNPAGED_LISTS.")
        yield Finding("sync", Level.ERROR, what, hint, account)


def _list_state(done: dt.datetime | None, error: str, *, interval: float) -> tuple[Level, str]:
    """Return level and text for one list. ``done``: the time of its last complete read; ``interval``: seconds."""
    if done is None:
        return Level.WARNING, _("never")
    age = (timezone.now() - done).total_seconds()
    words = span(age) + (f": {error[:160]}" if error else "")
    if age > SYNC_ERROR_INTERVALS * interval:
        return Level.ERROR, words
    return (Level.WARNING, words) if age > SYNC_WARNING_INTERVALS * interval or error else (Level.OK, "")

"""Webhook events: stored once, claimed by one worker at a time, closed, queued again when overdue, purged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from django.db import connections, router
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from govpay import conf
from govpay.cache import FailOpenCache, late_deliveries_key
from govpay.client.cards import looks_like_card
from govpay.client.redaction import mask
from govpay.models import WebhookEvent
from govpay.models.choices import EventState, Source
from govpay.sync import outbox
from govpay.sync.mapping import scrub
from govpay.sync.transactions import in_transaction

_cache = FailOpenCache("count of late deliveries")

#: A worker that has not closed its event after this time is considered dead. Longer than the task's time limit.
CLAIM = dt.timedelta(seconds=150)

#: An event that no worker has claimed this long after it was stored is queued again ...
QUEUE_PATIENCE = dt.timedelta(seconds=60)

#: ... and then at most once in this time, so that the periodic task does not lengthen a long queue.
QUEUED_AGAIN = dt.timedelta(seconds=300)

#: Maximum attempts of an event. The pauses double from one minute to one hour, about two hours in total.
MAX_ATTEMPTS = 8
MAX_PAUSE = dt.timedelta(hours=1)

#: Minimum retention, whatever the setting says: a repeated delivery must be recognized (faults W1b).
LEAST_RETENTION = dt.timedelta(days=30)

#: The text that replaces a card number, and the number of characters that are checked for one.
MASKED = "***"
MAX_NUMBER_LENGTH = 64

#: Seconds for which refused deliveries are counted.
STALE_SHOWN = 7 * 86400

#: Rows deleted by one statement.
PURGED_AT_ONCE = 5000


def store(*, account_uid: str, webhook_id: str, event_type: str, sent_at: dt.datetime, payload: Any) -> int | None:
    """Store a verified delivery. Runs one statement, or two if the delivery is stored already.

    Returns the row's primary key when the event must be processed: it is new, or it had failed and was delivered
    again. Returns ``None`` otherwise. Call it outside any transaction, because the sender relies on the commit.
    Raises ``Unmappable`` for a payload that is nested too deeply.
    """
    now = timezone.now()
    columns: dict[str, Any] = {
        "account": account_uid,
        "webhook_id": webhook_id,
        "event_type": event_type,
        "sent_at": sent_at,
        "payload": kept(payload),
        "state": EventState.RECEIVED.value,
        "attempts": 0,
        "error": "",
        "received_at": now,
        "due_at": now + QUEUE_PATIENCE,
    }
    connection = connections[router.db_for_write(WebhookEvent)]
    fields = [(WebhookEvent._meta.get_field(name), value) for name, value in columns.items()]
    quoted = ", ".join(connection.ops.quote_name(str(field.column)) for field, _ in fields)  # type: ignore[union-attr]
    statement = (
        f"INSERT INTO {connection.ops.quote_name(WebhookEvent._meta.db_table)} ({quoted})"  # noqa: S608
        f" VALUES ({', '.join(['%s'] * len(fields))}) ON CONFLICT (account_id, webhook_id) DO NOTHING RETURNING id"
    )
    values = [field.get_db_prep_save(value, connection) for field, value in fields]  # type: ignore[union-attr]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found = cursor.fetchone()
    if found is not None:
        return int(found[0])
    earlier = WebhookEvent.objects.filter(account=account_uid, webhook_id=webhook_id)
    revived = earlier.filter(state=EventState.FAILED).update(**_fresh(now))
    return earlier.values_list("pk", flat=True).get() if revived else None


def kept(value: Any, name: str = "") -> Any:
    """Return ``value`` as it may be stored: secrets are removed, and texts that look sensitive are masked."""
    if not name:
        value = scrub(value)
    if isinstance(value, str):
        # An identifier must stay readable, so it is masked only if it looks like a card number.
        if name in ("uid", "id") or name.endswith(("_uid", "_id")):
            return MASKED if looks_like_card(value[:MAX_NUMBER_LENGTH]) else value
        return mask(value)
    if isinstance(value, int | float) and looks_like_card(f"{value:.0f}"[:MAX_NUMBER_LENGTH]):
        return MASKED
    if isinstance(value, Mapping):
        return {MASKED if looks_like_card(key[:64]) else key: kept(item, key or "?") for key, item in value.items()}
    if isinstance(value, list):
        return [kept(item, name or "?") for item in value]
    return value


def claim(pk: int) -> WebhookEvent | None:
    """Claim the event for the caller until ``CLAIM`` is over. Returns ``None`` when it must not be processed now."""
    now = timezone.now()
    waiting = claimable(now).filter(pk=pk)
    if not in_transaction(lambda: waiting.update(attempts=F("attempts") + 1, claimed_until=now + CLAIM)):
        return None
    event = WebhookEvent.objects.get(pk=pk)
    if event.attempts > MAX_ATTEMPTS:
        fail(event, event.error or "Every worker that processed this event died.", for_good=True)
        return None
    return event


def waiting(limit: int = 5000) -> list[int]:
    """Return the primary keys of events that can be claimed now, oldest first."""
    return list(claimable().order_by("pk").values_list("pk", flat=True)[:limit])


def claimable(now: dt.datetime | None = None) -> QuerySet[WebhookEvent]:
    """Return the events that are due and that no worker holds."""
    now = now or timezone.now()
    free = Q(claimed_until=None) | Q(claimed_until__lte=now)
    due = Q(error="") | Q(due_at=None) | Q(due_at__lte=now)  # a failed event pauses, also when it is queued
    return WebhookEvent.objects.filter(free, due, state=EventState.RECEIVED)


def close(event: WebhookEvent, state: EventState, *, payment_uid: str | None = None, note: str = "") -> None:
    """Record the outcome of ``event``, and send its signal once. Call it in the transaction of the event's effect."""
    columns: dict[str, Any] = {"state": state, "error": note, "claimed_until": None, "due_at": None}
    if payment_uid is not None:
        columns["payment_id"] = payment_uid
    row = WebhookEvent.objects.filter(pk=event.pk)
    if row.filter(processed_at=None).update(processed_at=timezone.now(), **columns):
        outbox.enqueue([("event_received", WebhookEvent, event.pk)], source=Source.WEBHOOK)
    else:
        row.update(**columns)


def fail(event: WebhookEvent, error: str, *, for_good: bool = False) -> None:
    """Record why ``event`` could not be processed. It is retried unless ``for_good`` or after ``MAX_ATTEMPTS``."""
    for_good = for_good or event.attempts >= MAX_ATTEMPTS
    pause = min(dt.timedelta(minutes=2 ** max(0, event.attempts - 1)), MAX_PAUSE)
    columns: dict[str, Any] = {
        "state": EventState.FAILED if for_good else EventState.RECEIVED,
        "error": error,
        "claimed_until": None,
        "due_at": None if for_good else timezone.now() + pause,
    }
    in_transaction(lambda: WebhookEvent.objects.filter(pk=event.pk, state=EventState.RECEIVED).update(**columns))


def put_off(event: WebhookEvent, error: str, seconds: float) -> None:
    """Release a claimed event without reading it. It is due in ``seconds``, and the attempt does not count."""
    columns: dict[str, Any] = {
        "attempts": F("attempts") - 1,
        "error": error,
        "claimed_until": None,
        "due_at": timezone.now() + dt.timedelta(seconds=seconds),
    }
    in_transaction(lambda: WebhookEvent.objects.filter(pk=event.pk, state=EventState.RECEIVED).update(**columns))


def hand_over(event: WebhookEvent) -> None:
    """Give a claimed event back for another worker, which may claim it at once. The attempt does not count."""
    put_off(event, "", QUEUED_AGAIN.total_seconds())


def requeue(pks: Sequence[int]) -> list[int]:
    """Set events back to ``received``, from any state, except those that a worker is processing now.

    Returns the primary keys of the events that were set back.
    """
    now = timezone.now()
    ready = WebhookEvent.objects.filter(pk__in=pks).exclude(state=EventState.RECEIVED, claimed_until__gt=now)

    def work() -> list[int]:
        found = list(ready.select_for_update().order_by("pk").values_list("pk", flat=True))
        WebhookEvent.objects.filter(pk__in=found).update(**_fresh(now))
        return found

    return in_transaction(work)


def overdue(limit: int = 5000) -> list[tuple[str, int]]:
    """Return (account uid, primary key) of each event that should have been processed by now.

    Such an event was never queued, was lost, is to be retried, or is held by a dead worker.
    """
    now = timezone.now()
    free = Q(claimed_until=None) | Q(claimed_until__lte=now)
    rows = WebhookEvent.objects.filter(free, state=EventState.RECEIVED, due_at__lte=now).order_by("due_at", "pk")
    return [(str(account_uid), pk) for account_uid, pk in rows.values_list("account_id", "pk")[:limit]]


def batches(events: Iterable[tuple[str, int]], most: int) -> list[list[int]]:
    """Yield primary keys in batches of at most ``most`` events of one account. The accounts take turns."""
    groups: dict[str, list[int]] = {}
    for account_uid, pk in events:
        groups.setdefault(account_uid, []).append(pk)
    longest = max(map(len, groups.values()), default=0)
    return [pks[at : at + most] for at in range(0, longest, most) for pks in groups.values() if pks[at:]]


def note_queued(pks: Sequence[int]) -> None:
    """Record that events were queued. For ``QUEUED_AGAIN`` they are not ``overdue``, and they can be claimed."""
    if pks:
        waiting = WebhookEvent.objects.filter(pk__in=pks, state=EventState.RECEIVED)
        # With an error they would pause until ``due_at``, and the worker could not claim them.
        in_transaction(lambda: waiting.update(due_at=timezone.now() + QUEUED_AGAIN, error=""))


def count_stale(account_uid: str) -> None:
    """Count a delivery with a valid signature that was refused as too old; it is not stored (faults W1c)."""
    _cache.count(late_deliveries_key(account_uid), STALE_SHOWN)


def stale_count(account_uid: str) -> int:
    """Return the number of the account's deliveries that were refused as too old, for a week from the first one."""
    return int(_cache.get(late_deliveries_key(account_uid), 0))


def purge() -> int:
    """Delete closed events older than ``EVENT_RETENTION_DAYS``; returns the number of deleted rows."""
    age = max(dt.timedelta(days=conf.get("EVENT_RETENTION_DAYS")), LEAST_RETENTION)
    old = WebhookEvent.objects.filter(received_at__lt=timezone.now() - age).exclude(state=EventState.RECEIVED)
    count = 0
    while pks := list(old.order_by("received_at").values_list("pk", flat=True)[:PURGED_AT_ONCE]):
        count += in_transaction(partial(_delete, pks))
    return count


def _delete(pks: Sequence[int]) -> int:
    return WebhookEvent.objects.filter(pk__in=pks).delete()[0]


def _fresh(now: dt.datetime) -> dict[str, Any]:
    return {
        "state": EventState.RECEIVED,
        "attempts": 0,
        "error": "",
        "claimed_until": None,
        "due_at": now + QUEUE_PATIENCE,
    }

"""Deliveries: events for an account's callback URL, kept until they were accepted or have expired."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc
from govpay.sandbox.store import StoredRow, dump

# A22: pauses of 1, 2, 4, … seconds up to a quarter of an hour, for four hours.
MAX_PAUSE = 900.0
DELIVERY_RETRY_TIMEOUT = 4 * 3600.0

_COLUMNS = "seq, webhook_id, event_type, account_uid, body, timestamp, attempts, next_at, last_status, done, created_at"


@dataclass(frozen=True)
class Delivery:
    """One event for one account. `body` holds the signed bytes. Times are Unix seconds of the platform's clock."""

    seq: int
    webhook_id: str
    event_type: str
    account_uid: str
    body: bytes
    timestamp: int
    attempts: int
    next_at: float
    last_status: int | None
    done: bool
    created_at: float

    def shown(self) -> Doc:
        return {
            "webhook_id": self.webhook_id,
            "event_type": self.event_type,
            "account_uid": self.account_uid,
            "payload": json.loads(self.body),
            "attempts": self.attempts,
            "status": self.last_status,
            "done": self.done,
        }


def now(platform: Platform) -> float:
    return platform.clock.now().timestamp()


def listens(account: StoredRow) -> bool:
    return bool(account.doc["webhook_enabled"] and account.doc["callback_url"])


def enqueue(platform: Platform, account_uid: str | None, event_type: str, data: Doc) -> None:
    """Queue an event. Call it inside the transaction of the change, so that both are committed or neither.

    Nothing is queued for an account without webhooks or without a subscription to the event.
    """
    account = platform.store.get("account", str(account_uid))
    if account and listens(account) and account.private["subscriptions"].get(event_type):
        queue(platform, account.uid, event_type, data)


def queue(
    platform: Platform,
    account_uid: str,
    event_type: str,
    data: Doc,
    webhook_id: str | None = None,
    timestamp: int | None = None,
) -> Delivery:
    """Store a delivery without looking at the subscriptions."""
    at = now(platform)
    envelope = {
        "webhook_id": webhook_id or platform.new_uid("evt"),
        "event_type": event_type,
        "timestamp": int(at) if timestamp is None else timestamp,
        "data": data,
    }
    values = (
        envelope["webhook_id"],
        event_type,
        account_uid,
        encoded(envelope),
        envelope["timestamp"],
        at + platform.settings.webhook_delay,
        at,
    )
    with platform.store.transaction():
        ((seq,),) = platform.store.execute(
            "INSERT INTO deliveries (webhook_id, event_type, account_uid, body, timestamp, next_at, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING seq",
            values,
        )
        platform.store.has_delivery = True
        return _found(platform, "seq = ?", (seq,))[0]


def encoded(envelope: Doc) -> bytes:
    try:
        return dump(envelope).encode()
    except UnicodeEncodeError:
        # An unpaired surrogate cannot be encoded in UTF-8; JSON can only escape it.
        return json.dumps(envelope, separators=(",", ":")).encode()


def _found(platform: Platform, where: str, params: tuple[Any, ...] = ()) -> list[Delivery]:
    rows = platform.store.execute(f"SELECT {_COLUMNS} FROM deliveries WHERE {where} ORDER BY seq", params)
    return [Delivery(*row[:9], done=bool(row[9]), created_at=row[10]) for row in rows]


def every(platform: Platform, account_uid: str | None = None) -> list[Delivery]:
    """Return all deliveries, in order."""
    return _found(platform, "account_uid = ?", (account_uid,)) if account_uid else _found(platform, "1")


def next_due(platform: Platform, busy: set[str], waiting: set[int]) -> Delivery | None:
    """Return the first delivery that may be posted now, except those `waiting` (by `seq`) or of `busy` accounts."""
    first = (
        "seq = (SELECT seq FROM deliveries WHERE done = 0 AND next_at <= ?"
        f" AND account_uid NOT IN ({_marks(busy)}) AND seq NOT IN ({_marks(waiting)})"
        " ORDER BY coalesce(place, seq) LIMIT 1)"
    )
    rows = _found(platform, first, (now(platform), *busy, *waiting))
    return rows[0] if rows else None


def _marks(values: set[Any]) -> str:
    return ", ".join("?" * len(values))


def due_count(platform: Platform) -> int:
    sql = "SELECT count(*) FROM deliveries WHERE done = 0 AND next_at <= ?"
    return int(platform.store.execute(sql, (now(platform),))[0][0])


def next_instant(platform: Platform) -> float | None:
    """When the next waiting delivery is due."""
    sql = "SELECT min(next_at) FROM deliveries WHERE done = 0 AND next_at > ?"
    instant = platform.store.execute(sql, (now(platform),))[0][0]
    return None if instant is None else float(instant)


def record(platform: Platform, delivery: Delivery, status: int | None) -> None:
    """Record an attempt that was answered with `status`, or not answered (None)."""
    attempts, at = delivery.attempts + 1, now(platform)
    next_at = at + min(2.0 ** min(delivery.attempts, 30), MAX_PAUSE)
    arrived = status is not None and 200 <= status < 300
    done = arrived or next_at > delivery.created_at + DELIVERY_RETRY_TIMEOUT
    platform.store.execute(
        "UPDATE deliveries SET attempts = ?, last_status = ?, next_at = ?, done = ? WHERE seq = ?",
        (attempts, status, next_at, done, delivery.seq),
    )


def give_up(platform: Platform, delivery: Delivery) -> None:
    platform.store.execute("UPDATE deliveries SET done = 1 WHERE seq = ?", (delivery.seq,))


def is_late(platform: Platform, delivery: Delivery) -> bool:
    """Return whether its four hours are over. A delivery that was never tried is tried once."""
    return delivery.attempts > 0 and now(platform) > delivery.created_at + DELIVERY_RETRY_TIMEOUT


def resume(platform: Platform) -> None:
    """After a restart, make all waiting deliveries due now: the file may come from a clock that was moved on."""
    at = now(platform)
    platform.store.execute(
        "UPDATE deliveries SET next_at = min(next_at, ?), created_at = min(created_at, ?) WHERE done = 0", (at, at)
    )


def shuffle(platform: Platform, seed: int) -> None:
    """Shuffle the deliveries that were not accepted yet."""
    with platform.store.transaction():
        rows = platform.store.execute("SELECT seq, coalesce(place, seq) FROM deliveries WHERE done = 0 ORDER BY 2")
        places = [place for _, place in rows]
        random.Random(seed).shuffle(places)
        for (seq, _), place in zip(rows, places, strict=True):
            platform.store.execute("UPDATE deliveries SET place = ? WHERE seq = ?", (place, seq))

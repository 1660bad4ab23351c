"""Changes that become due: validations and sessions expire, refunds settle, late requests are carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from govpay.sandbox.api.payments import expire
from govpay.sandbox.api.refunds import settle
from govpay.sandbox.api.sessions import finish
from govpay.sandbox.clock import parse
from govpay.sandbox.control import late
from govpay.sandbox.platform import Platform
from govpay.sandbox.store import StoredRow

_HAPPENS: dict[str, Callable[[Platform, StoredRow], object]] = {
    "payment": expire,
    "transaction": settle,
    "session": lambda platform, session: finish(platform, session, "expired"),
}
_FIRST = " UNION ALL ".join(
    f"SELECT * FROM (SELECT due_at, '{kind}', {name} FROM {table} WHERE {where} ORDER BY due_at, {name} LIMIT 1)"
    for kind, table, name, where in (
        ("payment", "payments", "uid", "due_at IS NOT NULL"),
        ("transaction", "transactions", "uid", "due_at IS NOT NULL"),
        ("session", "sessions", "uid", "due_at IS NOT NULL"),
        ("late", "late_requests", "seq", "status IS NULL"),
    )
)


def run_due(platform: Platform) -> None:
    """Carry out all due changes in order, each at its own time."""
    # Finding and carrying out use one lock, so that nothing happens twice.
    with platform.store.lock:
        now = platform.clock.text()
        while (first := _first(platform)) and first[0] <= now:
            due_at, kind, name = first
            with platform.clock.at(parse(due_at)):
                if kind == "late":
                    late.carry_out(platform, name)
                else:
                    _let_happen(platform, kind, name)


def _let_happen(platform: Platform, kind: str, uid: str) -> None:
    row = platform.store.get(kind, uid)
    if row is not None:
        with platform.store.transaction():
            _HAPPENS[kind](platform, row)


def _first(platform: Platform) -> tuple[str, str, Any] | None:
    """Return the first due change: its time, its kind, and the uid or number."""
    rows = platform.store.execute(f"SELECT * FROM ({_FIRST}) ORDER BY 1, 2, 3 LIMIT 1")
    return rows[0] if rows else None


def next_due(platform: Platform) -> str | None:
    """Return the time of the next change that happens by itself."""
    first = _first(platform)
    return first[0] if first else None


def carry_out_due(platform: Platform) -> str | None:
    """Carry out all due changes, and return the time of the next one."""
    run_due(platform)
    return next_due(platform)

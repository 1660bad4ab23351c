"""Changes that fall due with time: validations and sessions expire, refunds settle, late requests are carried out."""

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
    """Let everything happen that is due: one after the other, each at its own instant."""
    # Looking and acting under one lock: nothing may happen twice.
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
    """What falls due first: the instant, the kind, and the uid or number."""
    rows = platform.store.execute(f"SELECT * FROM ({_FIRST}) ORDER BY 1, 2, 3 LIMIT 1")
    return rows[0] if rows else None


def next_due(platform: Platform) -> str | None:
    """The instant at which time itself will change something."""
    first = _first(platform)
    return first[0] if first else None


def let_time_act(platform: Platform) -> str | None:
    """Let everything happen that is due, and return the instant of what is due next."""
    run_due(platform)
    return next_due(platform)

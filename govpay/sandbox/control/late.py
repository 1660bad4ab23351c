"""Late requests: the platform receives and checks them, and carries them out some time later."""

from __future__ import annotations

import json
from datetime import timedelta

from govpay.sandbox import routes
from govpay.sandbox.answers import Answer
from govpay.sandbox.calls import SESSION, Call
from govpay.sandbox.clock import iso
from govpay.sandbox.errors import Refusal
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc
from govpay.sandbox.store import dump

#: The answer to a request that is carried out later: it was received.
RECEIVED = Answer(202, text="")

_URLS = routes.bound(routes.ROUTES)
# The credential is checked when the request arrives, and not stored.
_SECRET = ("authorization", "cookie")


def keep(call: Call, method: str) -> Answer:
    """Store a checked request for `call.act_after` seconds of the platform's clock."""
    platform = call.platform
    headers = {name: value for name, value in call.headers.items() if name not in _SECRET}
    due_at = iso(platform.clock.now() + timedelta(seconds=call.act_after or 0))
    platform.store.execute(
        "INSERT INTO late_requests (method, path, origin, headers, query, data, due_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (method, call.path, call.origin, dump(headers), dump(call.query), call.data, due_at),
    )
    platform.store.has_delivery = True
    return RECEIVED


def carry_out(platform: Platform, seq: int) -> None:
    """Carry out the request by the present rules and state; once, also if it fails."""
    try:
        with platform.store.transaction():
            try:
                answer = _run(platform, seq)
            except Refusal as refusal:
                if refusal.keep_changes:
                    _close(platform, seq, refusal.status, refusal.code)
                raise
            _close(platform, seq, answer.status)
    except Refusal as refusal:
        if not refusal.keep_changes:
            _close(platform, seq, refusal.status, refusal.code)


def _run(platform: Platform, seq: int) -> Answer:
    columns = "method, path, origin, headers, query, data"
    ((method, path, origin, headers, query, data),) = platform.store.execute(
        f"SELECT {columns} FROM late_requests WHERE seq = ?",
        (seq,),
    )
    call = Call(platform, path, origin, json.loads(headers), json.loads(query), data=data)
    route, values = routes.find(_URLS, method, path)
    if route.credential == SESSION:
        call.session = platform.store.get("session", values["uid"])
    routes.read(route, call)
    return route.run(call, **values)


def _close(platform: Platform, seq: int, status: int, code: str | None = None) -> None:
    sql = "UPDATE late_requests SET status = ?, code = ?, data = NULL, headers = NULL WHERE seq = ?"
    platform.store.execute(sql, (status, code, seq))


def every(platform: Platform) -> list[Doc]:
    """Return all late requests in order: method, path, due_at, status (None: not carried out yet), error code."""
    names = ("method", "path", "due_at", "status", "code")
    rows = platform.store.execute(f"SELECT {', '.join(names)} FROM late_requests ORDER BY seq")
    return [dict(zip(names, row, strict=True)) for row in rows]

"""Control routes under `/_sandbox/` for other processes: ledger, requests, faults and time."""

from __future__ import annotations

from typing import Any

from govpay.sandbox.answers import Answer
from govpay.sandbox.api import refunds, tokens
from govpay.sandbox.calls import ANYONE, Call, SandboxRoute
from govpay.sandbox.control import late
from govpay.sandbox.control.due import run_due
from govpay.sandbox.control.faults import fault_from, parse_fault
from govpay.sandbox.errors import Refusal, malformed
from govpay.sandbox.kinds import KINDS
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc, parse_json

_LOCAL = ("127.0.0.1", "localhost")


def given_in(call: Call) -> Doc:
    """Return the body as an object. The check of Host and Origin keeps web pages from calling these routes."""
    if call.headers.get("host", "").partition(":")[0] not in _LOCAL or "origin" in call.headers:
        raise Refusal(403, "origin_not_allowed", "The control surface answers to local programs only.")
    body = parse_json(call.data) if call.data else {}
    if not isinstance(body, dict):
        malformed("The body must be an object.")
    return body


def stats(platform: Platform) -> Doc:
    """Return the number of objects of each kind, and of requests."""
    payments = dict(platform.store.execute("SELECT status, count(*) FROM payments GROUP BY status"))
    return {
        **{kind.table: platform.store.count(name) for name, kind in KINDS.items()},
        "payments_by_status": payments,
        "ledger": int(platform.store.execute("SELECT count(*) FROM ledger")[0][0]),
        "requests": len(platform.requests),
        "token_requests": platform.token_requests,
        "now": platform.clock.text(),
    }


def add_fault(call: Call) -> Answer:
    """Body: `{"spec": "GET /api/payments status=500 times=2"}`, or `{"route": "GET /api/payments", …}`."""
    given = given_in(call)
    try:
        spec, route = given.get("spec"), given.pop("route", "")
        fault = parse_fault(str(spec)) if spec else fault_from(str(route), given)
    except (ValueError, TypeError) as error:
        malformed(str(error))
    return Answer(201, call.platform.faults.add(fault).described())


def list_faults(call: Call) -> Answer:
    return Answer(200, call.platform.faults.active())


def clear_faults(call: Call) -> Answer:
    given_in(call)
    call.platform.faults.clear()
    call.platform.webhook_faults.clear()
    return Answer(204)


def revoke(call: Call) -> Answer:
    given_in(call)
    return Answer(200, {"revoked": tokens.revoke_all(call.platform)})


def settle(call: Call) -> Answer:
    """Settle pending refunds. Body: `{"fail": ["<transaction uid or refund reference_id>", …]}`, or empty."""
    failing = given_in(call).get("fail", [])
    if not isinstance(failing, list):
        malformed("fail must be an array.")
    return Answer(200, {"settled": refunds.settle_pending(call.platform, [str(uid) for uid in failing])})


def move_clock(call: Call, move: str) -> Answer:
    """Move the platform's clock forward, or set it to so many seconds after the real time. Body: `{"seconds": 900}`."""
    seconds: Any = given_in(call).get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        malformed("seconds must be a number.")
    getattr(call.platform.clock, move)(seconds)
    run_due(call.platform)
    return Answer(200, {"now": call.platform.clock.text()})


def list_ledger(call: Call) -> Answer:
    run_due(call.platform)
    return Answer(200, call.platform.store.ledger())


def list_late_requests(call: Call) -> Answer:
    run_due(call.platform)
    return Answer(200, late.every(call.platform))


ROUTES = [
    SandboxRoute("GET", "/_sandbox/ledger", list_ledger, ANYONE),
    SandboxRoute("GET", "/_sandbox/late-requests", list_late_requests, ANYONE),
    SandboxRoute("GET", "/_sandbox/requests", lambda call: Answer(200, list(call.platform.requests)), ANYONE),
    SandboxRoute("GET", "/_sandbox/stats", lambda call: Answer(200, stats(call.platform)), ANYONE),
    SandboxRoute("GET", "/_sandbox/faults", list_faults, ANYONE),
    SandboxRoute("POST", "/_sandbox/faults", add_fault, ANYONE),
    SandboxRoute("DELETE", "/_sandbox/faults", clear_faults, ANYONE),
    SandboxRoute("POST", "/_sandbox/revoke", revoke, ANYONE),
    SandboxRoute("POST", "/_sandbox/settle", settle, ANYONE),
    SandboxRoute("POST", "/_sandbox/advance", lambda call: move_clock(call, "advance"), ANYONE),
    SandboxRoute("POST", "/_sandbox/clock", lambda call: move_clock(call, "set_offset"), ANYONE),
]

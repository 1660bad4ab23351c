"""Access of browsers: checks the session's credential and the origin, and sets cross-origin headers."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from govpay.sandbox.answers import Answer
from govpay.sandbox.api import sessions, tokens
from govpay.sandbox.calls import Call
from govpay.sandbox.errors import Refusal
from govpay.sandbox.rates import limit_rate
from govpay.sandbox.store import StoredRow

# All routes that accept a session's credential have the session's id in their path.
_PATHS = re.compile(r"/(?:v1/hosted-sessions|component/tokens|checkout)/(cs_[A-Za-z0-9]+)(?:/.*)?")
_METHODS = "GET, POST, PUT, DELETE"
_HEADERS = "Authorization, Content-Type, Idempotency-Key"
# The component needs `Date` to follow the platform's clock, which tests move.
_READABLE = "Date, Retry-After, X-Request-Id"


def check_session(call: Call, uid: str) -> None:
    """Require the session's own credential [/api/]. If there is an Origin header, the origin must be registered."""
    credential = tokens.bearer(call)
    call.session = sessions.session_for(call.platform, credential)
    if call.session is None and not tokens.is_valid(call.platform, credential):
        raise tokens.unauthorized()
    if call.platform.store.get("session", uid) is None:
        raise Refusal(404, "not_found", "No such session.")
    if call.session is None or call.session.uid != uid:
        raise Refusal(403, "insufficient_scope", "Only the session's own credential can call this route.")
    if "origin" in call.headers and not _may_call(call, call.session):
        raise Refusal(403, "origin_not_allowed", "The origin is not registered for this account.")
    # Each session's credential has its own rate limit [/getting-started/credentials/].
    limit_rate(call.platform.session_calls, uid, call.platform.settings.session_rate)


def _may_call(call: Call, session: StoredRow) -> bool:
    origin = call.headers["origin"]
    account = call.platform.store.get("account", str(session.account_uid))
    # The platform's own checkout page is always allowed.
    at_home = urlsplit(origin).netloc == call.headers.get("host")
    return at_home or bool(account and origin in account.doc["allowed_origins"])


def _caller_of(call: Call) -> str | None:
    """Return the origin of a cross-origin call. None if the account of the path's session has not registered it."""
    found = _PATHS.fullmatch(call.path)
    session = call.platform.store.get("session", found[1]) if found and "origin" in call.headers else None
    return call.headers["origin"] if session and _may_call(call, session) else None


def is_preflight(method: str, call: Call) -> bool:
    return method == "OPTIONS" and {"origin", "access-control-request-method"} <= set(call.headers)


def preflight(call: Call) -> Answer:
    """Return the preflight request of a call with a credential; unregistered origins are refused."""
    if _caller_of(call) is None:
        raise Refusal(403, "origin_not_allowed", "The origin is not registered for this account.")
    allowed = {"Access-Control-Allow-Methods": _METHODS, "Access-Control-Allow-Headers": _HEADERS}
    return Answer(204, headers={**allowed, "Access-Control-Max-Age": "600"})


def cross_origin(call: Call) -> dict[str, str]:
    """Return the headers that let a page of a registered origin read the answer, also an error."""
    if not _PATHS.fullmatch(call.path):
        return {}
    origin = _caller_of(call)
    if origin is None:
        return {"Vary": "Origin"}
    return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _READABLE}

"""The platform's routes: finds one and checks its credential, account header and JSON."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, MapAdapter, RequestRedirect, Rule

from govpay.sandbox.answers import Answer
from govpay.sandbox.api import events, payments, refunds, sessions, tenants, terminals, tokens, wallets
from govpay.sandbox.browser import access, challenges, checkout, confirm, session_config, session_wallet, vault
from govpay.sandbox.calls import ACCOUNT, ADMIN, SESSION, Call, SandboxRoute
from govpay.sandbox.clock import iso
from govpay.sandbox.errors import Refusal, malformed
from govpay.sandbox.shapes import parse_json

ROUTES: tuple[SandboxRoute, ...] = tuple(
    route
    for module in (
        *(tokens, tenants, wallets, payments, refunds, terminals, events),
        *(sessions, session_config, confirm, challenges, session_wallet, vault, checkout),
    )
    for route in module.ROUTES
)


@cache
def bound(routes: tuple[SandboxRoute, ...]) -> MapAdapter:
    """Return the routes, ready for `find`; compiled once per process, because that takes longer than most requests."""
    rules = [Rule(route.path, methods=[route.method], endpoint=route) for route in routes]
    return Map(rules, merge_slashes=False).bind("127.0.0.1")


def find(urls: MapAdapter, method: str, path: str) -> tuple[SandboxRoute, dict[str, Any]]:
    """Return the route and the values in its path. Raises a 404 or 405 `Refusal` if there is none."""
    try:
        route, values = urls.match(path, method)
    except MethodNotAllowed as error:
        allowed = ", ".join(sorted(error.valid_methods or []))
        raise Refusal(405, "validation_error", "The method is not allowed here.", headers={"Allow": allowed}) from None
    except (NotFound, RequestRedirect):
        raise Refusal(404, "not_found", "There is no such route.") from None
    return route, dict(values)


def admit(route: SandboxRoute, call: Call, values: dict[str, Any]) -> None:
    """Check the credential, then the account header and the body."""
    if route.credential == SESSION:
        access.check_session(call, values["uid"])
    elif route.credential in (ADMIN, ACCOUNT):
        _check_admin(call)
    read(route, call)


def read(route: SandboxRoute, call: Call) -> None:
    """Check the account header and the body, and store both in `call`. The credential was checked before."""
    if route.credential == ACCOUNT:
        _check_account(call)
    if route.json or (call.data and route.credential in (ADMIN, ACCOUNT)):
        if call.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            malformed("Content-Type must be application/json.")
        call.body = parse_json(call.data)


def run_lagging(route: SandboxRoute, call: Call, values: dict[str, Any]) -> Answer:
    """Run a read that shows the state of `call.lag` seconds ago."""
    store = call.platform.store
    with store.as_of(iso(call.platform.clock.now() - timedelta(seconds=call.lag))):
        if call.account:
            call.account = store.get("account", call.account.uid) or call.account
        if call.session:
            call.session = store.get("session", call.session.uid)
        return route.run(call, **values)


def _check_admin(call: Call) -> None:
    """Require the admin token [/platform/overview/]. A session's credential gets 403, anything else 401 (A24)."""
    credential = tokens.bearer(call)
    if tokens.is_valid(call.platform, credential):
        return
    if sessions.session_for(call.platform, credential):
        raise Refusal(403, "insufficient_scope", "A session's credential cannot call this route.")
    raise tokens.unauthorized()


def _check_account(call: Call) -> None:
    """Check `X-Payment-Account-Uid` [/platform/overview/]: 400 if it is missing, 403 if it is unknown (A24)."""
    uid = call.headers.get("x-payment-account-uid", "").strip()
    if not uid:
        malformed("X-Payment-Account-Uid is required.")
    call.account = call.platform.store.get("account", uid)
    if call.account is None:
        raise Refusal(403, "insufficient_scope", "X-Payment-Account-Uid names no account of this tenant.")

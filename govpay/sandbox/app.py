"""The front door: finds the route, checks credential, account header and JSON, applies faults, answers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, RequestRedirect, Rule

from . import (
    browsers,
    challenges,
    checkout,
    confirm,
    control,
    events,
    payments,
    refunds,
    session_config,
    session_wallet,
    sessions,
    tenants,
    terminals,
    tokens,
    vault,
    wallets,
    webhook_control,
)
from .answers import Answer
from .calls import ACCOUNT, ADMIN, SESSION, Call, Route
from .disturbances import disturb
from .errors import Refusal, malformed
from .faults import Fault
from .platform import Platform
from .refunds import run_due
from .shapes import parse_json
from .store import dump

ROUTES: list[Route] = [
    route
    for room in (
        *(tokens, tenants, wallets, payments, refunds, terminals, events),
        *(sessions, session_config, confirm, challenges, session_wallet, vault, checkout),
    )
    for route in room.ROUTES
]
URLS = Map(
    [
        Rule(route.path, methods=[route.method], endpoint=route)
        for route in [*ROUTES, *control.ROUTES, *webhook_control.ROUTES]
    ],
    merge_slashes=False,
)


class Dropped(ConnectionError):
    """The connection is to be closed with no answer."""


class Application:
    """The platform as a WSGI application."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._urls = URLS.bind("127.0.0.1")

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        call = _read(self.platform, environ)
        request_id = f"req_{secrets.token_hex(10)}"
        if path.startswith("/_sandbox"):
            answer = self._run(method, call, request_id)
        else:
            answer = self._run_recorded(method, call, request_id, environ)
        data = _text(answer).encode("utf-8", "surrogatepass")
        headers = {"Content-Type": "application/json", **answer.headers, "X-Request-Id": request_id}
        headers.update(browsers.cross_origin(call))
        if answer.status == 204:
            del headers["Content-Type"]
        else:
            headers["Content-Length"] = str(len(data))
        start_response(f"{answer.status} {_reason(answer.status)}", list(headers.items()))
        return [data]

    def _run_recorded(self, method: str, call: Call, request_id: str, environ: dict[str, Any]) -> Answer:
        """One request of the platform proper: counted, hit by faults, remembered."""
        platform = self.platform
        record = {
            "method": method,
            "path": call.path,
            "query": environ.get("QUERY_STRING", ""),
            "account": call.headers.get("x-payment-account-uid"),
            "status": None,
            "idempotency_key": call.headers.get("idempotency-key"),
            "request_id": request_id,
            "at": platform.clock.text(),
        }
        platform.requests.append(record)
        if call.path == "/oauth2/token":
            platform.token_requests += 1
        fault = platform.faults.take(method, call.path)
        if fault is None:
            answer = self._run(method, call, request_id)
        else:
            answer = self._run_faulty(method, call, request_id, fault, environ)
        record["status"] = answer.status
        return answer

    def _run_faulty(self, method: str, call: Call, request_id: str, fault: Fault, environ: dict[str, Any]) -> Answer:
        if fault.delay:
            time.sleep(fault.delay)
        disturb(call, fault)
        answer = self._run(method, call, request_id) if fault.acts else None
        if fault.close:
            raise Dropped(f"fault: closed {fault.close} acting")
        # The server cuts or slows the bytes; here only their content is decided.
        environ["sandbox.fault"] = fault
        return fault.answer(answer, _text(answer) if answer else "", self.platform.clock.now())

    def _run(self, method: str, call: Call, request_id: str) -> Answer:
        try:
            if browsers.is_preflight(method, call):
                return browsers.preflight(call)
            route, values = self._match(method, call.path)
            if route.path.startswith("/_sandbox"):
                return _act(route, call, values)
            run_due(self.platform)
            if method in ("GET", "HEAD"):
                with self.platform.store.lock:
                    return _act(route, call, values)
            with self.platform.store.transaction():
                return _act(route, call, values)
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body(request_id), headers=refusal.headers)

    def _match(self, method: str, path: str) -> tuple[Route, dict[str, Any]]:
        try:
            route, values = self._urls.match(path, method)
        except MethodNotAllowed as error:
            allowed = ", ".join(sorted(error.valid_methods or []))
            raise Refusal(
                405, "validation_error", "The method is not allowed here.", headers={"Allow": allowed}
            ) from None
        except (NotFound, RequestRedirect):
            raise Refusal(404, "not_found", "There is no such route.") from None
        return route, dict(values)


def _read(platform: Platform, environ: dict[str, Any]) -> Call:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    # PATH_INFO is UTF-8 dressed as latin-1 (PEP 3333).
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    origin = f"http://{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    return Call(platform, path, origin, headers, query, data=environ["wsgi.input"].read())


def _act(route: Route, call: Call, values: dict[str, Any]) -> Answer:
    """Credential, then account, then body, then the route itself."""
    if route.credential == SESSION:
        browsers.check_session(call, values["uid"])
    elif route.credential in (ADMIN, ACCOUNT):
        _check_admin(call)
    if route.credential == ACCOUNT:
        _check_account(call)
    if route.json or (call.data and route.credential in (ADMIN, ACCOUNT)):
        if call.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            malformed("Content-Type must be application/json.")
        call.body = parse_json(call.data)
    return route.run(call, **values)


def _check_admin(call: Call) -> None:
    """The admin token [/platform/overview/]; a session's credential is known but not enough (A24)."""
    credential = tokens.bearer(call)
    if tokens.is_valid(call.platform, credential):
        return
    if sessions.session_for(call.platform, credential):
        raise Refusal(403, "insufficient_scope", "A session's credential cannot call this route.")
    raise tokens.unauthorized()


def _check_account(call: Call) -> None:
    """`X-Payment-Account-Uid` [/platform/overview/]: missing is 400, unknown is 403 (A24)."""
    uid = call.headers.get("x-payment-account-uid", "").strip()
    if not uid:
        malformed("X-Payment-Account-Uid is required.")
    call.account = call.platform.store.get("account", uid)
    if call.account is None:
        raise Refusal(403, "insufficient_scope", "X-Payment-Account-Uid names no account of this tenant.")


def _text(answer: Answer) -> str:
    if answer.text is not None:
        return answer.text
    return "" if answer.status == 204 else dump(answer.body)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"

"""The WSGI application: runs the route of each request and applies faults."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from govpay.sandbox import routes
from govpay.sandbox.answers import Answer
from govpay.sandbox.browser import access
from govpay.sandbox.calls import Call
from govpay.sandbox.control import late, webhook_routes
from govpay.sandbox.control import routes as control_routes
from govpay.sandbox.control.disturbances import disturb
from govpay.sandbox.control.due import run_due
from govpay.sandbox.control.faults import Fault
from govpay.sandbox.errors import Refusal
from govpay.sandbox.platform import Platform
from govpay.sandbox.store import dump


class Dropped(ConnectionError):
    """Close the connection without an answer."""


class Application:
    """The platform as a WSGI application."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._urls = routes.bound((*routes.ROUTES, *control_routes.ROUTES, *webhook_routes.ROUTES))

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
        headers.update(access.cross_origin(call))
        if answer.status == 204:
            del headers["Content-Type"]
        else:
            headers["Content-Length"] = str(len(data))
        start_response(f"{answer.status} {_reason(answer.status)}", list(headers.items()))
        return [data]

    def _run_recorded(self, method: str, call: Call, request_id: str, environ: dict[str, Any]) -> Answer:
        """Handle one request of the platform's own routes: apply faults and record it."""
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
        answer = self._run(method, call, request_id) if fault.acts or fault.is_late else None
        if fault.close:
            raise Dropped(f"fault: closed {fault.close} acting")
        if answer is not None and fault.is_late:
            if answer is not late.RECEIVED:
                # A read, or a write that was refused.
                return answer
            if fault.leaves_answer_alone:
                raise Dropped("fault: carried out later")
        # The server cuts or slows the bytes; here only the content is changed.
        environ["sandbox.fault"] = fault
        return fault.answer(answer, _text(answer) if answer else "", self.platform.clock.now())

    def _run(self, method: str, call: Call, request_id: str) -> Answer:
        try:
            if access.is_preflight(method, call):
                return access.preflight(call)
            route, values = routes.find(self._urls, method, call.path)
            if route.path.startswith("/_sandbox"):
                return route.run(call, **values)
            run_due(self.platform)
            if method in ("GET", "HEAD"):
                with self.platform.store.lock:
                    routes.admit(route, call, values)
                    return routes.run_lagging(route, call, values) if call.lag else route.run(call, **values)
            with self.platform.store.transaction():
                routes.admit(route, call, values)
                return route.run(call, **values) if call.act_after is None else late.keep(call, method)
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body(request_id), headers=refusal.headers)


def _read(platform: Platform, environ: dict[str, Any]) -> Call:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    # PATH_INFO is UTF-8 decoded as latin-1 (PEP 3333).
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    origin = f"http://{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    return Call(platform, path, origin, headers, query, data=environ["wsgi.input"].read())


def _text(answer: Answer) -> str:
    if answer.text is not None:
        return answer.text
    return "" if answer.status == 204 else dump(answer.body)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"

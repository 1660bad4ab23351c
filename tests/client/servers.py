"""Loopback servers that send scripted answers, to simulate the platform and faults of the network."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.patience import SILENCE

Reply = Callable[["Handler"], None]


@dataclass
class RecordedRequest:
    """One request as the server saw it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float
    port: int  # of the client: identifies the connection

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Platform

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        self.server.record(
            RecordedRequest(
                self.command,
                parts.path,
                dict(parse_qsl(parts.query)),
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(length),
                time.monotonic(),
                self.client_address[1],
            )
        )(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, status: int, body: bytes, headers: Iterable[tuple[str, str]] = ()) -> None:
        self.send_response(status)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        if "content-length" not in names and "transfer-encoding" not in names:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@dataclass
class Script:
    """Acts in turn; the last one repeats."""

    replies: list[Reply]
    played: int = 0

    def next(self) -> Reply:
        act = self.replies[min(self.played, len(self.replies) - 1)]
        self.played += 1
        return act


class Platform(ThreadingHTTPServer):
    """Sends ``replies`` in order, or the reply that ``choose`` returns for a request."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(
        self,
        *replies: Reply,
        choose: Callable[[RecordedRequest], Reply] | None = None,
        tls: ssl.SSLContext | None = None,
    ):
        self.script = Script(list(replies))
        self.choose = choose
        self.seen: list[RecordedRequest] = []
        self._lock = threading.Lock()
        self.tls = tls
        super().__init__(("127.0.0.1", 0), Handler)
        self.stopped = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        """Instead of ``serve_forever``, whose polling would cost each test its time-out at the end."""
        while not self.stopped:
            self._handle_request_noblock()  # type: ignore[attr-defined]

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is not None:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:
                return
        super().finish_request(request, client_address)
        if self.tls is not None:
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # these tests disconnect clients on purpose

    def record(self, seen: RecordedRequest) -> Reply:
        with self._lock:
            self.seen.append(seen)
            return self.choose(seen) if self.choose else self.script.next()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.server_port}"

    @property
    def count(self) -> int:
        return len(self.seen)

    def stop(self) -> None:
        self.stopped = True
        self.socket.shutdown(socket.SHUT_RDWR)  # wakes the accept
        self.server_close()


def reply(document: Any = None, status: int = 200, **headers: str) -> Reply:
    """JSON, with ``headers`` written with underscores for hyphens."""
    body = json.dumps(document).encode()
    named = [("Content-Type", "application/json"), *((n.replace("_", "-"), v) for n, v in headers.items())]
    return lambda handler: handler.answer(status, body, named)


def body(data: bytes, status: int = 200, **headers: str) -> Reply:
    """Any bytes as the body."""
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return lambda handler: handler.answer(status, data, named)


def raw(data: bytes, *, reset: bool = False) -> Reply:
    """Any bytes on the wire, then the end of the connection."""

    def act(handler: Handler) -> None:
        handler.wfile.write(data)
        handler.wfile.flush()
        end(handler, reset=reset)

    return act


def end(handler: Handler, *, reset: bool = False) -> None:
    handler.close_connection = True
    if reset:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        handler.connection.shutdown(socket.SHUT_RDWR)
    handler.connection.close()


def reset() -> Reply:
    """The request is read, then the connection is torn down."""
    return raw(b"", reset=True)


def hang(seconds: float = SILENCE) -> Reply:
    """The request is read, and nothing follows."""

    def act(handler: Handler) -> None:
        time.sleep(seconds)
        end(handler)

    return act


def drip(data: bytes, every: float) -> Reply:
    """One byte at a time."""

    def act(handler: Handler) -> None:
        for i in range(len(data)):
            handler.wfile.write(data[i : i + 1])
            handler.wfile.flush()
            time.sleep(every)
        end(handler)

    return act


def later(act: Reply, seconds: float) -> Reply:
    def wait(handler: Handler) -> None:
        time.sleep(seconds)
        act(handler)

    return wait


@dataclass
class FixedToken:
    """Credentials as the transport sees them: numbered tokens, one more after each refusal."""

    number: int = 1
    refusals: list[tuple[str, bool]] = field(default_factory=list)
    asked: int = 0

    def token(self, patience: float | None = None) -> str:
        self.asked += 1
        return f"token-number-{self.number}"

    def refused(self, access_token: str, *, again: bool = False) -> bool:
        self.refusals.append((access_token, again))
        if again:
            return False
        self.number += 1
        return True


def token_document(access_token: str = "token-a", expires_in: Any = 3600, **more: Any) -> dict[str, Any]:
    return {"access_token": access_token, "expires_in": expires_in, "token_type": "Bearer", **more}

"""A receiver of webhooks that checks signatures with its own code, written from the vendor's pages."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.patience import HANG


@dataclass(frozen=True)
class Post:
    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def data(self) -> dict[str, Any]:
        return dict(self.event["data"])

    def is_signed_with(self, secret: str) -> bool:
        given = self.headers["X-Webhook-Signature"]
        assert given.startswith("sha256=")
        message = str(self.event["timestamp"]).encode() + b"." + self.body
        wanted = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
        return hmac.compare_digest(given.removeprefix("sha256="), wanted)


@dataclass
class Receiver:
    """The received requests, in order. `answers` are sent first, then 200s; `pause` runs before each answer."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    pause: Callable[[str], None] = lambda path: None
    came: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, count: int, timeout: float = HANG) -> list[Post]:
        """The posts, once there are at least `count`."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.posts) >= count, timeout), f"{len(self.posts)} of {count} came"
            return list(self.posts)

    def types(self) -> list[str]:
        return [post.event["event_type"] for post in self.posts]

    def only(self) -> Post:
        (post,) = self.wait(1)
        return post

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        self.pause(path)
        with self.came:
            status = self.answers.pop(0) if self.answers else 200
            self.posts.append(Post(path, headers, body, status))
            self.came.notify_all()
        return status


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.take(self.path, dict(self.headers), body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/hooks"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

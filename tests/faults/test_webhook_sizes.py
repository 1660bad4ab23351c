"""W6: bodies that are too large. They are refused because of their stated length, or when too much was read."""

from __future__ import annotations

import io
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test.utils import CaptureQueriesContext

from govpay.models import WebhookEvent
from govpay.web.webhooks import LARGEST
from tests.events import known_account

pytestmark = pytest.mark.django_db(transaction=True)

MEGABYTE = 1_000_000


class Body(io.RawIOBase):
    """So many zeros, made as they are read; counts them."""

    def __init__(self, size: int) -> None:
        self.left, self.given = size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self.left)
        buffer[:count] = bytes(count)
        self.left -= count
        self.given += count
        return count


def send(account: str, body: Body, length: str) -> str:
    """The status of a delivery as a server hands it over."""
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"/govpay/webhooks/{account}/",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": length,
        "HTTP_X_WEBHOOK_SIGNATURE": "0" * 64,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "wsgi.input": io.BufferedReader(body),
        "wsgi.input_terminated": not length,
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
    }
    said: list[str] = []
    answer = HANDLER(environ, lambda status, headers, *_: said.append(status))
    b"".join(answer)
    answer.close()
    return said[0]


HANDLER = WSGIHandler()


@contextmanager
def calls() -> Iterator[list[str]]:
    """Every call of a function, in Python and in C."""
    made: list[str] = []
    sys.setprofile(lambda frame, event, argument: made.append(event) if event in ("call", "c_call") else None)
    try:
        yield made
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("megabytes", [1, 10, 50])
@pytest.mark.parametrize("stated", [True, False], ids=["length stated", "in chunks"])
def test_large_bodies_are_refused_unread_and_kept_nowhere(megabytes: int, stated: bool) -> None:
    """W6: 413, nothing kept, no more memory and work than for a small body (`make bench` measures the time)."""
    account = known_account()
    for _ in range(2):  # the first one builds what is built once
        with calls() as few:
            send(account, Body(LARGEST + 1), str(LARGEST + 1) if stated else "")
    body = Body(megabytes * MEGABYTE)
    with calls() as made:
        status = send(account, body, str(body.left) if stated else "")
    assert status.startswith("413")
    assert body.given <= (0 if stated else LARGEST + 2 * io.DEFAULT_BUFFER_SIZE)
    assert len(made) <= len(few) * 1.5
    body = Body(megabytes * MEGABYTE)
    tracemalloc.start()
    try:
        with CaptureQueriesContext(connection) as statements:
            send(account, body, str(body.left) if stated else "")
        assert tracemalloc.get_traced_memory()[1] < 4 * LARGEST
    finally:
        tracemalloc.stop()
    assert len(statements) == 0
    assert not WebhookEvent.objects.exists()

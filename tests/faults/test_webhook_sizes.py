"""W6: bodies far beyond any delivery. Refused by their stated length, or as soon as too much has come."""

from __future__ import annotations

import io
import statistics
import time
import tracemalloc
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test.utils import CaptureQueriesContext

from govpay.models import WebhookEvent
from govpay.webhooks import LARGEST
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


def send(account: str, body: Body, length: str) -> tuple[str, float]:
    """The status of a delivery as a server hands it over, and the milliseconds until its answer."""
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
    started = time.perf_counter()
    answer = HANDLER(environ, lambda status, headers, *_: said.append(status))
    b"".join(answer)
    taken = time.perf_counter() - started
    answer.close()
    return said[0], taken * 1000


HANDLER = WSGIHandler()


@pytest.mark.parametrize("megabytes", [1, 10, 50])
@pytest.mark.parametrize("stated", [True, False], ids=["length stated", "in chunks"])
def test_large_bodies_are_refused_unread_and_kept_nowhere(megabytes: int, stated: bool) -> None:
    """W6: 413, nothing kept, memory flat, 5 ms at most (the middle of twenty, since the machine has other work)."""
    account, taken = known_account(), []
    send(account, Body(1), "1")  # what is built once
    for _ in range(20):
        body = Body(megabytes * MEGABYTE)
        status, milliseconds = send(account, body, str(body.left) if stated else "")
        assert status.startswith("413")
        assert body.given <= (0 if stated else LARGEST + 2 * io.DEFAULT_BUFFER_SIZE)
        taken.append(milliseconds)
    assert statistics.median(taken) <= 5
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

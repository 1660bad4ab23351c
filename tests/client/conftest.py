"""Fixtures of the client's tests: servers that are stopped afterwards, and a transport to one of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from govpay.client import Config, Endpoints
from govpay.client.transport import Transport
from tests.client.servers import FixedToken, Platform
from tests.patience import HANG, Clock

Serve = Callable[..., Platform]


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[Platform] = []

    def start(*replies: Any, **options: Any) -> Platform:
        running.append(Platform(*replies, **options))
        return running[-1]

    yield start
    for server in running:
        server.stop()


def quick(api_url: str, **changed: Any) -> Config:
    """A configuration that repeats quickly. Its timeouts are long: only tests of timeouts may meet one."""
    settings: dict[str, Any] = {
        "api_url": api_url,
        "connect_timeout": HANG,
        "read_timeout": HANG,
        "call_timeout": HANG,
        "max_retries": 3,
        "backoff": 0.01,
    }
    return Config(**{**settings, **changed})


@pytest.fixture
def transport_to() -> Iterator[Callable[..., Transport]]:
    """``transport_to(server, max_retries=0, auth=…)``."""
    made: list[Transport] = []

    def make(server: Platform | str, *, auth: Any = None, pause: Any = None, **changed: Any) -> Transport:
        url = server if isinstance(server, str) else server.url
        made.append(Transport(quick(url, **changed), auth or FixedToken(), pause=pause))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def endpoints_to(transport_to: Callable[..., Transport]) -> Callable[..., Endpoints]:
    return lambda server, routes=None, **changed: Endpoints(transport_to(server, **changed), routes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The client's clock. Time moves only when the client sleeps or the test moves it."""
    clock = Clock()
    for module in (
        "govpay.client.auth",
        "govpay.client.stores",
        "govpay.client.transport",
        "govpay.client.wire",
        "tests.client.token_stores",
    ):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock


@pytest.fixture
def unused_port() -> int:
    """A port without a server."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])

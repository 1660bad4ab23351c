"""``govpay.cache``: a cache that hangs is asked once, and then left alone for a while (faults T7)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from govpay import cache, operations
from govpay.cache import CacheUnavailable, CircuitBreaker, FailOpenCache, shared_cache
from tests.operations.merchant import Merchant
from tests.patience import Clock


class SilentServer:
    """Accepts connections and never answers. Counts them."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"redis://127.0.0.1:{self._socket.getsockname()[1]}/0"
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        try:
            while True:
                self.connections.append(self._socket.accept()[0])
        except OSError:
            return  # closed

    def close(self) -> None:
        self._socket.close()
        for each in self.connections:
            each.close()


@pytest.fixture
def silent(settings: Any) -> Iterator[SilentServer]:
    """The site's cache is a Redis that hangs."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    server = SilentServer()
    options = {"socket_timeout": 0.2, "socket_connect_timeout": 0.2, "retry": Retry(NoBackoff(), 0)}
    backend = "django.core.cache.backends.redis.RedisCache"
    settings.CACHES = {
        **settings.CACHES,
        "hanging": {"BACKEND": backend, "LOCATION": server.address, "OPTIONS": options},
    }
    settings.GOVPAY = {**settings.GOVPAY, "CACHE": "hanging"}
    yield server
    server.close()


def test_all_uses_together_wait_once(silent: SilentServer) -> None:
    for number in range(10):
        one = FailOpenCache(f"cache number {number}")
        assert one.get("key", "default") == "default"
        assert one.add("key", 1, 60)
        assert one.count("key", 60) == 1
    assert len(silent.connections) == 1


def test_after_a_while_one_use_tries_again(silent: SilentServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match=r"(?i)time"):
        shared_cache().get("key")
    monkeypatch.setattr(cache, "time", clock := Clock())
    with pytest.raises(CacheUnavailable):
        shared_cache().get("key")
    clock.pass_on(CircuitBreaker.REST)
    for _ in range(3):
        with pytest.raises(Exception, match=r"(?i)time|hanging"):
            shared_cache().get("key")
    assert len(silent.connections) == 2


@pytest.mark.django_db
def test_a_cache_that_answers_again_is_used(silent: SilentServer, settings: Any, monkeypatch: Any) -> None:
    breaker = cache.cache_of("hanging")
    with pytest.raises(Exception, match=r"(?i)time"):
        breaker.get("key")
    monkeypatch.setattr(cache, "time", clock := Clock())
    clock.pass_on(CircuitBreaker.REST)
    monkeypatch.setattr(cache, "caches", {"hanging": cache.caches["default"]})
    breaker.set("key", 1, timeout=60)
    assert breaker.get("key") == 1


@pytest.mark.django_db
def test_an_error_that_takes_no_time_does_not_count(settings: Any) -> None:
    broken = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "nonsense://127.0.0.1:9/0"}
    settings.CACHES = {**settings.CACHES, "broken": broken}
    for _ in range(2):
        with pytest.raises(ValueError, match=r"(?i)scheme"):
            cache.cache_of("broken").get("key")


@pytest.mark.django_db(transaction=True)
def test_a_refund_waits_once_for_a_cache_that_hangs(sandbox: Any, silent: SilentServer) -> None:
    merchant = Merchant(sandbox)
    payment = merchant.captured()
    assert operations.refund_payment(payment=payment, amount=100).status == "succeeded"
    assert merchant.moved("refund", payment) == 100
    assert len(silent.connections) == 1

"""``govpay.cache``: a cache that hangs is asked once, and then left alone for a while (faults T7)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from govpay import cache, operations
from govpay.cache import CacheUnavailable, CircuitBreaker, FailOpenCache, shared_cache
from govpay.client.auth import TOKEN_WAIT_TIMEOUT
from govpay.connection import get_endpoints
from tests.operations.merchant import Merchant, at_once
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


# --- Caches that ignore their errors ----------------------------------------------------------------------------------


class Ignoring(BaseCache):
    """Such a cache while its server is down: django-redis returns ``None``, pymemcache ``False``, after ``seconds``."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self.nothing = {"none": None, "false": False}[location]
        self.seconds = params.get("OPTIONS", {}).get("seconds", 0)
        self.uses = 0

    def _ignore(self, *args: Any, **kwargs: Any) -> Any:
        self.uses += 1
        time.sleep(self.seconds)
        return self.nothing

    add = set = touch = delete = incr = _ignore

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        self._ignore()
        return default


@pytest.fixture(params=["none", "false"])
def ignoring(request: pytest.FixtureRequest, settings: Any) -> Callable[..., None]:
    """``ignoring(seconds=…)`` makes such a cache the site's cache."""

    def use(**options: Any) -> None:
        backend = {"BACKEND": "tests.test_cache.Ignoring", "LOCATION": request.param, "OPTIONS": options}
        settings.CACHES = {**settings.CACHES, "ignoring": backend}
        settings.GOVPAY = {**settings.GOVPAY, "CACHE": "ignoring"}

    return use


@pytest.mark.django_db
def test_a_cache_that_ignores_its_errors_costs_one_token_request(sandbox: Any, ignoring: Callable[..., None]) -> None:
    ignoring()
    started = time.monotonic()
    for _ in range(3):
        get_endpoints().list_clients()
    assert time.monotonic() - started < TOKEN_WAIT_TIMEOUT  # it is not taken for a token that another process fetches
    assert sandbox.token_requests == 1


@pytest.mark.django_db
def test_threads_beside_a_cache_that_ignores_its_errors(sandbox: Any, ignoring: Callable[..., None]) -> None:
    ignoring()
    results = at_once(*[get_endpoints().list_clients] * 4)
    assert not [found for found in results if isinstance(found, Exception)]
    assert sandbox.token_requests == 1


def test_nobody_else_has_what_such_a_cache_does_not_keep(ignoring: Callable[..., None]) -> None:
    ignoring()
    one = FailOpenCache("cache of this test")
    assert one.get("key", "default") == "default"
    assert one.add("key", 1, 60)
    assert one.count("key", 60, otherwise=7) in (0, 7)  # no limit is reached


@pytest.mark.django_db
def test_a_key_that_somebody_has_is_not_free() -> None:
    one = FailOpenCache("cache of this test")
    assert one.add("key", 1, 60)
    assert not one.add("key", 2, 60)
    assert one.get("key") == 1


def test_a_hang_that_is_ignored_is_paid_twice_and_no_more(ignoring: Callable[..., None], monkeypatch: Any) -> None:
    monkeypatch.setattr(CircuitBreaker, "SLOW_MISS", 0.05)
    ignoring(seconds=0.06)
    one = FailOpenCache("cache of this test")
    for _ in range(5):
        assert one.get("key") is None
        assert one.add("key", 1, 60)
    assert caches["ignoring"].uses == 2


@pytest.mark.django_db
def test_a_slow_miss_of_a_cache_that_works_is_no_failure(monkeypatch: Any) -> None:
    monkeypatch.setattr(CircuitBreaker, "SLOW_MISS", 0.0)
    assert shared_cache().get("key") is None
    shared_cache().set("key", 1, timeout=60)
    assert not shared_cache().add("key", 2, timeout=60)
    assert shared_cache().get("key") == 1

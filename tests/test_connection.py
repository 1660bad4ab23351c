"""``govpay.connection``: the shared token in Django's cache."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.core.cache import cache, caches

from govpay.client import Token
from govpay.connection import CachedTokens, get_authorizer, get_endpoints, reset
from govpay.exceptions import AuthenticationError, ConfigurationError


def a_token(text: str = "canary-token", life: float = 3600.0) -> Token:
    return Token(text, time.time() + life, life, time.time())


@pytest.fixture
def store() -> CachedTokens:
    return CachedTokens("default", "https://auth.example", "client", "scope")


@pytest.mark.django_db
def test_the_token_is_encrypted_and_its_key_tells_nothing(store: CachedTokens, monkeypatch: Any) -> None:
    written: dict[str, Any] = {}
    original = caches["default"].set

    def spy(key: str, value: Any, *args: Any, **kwargs: Any) -> None:
        written[key] = value
        original(key, value, *args, **kwargs)

    monkeypatch.setattr(caches["default"], "set", spy)
    store.save(a_token())
    ((key, value),) = written.items()
    assert "canary" not in f"{key}{value}"
    assert "auth.example" not in key
    assert "client" not in key
    loaded = store.load()
    assert loaded is not None
    assert loaded.access_token == "canary-token"


@pytest.mark.django_db
def test_other_addresses_clients_and_scopes_have_other_tokens(store: CachedTokens) -> None:
    store.save(a_token())
    for other in (
        ("x", "client", "scope"),
        ("https://auth.example", "x", "scope"),
        ("https://auth.example", "client", "x"),
    ):
        assert CachedTokens("default", *other).load() is None


@pytest.mark.django_db
def test_only_the_stored_token_is_dropped(store: CachedTokens) -> None:
    store.save(a_token("new"))
    store.drop("old")
    assert store.load() is not None
    store.drop("new")
    assert store.load() is None


@pytest.mark.django_db
def test_one_lease_at_a_time_and_only_its_owner_gives_it_back(store: CachedTokens) -> None:
    assert store.acquire("one", 20)
    assert not store.acquire("two", 20)
    store.release("two")
    assert not store.acquire("two", 20)
    store.release("one")
    assert store.acquire("two", 20)


@pytest.mark.django_db
def test_a_block_runs_out(store: CachedTokens) -> None:
    assert store.blocked() == (0, "")
    store.block(30, "ServerError: down")
    left, why = store.blocked()
    assert 29 < left <= 30
    assert why == "ServerError: down"


@pytest.mark.django_db
def test_rubbish_in_the_cache_counts_as_nothing(store: CachedTokens, settings: Any) -> None:
    store.save(a_token())
    settings.SECRET_KEY = "another one"
    assert store.load() is None


@pytest.mark.django_db
def test_two_processes_worth_of_endpoints_share_one_token(sandbox: Any) -> None:
    get_endpoints().list_clients()
    reset()
    get_endpoints().list_clients()
    assert sandbox.token_requests == 1


@pytest.mark.django_db
def test_a_lost_cache_costs_one_token_and_no_call(sandbox: Any) -> None:
    """Faults T7."""
    get_endpoints().list_clients()
    cache.clear()
    get_endpoints().list_clients()
    reset()
    get_endpoints().list_clients()
    assert sandbox.token_requests == 2


@pytest.mark.django_db
def test_a_broken_cache_breaks_no_call(sandbox: Any, settings: Any) -> None:
    """Faults T7: at most one request per process."""
    settings.CACHES = {
        **settings.CACHES,
        "broken": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:9/0"},
    }
    settings.GOVPAY = {**settings.GOVPAY, "CACHE": "broken"}
    for _ in range(3):
        get_endpoints().list_clients()
    assert sandbox.token_requests == 1


@pytest.mark.django_db
def test_wrong_credentials_are_one_line_and_no_storm(sandbox: Any, settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CLIENT_SECRET": "wrong-canary"}
    for _ in range(5):
        with pytest.raises(AuthenticationError, match="CLIENT_SECRET") as caught:
            get_endpoints().list_clients()
        assert "canary" not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sandbox.token_requests == 1


def test_a_missing_setting_is_named(settings: Any) -> None:
    settings.GOVPAY = {}
    with pytest.raises(ConfigurationError, match="GOVPAY"):
        get_authorizer()

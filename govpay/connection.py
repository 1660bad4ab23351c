"""The connection of this process to the platform, built from the settings and the cache."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, cast

from django.core.signals import setting_changed
from django.dispatch import receiver

from govpay import conf
from govpay.cache import add_to, cache_of, pause_key, token_key
from govpay.client import Authorizer, Config, Endpoints, Routes, Token
from govpay.exceptions import EncryptionError
from govpay.security.encryption import seal, unseal
from govpay.security.tracebacks import scrub_traceback

_lock = threading.Lock()
_current: Endpoints | None = None


@scrub_traceback
def get_endpoints() -> Endpoints:
    """Return the endpoints of this process. The first call builds them from the settings.

    Raises ``ConfigurationError`` when a required setting is missing.
    """
    global _current
    with _lock:
        if _current is None:
            _current = _build()
        return _current


def get_authorizer() -> Authorizer:
    """Return the authorizer of this process. It shares its token with all processes through the cache."""
    return cast(Authorizer, get_endpoints().transport.auth)


def clock_skew() -> float | None:
    """Return our clock minus the platform's, in seconds, at its last answer to this process; ``None`` before one."""
    return _current.transport.skew if _current is not None else None


def reset() -> None:
    """Drop the endpoints, and with them this process's copy of the token."""
    global _current
    with _lock:
        _current = None


@receiver(setting_changed)
def _on_setting_changed(*, setting: str, **_: Any) -> None:
    if setting in ("GOVPAY", "CACHES", "SECRET_KEY"):
        reset()


def _build() -> Endpoints:
    # Imported here: the HTTP library takes a third of the app's start time, and most processes never need it.
    from govpay.client.factory import connect  # noqa: PLC0415

    config = Config(
        api_url=conf.get("API_URL"),
        connect_timeout=conf.get("CONNECT_TIMEOUT"),
        read_timeout=conf.get("READ_TIMEOUT"),
        call_timeout=conf.get("CALL_TIMEOUT"),
        max_retries=conf.get("MAX_RETRIES"),
    )
    alias = conf.get("CACHE")
    return connect(
        config,
        client_id=conf.get("CLIENT_ID"),
        client_secret=conf.get("CLIENT_SECRET"),
        token_url=conf.get("TOKEN_URL"),
        scope=conf.get("SCOPE"),
        store=CachedTokens(alias, conf.get("TOKEN_URL"), conf.get("CLIENT_ID"), conf.get("SCOPE")),
        margin=conf.get("TOKEN_REFRESH_MARGIN"),
        routes=Routes(conf.get("ROUTES")),
        pause=CachedPause(alias, conf.get("API_URL"), conf.get("CLIENT_ID")),
    )


class _Cached:
    """Access to one Django cache. ``key`` returns the cache key of a part."""

    def __init__(self, alias: str, key: Callable[[str], str]) -> None:
        self._alias, self._key = alias, key

    @property
    def _cache(self) -> Any:
        return cache_of(self._alias)

    def _hold(self, part: str, seconds: float) -> None:
        self._cache.set(self._key(part), time.time() + seconds, timeout=max(1, math.ceil(seconds)))

    def _held(self, part: str) -> float:
        until = self._cache.get(self._key(part))
        return max(0.0, until - time.time()) if isinstance(until, int | float) else 0.0


class CachedTokens(_Cached):
    """Stores the token that all processes share in Django's cache, encrypted; a ``TokenStore``."""

    def __init__(self, alias: str, token_url: str, client_id: str, scope: str) -> None:
        super().__init__(alias, partial(token_key, token_url=token_url, client_id=client_id, scope=scope))

    def load(self) -> Token | None:
        sealed = self._cache.get(self._key("token"))
        if not isinstance(sealed, str):
            return None
        try:
            return Token(**json.loads(unseal(sealed)))
        except (EncryptionError, ValueError, TypeError):
            return None  # written with another key or by another version: treated as missing

    def save(self, token: Token) -> None:
        self._cache.set(self._key("token"), seal(json.dumps(asdict(token))), timeout=math.ceil(token.expires_in))

    def drop(self, access_token: str) -> None:
        stored = self.load()
        if stored is not None and stored.access_token == access_token:
            self._cache.delete(self._key("token"))

    def acquire(self, owner: str, lease: float) -> bool:
        return add_to(self._cache, self._key("lease"), owner, max(1, math.ceil(lease)))

    def release(self, owner: str) -> None:
        if self._cache.get(self._key("lease")) == owner:
            self._cache.delete(self._key("lease"))

    def block(self, seconds: float, why: str) -> None:
        self._cache.set(self._key("why"), why, timeout=math.ceil(seconds))
        self._hold("block", seconds)

    def blocked(self) -> tuple[float, str]:
        left = self._held("block")
        return left, str(self._cache.get(self._key("why"), "")) if left else ""


class CachedPause(_Cached):
    """Stores the pauses that all processes make after a 429; a ``PauseStore``."""

    def __init__(self, alias: str, api_url: str, client_id: str) -> None:
        super().__init__(alias, partial(pause_key, api_url=api_url, client_id=client_id))

    def hold(self, seconds: float, scope: str) -> None:
        self._hold(scope, seconds)

    def held(self, scope: str) -> float:
        return self._held(scope)

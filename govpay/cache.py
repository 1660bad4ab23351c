"""The shared cache: all its keys, and classes for access that continue when the cache fails or hangs.

All keys are in the cache ``GOVPAY["CACHE"]`` and begin with ``govpay:``. No key contains an account, an address, a name
or a secret: these are hashed.
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.core.cache import caches
from django.core.signals import setting_changed
from django.utils.crypto import salted_hmac

from govpay import conf
from govpay.client.stores import FailOpenStore

#: The key of a worker's mark. A process that reads the same mark uses the same cache.
HEARTBEAT_KEY = "govpay:heartbeat:mark"


logger = logging.getLogger("govpay.cache")


class CacheUnavailable(Exception):
    """The cache failed or hung a moment ago, so it is not used now."""


class CircuitBreaker:
    """Access to one cache of Django. After a failure that took time, the cache is not used for a while.

    Without it each use of a cache that hangs would wait for the timeout of its sockets, many times in one request.
    A failure that takes no time, such as a refused connection, does not count. Each method of the cache raises
    ``CacheUnavailable`` meanwhile. There is no lock: several threads that wait at the same time all pay once.

    Some caches ignore their errors (``IGNORE_EXCEPTIONS`` of django-redis, ``ignore_exc`` of pymemcache). When such a
    cache finds nothing and has waited long for it, a new key shows whether it works.
    """

    SLOW = 0.1  # seconds after which a failure counts as a hang
    SLOW_MISS = 0.3  # seconds after which "nothing found" may hide a hang
    REST = 30.0  # seconds without a use; then one caller tries

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._open = False
        self._until = 0.0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            started = time.monotonic()
            if started < self._until:
                raise CacheUnavailable(self._alias)
            if self._open:
                self._until = started + self.REST  # the other threads do not try at the same time
            try:
                result = getattr(caches[self._alias], name)(*args, **options)
                if name in ("get", "add") and not result and time.monotonic() - started >= self.SLOW_MISS:
                    self._probe()
            except Exception as error:
                if self._open or time.monotonic() - started >= self.SLOW:
                    self._open, self._until = True, time.monotonic() + self.REST
                    text = "the cache %s does not answer (%s); it is not used for %d seconds"
                    logger.warning(text, self._alias, type(error).__name__, self.REST)
                raise
            self._open, self._until = False, 0.0
            return result

        return call

    def _probe(self) -> None:
        """Raise ``CacheUnavailable`` if the cache does not accept a new key."""
        if not caches[self._alias].add(f"govpay:probe:{uuid.uuid4().hex}", 1, timeout=1):
            raise CacheUnavailable(self._alias)


_breakers: dict[str, CircuitBreaker] = {}


def cache_of(alias: str) -> Any:
    """Return the cache with this alias behind the circuit breaker of this process."""
    return _breakers.setdefault(alias, CircuitBreaker(alias))


def add_to(cache: Any, key: str, value: Any, timeout: float) -> bool:
    """Set the key if it is free, and return whether the caller has it. True if the cache keeps nothing.

    A cache that ignores its errors returns ``None`` or ``False`` while its server is down. That does not mean that
    somebody else has the key: then there is a value.
    """
    for _attempt in range(2):  # the owner may have given the key back between the two questions
        if cache.add(key, value, timeout=timeout):
            return True
        if cache.get(key) is not None:
            return False
    return True


def tick_key(task: str) -> str:
    """Return the key that marks that a tick of this task was queued and is not yet carried out."""
    return f"govpay:tick:{task}"


def shared_cache() -> Any:
    """Return the cache that all processes share: ``GOVPAY["CACHE"]``."""
    return cache_of(conf.get("CACHE"))


def _forget_on_change(*, setting: str, **_: Any) -> None:
    if setting == "CACHES":
        _breakers.clear()


setting_changed.connect(_forget_on_change, dispatch_uid="govpay.cache")


class FailOpenCache:
    """The shared cache for values that govpay can do without. When it fails, the default is returned.

    A failure is logged once a minute. ``name`` is used in the log line: "the cache of visits failed".
    """

    def __init__(self, name: str) -> None:
        self._fail_open = FailOpenStore(name)

    def get(self, key: str, default: Any = None) -> Any:
        return self._fail_open(lambda: shared_cache().get(key, default), default)

    def set(self, key: str, value: Any, timeout: float) -> None:
        self._fail_open(lambda: shared_cache().set(key, value, timeout=timeout), None)

    def delete(self, key: str) -> None:
        self._fail_open(lambda: shared_cache().delete(key), None)

    def add(self, key: str, value: Any, timeout: float) -> bool:
        """Set the key if it does not exist, and return whether it was set. Returns true when the cache fails."""
        return self._fail_open(lambda: add_to(shared_cache(), key, value, timeout), True)

    def count(self, key: str, timeout: float, *, otherwise: int = 1) -> int:
        """Add one to the counter and return it. Returns ``otherwise`` when the cache fails.

        A cache whose ``incr`` is not atomic (``DatabaseCache``) may count slightly too low.
        """

        return self._fail_open(lambda: _count(key, timeout), otherwise)


def _count(key: str, timeout: float) -> int:
    cache = shared_cache()
    if cache.add(key, 1, timeout=timeout):
        return 1
    try:
        found = cache.incr(key)
    except ValueError:
        return 1  # the entry has just expired
    if found is None:
        raise CacheUnavailable  # its error was ignored
    return int(found)


def _hash(*belongs_to: str) -> str:
    return hashlib.sha256("|".join(belongs_to).encode()).hexdigest()[:32]


def token_key(part: str, token_url: str, client_id: str, scope: str) -> str:
    """Return the key of a part of the access token's state: ``token``, ``lease``, ``block`` or ``why``."""
    return f"govpay:{_hash(token_url, client_id, scope)}:{part}"


def pause_key(scope: str, api_url: str, client_id: str) -> str:
    """Return the key of the pause that the platform requested with a 429 for calls of this scope."""
    return f"govpay:{_hash(api_url, client_id, scope)}:pause"


def webhook_secret_key(account_uid: str) -> str:
    """Return the key that marks that a process is fetching this account's webhook secret."""
    return f"govpay:{_hash(conf.get('API_URL'), account_uid)}:webhook-secret"


def webhook_requests_key(account_uid: str) -> str:
    """Return the key of the number of requests for this account's webhook secret within a minute."""
    return f"govpay:{_hash(conf.get('API_URL'), account_uid)}:webhook-requests"


def newest_secret_key(account_uid: str) -> str:
    """Return the key of a keyed hash of the webhook secret that a process has stored last."""
    return f"govpay:{_hash(conf.get('API_URL'), account_uid)}:newest-secret"


def link_pause_key(public_id: str) -> str:
    """Return the key that marks that a payment link must wait, because no session could be opened for it."""
    return f"govpay:{_hash(conf.get('API_URL'), public_id)}:link"


def done_page_key(session_uid: str) -> str:
    """Return the key that marks that a done page has just asked the platform for this session."""
    return f"govpay:{_hash(conf.get('API_URL'), session_uid)}:done"


def late_deliveries_key(account_uid: str) -> str:
    """Return the key of the number of deliveries of this account that were refused as too old."""
    return f"govpay:{_hash(account_uid)}:stale"


def queued_sync_key(account_uid: str, names: Sequence[str]) -> str:
    """Return the key that marks that an event has queued a sync of these lists."""
    return f"govpay:{_hash(account_uid, *sorted(names))}:queued-sync"


def unreachable_key(account_uid: str) -> str:
    """Key of the state of an account that the platform serves slowly or not at all (``sync.unreachable``)."""
    return f"govpay:{_hash(conf.get('API_URL'), account_uid)}:unreachable"


def slow_accounts_key() -> str:
    """Key that marks that a read for an event failed within the short limit, for any account."""
    return f"govpay:{_hash(conf.get('API_URL'))}:slow-accounts"


def visits_key(kind: str, name: str, window: int) -> str:
    """Return the key of the number of visits by one address, or of one page, in this time window."""
    mark = salted_hmac(f"govpay.floods.{kind}", f"{window}|{name}", algorithm="sha256").hexdigest()[:32]
    return f"govpay:{mark}:visits"


def throttle_key(scope: str, user_pk: Any, window: int) -> str:
    """Return the key of the number of REST requests of a user in this time window."""
    return f"govpay:rest:{scope}:{user_pk}:{window}"


def idempotency_key(key: Any) -> str:
    """Return the key of the response to a REST action that has no row in the journal."""
    return f"govpay:rest:key:{key}"

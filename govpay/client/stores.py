"""Interfaces of the stores that all processes share, and a wrapper that hides the failures of a store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from govpay.client.tokens import Token

log = logging.getLogger("govpay.client")

T = TypeVar("T")

#: The answer of ``TokenStore.blocked`` without a block.
NOT_BLOCKED = (0.0, "")


class TokenStore(Protocol):
    """Stores the one token of all processes. Any method may raise; the caller then continues without the store.

    ``load`` may return an expired token; the caller checks it. ``acquire`` must be atomic over all
    processes (an "add if absent" that expires after ``lease`` seconds).
    """

    def load(self) -> Token | None:
        """Return the stored token, or None."""

    def save(self, token: Token) -> None:
        """Store ``token`` until it expires."""

    def drop(self, access_token: str) -> None:
        """Delete the token, but only if ``access_token`` is still the stored one."""

    def acquire(self, owner: str, lease: float) -> bool:
        """Take the lease for ``owner``. If true, only ``owner`` may fetch in the next ``lease`` seconds."""

    def release(self, owner: str) -> None:
        """Release the lease, if ``owner`` still holds it."""

    def block(self, seconds: float, why: str) -> None:
        """Forbid fetches by any process for ``seconds`` after a failed fetch. ``why`` contains no secret."""

    def blocked(self) -> tuple[float, str]:
        """Return the seconds left of the block (0 if there is none) and its reason."""


class Credentials(Protocol):
    """Supplies the access token to the transport (``auth.Authorizer``)."""

    def token(self, patience: float | None = None) -> str:
        """Return a token for one call; waits at most ``patience`` seconds for it."""

    def refused(self, access_token: str, *, again: bool = False) -> bool:
        """Report a 401. Returns true if another token may be tried. ``again``: the refused one was a replacement."""


class PauseStore(Protocol):
    """Stores the pauses after a 429 for all processes (faults R1). Optional. ``scope``: ``Request.pause_scope``."""

    def hold(self, seconds: float, scope: str) -> None:
        """Start a pause of ``seconds`` in all processes, for calls of this scope."""

    def held(self, scope: str) -> float:
        """Return the seconds left of this scope's pause; 0 when there is none."""


class NoStore:
    """A token store that stores nothing: each process fetches its own token."""

    def load(self) -> Token | None:
        return None

    def save(self, token: Token) -> None: ...

    def drop(self, access_token: str) -> None: ...

    def acquire(self, owner: str, lease: float) -> bool:
        return True

    def release(self, owner: str) -> None: ...

    def block(self, seconds: float, why: str) -> None: ...

    def blocked(self) -> tuple[float, str]:
        return NOT_BLOCKED


class FailOpenStore:
    """Calls a store and hides its failures: the default is returned. An exception is logged at most once a minute.

    A cache that is down may cost a token request, but must not fail a payment (faults T7).
    """

    QUIET = 60.0

    def __init__(self, name: str) -> None:
        self._name = name
        self._quiet_until = 0.0

    def __call__(self, call: Callable[[], T], otherwise: T) -> T:
        try:
            return call()
        except Exception as error:
            now = time.monotonic()
            if now >= self._quiet_until:
                self._quiet_until = now + self.QUIET
                # Log only the class, because the error text of a cache may quote the value: the token.
                log.warning("the %s failed (%s); continuing without it", self._name, type(error).__name__)
            return otherwise


class Pause:
    """The pauses before the next calls after a 429; shared by all processes if there is a store.

    Each scope (``Request.pause_scope``) has its own pause, so that the limit of one payment account does not stop the
    others.

    It has no lock, because a lock would have to be replaced after a fork. If two 429 arrive at the same moment, the
    shorter pause may win, which costs one more 429.
    """

    LOOK_EVERY = 1.0  # minimum seconds between reads of the store, so that not every call reads the cache

    def __init__(self, store: PauseStore | None = None) -> None:
        self._store = store
        self._fail_open = FailOpenStore("pause store")
        self._until: dict[str, float] = {}
        self._look_at: dict[str, float] = {}

    def hold(self, seconds: float, scope: str) -> None:
        """Make all calls of this scope wait ``seconds`` from now, or longer if a longer pause is active."""
        self._extend(scope, time.monotonic() + seconds)
        if self._store is not None:
            store = self._store
            self._fail_open(lambda: store.hold(seconds, scope), None)

    def left(self, scope: str) -> float:
        """Return the seconds to wait before the next call of this scope; 0 if there is no pause."""
        now = time.monotonic()
        if self._store is not None and now >= self._look_at.get(scope, 0.0):
            self._look_at[scope] = now + self.LOOK_EVERY
            store = self._store
            held = self._fail_open(lambda: store.held(scope), 0.0)
            if isinstance(held, int | float) and held > 0:
                self._extend(scope, now + held)
        return max(0.0, self._until.get(scope, 0.0) - now)

    def _extend(self, scope: str, until: float) -> None:
        self._until[scope] = max(self._until.get(scope, 0.0), until)

"""The seams to storage that processes share, and a guard under which a broken store is an empty one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from govpay.client.tokens import Token

log = logging.getLogger("govpay.client")

T = TypeVar("T")

#: What a token store tells of its block when there is none.
NOT_BLOCKED = (0.0, "")


class TokenStore(Protocol):
    """Where the processes of a fleet keep their one token. Any of these may raise; no call then fails.

    ``load`` may return an expired token: its reader decides. ``acquire`` must be atomic over all
    processes (an "add if absent" with a life of ``lease`` seconds).
    """

    def load(self) -> Token | None:
        """The stored token, or None."""

    def save(self, token: Token) -> None:
        """Keeps ``token`` until it expires."""

    def drop(self, access_token: str) -> None:
        """Forgets the token, but only if ``access_token`` is still the stored one."""

    def acquire(self, owner: str, lease: float) -> bool:
        """True if ``owner`` may fetch now: nobody else can for ``lease`` seconds."""

    def release(self, owner: str) -> None:
        """Ends the lease, if it is still the owner's."""

    def block(self, seconds: float, why: str) -> None:
        """After a failed fetch: nobody in the fleet fetches for ``seconds``. ``why`` names no secret."""

    def blocked(self) -> tuple[float, str]:
        """Seconds that are left of the block, 0 when there is none, and why it stands."""


class Credentials(Protocol):
    """Where the transport gets the admin token (``auth.Authorizer``)."""

    def token(self, patience: float | None = None) -> str:
        """A token for one call; waits at most ``patience`` seconds for it."""

    def refused(self, access_token: str, *, again: bool = False) -> bool:
        """The platform answered 401 to it. True if another may be tried; ``again``: it was that other one."""


class PauseStore(Protocol):
    """Where a fleet keeps the pause that a 429 asked for (faults R1). Optional."""

    def hold(self, seconds: float) -> None:
        """Nobody calls for ``seconds``."""

    def held(self) -> float:
        """Seconds that are left; 0 when there is no pause."""


class NoStore:
    """A token store that keeps nothing: each process fetches for itself."""

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


class Guard:
    """Calls into a store; whatever it raises is logged at most once a minute and answered by a default.

    A cache that is down must cost a token request, not a payment (faults T7).
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
                # Only the class: a cache's error text may quote the value, which is the token.
                log.warning("the %s failed (%s); going on without it", self._name, type(error).__name__)
            return otherwise


class Pause:
    """How long calls must wait because the platform said 429; shared by a fleet if there is a store.

    Without a lock on purpose (one would have to survive a fork): of two 429 in the same microsecond the
    shorter may win, and costs one more 429.
    """

    LOOK_EVERY = 1.0  # the store is asked at most this often, so that a call does not cost a cache read

    def __init__(self, store: PauseStore | None = None) -> None:
        self._store = store
        self._guard = Guard("pause store")
        self._until = 0.0
        self._look_at = 0.0

    def hold(self, seconds: float) -> None:
        """Everyone waits ``seconds`` from now, or longer if a longer pause stands."""
        self._until = max(self._until, time.monotonic() + seconds)
        if self._store is not None:
            store = self._store
            self._guard(lambda: store.hold(seconds), None)

    def left(self) -> float:
        """Seconds to wait before the next call; 0 for none."""
        now = time.monotonic()
        if self._store is not None and now >= self._look_at:
            self._look_at = now + self.LOOK_EVERY
            held = self._guard(self._store.held, 0.0)
            if isinstance(held, int | float) and held > 0:
                self._until = max(self._until, now + held)
        return max(0.0, self._until - now)

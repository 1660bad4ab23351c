"""The access token: fetched once for all processes, cached, and replaced before it expires."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from govpay import exceptions
from govpay.client.stores import NOT_BLOCKED, FailOpenStore, NoStore, TokenStore
from govpay.client.tokens import Token, read_token
from govpay.client.types import RawAnswer, TokenGrant, WireFault
from govpay.exceptions import APIConnectionError, APIError
from govpay.security.tracebacks import scrub_traceback

log = logging.getLogger("govpay.client")

#: Sends one token request within the given seconds (``transport.fetch_token``).
Fetch = Callable[[TokenGrant, float], RawAnswer]

TOKEN_WAIT_TIMEOUT = 15.0  # maximum seconds that a caller waits for a token (faults T2)
LEASE = 20.0  # seconds after which a fetcher that died is replaced
HURRY = 5.0  # timeout of a fetch while the old token is valid, so that the caller can continue
COOL_DOWN = 30.0  # seconds after a failed fetch in which no process fetches again
LOOK_EVERY = 1.0  # seconds between reads of the store while another process fetches and the old token is valid
POLL = 0.05  # the same for callers that wait without a valid token


_alive: weakref.WeakSet[Authorizer] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class _Held:
    """A token with its renewal time and expiry on this process's monotonic clock: the wall clock may jump (T8)."""

    token: Token
    renew_at: float
    expires_at: float


class Authorizer:
    """Supplies access tokens by OAuth2 client credentials (/platform/overview/).

    One fetch serves all threads of all processes that share ``store``. A lock in each process and a lease in the store
    ensure this. While the old token is valid, no caller waits and a failed fetch has no effect (faults T1-T4, T7).
    ``margin``: a token is replaced this many seconds before its expiry. ``fetch`` sends the request. Raises
    ``ConfigurationError`` at once for settings that cannot work.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        token_url: str,
        scope: str,
        fetch: Fetch,
        store: TokenStore | None = None,
        margin: float = 300.0,
    ) -> None:
        self._grant = TokenGrant(token_url=token_url, client_id=client_id, client_secret=client_secret, scope=scope)
        self._fetch = fetch
        self._store: TokenStore = store if store is not None else NoStore()
        self._margin = margin
        self._fail_open = FailOpenStore("token store")
        self._held: _Held | None = None
        self._refused = ""
        self._reset()
        _alive.add(self)

    def _reset(self) -> None:
        """Set the state that a fork must not copy: locks that another thread held, and wait times."""
        self._changed = threading.Condition()
        self._busy = False
        self._look_at = 0.0  # before this time the store is not read
        self._blocked_until = 0.0  # before this time this process does not fetch
        self._failure: APIError | None = None  # the reason of the block
        self._keep_refused_until = 0.0  # after a second 401 a new token does not help, so none is fetched

    @scrub_traceback
    def token(self, patience: float | None = None) -> str:
        """Return a token for one call. While the current token is fresh, this takes no lock and reads no cache.

        Waits at most ``patience`` seconds (15 by default). Raises ``AuthenticationError`` when the credentials are
        refused, and ``APIConnectionError``, ``ServerError``, ``RateLimited`` or ``InvalidAnswer`` when no token can
        be fetched.
        """
        held = self._held
        if held is not None and time.monotonic() < held.renew_at:
            return held.token.access_token
        return self._renewed(patience, force=False).access_token

    @scrub_traceback
    def refresh(self, force: bool = False) -> Token:
        """Return the token, replaced if it is due for renewal.

        With ``force`` neither this process's token nor the stored one is accepted, only a newer one, and the pause
        after a failed fetch is ignored. Raises the errors that ``token`` raises.
        """
        held = self._held
        if not force and held is not None and time.monotonic() < held.renew_at:
            return held.token
        return self._renewed(None, force=force)

    def refused(self, access_token: str, *, again: bool = False) -> bool:
        """Report that the platform answered 401 to ``access_token``. Drops it if it is still the current token.

        Returns true if another token may be tried. ``again``: the refused token was itself a replacement. Then a new
        token does not help, and a 401 causes no fetch for the next 30 s (faults T5).
        """
        with self._changed:
            if again:
                self._keep_refused_until = time.monotonic() + COOL_DOWN
                return False
            held = self._held
            if held is not None and held.token.access_token == access_token:
                if time.monotonic() < self._keep_refused_until:
                    return False
                self._held = None
                self._refused = access_token  # in case the store fails to drop it
                self._look_at = 0.0
        self._fail_open(lambda: self._store.drop(access_token), None)
        return True

    def status(self) -> dict[str, Any]:
        """Return the state of the token for staff, without the token itself. Values in seconds; ages by the wall clock.

        ``source`` is ``process``, ``store`` or ``none``. ``blocked`` is the number of seconds until the next attempt
        after a failed fetch.
        """
        held = self._held
        token = held.token if held is not None else self._fail_open(self._store.load, None)
        blocked = max(self._blocked_until - time.monotonic(), self._blocked()[0])
        found: dict[str, Any] = {"source": "none", "blocked": blocked, "error": str(self._failure or "")}
        if isinstance(token, Token):
            now = time.time()
            found.update(
                source="process" if held is not None else "store",
                age=now - token.fetched_at,
                lifetime=token.expires_in,
                expires_at=token.expires_at,
                expires_in=held.expires_at - time.monotonic() if held is not None else token.expires_at - now,
                renew_in=(held.renew_at if held is not None else self._hold(token).renew_at) - time.monotonic(),
            )
        return found

    # -- one thread of the process fetches, the others wait or use the old token -----------------------------

    def _renewed(self, patience: float | None, *, force: bool) -> Token:
        started = time.monotonic()
        give_up_at = started + min(TOKEN_WAIT_TIMEOUT, patience if patience is not None else TOKEN_WAIT_TIMEOUT)
        before = self._held
        while True:
            with self._changed:
                held, now = self._held, time.monotonic()
                if held is not None and held is not before and now < held.renew_at:
                    return held.token  # another thread has just renewed it
                if not force:
                    if held is not None and now < held.renew_at:
                        return held.token
                    if held is not None and now < held.expires_at and (self._busy or now < self._quiet_until()):
                        return held.token
                    if now < self._blocked_until:
                        raise self._breaker(now)
                if not self._busy:
                    self._busy = True
                    break
                if now >= give_up_at:
                    raise _no_token("no token came in time")
                self._changed.wait(give_up_at - now)
        try:
            return self._lead(give_up_at, force=force)
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _blocked(self) -> tuple[float, str]:
        return self._fail_open(self._store.blocked, NOT_BLOCKED)

    def _quiet_until(self) -> float:
        return max(self._look_at, self._blocked_until)

    def _lead(self, give_up_at: float, *, force: bool) -> Token:
        """Get a token for all threads of this process: use the stored one, fetch one, or wait for another process."""
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        replaced = self._to_replace() if force else ()
        while True:
            adopted = self._adopt(replaced)
            if adopted is not None:
                return adopted
            old = self._held if self._held is not None and time.monotonic() < self._held.expires_at else None
            blocked, why = NOT_BLOCKED if force else self._blocked()
            if blocked > 0:
                self._blocked_until = time.monotonic() + min(blocked, COOL_DOWN)
                self._failure = _told(why)
                if old is not None:
                    return old.token
                raise self._breaker(time.monotonic())
            if self._fail_open(lambda: self._store.acquire(owner, LEASE), True):
                try:
                    # The previous owner of the lease may just have saved a new token.
                    return self._adopt(replaced) or self._fetched(old, give_up_at, force=force)
                finally:
                    self._fail_open(lambda: self._store.release(owner), None)
            if old is not None and not force:
                self._look_at = time.monotonic() + LOOK_EVERY
                return old.token
            if time.monotonic() >= give_up_at:
                raise _no_token("another process is fetching a token and has not finished in time")
            time.sleep(POLL)

    def _to_replace(self) -> tuple[str, ...]:
        """Return this process's token and the stored token, which a forced refresh must not return."""
        stored = self._fail_open(self._store.load, None)
        known = [self._held.token if self._held is not None else None, stored]
        return tuple(token.access_token for token in known if isinstance(token, Token))

    def _adopt(self, replaced: tuple[str, ...]) -> Token | None:
        """Return the store's token if it is fresh and not one of ``replaced``, else ``None``.

        If this process has no token, it keeps a stored token that is valid but due for renewal, while a new one is
        fetched.
        """
        token = self._fail_open(self._store.load, None)
        if not isinstance(token, Token) or token.access_token in (*replaced, self._refused):
            return None
        held, now = self._hold(token), time.monotonic()
        if now < held.renew_at:
            self._accept(held)
            return token
        if self._held is None and now < held.expires_at:
            self._held = held
        return None

    def _fetched(self, old: _Held | None, give_up_at: float, *, force: bool) -> Token:
        """Fetch a new token. A failure blocks fetches for a while; then ``old`` is returned, or the error is raised."""
        asked, wall = time.monotonic(), time.time()
        try:
            patience = give_up_at - asked if old is None or force else min(HURRY, give_up_at - asked)
            raw = self._fetch(self._grant, max(1.0, patience))
            token = read_token(raw, wall, (self._grant.client_secret,))
        except WireFault as fault:
            failure: APIError = _no_token(fault.why)
        except APIError as error:
            failure = error
        else:
            self._fail_open(lambda: self._store.save(token), None)
            self._accept(self._hold(token, asked))
            return token
        self._failure = _again(failure)
        self._blocked_until = time.monotonic() + COOL_DOWN
        why = f"{type(failure).__name__}: {failure.message}"
        self._fail_open(lambda: self._store.block(COOL_DOWN, why), None)
        if old is not None and not force:
            log.warning("no new token; the old one is still used: %s", failure)
            return old.token
        log.info("no token: %s", failure)  # the caller gets the error
        raise failure

    def _accept(self, held: _Held) -> None:
        self._held = held
        self._failure = None
        self._blocked_until = self._look_at = 0.0

    def _hold(self, token: Token, asked: float | None = None) -> _Held:
        """Return ``token`` with its times on the monotonic clock.

        If this process fetched the token, its lifetime began at ``asked``. Otherwise the time that is left is computed
        by the wall clock, and is at most the whole lifetime.
        """
        if asked is not None:
            expires_at = asked + token.expires_in
        else:
            left = min(max(token.expires_at - time.time(), 0.0), token.expires_in)
            expires_at = time.monotonic() + left
        return _Held(token, expires_at - token.margin(self._margin), expires_at)

    def _breaker(self, now: float) -> APIError:
        """Return the error to raise while fetches are blocked: the last failure with the wait, or a general error."""
        left = max(0.0, self._blocked_until - now)
        last = self._failure
        if last is None:
            return _no_token(f"the token endpoint failed a moment ago; the next attempt is in {left:.0f} s")
        return _again(last, f" The next attempt is in {left:.0f} s.")


def _reset_after_fork() -> None:
    for authorizer in list(_alive):
        authorizer._reset()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_reset_after_fork)


def _again(error: APIError, more: str = "") -> APIError:
    """Return a copy of ``error`` without its traceback. ``more`` is appended to the message."""
    return type(error)(error.message + more, status=error.status, code=error.code, request_id=error.request_id)


def _told(why: str) -> APIError | None:
    """Parse the error that another process has put into the store. Returns ``None`` for an unknown text."""
    name, _, message = why.partition(": ")
    kind = getattr(exceptions, name, None)
    return kind(message) if message and isinstance(kind, type) and issubclass(kind, APIError) else None


def _no_token(why: str) -> APIConnectionError:
    return APIConnectionError(f"No access token: {why}.")

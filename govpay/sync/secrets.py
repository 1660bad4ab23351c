"""Signing secrets of webhooks: read from the platform once and stored sealed in the account's row.

Each process caches the secrets of the accounts that it receives deliveries for, so a delivery needs no statement. After
a signature mismatch the platform is asked, because it may have rolled the secret (assumption A18): at most three times
a minute for one account. After a request that finds no new secret there is a pause, so that a flood of forged
deliveries cannot use all requests at once.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from django.core.signals import setting_changed
from django.db import router, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from govpay import conf
from govpay.cache import FailOpenCache, newest_secret_key, webhook_requests_key, webhook_secret_key
from govpay.connection import get_endpoints
from govpay.exceptions import APIError, ConfigurationError, EncryptionError
from govpay.models import PaymentAccount
from govpay.models.fields import Sealed
from govpay.sync.transactions import in_transaction

logger = logging.getLogger("govpay.webhooks")

#: Seconds for which a process trusts its cache. Another process may have stored a new secret, or the grace ended.
KNOWN_FOR = 60.0

#: Maximum requests for one secret in ``ASK_WINDOW`` seconds, over all processes.
MAX_REQUESTS = 3
ASK_WINDOW = 60

#: Minimum seconds between two requests for one secret, over all processes, after one that found no new secret.
ASK_EVERY = ASK_WINDOW // MAX_REQUESTS

#: The same after a failed request.
ASK_AGAIN = 10

#: Timeout of the request in seconds, because the sender of the delivery waits.
ASK_WITHIN = 5.0

#: While another thread or process asks, ``WAITING`` threads wait up to these seconds. For the others it is a mismatch.
SECRET_FETCH_TIMEOUT = 1.5
WAITING = 4

#: Maximum look-ups of unknown accounts per second and process.
STRANGERS = 200

_COLUMNS = ("webhook_secret", "previous_webhook_secret", "webhook_secret_replaced_at")


class UnknownAccount(LookupError):
    """The payment account is not known here, or the platform no longer has it."""


class NoSecret(LookupError):
    """The account's secret is not stored here and could not be fetched now."""


@dataclass(slots=True)
class _Known:
    """The cache entry of one account in this process. Times are on the monotonic clock."""

    secrets: tuple[str, ...] = field(repr=False)
    until: float
    #: Before this time a mismatch does not cause a request.
    quiet_until: float = 0.0


_known: dict[str, _Known] = {}
#: By account: the lock of the thread that looks for another secret.
_looking: dict[str, threading.Lock] = {}
#: The current second and its number of look-ups. There is no lock, because a few more look-ups do no harm.
_strangers = [0, 0]
_waiting = threading.BoundedSemaphore(WAITING)
_cache = FailOpenCache("cache of webhook secrets")


def secrets_of(account_uid: str) -> tuple[str, ...]:
    """Return the account's secret, and the previous one during its grace period. Runs no SQL while they are cached.

    A missing secret is fetched. Raises ``UnknownAccount``, ``NoSecret``.
    """
    known = _known.get(account_uid)
    if known is None and not _may_look_up():
        raise NoSecret("too many deliveries for unknown payment accounts")
    if known is None or time.monotonic() >= known.until:
        quiet_until = known.quiet_until if known is not None else 0.0
        known = _known[account_uid] = _read(account_uid, quiet_until)
    if not known.secrets:
        known = _look_again(account_uid, known)
    if not known.secrets:
        raise NoSecret(f"the webhook secret of {account_uid} is not known")
    return known.secrets


def _may_look_up() -> bool:
    """Return whether a look-up is allowed now. Without this limit, invented accounts could cause a flood of SQL."""
    second = int(time.monotonic())
    if _strangers[0] != second:
        _strangers[:] = [second, 0]
    _strangers[1] += 1
    return _strangers[1] <= STRANGERS


def secrets_after_mismatch(account_uid: str, tried: tuple[str, ...]) -> tuple[str, ...]:
    """Return the secrets if they differ from those ``tried``, else an empty tuple. May ask the platform."""
    known = _known.get(account_uid)
    if known is None:
        return ()
    if known.secrets == tried:
        known = _look_again(account_uid, known)
    return known.secrets if known.secrets != tried else ()


def forget(account_uid: str | None = None) -> None:
    """Clear this process's cache, or one account's entry. Use it after rows were replaced outside this process."""
    if account_uid is None:
        _known.clear()
    else:
        _known.pop(account_uid, None)


def _forget_on_change(*, setting: str, **_: Any) -> None:
    if setting in ("GOVPAY", "SECRET_KEY", "CACHES", "DATABASES"):
        forget()


setting_changed.connect(_forget_on_change, dispatch_uid="govpay.secrets")


def _look_again(account_uid: str, known: _Known) -> _Known:
    """Ask the platform in one thread of this process. A few other threads wait for its result."""
    lock = _looking.setdefault(account_uid, threading.Lock())
    if not lock.acquire(blocking=False):
        if _waiting.acquire(blocking=False):
            try:
                if lock.acquire(timeout=SECRET_FETCH_TIMEOUT):
                    lock.release()
            finally:
                _waiting.release()
        return _known.get(account_uid, known)
    try:
        current = _known.get(account_uid, known)
        if current is not known or time.monotonic() < known.quiet_until:
            return current  # another thread has just looked
        found: _Known | None = None
        if _stored_by_other(account_uid, known):
            found = _read(account_uid, 0.0)
        if found is None or found.secrets == known.secrets:
            found = _ask(account_uid, known) if _may_ask(account_uid) else _wait_for_other(account_uid, known)
        if found is not None:
            _known[account_uid] = known = found
        return known
    finally:
        lock.release()


def _ask(account_uid: str, known: _Known) -> _Known | None:
    """Ask the platform and store the secret. Returns ``None`` and begins a pause when there is no new secret."""
    try:
        secret = get_endpoints().get_webhook_secret(account_uid, within=ASK_WITHIN)
    except (APIError, ConfigurationError) as error:
        logger.warning("the webhook secret of %s could not be fetched: %s", account_uid, error)
        known.quiet_until = time.monotonic() + ASK_AGAIN
        _tell(account_uid, "failed", ASK_AGAIN)
        return None
    if known.secrets[:1] == (secret,):
        known.quiet_until = time.monotonic() + ASK_EVERY
        _tell(account_uid, "done", ASK_EVERY)
        return None
    found = keep(account_uid, secret)
    _tell(account_uid, "done", 0)  # if the secret is rolled again soon, ask again at once
    return found


def keep(account_uid: str, secret: str) -> _Known:
    """Store a secret from the platform, sealed. The previous secret stays valid for the grace period.

    After the commit, the cache tells the other processes that there is a newer one. Raises ``UnknownAccount``.
    """

    def work() -> None:
        now = timezone.now()
        row = PaymentAccount.objects.filter(uid=account_uid)
        found = row.select_for_update().values_list(*_COLUMNS).first()
        if found is None:
            return
        old, previous, replaced_at = found
        columns: dict[str, Any] = {"webhook_secret_fetched_at": now}
        if previous is not None and (_grace_left(replaced_at) <= 0 or not _reveal(account_uid, previous)):
            columns["previous_webhook_secret"] = None
        # Another process may have stored the same secret a moment ago. The previous one is then kept already.
        known = _reveal(account_uid, old)
        if known != secret:
            columns["webhook_secret"] = Sealed.of(secret)
            if known:  # an undecryptable secret cannot verify signatures and would log an error forever
                columns.update(previous_webhook_secret=old, webhook_secret_replaced_at=now)
        row.update(**columns)
        transaction.on_commit(mark, using=router.db_for_write(PaymentAccount))

    def mark() -> None:
        _cache.set(newest_secret_key(account_uid), _mark(secret), timeout=2 * KNOWN_FOR)

    in_transaction(work)
    return _read(account_uid, 0.0)


def _read(account_uid: str, quiet_until: float) -> _Known:
    """Read the secrets from the account's row. Raises ``UnknownAccount``."""
    row = PaymentAccount.objects.filter(uid=account_uid, deleted_at=None).values_list(*_COLUMNS).first()
    if row is None:
        _known.pop(account_uid, None)
        raise UnknownAccount(account_uid)
    current, previous, replaced_at = row
    sealed = [current]
    until = time.monotonic() + KNOWN_FOR
    if previous is not None and (grace := _grace_left(replaced_at)) > 0:
        sealed.append(previous)
        until = min(until, time.monotonic() + grace)
    elif previous is not None:
        wipe_replaced(uid=account_uid)
    return _Known(tuple(secret for each in sealed if (secret := _reveal(account_uid, each))), until, quiet_until)


def wipe_replaced(**which: Any) -> int:
    """Delete replaced secrets whose grace period is over. Returns the number of accounts."""
    over = timezone.now() - _grace()
    rows = PaymentAccount.objects.filter(webhook_secret_replaced_at__lte=over, **which)
    return rows.exclude(previous_webhook_secret=None).update(previous_webhook_secret=None)


def _grace() -> dt.timedelta:
    return dt.timedelta(seconds=float(conf.get("WEBHOOK_SECRET_GRACE")))


def _grace_left(replaced_at: dt.datetime | None) -> float:
    """Return the seconds for which a secret that was replaced at that time stays valid."""
    return 0.0 if replaced_at is None else (replaced_at + _grace() - timezone.now()).total_seconds()


def _reveal(account_uid: str, sealed: Sealed | None) -> str:
    if sealed is None:
        return ""
    try:
        return sealed.reveal()
    except EncryptionError as error:
        logger.error("the webhook secret of %s: %s It is fetched again.", account_uid, error)
        return ""


# -- one process asks for all --------------------------------------------------------------------------------


def _mark(secret: str) -> str:
    """Return a keyed hash of a secret, by which processes recognize it."""
    return salted_hmac("govpay.webhook-secret", secret, algorithm="sha256").hexdigest()[:32]


def _stored_by_other(account_uid: str, known: _Known) -> bool:
    """Return whether another process has just stored a secret that this one does not know. Needs no statement."""
    newest = _cache.get(newest_secret_key(account_uid))
    return newest is not None and newest not in map(_mark, known.secrets)


def _may_ask(account_uid: str) -> bool:
    """Return whether this process may ask now, and mark that it asks. True when the cache is down."""
    if not _cache.add(webhook_secret_key(account_uid), "asking", timeout=ASK_EVERY):
        return False
    if _cache.count(webhook_requests_key(account_uid), ASK_WINDOW) <= MAX_REQUESTS:
        return True
    _tell(account_uid, "done", ASK_AGAIN)
    return False


def _tell(account_uid: str, state: str, seconds: int) -> None:
    _cache.set(webhook_secret_key(account_uid), state, timeout=seconds)


def _wait_for_other(account_uid: str, known: _Known) -> _Known | None:
    """Wait for the secret that another process fetches. Returns ``None`` when there is no new one."""
    known.quiet_until = time.monotonic() + 2 * SECRET_FETCH_TIMEOUT
    end = time.monotonic() + SECRET_FETCH_TIMEOUT
    while True:
        asking = _cache.get(webhook_secret_key(account_uid)) == "asking"
        found = _read(account_uid, 0.0)
        if found.secrets != known.secrets:
            return found
        if not asking or time.monotonic() >= end:
            return None
        time.sleep(0.1)

"""The secrets that webhook deliveries are signed with: read from the platform once, kept sealed in the account's row.

Each process knows those of the accounts that it hears of, so that a delivery costs no statement for them. What
does not fit them is looked into at most once a minute: the platform may have rolled the secret (assumption A18).
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from django.core.signals import setting_changed
from django.utils import timezone

from govpay import conf
from govpay.cache import FailOpenCache, webhook_secret_key
from govpay.connection import get_endpoints
from govpay.exceptions import APIError, ConfigurationError, EncryptionError
from govpay.models import PaymentAccount
from govpay.models.fields import Sealed
from govpay.sync.transactions import in_transaction

logger = logging.getLogger("govpay.webhooks")

#: So long a process trusts what it knows. Another one may have learnt of a new secret, or the grace ended.
KNOWN_FOR = 60.0

#: The platform is asked for a secret at most so often, whoever asks and however many processes there are.
ASK_EVERY = 60

#: ... or, after it could not be asked, again after this.
ASK_AGAIN = 10

#: A sender does not wait for ever: the call is given up after so many seconds.
ASK_WITHIN = 5.0

#: While somebody else asks, so many threads of a process wait for so long; to the others it is a mismatch.
SECRET_FETCH_TIMEOUT = 1.5
WAITING = 4

#: Accounts that nobody here has heard of are looked up at most so often a second by a process.
STRANGERS = 200

_COLUMNS = ("webhook_secret", "previous_webhook_secret", "webhook_secret_replaced_at")


class UnknownAccount(LookupError):
    """We know no such payment account, or the platform no longer has it."""


class NoSecret(LookupError):
    """The account's secret is not known here and could not be fetched now."""


@dataclass(slots=True)
class _Known:
    """What this process knows of one account. Moments on the monotonic clock."""

    secrets: tuple[str, ...] = field(repr=False)
    until: float
    #: A mismatch is not looked into before.
    quiet_until: float = 0.0


_known: dict[str, _Known] = {}
#: Held by the one thread that looks into a mismatch, by account.
_looking: dict[str, threading.Lock] = {}
#: The second, and the unknown accounts of it; without a lock, since a few more do no harm.
_strangers = [0, 0]
_waiting = threading.BoundedSemaphore(WAITING)
_cache = FailOpenCache("cache of webhook secrets")


def secrets_of(account_uid: str) -> tuple[str, ...]:
    """The account's secret, and the one before it during its grace. No statement while this process knows them.

    A secret that is missing is fetched. Raises ``UnknownAccount``, ``NoSecret``.
    """
    known = _known.get(account_uid)
    if known is None and not _may_look_up():
        raise NoSecret("too many unknown payment accounts are named just now")
    if known is None or time.monotonic() >= known.until:
        quiet_until = known.quiet_until if known is not None else 0.0
        known = _known[account_uid] = _read(account_uid, quiet_until)
    if not known.secrets:
        known = _look_again(account_uid, known)
    if not known.secrets:
        raise NoSecret(f"the webhook secret of {account_uid} is not known")
    return known.secrets


def _may_look_up() -> bool:
    """A flood of made-up accounts must not become one of statements. What is refused so is sent again."""
    second = int(time.monotonic())
    if _strangers[0] != second:
        _strangers[:] = [second, 0]
    _strangers[1] += 1
    return _strangers[1] <= STRANGERS


def secrets_after_mismatch(account_uid: str, tried: tuple[str, ...]) -> tuple[str, ...]:
    """The secrets once more, if there are others by now; else nothing. Asks at most once a minute."""
    known = _known.get(account_uid)
    if known is None:
        return ()
    if known.secrets == tried:
        known = _look_again(account_uid, known)
    return known.secrets if known.secrets != tried else ()


def forget(account_uid: str | None = None) -> None:
    """What this process knows, or of one account. Rows may have been replaced behind its back."""
    if account_uid is None:
        _known.clear()
    else:
        _known.pop(account_uid, None)


def _forget_on_change(*, setting: str, **_: Any) -> None:
    if setting in ("GOVPAY", "SECRET_KEY", "CACHES", "DATABASES"):
        forget()


setting_changed.connect(_forget_on_change, dispatch_uid="govpay.secrets")


def _look_again(account_uid: str, known: _Known) -> _Known:
    """Ask the platform, or wait for whoever is asking. One thread of the process; a few others take what it finds."""
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
        if _may_ask(account_uid):
            found = _ask(account_uid, known)
        else:
            found = _wait_for_other(account_uid, known)
            known.quiet_until = time.monotonic() + 2 * SECRET_FETCH_TIMEOUT
        if found is not None:
            found.quiet_until = known.quiet_until
            _known[account_uid] = known = found
        return known
    finally:
        lock.release()


def _ask(account_uid: str, known: _Known) -> _Known | None:
    """Ask the platform and keep what it says; ``None`` when nothing new came of it."""
    try:
        secret = get_endpoints().get_webhook_secret(account_uid, within=ASK_WITHIN)
    except (APIError, ConfigurationError) as error:
        logger.warning("the webhook secret of %s could not be fetched: %s", account_uid, error)
        known.quiet_until = time.monotonic() + ASK_AGAIN
        _tell(account_uid, "failed", ASK_AGAIN)
        return None
    found = None if known.secrets[:1] == (secret,) else keep(account_uid, secret)
    if known.secrets:
        known.quiet_until = time.monotonic() + ASK_EVERY
        _tell(account_uid, "done", ASK_EVERY)
    else:
        _tell(account_uid, "done", 0)  # the first fetch of all: should it be rolled at once, that is asked, too
    return found


def keep(account_uid: str, secret: str) -> _Known:
    """Store a secret that the platform has told, sealed; the one before it stays good for the grace.

    Raises ``UnknownAccount``.
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
        # Another process may have been told the same a moment ago: then the one before it is in its place already.
        known = _reveal(account_uid, old)
        if known != secret:
            columns["webhook_secret"] = Sealed.of(secret)
            if known:  # what nobody can read checks no signature, and would be told of for ever
                columns.update(previous_webhook_secret=old, webhook_secret_replaced_at=now)
        row.update(**columns)

    in_transaction(work)
    return _read(account_uid, 0.0)


def _read(account_uid: str, quiet_until: float) -> _Known:
    """From the account's row."""
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
    """Take out secrets that were replaced and whose grace is over; how many there were."""
    over = timezone.now() - _grace()
    rows = PaymentAccount.objects.filter(webhook_secret_replaced_at__lte=over, **which)
    return rows.exclude(previous_webhook_secret=None).update(previous_webhook_secret=None)


def _grace() -> dt.timedelta:
    return dt.timedelta(seconds=float(conf.get("WEBHOOK_SECRET_GRACE")))


def _grace_left(replaced_at: dt.datetime | None) -> float:
    """Seconds for which the secret before that moment is still good."""
    return 0.0 if replaced_at is None else (replaced_at + _grace() - timezone.now()).total_seconds()


def _reveal(account_uid: str, sealed: Sealed | None) -> str:
    if sealed is None:
        return ""
    try:
        return sealed.reveal()
    except EncryptionError as error:
        logger.error("the webhook secret of %s: %s It is fetched again.", account_uid, error)
        return ""


# -- one asks for all processes ------------------------------------------------------------------------------


def _may_ask(account_uid: str) -> bool:
    """Whether nobody asked within the last minute; from now on somebody did. A cache that is down forbids nothing."""
    return _cache.add(webhook_secret_key(account_uid), "asking", timeout=ASK_EVERY)


def _tell(account_uid: str, state: str, seconds: int) -> None:
    _cache.set(webhook_secret_key(account_uid), state, timeout=seconds)


def _wait_for_other(account_uid: str, known: _Known) -> _Known | None:
    """What another process has found, or finds soon."""
    end = time.monotonic() + SECRET_FETCH_TIMEOUT
    while True:
        asking = _cache.get(webhook_secret_key(account_uid)) == "asking"
        found = _read(account_uid, 0.0)
        if found.secrets != known.secrets:
            return found
        if not asking or time.monotonic() >= end:
            return None
        time.sleep(0.1)

"""Accounts that the platform serves slowly or not at all: their events do not hold up events of other accounts.

In the queue of events a read gets a short limit. After a failure its account is *slow* for a minute: its events go to
the queue of lists, where they get more time. After a failure there it is *silent* for a minute: nothing is read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from govpay.cache import FailOpenCache, slow_accounts_key, unreachable_key
from govpay.client.deadlines import time_limit
from govpay.exceptions import APIConnectionError, GovPayError, InvalidAnswer, RateLimited, ServerError

#: Errors after which an account counts as slow or silent, because each further read would cost as much time.
UNREACHABLE = (APIConnectionError, InvalidAnswer, RateLimited, ServerError)

#: Seconds for which an account is remembered as slow or silent.
REMEMBERED_FOR = 60

#: Maximum seconds for all reads of one event in the queue of events.
FIRST_READ_TIMEOUT = 1.0

#: The same while any account is slow. Six accounts that begin to hang at once cost 1 + 5 x 0.5 = 3.5 seconds.
SHORT_READ_TIMEOUT = 0.5

#: Maximum seconds for all reads of one event in the queue of lists.
EVENT_READ_TIMEOUT = 5.0

#: The states of an account.
SLOW, SILENT = "slow", "silent"

#: The error text of an event that waits.
WAITING = "The platform did not answer for this account a moment ago; the event waits."

_cache = FailOpenCache("list of accounts that do not answer")


class TooSlow(GovPayError):
    """The read for an event failed within the short limit. Try again with more time, where nobody else waits."""


@contextmanager
def event_read(account_uid: str, *, patient: bool) -> Iterator[None]:
    """Limit the reads in this block, and remember the account if they fail.

    With ``patient`` the limit is ``EVENT_READ_TIMEOUT``. Otherwise it is short, and a failure raises ``TooSlow``.
    """
    key, started = unreachable_key(account_uid), time.monotonic()
    try:
        with time_limit(EVENT_READ_TIMEOUT if patient else _short_limit()):
            yield
    except UNREACHABLE as error:
        # An answer that is not as documented may be about this object only, so the other events do not wait.
        silent = patient and not isinstance(error, InvalidAnswer)
        _cache.set(key, SILENT if silent else SLOW, REMEMBERED_FOR)
        if patient:
            raise
        _cache.set(slow_accounts_key(), True, REMEMBERED_FOR)
        raise TooSlow(str(error)) from error
    if not patient:
        return
    if time.monotonic() - started < SHORT_READ_TIMEOUT:
        _cache.delete(key)
    else:
        _cache.set(key, SLOW, REMEMBERED_FOR)


def state_of(account_uid: str) -> str:
    """``SLOW``, ``SILENT`` or an empty string, also when the cache fails."""
    return str(_cache.get(unreachable_key(account_uid), ""))


def _short_limit() -> float:
    return SHORT_READ_TIMEOUT if _cache.get(slow_accounts_key(), False) else FIRST_READ_TIMEOUT

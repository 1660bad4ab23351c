"""Accounts for which the platform does not answer: their events wait, so that they do not hold up other accounts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from govpay.cache import FailOpenCache, unreachable_key
from govpay.client.deadlines import time_limit
from govpay.exceptions import APIConnectionError

#: Seconds for which an account is remembered. Its events are not read meanwhile.
REMEMBERED_FOR = 60

#: Maximum seconds for all reads of one event, so that an account that hangs soon gives its worker back.
EVENT_READ_TIMEOUT = 5.0

#: The error text of an event that waits.
WAITING = "The platform did not answer for this account a moment ago; the event waits."

_cache = FailOpenCache("list of accounts that do not answer")


@contextmanager
def event_read(account_uid: str) -> Iterator[None]:
    """Limit the reads in this block to ``EVENT_READ_TIMEOUT``. Remember the account if the platform does not answer."""
    try:
        with time_limit(EVENT_READ_TIMEOUT):
            yield
    except APIConnectionError:
        _cache.set(unreachable_key(account_uid), True, REMEMBERED_FOR)
        raise


def is_unreachable(account_uid: str) -> bool:
    """Whether such a read failed within ``REMEMBERED_FOR``. Returns false when the cache fails."""
    return bool(_cache.get(unreachable_key(account_uid), False))

"""The retry rules, as pure functions: which requests may be sent again, and after which wait.

The number of retries is the setting ``MAX_RETRIES`` (``govpay.conf``); ``client.transport`` applies these rules.
"""

from __future__ import annotations

import enum
import math
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: Temporary errors (faults R2; A25 counts 408 with the 5xx).
TRANSIENT_STATUSES = frozenset({408, 500, 502, 503, 504})

#: Documented 4xx statuses (A24). On a write, only these prove that nothing was done.
DOCUMENTED_REFUSALS = frozenset({400, 401, 402, 403, 404, 405, 409, 410, 422, 429})

#: Maximum shared pause in seconds after a 429 (faults R1). For a longer one the caller gets the error anyway.
MAX_PAUSE = 300.0

BACKOFF_CAP = 8.0


class Failure(enum.Enum):
    """The kind of a failed attempt, for the retry rules."""

    UNSENT = "unsent"  # nothing was sent, for certain
    LOST = "lost"  # something may have been sent; there is no usable answer
    TRANSIENT = "transient"  # the platform answered 5xx or 408
    LIMITED = "limited"  # 429
    FINAL = "final"  # an answer that a retry will not change


def may_repeat(failure: Failure, *, safe: bool) -> bool:
    """Return whether the same request may be sent again. ``safe``: the request is a read.

    A write is retried only when it was never sent. It is not retried after a 503, because some gateways send it
    after the platform has acted (A25).
    """
    if failure is Failure.FINAL:
        return False
    return safe or failure is Failure.UNSENT


def backoff(attempt: int, base: float, rng: random.Random | None = None) -> float:
    """Return the seconds to wait after attempt ``attempt`` (from 1). Full jitter spreads the retries of processes."""
    ceiling = min(BACKOFF_CAP, base * 2 ** min(attempt - 1, 16))
    return (rng or _RANDOM).uniform(0.0, ceiling)


_RANDOM = random.SystemRandom()


def parse_retry_after(value: str | None, *, now: float, server_now: float | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, or None when it is not usable.

    Both forms of RFC 9110 10.2.3 are read. A date is compared with the server's own ``Date``
    (``server_now``, epoch seconds) when there is one, because our clock may be minutes off (faults T8).
    """
    text = (value or "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return _seconds_until(text, server_now if server_now is not None else now)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _seconds_until(text: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)


def parse_http_date(value: str | None) -> float | None:
    """Return the epoch seconds of a ``Date`` header, or None."""
    if not value:
        return None
    try:
        moment: datetime = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None

"""A time limit for all calls to the platform within a block of code."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float] = ContextVar("govpay_deadline", default=math.inf)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Limit all reads within this block to ``seconds`` in total. A shorter limit of an outer block stays in force.

    Do not use it around writes: a write that is interrupted has an unknown outcome.
    """
    token = _deadline.set(min(current_deadline(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def current_deadline() -> float:
    """Return the end of the current block by ``time.monotonic``; infinite outside any block."""
    return _deadline.get()

"""Compares the platform's timestamps with two clocks: the ``Date`` of its last answer, and our own (faults R9)."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

from govpay.connection import clock_skew

#: ``Date`` has whole seconds, and an answer takes time. A smaller difference between two clocks says nothing.
PRECISION = dt.timedelta(seconds=2)

#: A stamp that is more than this ahead of a clock is counted as wrong.
NOTICEABLE = dt.timedelta(seconds=60)


def earlier(moment: dt.datetime | None = None) -> dt.datetime:
    """Return ``moment`` (default: now) by the earlier of the two clocks, ours or the platform's."""
    return (moment or timezone.now()) - dt.timedelta(seconds=max(0.0, clock_skew() or 0.0))


def is_ahead(stamp: dt.datetime) -> bool:
    """Return whether ``stamp`` is later than the earlier of the two clocks."""
    return stamp > earlier() + PRECISION


def was_ahead(stamp: dt.datetime | None, written_at: dt.datetime | None) -> bool:
    """Return whether ``stamp`` was later than both clocks when it was stored, at ``written_at`` by our clock.

    The platform's clock at that time is estimated from the present difference between the clocks. So a platform whose
    clock is always ahead of ours sends no timestamps in the future, but a platform whose clock was ahead for a moment
    does. If the difference is not known, ``NOTICEABLE`` is tolerated.
    """
    if stamp is None or written_at is None:
        return False
    skew = clock_skew()
    tolerance = NOTICEABLE if skew is None else PRECISION + dt.timedelta(seconds=max(0.0, -skew))
    return stamp > written_at + tolerance

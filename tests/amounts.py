"""Repetitions of tests that depend on chance: few in ``make test``, more in ``test-full``, most in ``soak``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

#: ``make soak`` sets it to the seconds that all its tests may take together.
SOAK = float(os.environ.get("GOVPAY_SOAK") or 0)

#: Set by ``make test-full``, which ``.ci/run`` calls.
FULL = os.environ.get("GOVPAY_TEST_DEPTH") == "full"

#: Test -> (number of repetitions done, number of repetitions wanted).
done: dict[str, tuple[int, int]] = {}

#: Seconds of ``SOAK`` for the running test, and for a test of weight 1. ``tests.conftest`` computes both.
share = second = SOAK

_ends: dict[str, float] = {}


def repeats(promised: int, few: int, middle: int | None = None) -> int:
    """Return ``promised`` in ``make soak``, ``middle`` in ``make test-full``, else ``few``.

    Without ``middle``, ``make test-full`` gets twice ``few``, at most ``promised``.
    """
    if SOAK:
        return promised
    if FULL:
        return min(promised, 2 * few) if middle is None else middle
    return few


def rounds(promised: int, few: int, middle: int | None = None) -> Iterator[int]:
    """Yield the numbers of the repetitions: at least one, in ``make soak`` as many as the test's time allows."""
    wanted = repeats(promised, few, middle)
    for number in range(wanted):
        if not another(wanted):
            return
        yield number


def another(wanted: int) -> bool:
    """Whether the running test may begin another of ``wanted`` repetitions. If so, it is counted."""
    name = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" (")[0]
    times, _ = done.get(name, (0, 0))
    end = _ends.setdefault(name, time.monotonic() + share)
    if SOAK and times and time.monotonic() > end:
        return False
    done[name] = times + 1, wanted
    return True

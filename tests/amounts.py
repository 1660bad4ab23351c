"""How often a test repeats what chance decides: least in ``make test``, more in ``test-full``, most in ``soak``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

#: ``make soak`` sets it to the seconds that all its tests have together.
SOAK = float(os.environ.get("GOVPAY_SOAK") or 0)

#: ``make test-full`` sets it, which ``.ci/run`` calls.
FULL = os.environ.get("GOVPAY_TEST_DEPTH") == "full"

#: Test -> (how often it was repeated, how often it was to be).
done: dict[str, tuple[int, int]] = {}

#: Seconds of ``SOAK`` that the running test has, and a test of weight 1; ``tests.conftest`` knows how many there are.
share = second = SOAK

_ends: dict[str, float] = {}


def repeats(promised: int, few: int, middle: int | None = None) -> int:
    """``promised`` by ``make soak``, ``middle`` by ``make test-full``, else ``few``.

    Without ``middle`` it is twice as many as ``few``.
    """
    if SOAK:
        return promised
    if FULL:
        return min(promised, 2 * few) if middle is None else middle
    return few


def rounds(promised: int, few: int, middle: int | None = None) -> Iterator[int]:
    """The numbers of as many repeats, but by ``make soak`` no more than the test's time allows: at least one."""
    wanted = repeats(promised, few, middle)
    for number in range(wanted):
        if not another(wanted):
            return
        yield number


def another(wanted: int) -> bool:
    """Whether the running test may begin one more of ``wanted`` repeats; counts it."""
    name = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" (")[0]
    times, _ = done.get(name, (0, 0))
    end = _ends.setdefault(name, time.monotonic() + share)
    if SOAK and times and time.monotonic() > end:
        return False
    done[name] = times + 1, wanted
    return True

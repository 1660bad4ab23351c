"""Time in tests: no test depends on the speed of the machine.

Code that must not hang gets a limit that only a hang exceeds. Tests of pauses and expiry use a fake clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Seconds after which something counts as hanging. The tested timeouts are below 3 s, but a busy machine may be slow.
HANG = 300.0

#: Seconds for which the other side sends nothing in such a test. It exceeds ``HANG``, so that only our timeout ends it.
SILENCE = 2 * HANG


@contextmanager
def without_hanging() -> Iterator[None]:
    """Fail if the block takes longer than ``HANG``. The other side sends nothing for ``SILENCE``."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < HANG, "it did not end by itself"


def wait_until(condition: Callable[[], object], what: str = "it") -> None:
    """Wait until ``condition()`` is true. Fail after ``HANG`` seconds; ``what`` is the subject of the message."""
    end = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.005)


class Clock:
    """Replaces the module ``time``. Time stands still; ``sleep`` only moves it on and records the duration."""

    def __init__(self) -> None:
        self.sleeps: list[float] = []
        self.passed = 0.0
        self._started = time.monotonic(), time.time()
        #: Called once, during the next ``sleep``.
        self.meanwhile: Callable[[], Any] | None = None

    def monotonic(self) -> float:
        return self._started[0] + self.passed

    def time(self) -> float:
        return self._started[1] + self.passed

    def pass_on(self, seconds: float) -> None:
        self.passed += seconds

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.pass_on(seconds)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


class Held:
    """Replaces the module ``time``. ``sleep`` blocks until ``release`` is called."""

    def __init__(self) -> None:
        self._released = threading.Event()
        self.release = self._released.set

    def sleep(self, seconds: float) -> None:
        self._released.wait(SILENCE)

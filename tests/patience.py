"""How tests deal with time: none of them judges how fast this machine is.

What must not hang gets a limit that only a hang exceeds. What is about pauses and expiry gets a clock of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Seconds. The timeouts that are tested end after less than three; a loaded machine may take much longer.
HANG = 300.0

#: How long the other side keeps silent in such a test: so long that nobody takes its end for our timeout.
SILENCE = 2 * HANG


@contextmanager
def without_hanging() -> Iterator[None]:
    """The block must end by itself. What it waits for keeps silent for ``SILENCE``."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < HANG, "it did not end by itself"


def wait_until(condition: Callable[[], object], what: str = "it") -> None:
    """Returns as soon as ``condition()`` holds."""
    end = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.005)


class Clock:
    """Stands for the module ``time``: it stands still, and a sleep only moves it on and is noted."""

    def __init__(self) -> None:
        self.sleeps: list[float] = []
        self.passed = 0.0
        self._started = time.monotonic(), time.time()
        #: Called once, when somebody sleeps.
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
    """Stands for the module ``time``: whoever sleeps is held until ``release``."""

    def __init__(self) -> None:
        self._released = threading.Event()
        self.release = self._released.set

    def sleep(self, seconds: float) -> None:
        self._released.wait(SILENCE)

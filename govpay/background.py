"""A background thread that passes on items in batches, so that the caller never waits."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

log = logging.getLogger("govpay.batches")

T = TypeVar("T")

_all: weakref.WeakSet[Batches[object]] = weakref.WeakSet()


class Batches(Generic[T]):
    """Calls ``pass_on`` with up to ``most`` items at a time, from a thread that starts with the first item.

    Items that arrive within ``pause`` seconds are passed on together. When ``pass_on`` raises, all waiting items are
    dropped, and so are new ones for the next ``rest`` seconds. Use it only where another mechanism handles the dropped
    items later. At most ``keep`` items wait.
    """

    def __init__(
        self,
        pass_on: Callable[[Sequence[T]], None],
        *,
        most: int = 20,
        pause: float = 0.02,
        rest: float = 30.0,
        keep: int = 10_000,
    ) -> None:
        self._pass_on, self._most, self._pause, self._rest, self._keep = pass_on, most, pause, rest, keep
        self._reset()
        _all.add(self)  # type: ignore[arg-type]

    def _reset(self) -> None:
        """Set the initial state. Also called after a fork, which copies neither the thread nor a usable lock."""
        self._changed = threading.Condition()
        self._waiting: deque[T] = deque()
        self._thread: threading.Thread | None = None
        self._resting_until = 0.0

    def put(self, thing: T) -> bool:
        """Add ``thing`` to the queue. Returns false if it is dropped: after a failure, or if the queue is full."""
        with self._changed:
            if time.monotonic() < self._resting_until or len(self._waiting) >= self._keep:
                return False
            self._waiting.append(thing)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="govpay-batches", daemon=True)
                thread.start()
                self._thread = thread
            else:
                self._changed.notify()
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
            time.sleep(self._pause)
            with self._changed:
                batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            try:
                self._pass_on(batch)
            except Exception as error:
                with self._changed:
                    dropped = len(batch) + len(self._waiting)
                    self._waiting.clear()
                    self._resting_until = time.monotonic() + self._rest
                log.warning("%d items were not queued (%s); the next tick queues them", dropped, type(error).__name__)


def _reset_after_fork() -> None:
    for batches in list(_all):
        batches._reset()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_reset_after_fork)

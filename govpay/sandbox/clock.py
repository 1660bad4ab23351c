"""The platform's clock: it can be moved on or set wrong, and never stamps two changes with the same instant."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

INSTANT = timedelta(microseconds=1)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds and `Z`: fixed width, so text order is time order (A5)."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse(text: str) -> datetime:
    """The reverse of `iso`."""
    return datetime.fromisoformat(text)


class _Pin(threading.local):
    """Each thread's own, so that no other one sees the past."""

    held: datetime | None = None
    due: datetime | None = None


class Clock:
    """Wall time plus an offset; `hold` and `at` pin it for the thread that calls them."""

    def __init__(self) -> None:
        self._offset = timedelta(0)
        self._pin = _Pin()
        self._last = datetime.min.replace(tzinfo=UTC)
        # Called after the clock was moved on.
        self.moved: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return self._pin.due or self._pin.held or datetime.now(UTC) + self._offset

    def text(self) -> str:
        return iso(self.now())

    def stamp(self) -> str:
        """The instant of one change, later than every earlier one. Call it with the store's lock held."""
        self._last = max(self.now(), self._last + INSTANT)
        return iso(self._last)

    def stamps(self, count: int) -> list[str]:
        """`count` stamps at once, one microsecond apart."""
        start = max(self.now(), self._last + INSTANT)
        self._last = start + INSTANT * count
        return [iso(start + INSTANT * step) for step in range(count)]

    def seen(self, text: str) -> None:
        """Never stamp at or before `text` again (a reopened state file holds later instants)."""
        self._last = max(self._last, parse(text))

    def advance(self, seconds: float) -> None:
        self._offset += timedelta(seconds=seconds)
        self.moved()

    def set_offset(self, seconds: float) -> None:
        """Set the clock to so many seconds after the real time. Stamps may be earlier than the latest one then."""
        self._offset = timedelta(seconds=seconds)
        self._last = min(self._last, self.now())
        self.moved()

    @contextmanager
    def history(self) -> Iterator[None]:
        """While what came before is being written: stamps may be earlier than the latest one."""
        last, self._last = self._last, datetime.min.replace(tzinfo=UTC)
        try:
            yield
        finally:
            self._pin.held, self._last = None, max(last, self._last)

    def hold(self, moment: datetime | None) -> None:
        """Pin the clock to `moment` while history is being written; None lets it run again."""
        self._pin.held = moment

    def ending(self) -> str | None:
        """When what is replaced now has ended; None in history, of which earlier versions are not kept."""
        return self.text() if self._pin.held is None else None

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        """While something happens that fell due at `moment`."""
        before, self._pin.due = self._pin.due, moment
        try:
            yield
        finally:
            self._pin.due = before

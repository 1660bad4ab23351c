"""The platform's clock: it can be moved on or set wrong, and gives each change a timestamp of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

INSTANT = timedelta(microseconds=1)


def iso(moment: datetime) -> str:
    """Return `moment` as ISO 8601 text in UTC, with microseconds and `Z` (A5). Texts of this form sort by time."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse(text: str) -> datetime:
    """Return the time of an ISO text; the reverse of `iso`."""
    return datetime.fromisoformat(text)


class _Pin(threading.local):
    """Local to each thread, so that other threads see the present."""

    held: datetime | None = None
    due: datetime | None = None


class Clock:
    """Shows the wall time plus an offset. `hold` and `at` pin it to a fixed time for the thread that calls them."""

    def __init__(self) -> None:
        self._offset = timedelta(0)
        self._pin = _Pin()
        self._last = datetime.min.replace(tzinfo=UTC)
        # Called after the clock was moved forward.
        self.moved: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return self._pin.due or self._pin.held or datetime.now(UTC) + self._offset

    def text(self) -> str:
        return iso(self.now())

    def stamp(self) -> str:
        """Return a timestamp for one change, later than all earlier ones. Call it with the store's lock held."""
        self._last = max(self.now(), self._last + INSTANT)
        return iso(self._last)

    def stamps(self, count: int) -> list[str]:
        """Return `count` timestamps, one microsecond apart."""
        start = max(self.now(), self._last + INSTANT)
        self._last = start + INSTANT * count
        return [iso(start + INSTANT * step) for step in range(count)]

    def seen(self, text: str) -> None:
        """Give only timestamps after `text` (a reopened state file may contain later ones)."""
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
        """While history is written, timestamps may be earlier than the latest one."""
        last, self._last = self._last, datetime.min.replace(tzinfo=UTC)
        try:
            yield
        finally:
            self._pin.held, self._last = None, max(last, self._last)

    def hold(self, moment: datetime | None) -> None:
        """Stop the clock at `moment` while history is written; None lets it run again."""
        self._pin.held = moment

    def ending(self) -> str | None:
        """Return the end time of versions that are replaced now; None while history without versions is written."""
        return self.text() if self._pin.held is None else None

    @contextmanager
    def at(self, moment: datetime) -> Iterator[None]:
        """Set the clock to `moment` while a change that was due then is carried out."""
        before, self._pin.due = self._pin.due, moment
        try:
            yield
        finally:
            self._pin.due = before

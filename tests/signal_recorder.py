"""Signal receivers that insert each signal into a table, so that tests can check that it was sent exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from govpay import signals


def hear(name: str) -> Any:
    def receive(*, row: Any, source: str, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO tests_heard (name, uid, source) VALUES (%s, %s, %s)",
                [name, str(getattr(row, "uid", row.pk)), source],
            )

    return receive


@contextmanager
def book() -> Iterator[Callable[[], list[tuple[str, str]]]]:
    """Create the table and yield a function that returns, and deletes, the signals (name, uid) recorded so far."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE tests_heard (name VARCHAR(64), uid VARCHAR(128), source VARCHAR(16))")

    def read() -> list[tuple[str, str]]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name, uid FROM tests_heard ORDER BY name, uid")
            found = [(str(name), str(uid)) for name, uid in cursor.fetchall()]
            cursor.execute("DELETE FROM tests_heard")
        return found

    try:
        yield read
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE tests_heard")


@contextmanager
def written_down() -> Iterator[None]:
    """Connect receivers to all signals in this process. They write into the table of ``book``."""
    receivers = {name: hear(name) for name in signals.BY_NAME}
    for name, receiver in receivers.items():
        signals.BY_NAME[name].connect(receiver)
    try:
        yield
    finally:
        for name, receiver in receivers.items():
            signals.BY_NAME[name].disconnect(receiver)

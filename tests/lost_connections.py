"""Connections that the database has ended: said of SQLite, and done on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection


@contextmanager
def failing(times: int, table: str = "govpay_payment") -> Iterator[list[str]]:
    """The next statements on ``table`` fail as on a connection that was ended. Gives these statements."""
    failed: list[str] = []

    def execute(run: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if f'"{table}"' in sql and len(failed) < times:
            failed.append(sql)
            raise OperationalError("terminating connection due to administrator command")
        return run(sql, *rest)

    with connection.execute_wrapper(execute):
        yield failed


def call_it_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite never loses its connection, so it is said here."""
    monkeypatch.setattr(connection, "is_usable", lambda: False)
    monkeypatch.setattr(connection, "close", lambda: None)


def end_all() -> int:
    """Let PostgreSQL end every other connection to the test's database, and return their number."""
    other = connection.copy("other")
    with other.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        count = int(cursor.fetchone()[0])
    other.close()
    return count

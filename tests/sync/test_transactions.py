"""``govpay.sync.transactions``: which transactions are retried."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, transaction

from govpay.models import Client
from govpay.sync import transactions
from govpay.sync.transactions import ATTEMPTS, RowsChangedMeanwhile, in_transaction, reading

pytestmark = pytest.mark.django_db(transaction=True)


class Counted:
    """Work that fails ``times`` times after it has written a row."""

    def __init__(self, times: int, error: Callable[[], Exception]) -> None:
        self.left, self.error, self.calls = times, error, 0

    def __call__(self) -> int:
        self.calls += 1
        Client.objects.create(uid=f"client_{self.calls}")
        if self.left:
            self.left -= 1
            raise self.error()
        return self.calls


def changed() -> Exception:
    return RowsChangedMeanwhile("meanwhile")


def test_the_result_of_the_work_is_given_back() -> None:
    assert in_transaction(Counted(0, changed)) == 1


def test_a_refusal_that_passes_is_repeated_and_leaves_nothing_behind() -> None:
    """Faults D2."""
    work = Counted(2, changed)
    assert in_transaction(work) == 3
    assert list(Client.objects.values_list("uid", flat=True)) == ["client_3"]


def test_a_refusal_that_stays_is_raised_in_the_end() -> None:
    work = Counted(100, changed)
    with pytest.raises(RowsChangedMeanwhile):
        in_transaction(work)
    assert work.calls == ATTEMPTS
    assert not Client.objects.exists()


@pytest.mark.parametrize("error", [ValueError, DataError, IntegrityError, KeyboardInterrupt])
def test_other_errors_are_raised_at_once(error: type[Exception]) -> None:
    work = Counted(1, error)
    with pytest.raises(error):
        in_transaction(work)
    assert work.calls == 1
    assert not Client.objects.exists()


def test_inside_a_transaction_nothing_is_repeated() -> None:
    work = Counted(1, changed)
    with pytest.raises(RowsChangedMeanwhile), transaction.atomic():
        in_transaction(work)
    assert work.calls == 1


def test_durable_work_refuses_an_outer_transaction() -> None:
    work = Counted(0, changed)
    with transaction.atomic(), pytest.raises(RuntimeError):
        in_transaction(work, durable=True)
    assert work.calls == 0
    assert in_transaction(work, durable=True) == 1


@contextmanager
def written_by_another(seconds: float) -> Iterator[None]:
    """SQLite's one write lock, held by another connection that long, while ours does not wait for it."""
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None, check_same_thread=False)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(seconds, other.execute, ("ROLLBACK",))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        other.close()
        connection.close()


@pytest.mark.skipif("connection.vendor != 'sqlite'")
def test_a_locked_database_is_waited_for() -> None:
    with written_by_another(0.05):
        assert in_transaction(Counted(0, changed)) == 1


@pytest.mark.postgres
def test_deadlocks_are_repeated() -> None:
    """Faults D2: two writers that take two rows in opposite order, in earnest."""
    for uid in ("a", "b"):
        Client.objects.create(uid=uid)
    met = threading.Barrier(2)
    failures: list[Exception] = []

    def write(first: str, second: str) -> None:
        turns = iter([True])

        def work() -> None:
            Client.objects.filter(uid=first).update(name=first + second)
            if next(turns, False):
                met.wait(300)
            Client.objects.filter(uid=second).update(name=first + second)

        try:
            in_transaction(work)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=order) for order in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert failures == []
    assert len(set(Client.objects.values_list("name", flat=True))) == 1


@pytest.mark.postgres
def test_serialization_failures_are_repeated() -> None:
    """Faults D2."""
    Client.objects.create(uid="a", name="0")
    calls = []

    def add_elsewhere() -> None:
        Client.objects.filter(uid="a").update(name="1")
        connection.close()

    def work() -> None:
        calls.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        seen = Client.objects.get(uid="a").name
        if len(calls) == 1:
            other = threading.Thread(target=add_elsewhere)
            other.start()
            other.join(300)
        Client.objects.filter(uid="a").update(name=seen + "!")

    in_transaction(work)
    assert len(calls) == 2
    assert Client.objects.get().name == "1!"


@pytest.mark.postgres
@pytest.mark.parametrize("when", ["before", "between"])
def test_a_lost_connection_is_opened_again(when: str) -> None:
    """Faults D1: as after a restart of the database."""
    calls = []

    def work() -> None:
        calls.append(1)
        Client.objects.create(uid=f"client_{len(calls)}")
        if when == "between" and len(calls) == 1:
            cut()
        Client.objects.create(uid="other")

    def cut() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()

        def kill() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
            connection.close()

        killer = threading.Thread(target=kill)
        killer.start()
        killer.join(300)
        time.sleep(0.05)

    if when == "before":
        Client.objects.exists()
        cut()
    in_transaction(work)
    assert sorted(Client.objects.values_list("uid", flat=True)) == [f"client_{len(calls)}", "other"]


def test_a_database_that_is_away_is_waited_for_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults D1. The refusal is Django's own; only the pauses are left out."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    away = dict(connection.settings_dict)
    connection.close()
    try:
        if connection.vendor == "postgresql":
            connection.settings_dict["PORT"] = "9"
        else:
            connection.settings_dict["NAME"] = "/nonexistent/site.sqlite3"
        with pytest.raises(OperationalError):
            in_transaction(Counted(0, changed))
    finally:
        connection.close()
        connection.settings_dict.update(away)
    assert 5 < sum(pauses) < 25


class Shutdown(Exception):
    """As psycopg reports it; Django sets it as the cause."""

    __module__ = "psycopg.errors"
    sqlstate: str | None = "57P01"


@pytest.mark.parametrize("state", ["57P01", "57P03", "08006", None])
def test_a_lost_connection_is_repeated_more_often(state: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """D1: Django may have opened a new connection already, so only the error shows that the old one was lost."""
    monkeypatch.setattr(transactions, "MAX_PAUSE", 0.0)

    def lost() -> Exception:
        error, cause = OperationalError("terminating connection due to administrator command"), Shutdown()
        cause.sqlstate = state
        error.__cause__ = cause
        return error

    assert in_transaction(Counted(ATTEMPTS + 2, lost)) == ATTEMPTS + 3


def test_a_deadlock_is_no_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """D2."""
    monkeypatch.setattr(transactions, "MAX_PAUSE", 0.0)
    error, cause = OperationalError("deadlock detected"), Shutdown()
    cause.sqlstate = "40P01"
    error.__cause__ = cause
    work = Counted(100, lambda: error)
    with pytest.raises(OperationalError):
        in_transaction(work)
    assert work.calls == ATTEMPTS


@pytest.mark.postgres
def test_a_read_is_repeated_on_a_new_connection() -> None:
    """D1: outside a transaction Django leaves a connection open that the server has ended."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()
    assert reading(Client.objects.count) == 0

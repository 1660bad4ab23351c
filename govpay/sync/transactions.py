"""Runs reads and database transactions, and retries them after temporary database errors."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from govpay.models.tenants import PaymentAccount

logger = logging.getLogger("govpay.sync")

T = TypeVar("T")

#: Maximum attempts of a transaction.
ATTEMPTS = 4

#: Maximum attempts while the connection is lost. A database that restarts is back within seconds.
ATTEMPTS_WITHOUT_CONNECTION = 12

#: Maximum pause between two attempts, in seconds.
MAX_PAUSE = 2.0


class RowsChangedMeanwhile(OperationalError):
    """Another writer changed a row between the read and the write. The rows must be read again."""


def in_transaction(work: Callable[[], T], *, durable: bool = False, attempts: int = ATTEMPTS) -> T:
    """Run ``work`` in one transaction and return its result. Retries after temporary database errors.

    These are deadlocks, serialization failures, lock timeouts, a lost connection and concurrent writers. Each one
    rolls everything back, so nothing is ever half written. With ``durable`` a call inside another transaction raises
    ``RuntimeError``, because the caller relies on the commit.
    """
    alias = router.db_for_write(PaymentAccount)

    def whole() -> T:
        with transaction.atomic(using=alias, durable=durable):
            return work()

    return _repeated(whole, alias, attempts)


def reading(work: Callable[[], T]) -> T:
    """Run ``work``, which only reads, without a transaction. Retries as ``in_transaction`` does."""
    return _repeated(work, router.db_for_write(PaymentAccount), ATTEMPTS)


def _repeated(work: Callable[[], T], alias: str, attempts: int) -> T:
    connection = connections[alias]
    nested = connection.in_atomic_block  # an outer transaction cannot be retried from here
    attempt = 1
    while True:
        try:
            return work()
        except (OperationalError, InterfaceError) as error:
            if nested or attempt >= (ATTEMPTS_WITHOUT_CONNECTION if _is_gone(connection, error) else attempts):
                raise
            logger.info("a transaction is repeated (%s, attempt %d)", type(error).__name__, attempt)
        # Random pauses, so that two writers do not collide again.
        time.sleep(random.uniform(0.5, 1) * min(MAX_PAUSE, 0.02 * 2**attempt))  # noqa: S311
        attempt += 1


def _is_gone(connection: BaseDatabaseWrapper, error: Exception) -> bool:
    """Return whether the connection was lost. A lost one is closed, so that the next attempt opens another."""
    if connection.connection is None:
        return True
    if isinstance(error, RowsChangedMeanwhile):
        return False
    if not connection.is_usable():
        connection.close()
        return True
    # Django may have opened a new connection already, after it could not roll back on the lost one.
    return _says_lost(error.__cause__)


def _says_lost(cause: BaseException | None) -> bool:
    """Return whether a PostgreSQL driver's error means a lost connection: the server shuts down or does not answer."""
    if not type(cause).__module__.startswith("psycopg"):
        return False
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state is None or state.startswith("08") or state in ("57P01", "57P02", "57P03")

"""Being there when an action comes to one of its steps: to count them, to wait, to break something, to die."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

from django.db import connection

#: Called with the name of each step, in the thread and at the place where it is reached.
Notice = Callable[[str], Any]


class Died(BaseException):
    """Raised at a step in the place of the end of the process."""


class _Watch(logging.Handler):
    def __init__(self, notice: Notice) -> None:
        super().__init__(logging.DEBUG)
        self._notice = notice

    def handle(self, record: logging.LogRecord) -> bool:
        # Without the lock of handlers, since threads may wait for each other here; and what is raised, is meant.
        if (step := getattr(record, "step", None)) is not None:
            self._notice(step)
        return True


@contextmanager
def watching(notice: Notice) -> Iterator[None]:
    """``notice`` hears of every step of every action of this process."""
    logger = logging.getLogger("govpay.operations")
    watch, before = _Watch(notice), logger.level
    logger.addHandler(watch)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(watch)
        logger.setLevel(before)


@contextmanager
def at_step(wanted: str, act: Callable[[], Any], times: int = 1) -> Iterator[list[str]]:
    """``act`` runs the first ``times`` that an action comes to the step ``wanted``; gives a list of when it did."""
    hits: list[str] = []

    def notice(step: str) -> None:
        if step == wanted and len(hits) < times:
            hits.append(step)
            act()

    with watching(notice):
        yield hits


@contextmanager
def dying_at(wanted: str) -> Iterator[list[str]]:
    """As if the process ended at the step ``wanted``: ``Died`` is raised there.

    ``execute`` could still close its row on the way out, which the dead do not: from that moment on every
    statement of this thread raises as well, and the transaction that is open rolls back.
    """

    def refuse(*_: Any) -> NoReturn:
        raise Died

    with ExitStack() as death:

        def die() -> None:
            death.enter_context(connection.execute_wrapper(refuse))
            raise Died

        with at_step(wanted, die) as hits:
            yield hits


@contextmanager
def dying_after(statements: int) -> Iterator[None]:
    """As if the process ended when it had sent so many statements to the database, and began the next."""
    left = statements

    def count(run: Callable[..., Any], *rest: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Died
        return run(*rest)

    with connection.execute_wrapper(count):
        yield

"""Run code when an action reaches a step: count steps, wait, break something, or simulate the end of the process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

from django.db import connection

#: Called with the name of each step, in the thread that reaches it.
Notice = Callable[[str], Any]


class Died(BaseException):
    """Raised at a step to simulate the end of the process."""


class _Watch(logging.Handler):
    def __init__(self, notice: Notice) -> None:
        super().__init__(logging.DEBUG)
        self._notice = notice

    def handle(self, record: logging.LogRecord) -> bool:
        # Do not take the handler's lock, because threads may wait for each other here. Do not catch exceptions.
        if (step := getattr(record, "step", None)) is not None:
            self._notice(step)
        return True


@contextmanager
def watching(notice: Notice) -> Iterator[None]:
    """Call ``notice`` for every step of every action of this process."""
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
    """Run ``act`` the first ``times`` that an action reaches the step ``wanted``. Yields a list, one entry per run."""
    hits: list[str] = []

    def notice(step: str) -> None:
        if step == wanted and len(hits) < times:
            hits.append(step)
            act()

    with watching(notice):
        yield hits


@contextmanager
def dying_at(wanted: str) -> Iterator[list[str]]:
    """Simulate the end of the process at the step ``wanted``: raise ``Died`` there.

    ``execute`` could still close its row while the exception propagates, which a killed process cannot do. Therefore
    every later statement of this thread raises as well, and an open transaction is rolled back.
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
    """Simulate the end of the process: after ``statements`` database statements, the next one raises ``Died``."""
    left = statements

    def count(run: Callable[..., Any], *rest: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Died
        return run(*rest)

    with connection.execute_wrapper(count):
        yield

"""Removes secrets from tracebacks: clears the local variables that error reporters would read.

Reporters (Django's mails and debug page, Sentry) print the local variables of every frame of a traceback. Frames of
the HTTP library hold headers and bodies as bytes, which no mask can cover.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Secret(str):
    """A ``str`` whose ``repr`` hides its value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def scrub_traceback(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate an entry point. An error that leaves it keeps its line numbers, but the frames lose their variables.

    The arguments of ``function`` are cleared too. The frames of the caller are not changed.
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            _empty_frames(error)
            raise

    return wrapper


def _empty_frames(error: BaseException) -> None:
    """Clear the ended frames of ``error`` and of all its causes and contexts, also of those that are suppressed."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        traceback.clear_frames(each.__traceback__)
        waiting += (each.__cause__, each.__context__)

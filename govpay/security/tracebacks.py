"""Errors without secrets: what reporters (Django's mails and debug page, Sentry) read of frames is emptied here.

Such reporters print the local variables of every frame of a traceback, also of the HTTP library's, where a header or a
body stands in bytes that nothing can mask.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Secret(str):
    """A text as good as any other, which does not show itself where objects are printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def scrub_traceback(function: Callable[P, R]) -> Callable[P, R]:
    """A door: errors that leave through it keep their lines, and nothing of what the frames behind it held.

    Arguments included. The caller's own frames are the caller's.
    """

    @wraps(function)
    def door(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            _empty_frames(error)
            raise

    return door


def _empty_frames(error: BaseException) -> None:
    """Those that have ended, of ``error`` and of all that it came of, shown by reporters or not."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        traceback.clear_frames(each.__traceback__)
        waiting += (each.__cause__, each.__context__)

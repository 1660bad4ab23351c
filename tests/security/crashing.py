"""Raise an error anywhere in a call, and read all frames of the error, as error reporters do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

from django.views.debug import ExceptionReporter

ROOT = Path(__file__).resolve().parents[2]
#: Files that are not ours: the sandbox runs in the same process, but it is the platform's side.
NOT_OURS = (str(ROOT / "govpay" / "sandbox"), str(ROOT / "tests"))
#: Where it crashes: the database's own code is left out, since it would keep its locks and the next try wait for them.
LIBRARIES = ("/requests/", "/urllib3/", "/http/client.py", "/json/", "/base64.py", "/hmac.py", "/django/template/")
OURS = tuple(str(ROOT / "govpay" / part) for part in ("client", "checkout.py", "rest", "templatetags", "webhooks.py"))
#: Functions that the garbage collector runs; their errors are ignored.
UNHEARD = ("<genexpr>", "<lambda>", "__del__", "close", "_close_pool_connections", "_close_conn")


class Crash(RuntimeError):
    """An error that our code does not expect."""


Point = tuple[CodeType, str]


def points_of(call: Callable[[], Any]) -> list[Point]:
    """Every function that runs beneath ``call`` in this thread, at its end, when it has most in hand."""
    found: dict[Point, None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and is_interesting(frame.f_code):
            found[frame.f_code, event] = None

    sys.setprofile(note)
    try:
        call()
    except Exception:
        pass
    finally:
        sys.setprofile(None)
    return list(found)


def is_interesting(code: CodeType) -> bool:
    file = code.co_filename
    if file.startswith(NOT_OURS) or code.co_name in UNHEARD:
        return False
    return file.startswith(OURS) or any(part in file for part in LIBRARIES)


def crashed(call: Callable[[], Any], point: Point) -> BaseException | None:
    """The error that leaves ``call`` when ``point`` raises a ``Crash`` the first time; ``None``: it was survived."""

    def crash(frame: FrameType, event: str, _: Any) -> None:
        if (frame.f_code, event) == point:
            sys.setprofile(None)
            raise Crash("planted")

    sys.setprofile(crash)
    try:
        call()
    except BaseException as error:
        return error
    finally:
        sys.setprofile(None)
    return None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that it came of, whether or not a reporter would show it."""
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]


def frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def leaks(error: BaseException, canaries: Iterable[str], entry_points: tuple[str, ...] = ()) -> list[str]:
    """Where a canary stands: in the words of an error, or in a local of any frame of it but the tests' own.

    ``entry_points`` are names of functions through which the canary was handed in.
    """
    wanted, found = tuple(canaries), []
    for each in chain(error):
        words = f"{each} {each!r} {each.args!r} {getattr(each, '__dict__', '')!r}"
        found += [f"{type(each).__name__} says it" for canary in wanted if canary in words]
        for frame in frames(each.__traceback__):
            code = frame.f_code
            if code.co_filename.startswith(NOT_OURS) or code.co_name in entry_points:
                continue
            for name, value in frame.f_locals.items():
                if any(canary in shown(value) for canary in wanted):
                    found.append(f"{Path(code.co_filename).name}:{code.co_name}:{name}")
    return found


def shown(value: Any) -> str:
    """As a reporter writes a local."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(error).__name__}>"


def reports(error: BaseException) -> str:
    """Django's debug page and its mail to the admins, without the frames of the test itself."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(NOT_OURS):
        traceback = traceback.tb_next
    reporter = ExceptionReporter(None, type(error), error, traceback)
    return reporter.get_traceback_html() + reporter.get_traceback_text()

"""The fault switchboard: what goes wrong, on which route, how often."""

from __future__ import annotations

import re
import shlex
import threading
from dataclasses import dataclass, field, fields
from typing import Any

from .answers import Answer

HTML = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


@dataclass
class Fault:
    """One thing that goes wrong on the requests matching `route` ("METHOD /path").

    In `route`, `{anything}` stands for one path segment and `*` for any text, method included.
    `times` requests are hit (None: until cleared), after the first `skip` have passed untouched.
    `act` says whether the platform carries the request out all the same; where it is None a status or
    an HTML page comes instead of acting, while a truncated or broken answer comes after acting.
    """

    route: str
    times: int | None = None
    skip: int = 0
    # Seconds before anything else happens.
    delay: float = 0.0
    status: int | None = None
    # The value of Retry-After: seconds or an HTTP date.
    retry_after: str | int | None = None
    # Replaces the answer's body.
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    # "before" acting or "after" it: the connection is dropped with no answer.
    close: str | None = None
    # Content-Length is right, half of the body is sent, the connection is dropped.
    truncate: bool = False
    # A 200 (or `status`) with an HTML page.
    html: bool = False
    # A complete answer whose JSON stops half-way.
    badjson: bool = False
    # Seconds between the answer's bytes.
    drip: float = 0.0
    act: bool | None = None
    hits: int = 0

    def __post_init__(self) -> None:
        method, _, path = self.route.partition(" ")
        if not path.startswith(("/", "*")):
            raise ValueError(f"a fault's route is 'METHOD /path', not {self.route!r}")
        if self.close not in (None, "before", "after"):
            raise ValueError("close must be before or after")
        pieces = re.split(r"(\{[^}]*\}|<[^>]*>|\*)", path)
        self._path = re.compile(
            "".join(".*" if p == "*" else "[^/]+" if p[:1] in ("{", "<") else re.escape(p) for p in pieces)
        )
        self._method = method.upper()

    def matches(self, method: str, path: str) -> bool:
        return self._method in ("*", method) and self._path.fullmatch(path) is not None

    @property
    def acts(self) -> bool:
        """Whether the request is carried out."""
        if self.act is not None:
            return self.act
        return self.close != "before" and self.status is None and not self.html

    @property
    def leaves_answer_alone(self) -> bool:
        return not (self.status or self.html or self.badjson or self.body is not None or self.retry_after is not None)

    def answer(self, real: Answer | None, real_text: str) -> Answer:
        """The answer to send, made from the real one if the request was carried out."""
        if self.leaves_answer_alone and real is not None:
            return Answer(real.status, text=real_text, headers={**real.headers, **self.headers})
        status = self.status or (real.status if real and not self.html else 200)
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.html:
            return Answer(status, text=HTML, headers={"Content-Type": "text/html; charset=utf-8", **headers})
        if self.body is not None:
            return Answer(status, text=self.body, headers=headers)
        if self.badjson:
            half = real_text[: max(1, len(real_text) // 2)] if real_text else '{"uid": "pay_'
            return Answer(status, text=half, headers=headers)
        code = "rate_limited" if status == 429 else "processing_error"
        error = {
            "code": code,
            "message": "A fault was switched on.",
            "recoverable": True,
            "request_id": "req_fault",
        }
        return Answer(status, error, headers=headers)

    def described(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self)}


class Faults:
    """The faults that are on, in the order in which they were switched on."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def active(self) -> list[dict[str, Any]]:
        with self._lock:
            return [fault.described() for fault in self._faults]

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that hits this request, counted down."""
        with self._lock:
            for fault in self._faults:
                if not fault.matches(method, path) or fault.times == 0:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.hits += 1
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


def fault_from(route: str, options: dict[str, Any]) -> Fault:
    """A fault from named options; ValueError for a name that is not one of them."""
    known = {item.name for item in fields(Fault)} - {"route", "hits"}
    for name in options:
        if name not in known:
            raise ValueError(f"unknown fault option {name!r}; known: {', '.join(sorted(known))}")
    return Fault(route, **options)


def parse_fault(spec: str) -> Fault:
    """A fault from text such as `GET /api/payments status=500 times=2`."""
    try:
        words = shlex.split(spec)
    except ValueError as error:
        raise ValueError(f"fault {spec!r}: {error}") from None
    if len(words) < 2:
        raise ValueError(f"fault {spec!r} needs a method and a path")
    options: dict[str, Any] = {}
    for word in words[2:]:
        name, equals, value = word.partition("=")
        options[name] = _option(name, value if equals else "true")
    return fault_from(f"{words[0]} {words[1]}", options)


def _option(name: str, value: str) -> Any:
    if name in ("times", "skip", "status"):
        return int(value)
    if name in ("delay", "drip"):
        return float(value)
    if name in ("truncate", "html", "badjson", "act"):
        return value.lower() in ("1", "true", "yes", "on")
    if name == "headers":
        key, _, text = value.partition(":")
        return {key.strip(): text.strip()}
    return value

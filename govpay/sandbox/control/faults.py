"""Faults of requests: what fails, on which route and how often."""

from __future__ import annotations

import json
import re
import shlex
import threading
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

from govpay.sandbox.answers import Answer
from govpay.sandbox.control.spoiling import Spoiling

HTML = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


@dataclass
class Fault:
    """An error that hits the requests that match `route` ("METHOD /path").

    In `route`, `{anything}` stands for one path segment and `*` for any text; the method may be `*` too. The first
    `skip` requests are not hit. The next `times` requests are hit (None: until cleared).
    `act`: whether the request is carried out despite the fault. If None: it is not carried out with `status`,
    `redirect`, `html` or `close="before"`, and is carried out otherwise.
    """

    route: str
    times: int | None = None
    skip: int = 0
    # Delay in seconds.
    delay: float = 0.0

    # Changes on the platform before the request is carried out. `revoke`: all tokens are revoked. `gone`: the object
    # that the path names is removed. `shift`: so many rows of the list change, and move to its end if it is by time.
    revoke: bool = False
    gone: bool = False
    shift: int = 0
    # Maximum rows on the page, also if $top asks for more.
    page_cap: int | None = None
    # A list refuses every query option.
    no_options: bool = False
    # A read shows the state of so many seconds ago: newer objects are absent, and newer changes and removals do not
    # show. Other routes show the current state.
    lag: float = 0.0
    # The request is answered as one for this payment account.
    account: str = ""

    # The status of an answer that replaces the real one.
    status: int | None = None
    # The value of Retry-After: seconds or an HTTP date. `retry_at` is in seconds and is sent as an HTTP date.
    retry_after: str | int | None = None
    retry_at: float | None = None
    # A redirect to this address (302, or `status`).
    redirect: str | None = None
    # Replaces the answer's body.
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    # A 200 (or `status`) with an HTML page.
    html: bool = False
    # A complete answer whose JSON stops half-way.
    badjson: bool = False

    # Changes in the real answer. `extra`: each object has an undocumented property. `strange`, `null`, `leave_out`: the
    # named properties (separated by commas) have an undocumented value, are null, or are missing.
    extra: bool = False
    strange: str = ""
    null: str = ""
    leave_out: str = ""
    # Other values of existing properties: "amount:123,currency:EUR" (each value is JSON, else text).
    alter: str = ""
    # So many of the last rows of the previous page (of those that this fault hit) are repeated.
    duplicate: int = 0
    # The address of the next page, made from the true one's {path} and {query}: "http://internal:8080{path}?{query}".
    next_link: str = ""

    # Faults of the transport. The connection is closed without an answer, "before" or "after" the request is carried
    # out.
    close: str | None = None
    # Content-Length is right, but only half of the body is sent, and the connection is closed.
    truncate: bool = False
    # Content-Length is wrong by so many bytes, and the connection is closed after the answer.
    length: int = 0
    # Seconds between the answer's bytes.
    drip: float = 0.0
    # Seconds by which the answer's Date header is wrong (`advance` moves the whole clock).
    skew: float = 0.0

    act: bool | None = None
    # A write is checked (credential, account, JSON) and carried out so many seconds of the platform's clock later, by
    # the rules and the state of that time. The connection is closed without an answer, unless the fault has an answer.
    # `Sandbox.late_requests` shows the results.
    act_after: float | None = None
    hits: int = 0

    def __post_init__(self) -> None:
        method, _, path = self.route.partition(" ")
        if not path.startswith(("/", "*")):
            raise ValueError(f"a fault's route is 'METHOD /path', not {self.route!r}")
        if self.close not in (None, "before", "after"):
            raise ValueError("close must be before or after")
        if self.lag < 0 or (self.act_after or 0) < 0:
            raise ValueError("lag and act_after must not be negative")
        if self.is_late and self.act is not None:
            raise ValueError("act_after says when the request is carried out: leave act out")
        pieces = re.split(r"(\{[^}]*\}|<[^>]*>|\*)", path)
        self._path = re.compile(
            "".join(".*" if p == "*" else "[^/]+" if p[:1] in ("{", "<") else re.escape(p) for p in pieces)
        )
        self._method = method.upper()
        strange, null, leave_out = map(_names, (self.strange, self.null, self.leave_out))
        values = _values(self.alter)
        self._spoiling = Spoiling(self.extra, strange, null, leave_out, values, self.duplicate, self.next_link)

    def matches(self, method: str, path: str) -> bool:
        return self._method in ("*", method) and self._path.fullmatch(path) is not None

    @property
    def is_late(self) -> bool:
        """Whether the request is carried out later."""
        return self.act_after is not None

    @property
    def acts(self) -> bool:
        """Whether the request is carried out before it is answered."""
        if self.is_late:
            return False
        if self.act is not None:
            return self.act
        return self.close != "before" and self.status is None and self.redirect is None and not self.html

    @property
    def leaves_answer_alone(self) -> bool:
        replaced = (self.body, self.retry_after, self.retry_at, self.redirect)
        return not (self.status or self.html or self.badjson or any(each is not None for each in replaced))

    def answer(self, real: Answer | None, real_text: str, now: datetime) -> Answer:
        """Return the answer to send. `real` is the real answer if the request was carried out."""
        if self.leaves_answer_alone and real is not None:
            text = self._spoiling.of(real_text) if 200 <= real.status < 300 else real_text
            return Answer(real.status, text=text, headers={**real.headers, **self.headers})
        status = self.status or (302 if self.redirect else real.status if real and not self.html else 200)
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.retry_at is not None:
            headers["Retry-After"] = format_datetime(now + timedelta(seconds=self.retry_at), usegmt=True)
        if self.redirect is not None:
            headers["Location"] = self.redirect
        if self.html:
            return Answer(status, text=HTML, headers={"Content-Type": "text/html; charset=utf-8", **headers})
        if self.body is not None:
            return Answer(status, text=self.body, headers=headers)
        if self.badjson:
            half = real_text[: max(1, len(real_text) // 2)] if real_text else '{"uid": "pay_'
            return Answer(status, text=half, headers=headers)
        if 200 <= status < 300:
            # The real answer under another status, or none: nothing was done.
            return Answer(status, text="" if status == 204 else self._spoiling.of(real_text), headers=headers)
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
    """The active faults, in the order in which they were switched on."""

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
        """Return the fault that hits this request, and count the hit. None if no fault matches."""
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


#: The name of each option, and its type as text.
OPTIONS = {item.name: str(item.type) for item in fields(Fault) if item.name not in ("route", "hits")}


def fault_from(route: str, options: dict[str, Any]) -> Fault:
    """Return a fault from named options. Raises ValueError for an unknown option."""
    for name in options:
        if name not in OPTIONS:
            raise ValueError(f"unknown fault option {name!r}; known: {', '.join(sorted(OPTIONS))}")
    return Fault(route, **options)


def parse_fault(spec: str) -> Fault:
    """Return a fault from text such as `GET /api/payments status=500 times=2`. An option without a value is true."""
    try:
        words = shlex.split(spec)
    except ValueError as error:
        raise ValueError(f"fault {spec!r}: {error}") from None
    if len(words) < 2:
        raise ValueError(f"fault {spec!r} needs a method and a path")
    options: dict[str, Any] = {}
    for word in words[2:]:
        name, equals, text = word.partition("=")
        value = _option(name, text if equals else "true")
        options[name] = {**options.get(name, {}), **value} if name == "headers" else value
    return fault_from(f"{words[0]} {words[1]}", options)


def _option(name: str, value: str) -> Any:
    match OPTIONS.get(name, "str").removesuffix(" | None"):
        case "int":
            return int(value)
        case "float":
            return float(value)
        case "bool":
            return value.lower() in ("1", "true", "yes", "on")
        case "dict[str, str]":
            key, _, text = value.partition(":")
            return {key.strip(): text.strip()}
    return value


def _values(text: str) -> dict[str, Any]:
    """Parse `amount:123,currency:EUR` into a dictionary."""
    values = {}
    for item in filter(None, text.split(",")):
        name, colon, value = item.partition(":")
        if not colon:
            raise ValueError(f"alter is 'property:value,...', not {text!r}")
        try:
            values[name.strip()] = json.loads(value)
        except ValueError:
            values[name.strip()] = value.strip()
    return values


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())

"""OData filters and list options. Values are escaped, so that none can change the filter (A4)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:/[A-Za-z_][A-Za-z0-9_]*)*")

#: A timestamp of the platform, with any precision. It may be sent back unchanged.
TIMESTAMP = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[Tt]"
    r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:[.,]\d{1,12})?"
    r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?",
    re.ASCII,
)


def parse_timestamp(text: Any) -> datetime:
    """Return ``text`` as an aware UTC datetime. Digits beyond microseconds are cut; no zone means UTC (A5).

    Raises ``ValueError``.
    """
    if not isinstance(text, str) or not TIMESTAMP.fullmatch(text):
        raise ValueError("not an ISO 8601 timestamp")
    moment = datetime.fromisoformat(text.upper())
    if moment.tzinfo is UTC:
        return moment
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a date outside the years 1 to 9999") from None


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A timestamp with every digit that the platform sent. Raises ``ValueError`` for anything else.

    A keyset must compare with the exact value of the row. With one digit less, a row would be repeated or skipped.
    """

    raw: str

    def __post_init__(self) -> None:
        if not isinstance(self.raw, str) or not TIMESTAMP.fullmatch(self.raw):
            raise ValueError("not an ISO 8601 timestamp")


Value = str | bool | int | Decimal | datetime | Timestamp | None


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition. Combine with ``&`` and ``|``; ``str()`` is the ``$filter`` text."""

    text: str

    def __and__(self, other: Filter) -> Filter:
        return Filter(f"({self.text}) and ({other.text})")

    def __or__(self, other: Filter) -> Filter:
        return Filter(f"({self.text}) or ({other.text})")

    def __bool__(self) -> bool:
        raise TypeError("combine filters with & and |, not with `and` and `or`")

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Field:
    """A property of the listed objects, for comparisons. Made by ``field``."""

    name: str

    def __post_init__(self) -> None:
        checked_name(self.name)

    def eq(self, value: Value) -> Filter:
        return self._compare("eq", value)

    def gt(self, value: Value) -> Filter:
        return self._compare("gt", value)

    def ge(self, value: Value) -> Filter:
        return self._compare("ge", value)

    def _compare(self, operator: str, value: Value) -> Filter:
        return Filter(f"{self.name} {operator} {literal(value)}")


def field(name: str) -> Field:
    """Return a property to compare: ``field("name").eq("O'Brien")``. Raises ``ValueError`` for an invalid name."""
    return Field(name)


def checked_name(name: str) -> str:
    """Return ``name`` if it is a valid property name. Raises ``ValueError`` otherwise."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("not a property name")
    return name


def literal(value: Value) -> str:
    """Return ``value`` as an OData literal. Raises ``ValueError`` for a value without an exact form, and ``TypeError``
    for other types. A float is refused because comparisons with it would not be exact.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if not value.isprintable() and any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in value):
            raise ValueError("a filter must not contain control characters or lone surrogates")
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Timestamp):
        return value.raw
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone")
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, Decimal) and math.isfinite(value):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} is not allowed in a filter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The options of a list. ``order_by`` holds names, or (name, "asc" | "desc") pairs. ``count`` asks for
    ``@odata.count``. Raises ``ValueError`` for a value out of range.
    """

    filter: Filter | None = None
    order_by: Sequence[str | tuple[str, str]] = ()
    top: int | None = None
    skip: int | None = None
    count: bool = False

    def __post_init__(self) -> None:
        for name, least in (("top", 1), ("skip", 0)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ValueError(f"{name} must be a whole number from {least}")

    def params(self) -> list[tuple[str, str]]:
        """Return the options as pairs of name and value, not yet encoded."""
        found: list[tuple[str, str]] = []
        if self.filter is not None:
            found.append(("$filter", str(self.filter)))
        if self.order_by:
            found.append(("$orderby", ",".join(_ordered(item) for item in self.order_by)))
        if self.top is not None:
            found.append(("$top", str(self.top)))
        if self.skip:
            found.append(("$skip", str(self.skip)))
        if self.count:
            found.append(("$count", "true"))
        return found

    def encoded(self) -> str:
        """Return the query string. A space becomes ``%20``, because not every OData server accepts ``+``."""
        return urlencode(self.params(), safe="$", quote_via=quote)


def _ordered(item: str | tuple[str, str]) -> str:
    name, direction = item if isinstance(item, tuple) and len(item) == 2 else (item, "asc")
    if direction not in ("asc", "desc"):
        raise ValueError("an order is asc or desc")
    return f"{checked_name(name)} {direction}"

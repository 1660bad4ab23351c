"""Readers of single values in a document. They are strict about money, and their errors name only the field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, Generic, NoReturn, TypeVar, overload

from govpay.client.odata import parse_timestamp

#: Above this a double, and so JavaScript, cannot represent every integer.
MONEY_LIMIT = 2**53
UID_LENGTH = 128
TEXT_LENGTH = 10_000

#: The thread's own context may round, or raise what a host has chosen.
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])

#: Characters that no database takes: NUL and halves of surrogate pairs.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

T = TypeVar("T")


class BadValue(ValueError):
    """A property has an invalid type or value. The error names field and reason, never the value."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(field, why)
        self.field = field
        self.why = why

    def __str__(self) -> str:
        return f"{self.field} {self.why}"


class UnfitText(BadValue):
    """A text that is too long or has characters that a database refuses. ``sync.mending`` can repair it."""


def _bad(field: str, why: str) -> NoReturn:
    raise BadValue(field, why)


def text(field: str, value: Any) -> str:
    """Return a text that any database can store: no NUL, no unpaired surrogate."""
    if not isinstance(value, str):
        _bad(field, "is not a text")
    if len(value) > TEXT_LENGTH:
        raise UnfitText(field, "is too long")
    # Nearly every text is printable ASCII, and a sync reads millions, so the slower search is only for the others.
    if not (value.isascii() and value.isprintable()) and UNSTORABLE.search(value):
        raise UnfitText(field, "holds characters that cannot be stored")
    return value


def uid(field: str, value: Any) -> str:
    """Return an identifier: 1 to 128 characters without surrounding spaces or control characters."""
    if not isinstance(value, str):
        _bad(field, "is not a text")
    if not 0 < len(value) <= UID_LENGTH:
        _bad(field, "is empty or too long")
    if not value.isprintable() or value != value.strip():
        _bad(field, "holds characters that no reference has")
    return value


def cents(field: str, value: Any) -> int:
    """Return an amount in minor units. A float is refused even when it is whole, because money never uses floats."""
    if isinstance(value, bool) or not isinstance(value, int):
        _bad(field, "is not a whole number of cents")
    if not 0 <= value < MONEY_LIMIT:
        _bad(field, "is out of range for an amount")
    return value


def hundredfold(value: int | float | Decimal) -> Decimal:
    """Return ``value`` times 100, exactly. Raises ``Inexact`` for more than 60 digits, and ``InvalidOperation``."""
    return _EXACT.multiply(Decimal(repr(value) if isinstance(value, float) else value), 100)


def dollars(field: str, value: Any) -> int:
    """Convert decimal dollars (A27) to exact cents.

    A JSON number becomes a float. For amounts below 10**13 dollars, the ``repr`` of the float is exactly the amount
    that the platform sent. More than two decimals are refused, not rounded.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        _bad(field, "is not a number of dollars")
    try:
        exact = hundredfold(value)
    except Inexact:
        _bad(field, "has a fraction of a cent")
    except InvalidOperation:
        _bad(field, "is not a number of dollars")
    if not exact.is_finite() or exact != exact.to_integral_value():
        _bad(field, "has a fraction of a cent")
    if not 0 <= exact < MONEY_LIMIT:
        _bad(field, "is out of range for an amount")
    return int(exact)


def whole(field: str, value: Any) -> int:
    """Return a whole number that fits any integer column."""
    if isinstance(value, bool) or not isinstance(value, int):
        _bad(field, "is not a whole number")
    if not -(2**31) <= value < 2**31:
        _bad(field, "is out of range")
    return value


def flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        _bad(field, "is not true or false")
    return value


def timestamp(field: str, value: Any) -> datetime:
    """Convert ISO 8601 to an aware UTC datetime. Digits beyond microseconds are cut; no zone means UTC (A5)."""
    try:
        return parse_timestamp(value)
    except ValueError:
        _bad(field, "is not an ISO 8601 timestamp of a day that exists")


def timestamp_text(field: str, value: Any) -> str:
    """Return a timestamp with every digit as written, for a keyset (A2)."""
    timestamp(field, value)
    return str(value)


def mapping(field: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) and not isinstance(value, Mapping):  # dict first, because it is faster
        _bad(field, "is not an object")
    return value


def texts(field: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        _bad(field, "is not a list")
    return tuple(text(field, item) for item in value)


def mappings(field: str, value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list):
        _bad(field, "is not a list")
    return tuple(mapping(field, item) for item in value)


class Optional(Generic[T]):
    """A property read from ``raw`` when it is accessed: None when missing or null, else of its type.

    ``names`` are tried in order, the documented one first. Raises ``BadValue``.
    """

    def __init__(self, read: Callable[[str, Any], T], *names: str) -> None:
        self._read = read
        self._names = names

    def __set_name__(self, owner: type, name: str) -> None:
        self.__doc__ = f"``{'`` or ``'.join(self._names or (name,))}``"
        self._names = self._names or (name,)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the properties that it reads."""
        return self._names

    @overload
    def __get__(self, instance: None, owner: type) -> Optional[T]: ...

    @overload
    def __get__(self, instance: Any, owner: type) -> T | None: ...

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        for name in self._names:
            value = instance.raw.get(name)
            if value is not None and not (value == "" and self._read is uid):
                return self._read(name, value)
        return None


class Required(Optional[T]):
    """Like ``Optional``, but missing or null is a ``BadValue``."""

    @overload
    def __get__(self, instance: None, owner: type) -> Required[T]: ...

    @overload
    def __get__(self, instance: Any, owner: type) -> T: ...

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        for name in self._names:
            value = instance.raw.get(name)
            if value is not None:
                return self._read(name, value)
        raise BadValue(self._names[0], "is missing")

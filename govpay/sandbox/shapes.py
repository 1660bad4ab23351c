"""Strict checks of request bodies: first their shape (400), then their values (422)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from govpay.sandbox.errors import Refusal, invalid, malformed

Doc = dict[str, Any]
Checker = Callable[[Any, str], None]

# Far above any real amount, far below the maximum of a 64-bit column.
LARGEST_AMOUNT = 10**12


def parse_json(data: bytes) -> Any:
    """Parse strict JSON. Raises a 400 `Refusal` for anything else: NaN, repeated names, unpaired surrogates."""
    try:
        text = data.decode("utf-8")
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique_names)
        # A value that cannot be encoded again (1e999, a lone surrogate) is invalid.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError):
        malformed("The body is not valid JSON.")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _unique_names(pairs: list[tuple[str, Any]]) -> Doc:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name is repeated")
    return names


def _accept(value: Any, path: str) -> None:
    """Accept every value of the right type."""


@dataclass(frozen=True)
class Part:
    """The rules for one property: its JSON type, whether it is required, and the check of its value."""

    type_name: str
    check_type: Checker
    check_value: Checker = _accept
    required: bool = False


@dataclass(frozen=True)
class SandboxShape:
    """The rules for an object. Properties that are not in `parts` are rejected [/platform/overview/]."""

    parts: dict[str, Part] = field(default_factory=dict)

    def check_type(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            malformed(f"{path or 'The body'} must be an object.")
        prefix = f"{path}." if path else ""
        for name in value:
            if name not in self.parts:
                malformed(f"Unknown property {prefix}{name}.")
        for name, part in self.parts.items():
            if name not in value:
                if part.required:
                    malformed(f"{prefix}{name} is required.")
            elif value[name] is None:
                malformed(f"{prefix}{name} must not be null.")
            else:
                part.check_type(value[name], prefix + name)

    def check_value(self, value: Any, path: str) -> None:
        prefix = f"{path}." if path else ""
        for name, part in self.parts.items():
            if name in value:
                part.check_value(value[name], prefix + name)

    def part(self, *, required: bool = False) -> Part:
        return Part("object", self.check_type, self.check_value, required)


def shape(**parts: Part) -> SandboxShape:
    return SandboxShape(parts)


def check(body: Any, wanted: SandboxShape) -> Doc:
    """Return `body` as a dict. Raises a 400 `Refusal` for a wrong shape, else a 422 one for a wrong value."""
    wanted.check_type(body, "")
    wanted.check_value(body, "")
    return dict(body)


def value_problem(body: Any, wanted: SandboxShape, path: str) -> str | None:
    """Return the message about the first wrong value, or None. For answers that report problems by row (A16)."""
    try:
        wanted.check_value(body, path)
    except Refusal as refusal:
        return refusal.message
    return None


def _typed(kind: type | tuple[type, ...], article: str) -> Checker:
    def check_type(value: Any, path: str) -> None:
        # In Python bool is a subclass of int; in JSON true is not a number.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            malformed(f"{path} must be {article}.")

    return check_type


def text(
    *,
    required: bool = False,
    pattern: str = "",
    choices: tuple[str, ...] = (),
    rule: Checker | None = None,
    empty: bool = False,
) -> Part:
    """Return the rules for a string. An empty one is a wrong value unless `empty` is true."""
    compiled = re.compile(pattern) if pattern else None

    def check_value(value: str, path: str) -> None:
        if not value.strip() and not empty:
            invalid(f"{path} must not be empty.")
        if compiled and not compiled.fullmatch(value):
            invalid(f"{path} is not in the expected form.")
        if choices and value not in choices:
            invalid(f"{path} must be one of: {', '.join(choices)}.")
        if rule:
            rule(value, path)

    return Part("string", _typed(str, "a string"), check_value, required)


def integer(*, required: bool = False, low: int = -LARGEST_AMOUNT, high: int = LARGEST_AMOUNT) -> Part:
    """Return the rules for a JSON integer from `low` to `high`."""

    def check_value(value: int, path: str) -> None:
        if not low <= value <= high:
            invalid(f"{path} must be between {low} and {high}.")

    return Part("integer", _typed(int, "an integer"), check_value, required)


def cents(*, required: bool = False, low: int = 1) -> Part:
    """Return the rules for an amount in cents [/platform/overview/]."""
    return integer(required=required, low=low)


def dollars(*, required: bool = False) -> Part:
    """Return the rules for a decimal amount in dollars. Only the limits of an account use dollars (A27)."""

    def check_value(value: float, path: str) -> None:
        if not 0 <= value <= LARGEST_AMOUNT / 100:
            invalid(f"{path} must not be negative.")

    return Part("number", _typed((int, float), "a number"), check_value, required)


def flag(*, required: bool = False) -> Part:
    return Part("boolean", _typed(bool, "true or false"), required=required)


def free_object(*, required: bool = False) -> Part:
    """Return an object with any property names (metadata)."""
    return Part("object", _typed(dict, "an object"), required=required)


def listed(item: Part, *, required: bool = False, most: int = 1000, least: int = 0) -> Part:
    """Return the rules for an array of `least` to `most` entries, each by the rules of `item`."""

    def check_type(value: Any, path: str) -> None:
        if not isinstance(value, list):
            malformed(f"{path} must be an array.")
        for index, entry in enumerate(value):
            if entry is None:
                malformed(f"{path}[{index}] must not be null.")
            item.check_type(entry, f"{path}[{index}]")

    def check_value(value: list[Any], path: str) -> None:
        if not least <= len(value) <= most:
            invalid(f"{path} must have {least} to {most} entries.")
        for index, entry in enumerate(value):
            item.check_value(entry, f"{path}[{index}]")

    return Part("array", check_type, check_value, required)


def is_email(value: str, path: str) -> None:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value):
        invalid(f"{path} is not an e-mail address.")


def is_uri(value: str, path: str) -> None:
    if not re.fullmatch(r"https?://[^/\s]+\S*", value):
        invalid(f"{path} is not an absolute http(s) address.")


def is_currency(value: str, path: str) -> None:
    """Accept only `USD`, the only currency on the vendor's pages."""
    if value != "USD":
        invalid(f"{path} is not a supported currency.")

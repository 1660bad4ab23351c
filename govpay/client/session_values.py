"""Checks the properties of a hosted session: the host's own objects, quantities and times."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from govpay.client.shapes import MONEY_LIMIT, is_whole, refuse

#: Characters that a JSON column cannot store: zero bytes and unpaired surrogates.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

#: Maximum nesting of objects and lists.
DEEPEST = 20


def is_object(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise refuse(name, "must be an object")
    if not _is_json(value):
        raise refuse(name, "must contain only texts, finite numbers, lists and objects with texts as property names")


def _is_json(value: Any, depth: int = 0) -> bool:
    if isinstance(value, str):
        return not _UNSTORABLE.search(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        named = all(isinstance(name, str) and _is_json(name) for name in value)
        return named and depth < DEEPEST and all(_is_json(item, depth + 1) for item in value.values())
    if isinstance(value, list | tuple):
        return depth < DEEPEST and all(_is_json(item, depth + 1) for item in value)
    return value is None or isinstance(value, int)


def is_quantity(name: str, value: Any) -> None:
    is_whole(name, value)
    if value < 1:
        raise refuse(name, "must be one or more")


def is_seconds(name: str, value: Any) -> None:
    is_whole(name, value)
    if value < 1:
        raise refuse(name, "must be one second or more")


def is_moment(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MONEY_LIMIT:
        raise refuse(name, "must be a whole number of milliseconds")

"""`Answer`: the response of a route, with status, body and headers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """A response: a status with a JSON `body`, with `text` (already encoded), or with neither (204)."""

    status: int
    body: Any = None
    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

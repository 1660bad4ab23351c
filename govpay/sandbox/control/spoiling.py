"""Changes that a fault makes in a correct answer: added, missing and undocumented properties and values."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from govpay.sandbox.shapes import Doc

# A property and a value that the vendor does not document.
UNKNOWN_PROPERTY = {"x_of_tomorrow": {"level": 3, "tags": ["new"]}}
UNKNOWN_VALUE = "of_tomorrow"

# In ASCII, because a value may hold half of a surrogate pair, which no other encoding has.
_encoded = json.JSONEncoder(separators=(",", ":")).encode


@dataclass
class Spoiling:
    """The changes that a fault makes to the objects in an answer: to the answer itself, or to each row of a list."""

    extra: bool = False
    strange: frozenset[str] = frozenset()
    null: frozenset[str] = frozenset()
    leave_out: frozenset[str] = frozenset()
    alter: dict[str, Any] = field(default_factory=dict)
    duplicate: int = 0
    next_link: str = ""
    # The last rows of the previous page.
    _before: list[Any] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, text: str) -> str:
        """Return the answer's JSON with the changes. Text that is not JSON is returned unchanged."""
        changes = (self.extra, self.strange, self.null, self.leave_out, self.alter, self.duplicate, self.next_link)
        if not any(changes) or not text:
            return text
        try:
            document = json.loads(text)
        except ValueError:
            return text
        rows = rows_of(document)
        if rows is None:
            return _encoded(self._spoilt(document))
        if self.duplicate:
            with self._lock:
                again, self._before = self._before, rows[-self.duplicate :]
            rows[:0] = again
        rows[:] = [self._spoilt(row) for row in rows]
        if self.next_link and "@odata.nextLink" in document:
            true = urlsplit(document["@odata.nextLink"])
            link = self.next_link.replace("{path}", true.path).replace("{query}", true.query)
            document["@odata.nextLink"] = link
        return _encoded(document)

    def _spoilt(self, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        changed: Doc = {name: value for name, value in row.items() if name not in self.leave_out}
        changed.update((name, None) for name in self.null & changed.keys())
        changed.update((name, UNKNOWN_VALUE) for name in self.strange & changed.keys())
        changed.update((name, value) for name, value in self.alter.items() if name in changed)
        return {**changed, **UNKNOWN_PROPERTY} if self.extra else changed


def rows_of(document: Any) -> list[Any] | None:
    """Return the rows of a list in any of the envelopes (A1), or None for an answer that is not a list."""
    if isinstance(document, list):
        return document
    if isinstance(document, dict):
        found = document.get("value", document.get("items"))
        if isinstance(found, list):
            return found
    return None

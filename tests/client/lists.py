"""A list in memory that answers queries strictly as an OData server does, as far as a walk uses them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from govpay.client import Page, Query

AFTER_ROW = re.compile(r"\(updated_at gt (\S+)\) or \(\(updated_at eq (\S+)\) and \(uid gt '((?:[^']|'')*)'\)\)")
FROM = re.compile(r"updated_at ge (\S+)")
AFTER_UID = re.compile(r"uid gt '((?:[^']|'')*)'")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Listing:
    """``rows`` by the query; ``meanwhile`` runs after each page, to change them; ``cap`` is the server's own limit."""

    def __init__(
        self,
        rows: list[dict[str, Any]],
        *,
        cap: int = 1000,
        count: bool = False,
        meanwhile: Callable[[int], None] = lambda page: None,
    ) -> None:
        self.rows, self.cap, self.count, self.meanwhile = rows, cap, count, meanwhile
        self.asked: list[Query] = []
        self.served: list[dict[str, Any]] = []

    def __call__(self, query: Query, link: str | None) -> Page:
        assert link is None, "this server gives no links"
        self.asked.append(query)
        found = [row for row in self.rows if self._wanted(row, "" if query.filter is None else str(query.filter))]
        order = [name for name in query.order_by if isinstance(name, str)]
        found.sort(key=lambda row: [moment(row[n]) if n == "updated_at" else row[n] for n in order])
        total, start = len(found), query.skip or 0
        items = tuple(dict(row) for row in found[start : start + min(query.top or self.cap, self.cap)])
        self.served += items
        self.meanwhile(len(self.asked))
        return Page(items, None, total if self.count else None)

    @staticmethod
    def _wanted(row: dict[str, Any], text: str) -> bool:
        if not text:
            return True
        if match := AFTER_ROW.fullmatch(text):
            after, same, uid = match.groups()
            assert after == same
            at = moment(row["updated_at"])
            return at > moment(after) or (at == moment(same) and row["uid"] > uid.replace("''", "'"))
        if match := FROM.fullmatch(text):
            return moment(row["updated_at"]) >= moment(match[1])
        match = AFTER_UID.fullmatch(text)
        assert match, f"a filter that no rule knows: {text}"
        return bool(row["uid"] > match[1].replace("''", "'"))

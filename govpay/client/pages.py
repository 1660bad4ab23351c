"""Reads lists page by page: unwraps the envelopes, continues by keyset, and proves that the last page was reached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as column
from datetime import datetime
from functools import reduce
from operator import and_
from typing import Any, Literal, Protocol

from govpay.client.links import PagingFault, Repeats, by_skip
from govpay.client.odata import Filter, Query, Timestamp, field, parse_timestamp
from govpay.exceptions import APIError, InvalidAnswer

#: ``skip``: offset in uid order. ``offset``: offset in the platform's own order. ``listing``: no options are sent.
Order = Literal["updated_at", "uid", "skip", "offset", "listing"]
ORDERS: tuple[Order, ...] = ("updated_at", "uid", "skip", "offset", "listing")
Document = dict[str, Any]

#: The orders whose position is an offset.
COUNTED = ("skip", "offset")

PAGE_CEILING = 100_000
#: Properties that may contain the list (A1, A20, /component/wallet/). A bare array is accepted too.
ENVELOPES = ("value", "items", "subscriptions", "methods")


class NoKeyset(APIError):
    """The walk cannot continue by keyset: the last row of a page has no usable ``updated_at`` or ``uid``, or the
    rows are not in the requested order. Raised after that page was returned. Walk in another order.
    """


@dataclass(frozen=True, slots=True)
class Position:
    """The position of a walk, which can be stored and resumed. ``order`` decides which parts are used.

    ``updated_at`` is the platform's own text with all digits. With a ``uid`` the walk continues after that
    row. Without one it starts at ``updated_at`` inclusive.
    """

    order: Order
    updated_at: str | None = None
    uid: str | None = None
    skip: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the position as a dict for a JSON column."""
        return {"order": self.order, "updated_at": self.updated_at, "uid": self.uid, "skip": self.skip}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Position:
        """Return the position from a dict of ``to_dict``. Raises ``ValueError`` for anything else."""
        order, skip = kept.get("order"), kept.get("skip", 0)
        if order not in ORDERS:
            raise ValueError("no such order")
        for name in ("updated_at", "uid"):
            if kept.get(name) is not None and not isinstance(kept[name], str):
                raise ValueError(f"{name} must be a text")
        if isinstance(skip, bool) or not isinstance(skip, int) or skip < 0:
            raise ValueError("skip must be a whole number")
        return cls(order, kept.get("updated_at"), kept.get("uid"), skip)


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list. ``count`` is ``@odata.count``. ``position`` is the position of the walk after this page
    (None when the walk cannot be resumed there).
    """

    items: tuple[Document, ...] = column(default=(), repr=False)
    next_link: str | None = None
    count: int | None = None
    position: Position | None = None

    @property
    def is_whole(self) -> bool:
        """Whether this page is the whole unpaged list, as far as its link and its count show."""
        return self.next_link is None and (self.count is None or self.count <= len(self.items))


def parse_page(document: Any) -> Page:
    """Return the page in ``document``, in any envelope of A1. Raises ``InvalidAnswer`` for anything else.

    One row that is not an object makes the whole page invalid, because other rows may be wrong too.
    """
    next_link = count = None
    rows = document
    if isinstance(document, Mapping):
        rows = next((document[name] for name in ENVELOPES if name in document), None)
        next_link = document.get("@odata.nextLink")
        count = document.get("@odata.count")
    if not isinstance(rows, list):
        raise InvalidAnswer("the answer is not a list in any known envelope")
    if next_link is not None and not isinstance(next_link, str):
        raise InvalidAnswer("@odata.nextLink is not a text")
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        count = None
    if not all(isinstance(row, dict) for row in rows):
        raise InvalidAnswer("a row of the list is not an object")
    return Page(tuple(rows), next_link or None, count)


def uid_of(row: Mapping[str, Any]) -> str | None:
    """Return the uid of a row (A5, A14), or None when it has no usable one."""
    for name in ("uid", "saved_payment_method_uid", "id"):
        value = row.get(name)
        if isinstance(value, str) and value:
            return value if value.isprintable() and len(value) <= 128 else None
    return None


class Fetch(Protocol):
    """Reads one page, with our query or with the platform's ``link``."""

    def __call__(self, query: Query, link: str | None) -> Page: ...


class Walk:
    """A lazy walk over one list. Iterating it yields pages; each page has the position after it.

    Nothing is fetched before a page is requested, and only one page is held. ``pages`` and ``rows`` count the
    returned pages and rows. ``announced`` is the first page's ``@odata.count`` (None when the platform sends none).
    ``ended`` is true after the last page, and ``proved`` if the end was proved.

    The end is proved (A2) by an empty page, or by as many rows under one filter as ``@odata.count`` says. A short page
    or a missing ``nextLink`` does not prove it. Order ``listing`` sends no options. It ends with the first page without
    a link. If that is the only page, the platform may have cut the list, so the end is not proved. Order ``offset``
    proves no end after a second page by ``$skip``: a row may have moved to a page that was already read.

    Raises ``PagingFault``, ``NoKeyset``, and the errors of ``fetch``. Pages returned before an error stay valid, and a
    new walk may start at the last position.

    ``wanted``: a filter for the rows, in addition to the keyset; order ``listing`` does not send it. ``resolve``
    returns what ``fetch`` needs to follow a link, or None for a link that must not be followed. Then the walk continues
    from its own position; order ``listing`` has none and raises ``PagingFault``.
    """

    def __init__(
        self,
        fetch: Fetch,
        order: Order,
        page_size: int = 100,
        start: Position | None = None,
        *,
        wanted: Filter | None = None,
        resolve: Callable[[str], str | None] = lambda link: link,
        max_pages: int = PAGE_CEILING,
    ) -> None:
        if start is not None and start.order != order:
            raise ValueError(f"a position of order {start.order!r} cannot start a walk by {order!r}")
        self._fetch = fetch
        self._order: Order = order
        self._page_size = page_size
        self._wanted = wanted
        self._resolve = resolve
        self._max_pages = max_pages
        self._position = start
        self._marks: set[bytes] = set()  # hashes of followed links and passed positions
        self._last_rows: bytes = b""
        self._seen = start.skip if start is not None and order in COUNTED else 0
        self._may_skip = False  # whether a row may have moved behind the walk
        self.pages = 0
        self.rows = 0
        self.announced: int | None = None
        self.ended = self.proved = False
        self._steps = self._walk()

    def __iter__(self) -> Iterator[Page]:
        return self._steps

    def __next__(self) -> Page:
        return next(self._steps)

    def _walk(self) -> Iterator[Page]:
        link: str | None = None
        by_offset = self._order == "offset" and self._seen > 0
        while not self.ended:
            if self.pages >= self._max_pages:
                raise PagingFault(f"The list has more than {self._max_pages} pages; stopped.")
            page = self._fetch(self._query(), link)
            if self.pages == 0:
                self.announced = page.count
            if not page.items:
                self.ended, self.proved = True, not self._may_skip
                return
            self._check_moves(page)
            self._may_skip |= by_offset
            self._seen += len(page.items)
            self.pages += 1
            self.rows += len(page.items)
            lost = self._advance(page)
            link, fault = self._follow(page)
            by_offset = self._order == "offset" and (link is None or by_skip(page.next_link or ""))
            if page.count is not None and self._seen >= page.count:
                self.ended, self.proved = True, not self._may_skip
            elif link is None:
                self.ended = self._order == "listing" and page.next_link is None and page.count is None
                self.proved = self.ended and self.pages > 1  # links led to this page, so it would have one, too
                fault = fault or lost or self._cut_short(page)
                if self._order in ("updated_at", "uid"):
                    self._seen = 0  # the next request has another filter, and its count starts at zero
            # The page is valid even if the walk cannot continue, so it is returned before the error is raised.
            yield replace(page, position=self._position)
            if fault is not None and not self.ended:
                raise fault

    def _cut_short(self, page: Page) -> PagingFault | None:
        """Return the error if order ``listing`` got fewer rows than the list announces, and no link to the rest."""
        if self._order != "listing" or page.count is None or page.next_link is not None:
            return None
        return PagingFault(f"The list announces {page.count} rows, but sends {self._seen} and no link to the rest.")

    def _query(self) -> Query:
        at = self._position
        if self._order == "listing":
            return Query()
        order_by: tuple[str, ...] = {"updated_at": ("updated_at", "uid"), "offset": ()}.get(self._order, ("uid",))
        filters = [each for each in (self._wanted, _after(at)) if each is not None]
        wanted = reduce(and_, filters) if filters else None
        return Query(filter=wanted, order_by=order_by, top=self._page_size, skip=at.skip if at is not None else None)

    def _advance(self, page: Page) -> NoKeyset | None:
        """Move the position to the end of ``page``. If that fails, return the error, which is raised after the page."""
        if self._order == "listing":
            return None
        if self._order in COUNTED:
            passed = self._position.skip if self._position is not None else 0
            self._position = Position(self._order, skip=passed + len(page.items))
            return None
        uid = uid_of(page.items[-1])
        moved: Position | None = None
        if self._order == "uid" and uid is not None and _ascending(page):
            moved = Position("uid", uid=uid)
        elif self._order == "updated_at" and uid is not None:
            moved = _dated(page, uid)
        if moved is None:
            self._position = None
            return NoKeyset(f"The list cannot be paged by {self._order}: its rows lack it or are not sorted by it.")
        if self._seen_before(f"at {moved.updated_at} {moved.uid}"):
            raise self._repeats(page, "The list does not move on: a page ends where an earlier one did.")
        self._position = moved
        return None

    def _follow(self, page: Page) -> tuple[str | None, APIError | None]:
        """Return the link to follow (None: use our own position), and the error if the walk cannot continue."""
        if page.next_link is None:
            return None, None
        if self._order in ("updated_at", "uid") and self._position is not None and by_skip(page.next_link):
            # A link with an offset skips rows when other rows move between two pages (faults R5). The keyset does not.
            return None, None
        link = self._resolve(page.next_link)
        if link is None:
            foreign = PagingFault("@odata.nextLink leads to something else than this list. It was not followed.")
            return None, foreign if self._order == "listing" else None
        if self._seen_before(f"link {link}"):
            return None, PagingFault("@odata.nextLink leads to a page that was already read.")
        return link, None

    def _seen_before(self, mark: str) -> bool:
        digest = hashlib.blake2b(mark.encode("utf-8", "replace"), digest_size=16).digest()
        if digest in self._marks:
            return True
        self._marks.add(digest)
        return False

    def _check_moves(self, page: Page) -> None:
        rows = hashlib.blake2b(digest_size=16)
        for row in page.items:
            # The time is part of the identity, because a row that has changed since may come again.
            identity = f"{uid_of(row) or json.dumps(row, sort_keys=True)} {row.get('updated_at')}"
            rows.update(identity.encode("utf-8", "replace") + b"\0")
        mark = rows.digest()
        if mark == self._last_rows:
            raise self._repeats(page, "The list repeats: two pages in a row hold the same rows.")
        self._last_rows = mark

    def _repeats(self, page: Page, message: str) -> PagingFault:
        return Repeats(message) if len(page.items) < self._page_size else PagingFault(message)


#: The function's name of earlier releases.
walk = Walk


def _after(at: Position | None) -> Filter | None:
    """Return the filter of a keyset: strictly after a row (A2), or from a time on (A3). None without a keyset."""
    if at is not None and at.order == "uid" and at.uid is not None:
        return field("uid").gt(at.uid)
    if at is None or at.order != "updated_at" or at.updated_at is None:
        return None
    moment = Timestamp(at.updated_at)
    updated_at = field("updated_at")
    if at.uid is None:
        return updated_at.ge(moment)
    return updated_at.gt(moment) | (updated_at.eq(moment) & field("uid").gt(at.uid))


def _dated(page: Page, uid: str) -> Position | None:
    """Return the position after the last row. None if times are unusable or not sorted: rows could be skipped."""
    last = page.items[-1].get("updated_at")
    if _instant(last) is None:
        return None
    before = None
    for row in page.items:
        moment = _instant(row.get("updated_at"))
        if moment is not None and before is not None and moment < before:
            return None
        before = moment or before
    return Position("updated_at", updated_at=last, uid=uid)


def _ascending(page: Page) -> bool:
    """Return whether the rows are sorted by uid. Without sorted rows the keyset would skip rows."""
    uids = [uid_of(row) or "" for row in page.items]
    return uids == sorted(uids)


def _instant(value: Any) -> datetime | None:
    try:
        return parse_timestamp(value)
    except ValueError:
        return None

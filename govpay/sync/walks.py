"""Reads a paged list: incrementally by time of change or fully by uid. Each page is committed with its position."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from django.utils import timezone

from govpay import conf
from govpay.client import NoKeyset, Page, Position
from govpay.client.odata import Timestamp
from govpay.client.orders import first_served
from govpay.client.pages import ORDERS, Order, uid_of
from govpay.connection import get_endpoints
from govpay.exceptions import APIError
from govpay.models.choices import SyncMode
from govpay.sync import clocks
from govpay.sync.lists import Listing
from govpay.sync.missing import check_missing, last_of, mark_missing, read_again, still_gone
from govpay.sync.passes import SyncPass
from govpay.sync.upsert import Known, Saved, save_documents

#: An incremental walk starts this long before the last change it has seen, but at most half a page back.
OVERLAP = dt.timedelta(seconds=60)


def walk_list(listing: Listing, sync_pass: SyncPass) -> None:
    """Read ``listing`` page by page; each page is committed together with the position after it.

    The order that the API accepts is stored once it has worked. An API without an order by time is read in full
    each time (assumption A3). A full walk always starts with the order by uid. At its end it clears the stored
    order, so that the next incremental walk tries the order by time again.
    """
    first = cast(Order, "uid" if sync_pass.mode == SyncMode.FULL else sync_pass.cursor.order or "updated_at")

    def read(order: Order, errors: list[APIError]) -> Iterator[tuple[_Walk, Page]]:
        # An API that refuses an order will do so again. Rows without a keyset may be gone tomorrow.
        refused = any(not isinstance(error, NoKeyset) for error in errors)
        return _Walk(listing, sync_pass, order, remember=refused).pages()

    for walk, page in first_served(listing.operation, ORDERS[ORDERS.index(first) :], read):
        walk.take(page)


class _Walk:
    """One walk over a list in one order."""

    def __init__(self, listing: Listing, sync_pass: SyncPass, order: Order, *, remember: bool) -> None:
        self.listing, self.sync_pass, self.order = listing, sync_pass, order
        self.start = _start(sync_pass, order)
        #: When the walk began at the top, perhaps in an earlier pass; ``None`` when an earlier release began it.
        self.began: dt.datetime | None = timezone.now()
        if self.start is not None:
            self.began = _moment((sync_pass.place or {}).get("began"))
        self.tail = _Tail(_bounded(sync_pass.cursor.watermark)) if order == "updated_at" else None
        #: The columns of the cursor that are saved with every page.
        self.columns: dict[str, Any] = {}
        if remember and sync_pass.mode != SyncMode.FULL:
            self.columns["order"] = order
        #: The last uid up to which local rows were compared with the pages; ``None`` when they cannot be compared.
        self.swept: str | None = None
        if order == "uid":
            self.swept = (self.start and self.start.uid) or ""
        elif order != "updated_at" and self.start is None:
            self.swept = ""
        #: The rows after ``swept`` that were read already.
        self.listed: set[str] = set()

    def pages(self) -> Iterator[tuple[_Walk, Page]]:
        """Yield each page for ``take``. After the last page, check the local rows that no page contained."""
        endpoints = get_endpoints()
        from_the_top = self.start is None
        pages = endpoints.walk(
            self.listing.operation,
            self.sync_pass.account_uid,
            order=self.order,
            page_size=conf.get("PAGE_SIZE"),
            start=self.start,
        )
        for page in pages:
            yield self, page
        self.sync_pass.unproved = not pages.proved and self.sync_pass.run.resource not in conf.get("UNPAGED_LISTS")
        if self.swept is not None:
            if not self.sync_pass.unproved:
                self._check_missing(self.listed, self.swept, None)
            self.sync_pass.whole |= from_the_top
        if self.tail is None:
            confirm = partial(still_gone, self.listing, self.sync_pass)
            mark_missing(self.sync_pass, self.listing.mapper.model, confirm)
        if self.sync_pass.mode == SyncMode.FULL:
            self._prepare_incremental(endpoints.transport.skew)
        elif (mark := _bounded(self.sync_pass.cursor.watermark)) != self.sync_pass.cursor.watermark:
            self.sync_pass.commit(Saved, pages=0, watermark=mark)  # the answers of this walk show that it was too late

    def take(self, page: Page) -> None:
        """Save the rows of a page and the position after it in one transaction."""
        # Missing rows are checked before the page is committed, so that a crash in between does not skip them.
        known = [self._sweep(page)]
        frozen: list[str] = []

        def work() -> Saved:
            saved = save_documents(
                self.listing.mapper,
                page.items,
                extra=self.sync_pass.address,
                quiet=self.sync_pass.quiet,
                known=known.pop() if known else None,  # a retried transaction reads again
                may_lag=self.tail is not None,
            )
            frozen[:] = saved.frozen
            return saved

        columns = dict(self.columns)
        place = self._place(page.position) if page.position is not None else None
        if self.tail is not None and place is not None:
            columns["watermark"] = self.tail.after(page)
        self.sync_pass.commit(work, place=place, **columns)
        read_again(self.listing, self.sync_pass, frozen)

    def _sweep(self, page: Page) -> Known | None:
        """Check the local rows that the page lacks. Return the known state of all local rows in the page's range."""
        if self.swept is None:
            return None
        uids = [uid for item in page.items if (uid := uid_of(item))]
        after, upto = self.swept, last_of(uids, self.swept)
        if self.order == "listing" and page.next_link is None and not after:
            self.listed = set(uids)  # one page in any order; the end of the walk tells whether it is the whole list
            return None
        self.swept = upto
        return self._check_missing(set(uids), after, upto) if upto is not None else None

    def _check_missing(self, present: set[str], after: str, upto: str | None) -> Known | None:
        """Check the local rows in a range. In uid order, the walk can be continued after any of them."""
        by_uid = self.order == "uid"
        place_after = (lambda uid: self._place(Position("uid", uid=uid))) if by_uid else None
        return check_missing(self.listing, self.sync_pass, present, after, upto, place_after)

    def _place(self, position: Position) -> dict[str, Any]:
        """Return ``position`` in its stored form, which includes the start of the walk."""
        return {**position.to_dict(), "began": self.began.isoformat() if self.began is not None else None}

    def _prepare_incremental(self, skew: float | None) -> None:
        """Set the cursor so that the next incremental walk reads the changes made during this full walk.

        ``skew``: our clock minus the platform's. A watermark later than the start of this walk is reset to the start.
        If ``skew`` or the start is unknown, the watermark stays. Without a watermark the next walk reads everything.
        """
        columns: dict[str, Any] = {"order": ""}
        if skew is not None and self.began is not None:
            start = clocks.earlier(self.began)
            if (_time_of(self.sync_pass.cursor.watermark) or start) >= start:
                columns["watermark"] = _mark_before(start)
        self.sync_pass.commit(Saved, pages=0, **columns)


def _time_of(watermark: dict[str, Any] | None) -> dt.datetime | None:
    return _moment(Position.from_dict(watermark).updated_at) if watermark else None


def _mark_before(moment: dt.datetime) -> dict[str, Any]:
    """Return the watermark of a walk that starts shortly before ``moment``."""
    text = (moment.astimezone(dt.UTC) - OVERLAP).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return Position("updated_at", updated_at=text).to_dict()


def _bounded(watermark: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return ``watermark``, or a time shortly before now if ``watermark`` is ahead of a clock (faults R9)."""
    moment = _time_of(watermark)
    return _mark_before(clocks.earlier()) if moment is not None and clocks.is_ahead(moment) else watermark


def _start(sync_pass: SyncPass, order: Order) -> Position | None:
    """Return the position where the previous walk stopped, if it used this order; else the watermark."""
    for kept in (sync_pass.place, _bounded(sync_pass.cursor.watermark) if order == "updated_at" else None):
        position = Position.from_dict(kept) if kept else None
        if position is not None and position.order == order:
            return position
    return None


class _Tail:
    """The newest rows of a walk by time. They set the start of the next walk, so that late commits are not missed.

    The start is one minute before the newest row, but at most half a page back. So a walk that finds nothing new ends
    after one page and the empty page after it. Rows whose time is ahead of a clock do not count.
    """

    def __init__(self, watermark: dict[str, Any] | None) -> None:
        self._mark = watermark
        self._rows: deque[tuple[dt.datetime, Position]] = deque()
        self._half = max(1, conf.get("PAGE_SIZE") // 2)
        self._length = self._longest = 0

    def after(self, page: Page) -> dict[str, Any] | None:
        """Return the watermark after ``page``."""
        self._longest = max(self._longest, self._length)  # without the last page
        self._length = len(page.items)
        # If the server returns shorter pages, half a page is shorter, too.
        half = min(self._half, max(1, self._longest // 2)) if self._longest else self._half
        for item in page.items[-half - 1 :]:
            text, uid = item.get("updated_at"), uid_of(item)
            moment = _moment(text)
            if moment is not None and uid is not None and not clocks.is_ahead(moment):
                self._rows.append((moment, Position("updated_at", updated_at=text, uid=uid)))
        while len(self._rows) > half + 1:
            self._rows.popleft()
        if self._rows:
            self._move(half)
        return self._mark

    def _move(self, half: int) -> None:
        newest = self._rows[-1][0]
        old = [position for moment, position in self._rows if moment < newest - OVERLAP]
        if old:
            self._mark = old[-1].to_dict()
        elif len(self._rows) > half:
            self._mark = self._rows[0][1].to_dict()
        elif self._mark is None:
            self._mark = Position("updated_at", updated_at=self._rows[0][1].updated_at).to_dict()


def _moment(text: Any) -> dt.datetime | None:
    """Return the time as an aware datetime; ``None`` when it is not valid in a filter."""
    try:
        moment = dt.datetime.fromisoformat(Timestamp(text).raw)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)

"""Reading a list for the trace of a deed: by a filter where the API takes it, else row by row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from govpay.client import Filter, NoKeyset, Position, Query
from govpay.client.pages import Order, Repeats, uid_of
from govpay.connection import get_endpoints
from govpay.exceptions import InvalidAnswer, InvalidRequest
from govpay.models import Operation

#: How far the platform's clock may be behind ours where time alone tells an earlier row from the deed's.
CLOCKS_DIFFER = dt.timedelta(minutes=10)

#: Where a walk by time begins before the deed: so far that no clock is an excuse.
REACH_BACK = dt.timedelta(days=1)

TOP = 100


def rows_since(listing: str, operation: Operation, wanted: Filter) -> Iterator[dict[str, Any]]:
    """The rows of ``listing`` that ``wanted`` names, and perhaps others: compare each.

    The vendor documents ``$filter`` for names only. An API that answers 400 to ``wanted``, or gives one
    page of it again and again, is asked for all rows that changed since the deed, and failing that for
    the whole list. It always reads to the end: a row that was merely not looked at must not count as
    absent. Nor does one page count as the whole list where the API gave the same page twice.

    Raises ``APIError`` when that cannot be done, a list that is not offered (404, 405) included.
    """
    account = str(operation.account_id or "")
    heedless = False
    try:
        yield from _filtered(listing, account, wanted)
        return
    except Repeats:
        heedless = True
    except InvalidRequest as error:
        if error.status != 400:
            raise
    since = (operation.created_at - REACH_BACK).astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    orders: tuple[tuple[Order, Position | None], ...] = (
        ("updated_at", Position("updated_at", updated_at=since)),
        ("uid", None),
        ("skip", None),
        ("offset", None),
        ("listing", None),
    )
    for order, start in orders:
        if order == "listing" and heedless:
            break
        try:
            for page in get_endpoints().walk(listing, account, order=order, start=start, page_size=TOP):
                yield from page.items
            return
        except (NoKeyset, Repeats) as error:
            heedless = heedless or isinstance(error, Repeats)
        except InvalidRequest as error:
            if error.status != 400:
                raise
    raise InvalidAnswer(f"{listing} cannot be read to its end.")


def _filtered(listing: str, account_uid: str, wanted: Filter) -> Iterator[dict[str, Any]]:
    read = getattr(get_endpoints(), listing)
    seen: set[str] = set()
    passed = 0
    while items := read(account_uid, Query(filter=wanted, top=TOP, skip=passed or None)).items:
        fresh = {uid_of(item) or "" for item in items} - seen
        if not fresh:
            raise Repeats(f"{listing} repeats itself")  # the API does not heed $skip
        seen |= fresh
        yield from items
        passed += len(items)

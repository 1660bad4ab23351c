"""Reading a list for the trace of an action: by a filter where the API takes it, else row by row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from govpay.client import ClientResource, Filter, NoKeyset, PaymentAccountResource, Position, Query, field
from govpay.client.pages import Order, Repeats, uid_of
from govpay.connection import get_endpoints
from govpay.exceptions import InvalidAnswer, InvalidRequest, NotFound, OperationRefused
from govpay.models import Operation
from govpay.operations.actions import completed

#: How far the platform's clock may be behind ours where time alone tells an earlier row from the action's.
CLOCKS_DIFFER = dt.timedelta(minutes=10)

#: Where a walk by time begins before the action: so far that no clock is an excuse.
REACH_BACK = dt.timedelta(days=1)

#: Earlier than anything on the platform: where nothing is left out of a walk by time.
THE_BEGINNING = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)

TOP = 100


def rows_since(listing: str, operation: Operation, wanted: Filter) -> Iterator[dict[str, Any]]:
    """The rows of ``listing`` that ``wanted`` names, and perhaps others: compare each.

    The vendor documents ``$filter`` for names only. An API that answers 400 to ``wanted``, or gives one
    page of it again and again, is asked for all rows that changed since the action, and failing that for
    the whole list. It always reads to the end: a row that was merely not looked at must not count as
    absent. Nor does one page count as the whole list where the API gave the same page twice.

    Raises ``APIError`` when that cannot be done, a list that is not offered (404, 405) included.
    """
    account = operation.account_id  # none for clients and payment accounts, which no account owns
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


def rows_changed_since(listing: str, operation: Operation) -> Iterator[dict[str, Any]]:
    """The rows of ``listing`` that changed since the operation began, read by time: a second, independent way to find
    its trace. No rows where the API refuses that order.

    Raises ``APIError`` when the list cannot be read to its end.
    """
    since = (operation.created_at - CLOCKS_DIFFER).astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    start = Position("updated_at", updated_at=since)
    try:
        walk = get_endpoints().walk(listing, operation.account_id, order="updated_at", start=start, page_size=TOP)
        for page in walk:
            yield from page.items
    except (NoKeyset, Repeats):
        return
    except InvalidRequest as error:
        if error.status != 400:
            raise


def _filtered(listing: str, account_uid: str | None, wanted: Filter) -> Iterator[dict[str, Any]]:
    read = getattr(get_endpoints(), listing)
    if account_uid is not None:
        read = partial(read, account_uid)
    seen: set[str] = set()
    passed = 0
    while items := read(Query(filter=wanted, top=TOP, skip=passed or None)).items:
        fresh = {uid_of(item) or "" for item in items} - seen
        if not fresh:
            raise Repeats(f"{listing} repeats itself")  # the API does not heed $skip
        seen |= fresh
        yield from items
        passed += len(items)


def find_client(name: str) -> ClientResource | None:
    """The platform's client of exactly this name; /platform/accounts/. Raises ``APIError``."""
    wanted = field("name").eq(name)
    try:
        items = get_endpoints().list_clients(Query(filter=wanted, top=1)).items
        if all(document.get("name") == name for document in items):
            return next(map(ClientResource, items), None)
    except InvalidRequest as error:
        if error.status != 400:
            raise
    # An API that does not heed the filter, or refuses it, is read to the end.
    rows = rows_since("list_clients", Operation(created_at=THE_BEGINNING), wanted)
    return next((ClientResource(document) for document in rows if document.get("name") == name), None)


def read_account(uid: str) -> PaymentAccountResource:
    """The account of this uid; from the list, which is documented, where a single one is not offered.

    Raises ``NotFound`` and other ``APIError``.
    """
    try:
        return get_endpoints().get_payment_account(uid)
    except NotFound:
        wanted = field("uid").eq(uid)
        for row in rows_since("list_payment_accounts", Operation(created_at=THE_BEGINNING), wanted):
            if uid_of(row) == uid:
                return PaymentAccountResource(row)
        raise


def identity_of(body: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells an account from others: its external ids, or without any its client and its name."""
    external = (body.get("external_account_id") or "", body.get("external_merchant_id") or "")
    return external if any(external) else (str(body.get("client_id") or ""), str(body.get("name") or ""))


def find_account(body: Mapping[str, Any]) -> PaymentAccountResource | None:
    """The account that ``body``, of a creation, would make a second time; /platform/accounts/ asks to reuse it.

    Of several the one that is active. Raises ``OperationRefused`` when that does not tell, or when it is
    another client's, and ``APIError``.
    """
    external = body.get("external_account_id") or body.get("external_merchant_id")
    names = ("external_account_id", "external_merchant_id") if external else ("client_id", "name")
    given = [(name, body[name]) for name in names if body.get(name)]
    wanted = field(given[0][0]).eq(given[0][1])
    for name, value in given[1:]:
        wanted &= field(name).eq(value)
    rows = rows_since("list_payment_accounts", Operation(created_at=THE_BEGINNING), wanted)
    found = {row.uid: row for row in map(PaymentAccountResource, rows) if identity_of(row.raw) == identity_of(body)}
    alike = list(found.values())
    if len(alike) > 1:
        alike = [row for row in alike if row.active] or alike
    if len(alike) > 1:
        raise OperationRefused(f"Several payment accounts have these external ids: {', '.join(sorted(found))}.")
    if alike and body.get("client_id") and alike[0].client_id not in (None, body["client_id"]):
        raise OperationRefused(f"The payment account {alike[0].uid} with these external ids is another client's.")
    # An answer need not say whose it is (/platform/accounts/ shows its uid alone), and a change has to.
    return completed(alike[0], {"client_id": body.get("client_id")}) if alike else None

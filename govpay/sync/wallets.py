"""Sync of saved payment methods: one unpaged list per customer whose document changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from functools import partial

from govpay.client import Page
from govpay.client.pages import uid_of
from govpay.connection import get_endpoints
from govpay.exceptions import NotFound
from govpay.models import Customer, SavedPaymentMethod
from govpay.models.choices import SyncMode
from govpay.sync import mapping
from govpay.sync.missing import mark_missing, note_missing
from govpay.sync.passes import SyncPass
from govpay.sync.transactions import reading
from govpay.sync.upsert import Saved, save_documents

#: Number of customers that are looked up at a time.
CHUNK = 500

#: After this many customers without such a list, and none with one, the API has no such route.
MISSING_LISTS = 3


def read_methods(sync_pass: SyncPass) -> None:
    """Read the methods of every changed customer; of all customers on a full run (assumption A14).

    Raises ``NotFound`` when the API offers no such list, and ``TooManyGone``.
    """
    read = missing = 0
    for uid, synced_at in _due(sync_pass):
        try:
            page = _methods_of(sync_pass, uid)
            read += 1
        except NotFound as error:
            missing += 1
            if not read and missing == MISSING_LISTS:
                raise
            sync_pass.reject(uid, str(error))
            continue
        sync_pass.unproved |= not page.is_whole
        note_missing(sync_pass, SavedPaymentMethod, _gone(page, uid))
        sync_pass.commit(partial(_save, sync_pass, page, uid, synced_at), place={"uid": uid})
    mark_missing(sync_pass, SavedPaymentMethod, partial(_still_gone, sync_pass))


def _due(sync_pass: SyncPass) -> Iterator[tuple[str, dt.datetime | None]]:
    """Yield ``(uid, time of the last change here)`` of the customers whose methods must be read, in uid order."""
    customers = Customer.objects.filter(account=sync_pass.account_uid, deleted_at=None).order_by("uid")
    after = ""
    if sync_pass.mode == SyncMode.FULL:
        after = str((sync_pass.place or {}).get("uid", ""))
    else:
        customers = customers.filter(methods_stale=True)  # this column is also the position
    chunk: list[tuple[str, dt.datetime | None]]
    while chunk := reading(partial(list, customers.filter(uid__gt=after).values_list("uid", "synced_at")[:CHUNK])):
        yield from chunk
        after = chunk[-1][0]


def _methods_of(sync_pass: SyncPass, customer: str) -> Page:
    """Return the customer's list; empty for a deleted customer. Raises ``NotFound`` if only the list is missing."""
    endpoints, account = get_endpoints(), str(sync_pass.account_uid)
    try:
        return endpoints.list_saved_payment_methods(account, customer)
    except NotFound as missing:
        try:
            endpoints.get_customer(account, customer)
        except NotFound as gone:
            if missing.status == gone.status == 404:
                return Page(())  # the sync of customers marks the customer as deleted
        raise


def _gone(page: Page, customer: str) -> list[str]:
    """Return the uids of the customer's methods that its list lacks; empty if that list may be incomplete."""
    listed = {uid_of(item) for item in page.items}
    if None in listed or not page.is_whole:
        return []
    present = SavedPaymentMethod.objects.filter(customer=customer, deleted_at=None).order_by()
    uids: list[str] = reading(partial(list, present.values_list("uid", flat=True)))
    return [uid for uid in uids if uid not in listed]


def _still_gone(sync_pass: SyncPass, uids: Sequence[str]) -> list[str]:
    """Return the methods that are still missing. Reads their customers' lists: a method has no GET of its own."""
    rows = SavedPaymentMethod.objects.filter(uid__in=uids, customer__isnull=False).order_by("customer_id").distinct()
    gone: set[str] = set()
    customers: list[str] = reading(partial(list, rows.values_list("customer_id", flat=True)))
    for customer in customers:
        try:
            gone.update(_gone(_methods_of(sync_pass, customer), customer))
        except NotFound as error:
            sync_pass.reject(customer, str(error))
        else:
            sync_pass.commit(Saved, pages=0)  # a heartbeat
    return [uid for uid in uids if uid in gone]


def _save(sync_pass: SyncPass, page: Page, customer: str, synced_at: dt.datetime | None) -> Saved:
    extra = {**sync_pass.address, "customer_id": customer}
    saved = save_documents(mapping.SAVED_METHOD, page.items, extra=extra, quiet=sync_pass.quiet)
    # Only if the customer did not change since its methods were read.
    Customer.objects.filter(uid=customer, synced_at=synced_at).update(methods_stale=False)
    return saved

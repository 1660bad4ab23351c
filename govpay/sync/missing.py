"""Rows that the platform no longer lists. A row is marked as deleted only after its own GET returned 404."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from functools import partial
from typing import Any

from govpay.exceptions import Gone, InvalidAnswer, InvalidRequest, NotFound, OperationRefused
from govpay.sync.lists import Listing
from govpay.sync.passes import SyncPass
from govpay.sync.transactions import reading
from govpay.sync.upsert import Known, Saved, mark_deleted, read_known, save_documents

#: Number of local rows that are compared with a page at a time, in addition to the rows of the page.
CHUNK = 200

#: Errors that do not tell whether the object exists, and that a retry would not change.
UNCLEAR = (Gone, InvalidAnswer, InvalidRequest, NotFound, OperationRefused)


def last_of(uids: list[str], after: str) -> str | None:
    """The last uid that a page covers; ``None`` when its uids are not in order."""
    return uids[-1] if uids and uids[0] > after and uids == sorted(uids) else None


def settle_missing(
    listing: Listing, sync_pass: SyncPass, present: Set[str], after: str, upto: str | None
) -> Known | None:
    """Read each local row with ``after < uid <= upto`` that is not ``present`` from the platform.

    A row that the platform still has was only shifted while the list was read; it is updated instead of marked as
    deleted. Returns the known state of all rows in that range, or ``None`` when they are too many to hold at once.
    """
    rows = listing.mapper.model._default_manager.order_by("uid")
    span = sync_pass.address if upto is None else {**sync_pass.address, "uid__lte": upto}
    limit = CHUNK + len(present)
    known: Known | None = None
    while True:
        here = reading(partial(read_known, rows.filter(uid__gt=after, **span)[:limit]))
        for uid in sorted(here.keys() - present):
            if here[uid][1] is None:  # no tombstone yet
                _settle(listing, sync_pass, uid)
        if len(here) < limit:
            return here if known is None else None
        known, after = here, next(reversed(here))


def _settle(listing: Listing, sync_pass: SyncPass, uid: str) -> None:
    try:
        found = listing.read(sync_pass.account_uid, uid)
    except UNCLEAR as error:
        if isinstance(error, NotFound) and error.status == 404:
            sync_pass.commit(lambda: Saved(deleted=mark_deleted(listing.mapper.model, [uid])), pages=0)
        else:
            sync_pass.reject(uid, f"not listed, and: {error}")
    else:
        sync_pass.commit(lambda: _save(listing, sync_pass, found), pages=0)


def read_again(listing: Listing, sync_pass: SyncPass, uids: Sequence[str]) -> None:
    """Read each of these rows by itself and store it. A list may lag, so it replaces no stamp of the future (R9)."""
    for uid in uids:
        try:
            found = listing.read(sync_pass.account_uid, uid)
        except UNCLEAR as error:
            sync_pass.reject(uid, f"listed with an older time than here, and: {error}")
        else:
            sync_pass.commit(lambda found=found: _save(listing, sync_pass, found), pages=0)


def _save(listing: Listing, sync_pass: SyncPass, found: Mapping[str, Any]) -> Saved:
    return save_documents(listing.mapper, [found], extra=sync_pass.address, quiet=sync_pass.quiet)

"""Rows that the platform no longer lists. A row is marked as deleted only after its own GET returned 404.

At its end, a pass reads these rows once more and marks them together. A pass that finds too many of them stops and
marks none (faults R11).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any

from govpay.exceptions import Gone, GovPayError, InvalidAnswer, InvalidRequest, NotFound, OperationRefused
from govpay.models.base import Mirror
from govpay.sync.lists import Listing
from govpay.sync.passes import SyncPass
from govpay.sync.transactions import reading
from govpay.sync.upsert import Known, Saved, mark_deleted, read_known, save_documents

#: Number of local rows that are compared with a page at a time, in addition to the rows of the page.
CHUNK = 200

#: A pass marks so many rows as gone, or this share of the list if that is more.
MAX_GONE, MAX_GONE_SHARE = 20, 0.05

#: Errors that do not tell whether the object exists, and that a retry would not change.
UNCLEAR = (Gone, InvalidAnswer, InvalidRequest, NotFound, OperationRefused)


class TooManyGone(GovPayError):
    """A pass found more missing rows than it may mark without ``accept_gone``. The account may be misrouted."""


def note_missing(sync_pass: SyncPass, model: type[Mirror], uids: Sequence[str]) -> None:
    """Store the uids of missing rows in the cursor, to be marked at the end of the pass. Raises ``TooManyGone``.

    A pass with ``accept_gone`` marks them at once.
    """
    if not uids:
        return
    if sync_pass.accept_gone:
        sync_pass.commit(lambda: Saved(deleted=mark_deleted(model, uids)), pages=0)
        return
    missing = [*dict.fromkeys([*(sync_pass.cursor.missing or ()), *uids])]
    if _too_many(sync_pass, model, len(missing)):
        raise TooManyGone(
            f"At least {len(missing)} of {sync_pass.rows} rows are gone; none was marked. Check that the account is "
            "right, then run govpay_sync with --accept-gone to mark them."
        )
    sync_pass.commit(Saved, pages=0, missing=missing)


def _too_many(sync_pass: SyncPass, model: type[Mirror], gone: int) -> bool:
    """Return whether a pass must stop because ``gone`` rows are missing. Counts the list's rows once per pass."""
    if sync_pass.accept_gone or gone <= MAX_GONE:
        return False
    if sync_pass.rows is None:
        sync_pass.rows = reading(model._default_manager.filter(deleted_at=None, **sync_pass.address).count)
    return gone > MAX_GONE_SHARE * sync_pass.rows


def mark_missing(
    sync_pass: SyncPass, model: type[Mirror], confirm: Callable[[Sequence[str]], Sequence[str]] = list
) -> None:
    """Mark the rows that ``note_missing`` stored as deleted, at the end of the pass.

    ``confirm`` returns the uids that are still missing. Pass it if they may have been stored a while ago.
    """
    while missing := sync_pass.cursor.missing:
        work = partial(mark_deleted, model, confirm(missing[:CHUNK]))
        left = missing[CHUNK:] or None
        sync_pass.commit(lambda work=work: Saved(deleted=work()), pages=0, missing=left, place=sync_pass.place)


def still_gone(listing: Listing, sync_pass: SyncPass, uids: Sequence[str]) -> list[str]:
    """Read each row from the platform. Return the uids that it does not have; update the rows that it has."""
    return [uid for uid in uids if _is_gone(listing, sync_pass, uid)]


def last_of(uids: list[str], after: str) -> str | None:
    """Return the last uid of a page; ``None`` when the page's uids are not in order."""
    return uids[-1] if uids and uids[0] > after and uids == sorted(uids) else None


def check_missing(
    listing: Listing,
    sync_pass: SyncPass,
    present: Set[str],
    after: str,
    upto: str | None,
    place_after: Callable[[str], dict[str, Any]] | None = None,
) -> Known | None:
    """Read each local row with ``after < uid <= upto`` that is not ``present`` from the platform.

    ``place_after`` returns the position of the walk after a uid. After each chunk before the ``present`` rows, this
    position is saved. The ``present`` rows are saved later. Raises ``TooManyGone`` and ``SlotOver``.

    A row that the platform still has was only shifted while the list was read; it is updated instead of marked as
    deleted. Returns the known state of all rows in that range, or ``None`` when they are too many to hold at once.
    """
    rows = listing.mapper.model._default_manager.order_by("uid")
    span = sync_pass.address if upto is None else {**sync_pass.address, "uid__lte": upto}
    limit = CHUNK + len(present)
    known: Known | None = None
    while True:
        here = reading(partial(read_known, rows.filter(uid__gt=after, **span)[:limit]))
        absent = sorted(uid for uid in here.keys() - present if here[uid][1] is None)  # no tombstone yet
        _read_absent(listing, sync_pass, absent)
        if len(here) < limit:
            return here if known is None else None
        known, after = here, next(reversed(here))
        if place_after is not None and all(uid > after for uid in present):
            sync_pass.commit(Saved, pages=0, place=place_after(after))


def _read_absent(listing: Listing, sync_pass: SyncPass, uids: Sequence[str]) -> None:
    """Read each row from the platform, and note all missing ones together. Raises ``TooManyGone``."""
    model, noted = listing.mapper.model, {*(sync_pass.cursor.missing or ())}
    gone: list[str] = []
    try:
        for uid in uids:
            if uid not in noted and _is_gone(listing, sync_pass, uid):
                gone.append(uid)
                if _too_many(sync_pass, model, len(noted) + len(gone)):
                    break
    finally:  # also after an error, so that the next pass does not read them again
        note_missing(sync_pass, model, gone)


def _is_gone(listing: Listing, sync_pass: SyncPass, uid: str) -> bool:
    """Return whether the row's own GET returns 404. Each read writes a heartbeat, because there may be thousands."""
    try:
        found = listing.read(sync_pass.account_uid, uid)
    except UNCLEAR as error:
        if isinstance(error, NotFound) and error.status == 404:
            sync_pass.commit(Saved, pages=0)
            return True
        sync_pass.reject(uid, f"not listed, and: {error}")
    else:
        sync_pass.commit(lambda: _save(listing, sync_pass, found), pages=0)
    return False


def read_again(listing: Listing, sync_pass: SyncPass, uids: Sequence[str]) -> None:
    """Read these rows one by one and store them. A list may lag, so it must not replace future timestamps (R9)."""
    for uid in uids:
        try:
            found = listing.read(sync_pass.account_uid, uid)
        except UNCLEAR as error:
            sync_pass.reject(uid, f"listed with an older time than here, and: {error}")
        else:
            sync_pass.commit(lambda found=found: _save(listing, sync_pass, found), pages=0)


def _save(listing: Listing, sync_pass: SyncPass, found: Mapping[str, Any]) -> Saved:
    return save_documents(listing.mapper, [found], extra=sync_pass.address, quiet=sync_pass.quiet)

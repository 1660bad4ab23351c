"""One pass over one list: commits each page together with the position after it, the heartbeat and the counts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.db.models import F
from django.utils import timezone

from govpay.exceptions import GovPayError
from govpay.models import SyncCursor, SyncRun
from govpay.models.choices import RunState, SyncMode
from govpay.sync import lease
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import Saved

logger = logging.getLogger("govpay.sync")

#: Maximum number of rejected rows that a run lists. It counts all of them.
REJECTED_LISTED = 100

#: The error of a pass that read all that was sent, and cannot know whether that was the whole list.
UNPROVED = (
    "The list may be incomplete: nothing proves that the platform sent all of it. If it refuses every option and "
    'sends the whole list, name it in GOVPAY["UNPAGED_LISTS"].'
)

Progress = Callable[[SyncRun], None]


class SlotOver(GovPayError):
    """The time of this pass is over. Its position is saved, so that a later pass continues there."""


class SyncPass:
    """The state of one pass, for the function that reads the list. The owner of the lease on ``cursor`` creates it.

    ``until``: end of the pass on the monotonic clock; None for no end. ``accept_gone``: mark any number of missing rows
    as deleted.
    """

    def __init__(
        self,
        cursor: SyncCursor,
        mode: SyncMode,
        progress: Progress | None = None,
        until: float | None = None,
        *,
        accept_gone: bool = False,
    ) -> None:
        self.cursor = cursor
        self.mode = mode
        #: Whether staff said that rows and lists which are gone are really gone.
        self.accept_gone = accept_gone
        #: A first load sends no signals to the host.
        self.quiet = cursor.full_completed_at is None
        #: Whether the pass reads the whole list. The very first pass does, because it starts without rows.
        self.whole = mode == SyncMode.FULL or cursor.full_completed_at is None
        #: Whether nothing proves that the list was read to its end (faults R12).
        self.unproved = False
        #: Number of rows that are not marked as deleted. Counted when a pass finds many rows gone.
        self.rows: int | None = None
        self.run = in_transaction(self._begin)
        self._progress = progress
        self._until = until

    @property
    def account_uid(self) -> str | None:
        return self.cursor.account_id

    @property
    def address(self) -> dict[str, Any]:
        """The columns known from the request's path: the account of the documents."""
        return {"account_id": self.account_uid} if self.account_uid else {}

    @property
    def place(self) -> dict[str, Any] | None:
        """The position where the previous pass stopped. Full and incremental passes have separate positions."""
        found: dict[str, Any] | None = getattr(self.cursor, self._place)
        return found

    def commit(
        self, work: Callable[[], Saved], *, pages: int = 1, place: dict[str, Any] | None = None, **columns: Any
    ) -> None:
        """Run ``work`` and save the position ``place`` and other ``columns`` of the cursor, all in one transaction.

        Rows that ``work`` saved exist, so they are removed from the cursor's ``missing``. ``pages``: number of pages
        that were fetched for it. Raises ``LeaseLost``, and ``SlotOver`` after a ``place`` was saved.
        """
        if place is not None:
            columns[self._place] = place

        def whole() -> dict[str, Any]:
            saved = work()
            missing = columns.get("missing", self.cursor.missing)
            if missing and not saved.listed.isdisjoint(missing):
                columns["missing"] = [uid for uid in missing if uid not in saved.listed] or None
            lease.beat(self.cursor, mode=self.mode, **columns)
            counted = self._counted(saved, pages)
            if saved.rejected:
                # Saved with their page, because the next pass may not read them again.
                SyncRun.objects.filter(pk=self.run.pk).update(**counted)
            return counted

        for name, value in in_transaction(whole).items():
            setattr(self.run, name, value)
        if self._progress is not None:
            self._progress(self.run)
        # Without a place the next pass would begin again, and might never come to the end.
        if place is not None and self._until is not None and time.monotonic() >= self._until:
            raise SlotOver("Not at its end yet; the next run goes on from here.")

    def reject(self, uid: str, why: str, *, place: dict[str, Any] | None = None) -> None:
        """Report a row that could not be read, and save the ``place`` after it."""
        self.commit(lambda: Saved(rejected=[(uid, why)]), pages=0, place=place)

    def finish(self, *, not_offered: bool = False) -> None:
        """Close a pass that reached the end. ``not_offered``: the API has no such list, which is not a failure.

        If nothing proves the end, the run gets the state ``unproved``. Only a pass over the whole list clears this mark
        in the cursor.
        """
        now = timezone.now()
        columns: dict[str, Any] = {"mode": "", self._place: None, "completed_at": now, "error": ""}
        if self.whole or self.unproved:
            columns["unproved_at"] = (self.cursor.unproved_at or now) if self.unproved else None
        columns["not_offered_at"] = (self.cursor.not_offered_at or now) if not_offered else None
        if self.whole and not (not_offered and self.quiet):
            columns["full_completed_at"] = now
        if self.unproved:
            logger.warning("sync of %s for %s: %s", self.run.resource, self.account_uid or "-", UNPROVED)
            self._close(RunState.UNPROVED, UNPROVED, columns)
        else:
            self._close(RunState.SUCCEEDED, "Not offered by this API." if not_offered else "", columns)

    def fail(self, error: str, *, start_over: bool = False) -> None:
        """Close a pass that failed because of the platform or the database.

        The position is kept. With ``start_over`` the next pass begins at the top, and the stored uids of missing rows
        are dropped.
        """
        logger.warning("sync of %s for %s stopped: %s", self.run.resource, self.account_uid or "-", error)
        forgotten = {self._place: None, "missing": None} if start_over else {}
        self._close(RunState.FAILED, error, {"error": error, **forgotten})

    def interrupt(self, error: str = "") -> None:
        """Close a pass ended by a time limit, Ctrl-C or a lost lease. The next pass continues from the position."""
        self._close(RunState.INTERRUPTED, error, {})

    @property
    def _place(self) -> str:
        return "full_position" if self.mode == SyncMode.FULL else "position"

    def _begin(self) -> SyncRun:
        where = {"account_id": self.account_uid, "resource": self.cursor.resource}
        # This pass holds the lease, so runs that are still open were killed. The time of their end is not known.
        killed = SyncRun.objects.filter(**where, state=RunState.RUNNING)
        killed.update(state=RunState.INTERRUPTED, finished_at=F("started_at"))
        return SyncRun.objects.create(**where, mode=self.mode)

    def _counted(self, saved: Saved, pages: int) -> dict[str, Any]:
        run = self.run
        room = max(0, REJECTED_LISTED - len(run.rejected))
        return {
            "pages": run.pages + pages,
            "fetched": run.fetched + saved.fetched,
            "created": run.created + saved.created,
            "updated": run.updated + saved.updated,
            "unchanged": run.unchanged + saved.unchanged,
            "deleted": run.deleted + saved.deleted,
            "rejected_count": run.rejected_count + len(saved.rejected),
            "rejected": [*run.rejected, *({"uid": uid, "error": why} for uid, why in saved.rejected[:room])],
        }

    def _close(self, state: RunState, error: str, columns: dict[str, Any]) -> None:
        self.run.state, self.run.error, self.run.finished_at = state, error, timezone.now()

        def work() -> None:
            ours = SyncCursor.objects.filter(pk=self.cursor.pk, lease_token=self.cursor.lease_token)
            if columns:
                ours.update(**columns)
            self.run.save()

        in_transaction(work)

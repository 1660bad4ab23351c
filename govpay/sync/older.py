"""Decides when a document replaces a row whose stored document is newer by the platform's own timestamps.

Usually it does not, because a lagging replica of the platform must never overwrite newer data (faults W4). The
exceptions are rows that are marked as deleted, timestamps in the future, and a platform that was restored from a
backup.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from django.utils import timezone

from govpay import conf
from govpay.models.base import Mirror
from govpay.sync import clocks
from govpay.sync.mapping import Columns
from govpay.sync.transactions import RowsChangedMeanwhile


@dataclass
class Verdict:
    """What to do with documents that are older than the stored rows.

    ``replacing``: the rows to write over the stored ones. ``frozen``: uids of rows that must be read one by one,
    because the stored timestamp lies in the future and a list may lag. ``restored``: the uids in ``replacing`` that are
    set back to older content, because the platform was restored from a backup.
    """

    replacing: list[Columns] = field(default_factory=list)
    frozen: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Stored:
    """The columns of a stored row that the decision needs."""

    digest: str
    deleted_at: dt.datetime | None
    remote_updated_at: dt.datetime | None
    synced_at: dt.datetime | None
    older_digest: str
    older_seen_at: dt.datetime | None


def judge(model: type[Mirror], refused: Sequence[Columns], *, may_lag: bool) -> Verdict:
    """Return which of the older ``refused`` rows replace the stored ones.

    A row is replaced if it is marked as deleted, because the platform has it again (faults R11). It is replaced if the
    platform's clock was ahead when the stored document was stamped (faults R9), but not by a page that ``may_lag``. It
    is replaced if the platform was restored from a backup (faults R10). A restore is assumed if the same older document
    was read at least ``ABSENT_AFTER`` ago, and nothing else since. The first such read is noted in the row.

    Raises ``RowsChangedMeanwhile`` when another writer changed a row since it was read.
    """
    names = [each.name for each in fields(_Stored)]
    found = model._default_manager.filter(uid__in=[row["uid"] for row in refused]).order_by().values_list("uid", *names)
    stored = {uid: _Stored(*state) for uid, *state in found}
    verdict, now = Verdict(), timezone.now()
    absent_after = dt.timedelta(seconds=float(conf.get("ABSENT_AFTER")))
    for row in refused:
        uid = str(row["uid"])
        old = stored.get(uid)
        if old is None or old.digest != row["replaced_digest"]:
            raise RowsChangedMeanwhile(f"rows of {model._meta.label}")
        ahead = clocks.was_ahead(old.remote_updated_at, old.synced_at)
        if old.deleted_at is not None or (ahead and not may_lag):
            verdict.replacing.append(row)
        elif ahead:
            verdict.frozen.append(uid)
        elif old.older_digest != row["digest"] or old.older_seen_at is None:
            _note(model, row, now)
        elif old.older_seen_at <= now - absent_after:
            verdict.replacing.append(row)
            verdict.restored.append(uid)
    return verdict


def _note(model: type[Mirror], row: Columns, now: dt.datetime) -> None:
    """Note that this older document was read, unless another writer has changed the row."""
    same = model._default_manager.filter(uid=row["uid"], digest=row["replaced_digest"])
    same.update(older_digest=row["digest"], older_seen_at=now)


def forget(model: type[Mirror], uids: Sequence[str]) -> None:
    """Forget the older documents of these rows, because the platform has just sent the stored one again."""
    if uids:
        rows = model._default_manager.filter(uid__in=uids)
        rows.update(older_digest="", older_seen_at=None)

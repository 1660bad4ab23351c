"""Decides when a document replaces a row whose stored document is newer by the platform's own stamps.

Usually it does not, because a replica of the platform that lags must never win (faults W4).
"""

from __future__ import annotations

from collections.abc import Sequence

from govpay.models.base import Mirror
from govpay.sync import clocks
from govpay.sync.mapping import Columns
from govpay.sync.transactions import RowsChangedMeanwhile


def judge(model: type[Mirror], refused: Sequence[Columns], *, may_lag: bool) -> tuple[list[Columns], list[str]]:
    """Return the ``refused`` rows that replace the stored ones, and the uids of those that must be read by themselves.

    A row is replaced if it is marked as gone, because the platform has it again (faults R11). It is replaced if the
    platform's clock was ahead when the stored document was stamped (faults R9), but not by a page that ``may_lag``.

    Raises ``RowsChangedMeanwhile`` when another writer changed a row since it was read.
    """
    names = ("uid", "digest", "deleted_at", "remote_updated_at", "synced_at")
    found = model._default_manager.filter(uid__in=[row["uid"] for row in refused]).order_by().values_list(*names)
    stored = {uid: state for uid, *state in found}
    replacing, frozen = [], []
    for row in refused:
        digest, gone_since, stamp, written_at = stored.get(row["uid"], (None, None, None, None))
        if digest != row["replaced_digest"]:
            raise RowsChangedMeanwhile(f"rows of {model._meta.label}")
        ahead = clocks.was_ahead(stamp, written_at)
        if gone_since is not None or (ahead and not may_lag):
            replacing.append(row)
        elif ahead:
            frozen.append(str(row["uid"]))
    return replacing, frozen

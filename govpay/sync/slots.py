"""Reads several lists of one account in a row, within a limited time."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from govpay import conf
from govpay.exceptions import ConfigurationError, SyncBusy
from govpay.models.choices import RunState
from govpay.sync.pull import pull
from govpay.sync.unreachable import UNREACHABLE

logger = logging.getLogger("govpay.tasks")


def read_lists(names: Sequence[str], account_uid: str | None, *, full: bool = False) -> list[str]:
    """Read lists one after another for ``SYNC_SLOT`` seconds. Returns the lists that are left.

    Ends early if the platform does not answer for this account, because each further list would cost as much time. Then
    no list is returned; the next tick tries the others.
    """
    until = time.monotonic() + float(conf.get("SYNC_SLOT"))
    for position, name in enumerate(names):
        if position and time.monotonic() >= until:
            return list(names[position:])
        try:
            run = pull(name, account_uid, full=full, until=until)
        except SyncBusy as busy:
            logger.info("%s", busy)
            continue
        except ConfigurationError as error:
            logger.error("%s", error)
            return []
        level = logging.INFO if run.state == RunState.SUCCEEDED else logging.WARNING
        logger.log(level, "%s of %s: %s, %d rows", name, account_uid or "-", run.state, run.fetched)
        if run.state == RunState.INTERRUPTED and time.monotonic() >= until:
            return list(names[position:])
        if account_uid is not None and isinstance(run.cause, UNREACHABLE):
            return []
    return []

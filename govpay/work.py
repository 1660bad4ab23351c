"""Does the work of ticks and workers in this process, for a site without workers. Nothing is queued."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence

from govpay import operations, tasks
from govpay.doctor import heartbeats
from govpay.sync import inbox
from govpay.sync.due import TICK, next_accounts
from govpay.sync.pull import SCOPED

logger = logging.getLogger("govpay.tasks")


class Work:
    """Does everything that is due. Other processes may do the same at the same time. It may be killed at any step.

    ``stopped`` is called between the steps; when it returns true, no further step begins. ``failures`` counts the steps
    that raised an error. Such an error is logged, and the other steps still run.
    """

    def __init__(self, stopped: Callable[[], bool] = lambda: False) -> None:
        self.failures = 0
        self._stopped = stopped
        self._urgent_at = 0.0  # when the urgent steps are due again
        self._wanted: dict[str, set[str]] = {}  # lists that events ask for, by account

    def everything(self) -> None:
        """Run one tick: operations first, then events, then the lists of the accounts, the longest waiting first.

        After each account, the urgent steps run again if they are due. Reading the lists of one account ends after
        ``SYNC_SLOT`` seconds; the next call continues there.
        """
        self._urgent_at = 0.0
        self.urgent()
        self._step(tasks.read_platform_lists)
        self._step(self._read_accounts)
        self._step(tasks.purge_events)
        self._step(tasks.send_digest)

    def urgent(self) -> None:
        """Record the heartbeats, refresh the token and reconcile open operations, at most once in ``TICK``.

        Then process the events that wait; this is done at each call.
        """
        if time.monotonic() >= self._urgent_at:
            self._urgent_at = time.monotonic() + TICK.total_seconds()
            self._step(heartbeats.record_worker)
            self._step(tasks.heartbeat)
            self._step(tasks.refresh_token)
            self._step(tasks.reconcile_operations)
        self.events()

    def events(self) -> None:
        """Process the events that wait or that arrive meanwhile, for at most ``TICK``."""
        self._step(self._process_events)

    def _process_events(self) -> None:
        end = time.monotonic() + TICK.total_seconds()
        done: set[int] = set()
        slow: list[int] = []  # they come when no other event waits
        while True:
            for pk in self._new_events(end, done):
                self._step(lambda pk=pk: tasks.process(pk, sync=self._want, slow=slow.append))
            if not slow or self._stopped() or time.monotonic() >= end:
                break
            pk = slow.pop(0)
            self._step(lambda pk=pk: tasks.process(pk, sync=self._want, patient=True))
        if done:
            self._step(tasks.dispatch_signals)
        while self._wanted and time.monotonic() < end:  # the others are read next time
            uid = next(iter(self._wanted))
            names = self._wanted.pop(uid)
            self._step(lambda uid=uid, names=names: tasks.read_lists([each for each in SCOPED if each in names], uid))

    def _want(self, account_uid: str, names: Sequence[str]) -> None:
        self._wanted.setdefault(account_uid, set()).update(names)

    def _new_events(self, end: float, done: set[int]) -> Iterator[int]:
        """Each event that waits or arrives until ``end`` (of ``time.monotonic``) and is not yet in ``done``."""
        while new := [pk for pk in inbox.waiting() if pk not in done]:
            for pk in new:
                if self._stopped() or time.monotonic() >= end:
                    return
                done.add(pk)
                yield pk

    def _read_accounts(self) -> None:
        done: set[tuple[str | None, bool]] = set()
        while not self._stopped():
            waiting = [due for due in next_accounts(operations.held_since()) if (due.account_uid, due.full) not in done]
            if not waiting:
                return
            uid, names, full, _ = waiting[0]
            done.add((uid, full))
            self._step(lambda uid=uid, names=names, full=full: tasks.read_lists(names, uid, full=full))
            self.urgent()

    def _step(self, call: Callable[[], object]) -> None:
        if self._stopped():
            return
        try:
            call()
        except Exception:  # the other steps do not depend on this one
            self.failures += 1
            logger.exception("a step of govpay_work failed")

"""``manage.py govpay_work``: do all that ticks and workers do, in this process."""

from __future__ import annotations

import signal
import threading
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import close_old_connections

from govpay.management.base import PlatformCommand
from govpay.sync.due import TICK
from govpay.work import Work

#: Seconds between two looks for new events, and after a failure (the database is down, for example).
LOOK_EVERY = 1.0
REST_AFTER_FAILURE = 30.0


class Command(PlatformCommand):
    help = (
        "Do all that Celery's workers and ticks do, in this process: for a site without them. Runs until it is "
        "stopped; with --once it ends when nothing is due any more, as cron needs it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do what is due now, and end")

    def carry_out(self, options: dict[str, Any]) -> None:
        stopped = threading.Event()
        before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGTERM, signal.SIGINT)}
        work = Work(stopped.is_set)
        try:
            work.everything()
            while not options["once"] and not stopped.is_set():
                self._until_next_tick(work, stopped)
                work.everything()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if options["once"] and work.failures:
            raise CommandError(f"{work.failures} steps failed; the log tells why. Run the command again to go on.")

    def _until_next_tick(self, work: Work, stopped: threading.Event) -> None:
        end = time.monotonic() + TICK.total_seconds()
        pause = LOOK_EVERY
        while time.monotonic() < end and not stopped.wait(pause):
            close_old_connections()
            failures = work.failures
            work.events()
            pause = LOOK_EVERY if work.failures == failures else REST_AFTER_FAILURE

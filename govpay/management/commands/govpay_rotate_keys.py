"""``manage.py govpay_rotate_keys``: encrypt every stored secret with the newest of ``ENCRYPTION_KEYS``."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from govpay.exceptions import GovPayError
from govpay.operations.keys import Rotated, count_sealed, rotate_keys
from govpay.sync.secrets import wipe_replaced

#: Maximum unreadable rows that are printed for each column.
NAMED = 1000


class Command(BaseCommand):
    help = (
        "Encrypt every stored secret again with the newest (first) of GOVPAY['ENCRYPTION_KEYS']. Give all processes "
        "the new list of keys first; remove the old key after this ended with status 0. It may be stopped and "
        "run again at any time, while the site is running."
    )

    #: The command needs only the keys and the database, so wrong other settings must not stop it.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        total = count_sealed() if sys.stderr.isatty() else None
        lost = busy = 0
        try:
            wipe_replaced()  # replaced secrets are not needed, and their key may no longer exist
            with tqdm(total=total, unit=" rows", disable=total is None, leave=False) as bar:
                for columns in rotate_keys(bar.update):
                    bar.clear()
                    lost += sum(self._tell(column) for column in columns)
                    busy += sum(column.busy for column in columns)
        except GovPayError as error:
            raise CommandError(str(error)) from error
        if lost:
            raise CommandError(
                f"{lost} values cannot be read with any key and were left. Add the missing old key to the end of the "
                "list again and repeat this command, or create these secrets anew."
            )

        if busy:
            raise CommandError(
                f"{busy} values changed meanwhile, and were written with an older key: a process still has the old "
                "list of keys. Restart it and run this again."
            )

    def _tell(self, column: Rotated) -> int:
        self.stdout.write(
            f"{column.label} rewritten={column.rewritten} current={column.current} lost={len(column.lost)}"
        )
        for pk in column.lost[:NAMED]:
            self.stderr.write(f"{column.label} pk={pk} cannot be read with any key.")
        return len(column.lost)

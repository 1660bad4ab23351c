"""``manage.py govpay_restored``: hold operations after a restore until every list was read in full."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError

from govpay.management.base import PlatformCommand
from govpay.operations import begin_restore, finish_restore, reconcile, unread_lists


class Command(PlatformCommand):
    help = (
        "Run this once after the database was restored from a backup, before the site is used again. Nothing is "
        "sent to the platform until every list was read in full; refunds that the journal does not know become review "
        "items. Run it again after an interruption: it continues where it stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--release", action="store_true", help="release the operations even if a list cannot be read in full"
        )

    def carry_out(self, options: dict[str, Any]) -> None:
        begin_restore()
        self.stdout.write("Operations are held until every list was read in full.")
        try:
            call_command("govpay_sync", full=True, stdout=self.stdout, stderr=self.stderr)
        except CommandError as error:
            self.stderr.write(str(error))  # the lists that were not read are printed below
        self.stdout.write(str(reconcile()))
        unread = ", ".join(f"{name} {uid}".strip() for name, uid in unread_lists())
        if unread and not options["release"]:
            raise CommandError(f"Operations are still held. Not yet read in full: {unread}. Run the command again.")
        found = finish_restore(anyway=options["release"])
        if unread:
            self.stderr.write(f"Released although not read in full: {unread}.")
        # None means that a worker read the last list first, and so released the operations itself.
        told = "" if found is None else f" Refunds that the journal did not know: {found}."
        self.stdout.write(f"Operations are released.{told}")

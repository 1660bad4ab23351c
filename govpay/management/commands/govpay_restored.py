"""``manage.py govpay_restored``: after this site's database was restored from a backup."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError

from govpay.management.base import PlatformCommand
from govpay.operations import begin_restore, finish_restore, reconcile, unread_lists


class Command(PlatformCommand):
    help = (
        "Run this once after the database was restored from a backup, before anybody works with the site. Nothing is "
        "sent to the platform until every list was read in full; refunds that the journal does not know become review "
        "items. Run it again after an interruption: it goes on where it stopped."
    )

    def carry_out(self, options: dict[str, Any]) -> None:
        begin_restore()
        self.stdout.write("Operations are held until every list was read in full.")
        call_command("govpay_sync", full=True, stdout=self.stdout, stderr=self.stderr)
        self.stdout.write(str(reconcile()))
        found = finish_restore()
        if found is None:
            names = ", ".join(f"{name} {uid}".strip() for name, uid in unread_lists())
            raise CommandError(f"Operations stay held: not read in full yet: {names}. Run the command again.")
        self.stdout.write(f"Operations are released. Refunds that the journal did not know: {found}.")

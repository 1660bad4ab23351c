"""``manage.py govpay_sync``: read the platform's lists now, in this process or in the workers."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from govpay.connection import get_authorizer
from govpay.management.base import PlatformCommand
from govpay.management.sync_output import pull_and_print
from govpay.sync.pull import RESOURCES, account_uids
from govpay.tasks import sync_account


class Command(PlatformCommand):
    help = "Sync clients, payment accounts and all rows of these accounts from the platform."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("resources", nargs="*", metavar="RESOURCE", help=f"{' '.join(RESOURCES)}; default: all")
        parser.add_argument("--account", action="append", metavar="UID", help="only this payment account")
        parser.add_argument("--full", action="store_true", help="read all rows; mark missing ones as deleted")
        parser.add_argument("--accept-gone", action="store_true", help="like --full, however many rows are missing")
        parser.add_argument("--fan-out", action="store_true", help="queue one Celery task per account instead")

    def carry_out(self, options: dict[str, Any]) -> None:
        unknown = [name for name in options["resources"] if name not in RESOURCES]
        if unknown:
            raise CommandError(f"Unknown resource {unknown[0]!r}. Known: {', '.join(RESOURCES)}.")
        names = [name for name in RESOURCES if not options["resources"] or name in options["resources"]]
        scoped = [name for name in names if RESOURCES[name].scoped]
        accept = options["accept_gone"]
        full = options["full"] or accept
        if accept and options["fan_out"]:
            raise CommandError("Use --accept-gone without --fan-out, and watch what it marks.")
        how = {"full": full, "accept_gone": accept}
        get_authorizer().token()  # refused credentials print one error, not one for each list
        failed = sum(not pull_and_print(self, name, None, **how) for name in names if name not in scoped)
        for uid in self._accounts(options["account"]) if scoped else []:
            if options["fan_out"]:
                self._queue(uid, scoped, full)
                continue
            failed += sum(not pull_and_print(self, name, uid, **how) for name in scoped)
        if failed:
            raise CommandError(f"{failed} of the lists could not be read completely; run the command again to go on.")

    def _queue(self, uid: str, names: list[str], full: bool) -> None:
        try:
            sync_account.delay(uid, resources=names, full=full)
        except Exception as error:  # each broker raises its own exceptions
            raise CommandError(f"Not queued: the message broker cannot be reached ({type(error).__name__}).") from error
        self.stdout.write(f"queued account={uid} resources={','.join(names)}")

    def _accounts(self, wanted: list[str] | None) -> list[str]:
        known = account_uids()
        missing = [uid for uid in wanted or [] if uid not in known]
        if missing:
            raise CommandError(f"There is no payment account {missing[0]!r} here. Sync accounts first.")
        return wanted or known

"""``manage.py govpay_import_methods FILE.csv --account UID``: import processor tokens, each row only once."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from tqdm import tqdm

from govpay.management.base import PlatformCommand
from govpay.models import PaymentAccount
from govpay.operations.import_files import ALREADY, GOOD, import_file
from govpay.operations.imports import IMPORTED, REFUSED, UNKNOWN


class Command(PlatformCommand):
    help = (
        "Import existing payment methods of the processor from a CSV file with a header. Columns: "
        "customer_reference_id, type (credit or ach), token (or fingerprint); for cards last4, exp_month, exp_year "
        "(four digits), brand, bin, holder_name; for bank accounts routing_number, last4 (or account_number_suffix), "
        "account_type (checking or savings), bank_name, holder_name. Rows that are refused are written to "
        "FILE.refused.csv with the reason; correct and import that file. After a crash, run it again: "
        "imported tokens are not sent again, even if other columns of their rows were changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE.csv", type=Path)
        parser.add_argument("--account", required=True, metavar="UID", help="the payment account of the customers")
        parser.add_argument("--dry-run", action="store_true", help="check every row here and send nothing")

    def carry_out(self, options: dict[str, Any]) -> None:
        account = PaymentAccount.objects.filter(uid=options["account"], deleted_at=None).first()
        if account is None:
            raise CommandError("There is no such payment account here. Sync accounts first.")
        path: Path = options["file"]
        started = time.monotonic()
        with tqdm(desc=path.name, unit=" rows", disable=not sys.stderr.isatty(), leave=False) as bar:
            summary = import_file(account, path, dry_run=options["dry_run"], progress=bar.update)
        counts = {state: summary.count[state] for state in (IMPORTED, REFUSED, UNKNOWN, ALREADY, GOOD)}
        shown = " ".join(f"{state}={number}" for state, number in counts.items())
        self.stdout.write(f"account={account.uid} {shown} seconds={time.monotonic() - started:.1f}")
        if summary.stopped:
            raise CommandError(f"{summary.stopped} Run the command again to go on; nothing is imported twice.")
        if counts[REFUSED]:
            raise CommandError(f"{counts[REFUSED]} rows were refused: see {summary.refused_path}.")

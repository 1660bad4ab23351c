"""Sync one list for ``govpay_sync``: show a progress bar, then print the result as one line."""

from __future__ import annotations

import sys
import time

from django.core.management.base import BaseCommand
from tqdm import tqdm

from govpay.models import SyncCursor, SyncRun
from govpay.models.choices import RunState
from govpay.sync.pull import pull


def pull_and_print(command: BaseCommand, name: str, account_uid: str | None, **options: bool) -> bool:
    """Sync one list with these options of ``pull``. Print its counts or its error; return whether it succeeded."""
    started = time.monotonic()
    bar = tqdm(desc=f"{name} {account_uid or ''}".strip(), unit=" rows", disable=not sys.stderr.isatty(), leave=False)

    def advance(run: SyncRun) -> None:
        bar.update(run.fetched - bar.n)

    def waiting(cursor: SyncCursor) -> None:
        command.stderr.write(f"{name}: waiting for process {cursor.lease_pid} on {cursor.lease_host.split('/')[0]}")

    with bar:
        run = pull(name, account_uid, wait=True, progress=advance, on_wait=waiting, **options)
    command.stdout.write(
        f"{name} account={account_uid or '-'} fetched={run.fetched} created={run.created} updated={run.updated} "
        f"unchanged={run.unchanged} deleted={run.deleted} rejected={run.rejected_count} pages={run.pages} "
        f"seconds={time.monotonic() - started:.1f}"
    )
    succeeded = run.state == RunState.SUCCEEDED
    if not succeeded:
        command.stderr.write(f"{name} account={account_uid or '-'}: {run.error}")
    return succeeded

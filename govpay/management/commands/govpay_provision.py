"""``manage.py govpay_provision FILE.toml``: set up a client, its accounts, checkout and webhooks from a file."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from govpay.management.base import PlatformCommand
from govpay.operations.provision_file import LARGEST, BadFile, read_file
from govpay.operations.provision_steps import CHANGED, FAILED, LEFT, PLANNED, UNCHANGED, Step
from govpay.operations.provisioning import provision


class Command(PlatformCommand):
    help = (
        "Set up what FILE.toml describes on the platform: a client, its payment accounts, their checkout, webhooks and "
        "signing secrets. Only differences are changed. After an interruption, run it again to continue. See "
        "provision.example.toml."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE.toml", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="show what differs and send nothing")

    def carry_out(self, options: dict[str, Any]) -> None:
        path: Path = options["file"]
        try:
            with path.open("rb") as file:
                wanted = read_file(file.read(LARGEST + 1).decode("utf-8-sig"))
        except OSError as error:
            raise CommandError(f"{error.filename or path}: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise CommandError(f"{path} is not UTF-8.") from error
        except BadFile as bad:
            wrong = [f"{path}: {problem}" for problem in bad.problems or [bad]]
            raise CommandError("\n".join([*wrong, "Nothing was sent."])) from bad
        self._path = path
        self.stdout.write(f"--- platform\n+++ {path}")
        steps = provision(wanted, dry_run=options["dry_run"], tell=self._tell)
        count = Counter(step.state for step in steps)
        states = (PLANNED,) if options["dry_run"] else (CHANGED,)
        self.stdout.write(" ".join(f"{state}={count[state]}" for state in (*states, UNCHANGED, FAILED, LEFT)))
        failed = [step.name for step in steps if step.state == FAILED]
        if failed:
            raise CommandError(f"Failed: {'; '.join(failed)}. The rest is recorded; run the command again to go on.")

    def _tell(self, step: Step) -> None:
        self.stdout.write(f"@@ {step.name}: {step.state} @@")
        for change in step.changes:
            for line in change.lines():
                self.stdout.write(line)
        for note in step.notes:
            self.stderr.write(f"{self._path}: {step.path}: {step.name}: {note}")
        if step.state in (FAILED, LEFT):
            self.stderr.write(f"{self._path}: {step.path}: {step.name}: {step.why}")

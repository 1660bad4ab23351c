"""``manage.py govpay_doctor``: print the findings of all checks, each problem with a hint how to solve it."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from govpay.doctor import Level, Report, examine


class Command(BaseCommand):
    help = (
        "Check settings, token, clock, cache, worker, beat, queues, accounts, webhooks, keys and the unknown values in "
        "the platform's answers. The exit status is 1 if there is an error; warnings do not count. Changes nothing."
    )

    #: The doctor runs the system checks itself, so that a failed one does not stop the other checks.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON document, for monitoring")

    def handle(self, *args: Any, **options: Any) -> None:
        report = examine()
        if options["json"]:
            self.stdout.write(json.dumps(report.document(), indent=2))
        else:
            self._tell(report)
        if report.level is Level.ERROR:
            sys.exit(1)

    def _tell(self, report: Report) -> None:
        style = {Level.OK: self.style.SUCCESS, Level.WARNING: self.style.WARNING, Level.ERROR: self.style.ERROR}
        for finding in report.findings:
            level = style[finding.level](f"{finding.level.value:7}")
            subject = f" {finding.subject}" if finding.subject else ""
            self.stdout.write(f"{level} {finding.check}{subject}: {finding.what}")
            if finding.hint and finding.level is not Level.OK:
                self.stdout.write(f"        {finding.hint}")
        self.stdout.write(" ".join(f"{level}={count}" for level, count in report.counts.items()))

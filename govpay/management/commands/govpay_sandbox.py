"""``manage.py govpay_sandbox``: serve the sandbox on the loopback address."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

try:
    from govpay.sandbox import PortBusy, command
except ImportError:  # the [sandbox] extra is not installed
    command = None  # type: ignore[assignment]

MISSING = "The sandbox needs its extra: pip install django-govpay[sandbox]"


class Command(BaseCommand):
    help = "Serve the sandbox, a local platform, on 127.0.0.1, with a demo city or empty."
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        if command is None:
            # The extra also defines the options, so the arguments cannot be parsed without it.
            self.stderr.write(MISSING)
            sys.exit(1)
        super().run_from_argv(argv)

    def add_arguments(self, parser: CommandParser) -> None:
        if command is None:
            raise CommandError(MISSING)
        command.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            command.serve(options, self.say)
        except (PortBusy, ValueError, sqlite3.Error, OSError) as error:
            raise CommandError(str(error)) from None

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

"""What the commands share: settings are checked first, and expected errors end in one line."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from govpay import conf
from govpay.exceptions import GovPayError


class PlatformCommand(BaseCommand):
    """A command that talks to the platform. Subclasses write ``carry_out``."""

    #: The settings are checked in ``handle``, where a mistake ends in one line.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        for _, message, hint in conf.problems():
            raise CommandError(f"{message} {hint}")
        try:
            self.carry_out(options)
        except GovPayError as error:
            raise CommandError(str(error)) from error

    def carry_out(self, options: dict[str, Any]) -> None:
        """Do it. ``GovPayError`` and ``CommandError`` end in one line and exit code 1."""
        raise NotImplementedError

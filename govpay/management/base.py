"""Base class of the commands: it checks the settings first, and shows expected errors as one line."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from govpay import conf
from govpay.exceptions import GovPayError


class PlatformCommand(BaseCommand):
    """Base of the commands that talk to the platform. Subclasses implement ``carry_out``."""

    #: ``handle`` checks the settings, so that a wrong setting is shown as one line.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        for _, message, hint in conf.problems():
            raise CommandError(f"{message} {hint}")
        try:
            self.carry_out(options)
        except GovPayError as error:
            raise CommandError(" ".join(error.record.split())) from error

    def carry_out(self, options: dict[str, Any]) -> None:
        """Carry out the command. ``GovPayError`` and ``CommandError`` are shown as one line, with exit code 1."""
        raise NotImplementedError

"""``manage.py govpay_reconcile``: read the platform to find the outcome of open operations."""

from __future__ import annotations

from typing import Any

from govpay.management.base import PlatformCommand
from govpay.operations import recheck_resolved, reconcile


class Command(PlatformCommand):
    help = "Look up operations of unknown outcome, and close those whose outcome is found. Only reads the platform."

    def carry_out(self, options: dict[str, Any]) -> None:
        self.stdout.write(str(reconcile()))
        recheck_resolved()

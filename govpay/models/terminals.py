"""Card terminals. They are only read and shown."""

from __future__ import annotations

from django.db import models

from govpay.models.base import Mirror, unique_uid
from govpay.models.fields import mirror_key


class Terminal(Mirror):
    """A card reader; assumption A26."""

    account = mirror_key("govpay.PaymentAccount", related_name="terminals")
    name = models.TextField(blank=True, default="")
    serial_number = models.CharField(max_length=255, blank=True, default="")
    model = models.TextField(blank=True, default="")
    status = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        ordering = ["-remote_created_at", "-id"]
        constraints = [unique_uid("terminal")]
        indexes = [
            models.Index(fields=["account", "uid"], name="govpay_terminal_keyset"),
            models.Index(fields=["serial_number"], name="govpay_terminal_serial"),
            models.Index(fields=["-remote_created_at", "-id"], name="govpay_terminal_created"),
        ]

    def __str__(self) -> str:
        return self.name or self.serial_number or self.uid

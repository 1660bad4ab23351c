"""Card terminals. They are only read and shown."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from govpay.models.base import Mirror, unique_uid
from govpay.models.fields import mirror_key


class Terminal(Mirror):
    """A card reader; assumption A26."""

    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="terminals")
    name = models.TextField(_("name"), blank=True, default="")
    serial_number = models.CharField(_("serial number"), max_length=255, blank=True, default="")
    model = models.TextField(_("model"), blank=True, default="")
    status = models.CharField(_("status"), max_length=64, blank=True, default="")

    class Meta:
        verbose_name = _("terminal")
        verbose_name_plural = _("terminals")
        ordering = ["-remote_created_at", "-id"]
        constraints = [unique_uid("terminal")]
        indexes = [
            models.Index(fields=["account", "uid"], name="govpay_terminal_keyset"),
            models.Index(fields=["serial_number"], name="govpay_terminal_serial"),
            models.Index(fields=["-remote_created_at", "-id"], name="govpay_terminal_created"),
        ]

    def __str__(self) -> str:
        return self.name or self.serial_number or self.uid

"""Transactions: the movements of a payment's money."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from govpay.models.base import Mirror, unique_uid
from govpay.models.choices import TransactionType, label_of
from govpay.models.fields import mirror_key

#: Transactions without a date or a currency, which reports take from elsewhere, by an index.
INCOMPLETE_TRANSACTIONS = Q(remote_created_at=None) | Q(currency="")


class Transaction(Mirror):
    """One movement of a payment's money. ``amount`` is in minor units. Assumption A12."""

    payment = mirror_key("govpay.Payment", _("payment"), related_name="transactions")
    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="transactions")
    type = models.CharField(_("type"), max_length=64, blank=True, default="")
    amount = models.BigIntegerField(_("amount"), null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=8, blank=True, default="")
    status = models.CharField(_("status"), max_length=64, blank=True, default="")
    reference_id = models.CharField(_("reference"), max_length=255, blank=True, default="")
    processor_transaction_id = models.CharField(_("processor's ID"), max_length=255, blank=True, default="")
    reason = models.TextField(_("reason"), blank=True, default="")
    reason_code = models.TextField(_("reason code"), blank=True, default="")

    class Meta:
        verbose_name = _("transaction")
        verbose_name_plural = _("transactions")
        ordering = ["-remote_created_at", "-id"]
        constraints = [unique_uid("transaction")]
        indexes = [
            models.Index(fields=["account", "uid"], name="govpay_transaction_keyset"),
            models.Index(fields=["payment"], name="govpay_transaction_payment"),
            models.Index(fields=["-remote_created_at", "-id"], name="govpay_transaction_created"),
            models.Index(fields=["type", "-remote_created_at", "-id"], name="govpay_transaction_type"),
            models.Index(fields=["status", "-remote_created_at", "-id"], name="govpay_transaction_status"),
            models.Index(fields=["account", "-remote_created_at", "-id"], name="govpay_transaction_account"),
            models.Index(fields=["reference_id"], opclasses=["varchar_pattern_ops"], name="govpay_transaction_ref"),
            models.Index(fields=["amount"], name="govpay_transaction_amount"),
            models.Index(fields=["processor_transaction_id"], name="govpay_transaction_processor"),
            models.Index(fields=["account"], condition=INCOMPLETE_TRANSACTIONS, name="govpay_transaction_incomplete"),
        ]

    def __str__(self) -> str:
        return f"{label_of(self.type, TransactionType) if self.type else gettext('Transaction')} {self.uid}"

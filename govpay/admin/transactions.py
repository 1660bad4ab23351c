"""The admin of transactions: each movement of a payment's money, with the bank's reason in words."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from govpay.admin.base import MirrorAdmin
from govpay.admin.filters import AccountListFilter, known_values, linked
from govpay.admin.formatting import (
    clip,
    column,
    label_of,
    link_column,
    money_column,
    reason_of,
    text_column,
    transaction_badge,
)
from govpay.models import Transaction
from govpay.models.choices import TransactionStatus, TransactionType
from govpay.models.reasons import advice_on


@admin.register(Transaction)
class TransactionAdmin(MirrorAdmin):
    status_badge = column(_("status"))(lambda admin_, row: transaction_badge(row))
    amount_money = money_column("amount", _("amount"))
    reason_text = column(_("reason"))(lambda admin_, row: reason_of(row))
    advice = column(_("What to do"))(lambda admin_, row: " ".join(advice_on(row.type, row.reason_code)))
    processor_text = text_column("processor_transaction_id", _("processor's ID"))
    payment_link = link_column("payment", _("payment"))
    account_link = link_column("account", _("payment account"))

    list_display = (
        "kind",
        "status_badge",
        "amount_money",
        "created",
        "payment_link",
        "reason_text",
        "processor_text",
        "account_link",
    )
    list_filter = (
        known_values("type", _("type"), TransactionType),
        known_values("status", _("status"), TransactionStatus),
        AccountListFilter,
        linked("payment", _("payment")),
    )
    list_select_related = ("payment", "account")
    sortable_by = ("created",)
    date_hierarchy = "remote_created_at"
    search_fields = ("reference_id",)
    search_help_text = _(
        "UID, reference, processor's ID, amount, or anything that finds the payment. All words must match."
    )

    page_select_related = ("payment", "account")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "kind",
                    "status_badge",
                    "amount_money",
                    "payment_link",
                    "account_link",
                    "reason_text",
                    "advice",
                )
            },
        ),
        (_("Numbers"), {"fields": ("reference_id", "processor_transaction_id")}),
        MirrorAdmin.RECORD,
        MirrorAdmin.RAW,
    )

    @column(_("type"))
    def kind(self, row: Transaction) -> Any:
        return label_of(row.type, TransactionType) or clip(row.uid)

"""Hosted sessions and payment links."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from govpay.admin.base import MirrorAdmin, ReadOnlyAdmin
from govpay.admin.cells import (
    Table,
    badge,
    badge_column,
    clip,
    column,
    document_field,
    link_column,
    link_to,
    list_of,
    moment,
    moment_column,
    money_column,
)
from govpay.admin.filters import AccountFilter, known_values, linked
from govpay.models import HostedSession, Payment, PaymentLink
from govpay.models.choices import LinkState, PaymentStatus, SessionStatus
from govpay.models.money import format_money


@admin.register(HostedSession)
class HostedSessionAdmin(MirrorAdmin):
    status_badge = badge_column("status", _("status"), SessionStatus)
    amount_money = money_column("amount", _("amount"))
    expires = moment_column("expires_at", _("expires"))
    customer_link = link_column("customer", _("customer"))
    account_link = link_column("account", _("payment account"))
    metadata_document = document_field("metadata", _("metadata"))

    list_display = (
        "session",
        "status_badge",
        "amount_money",
        "created",
        "scope",
        "expires",
        "customer_link",
        "account_link",
    )
    list_filter = (
        known_values("status", _("status"), SessionStatus),
        AccountFilter,
        linked("customer", _("customer")),
    )
    list_select_related = ("customer", "account")
    sortable_by = ("created",)
    date_hierarchy = "remote_created_at"
    search_fields = ("uid__exact", "customer__exact")
    search_help_text = _("The whole UID of the session or of its customer.")

    page_select_related = ("customer", "account")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "status_badge",
                    "amount_money",
                    "scope",
                    "layout",
                    "expires_at",
                    "customer_link",
                    "account_link",
                    "metadata_document",
                )
            },
        ),
        MirrorAdmin.RECORD,
        MirrorAdmin.RAW,
    )

    @column(_("session"))
    def session(self, row: HostedSession) -> str | None:
        return clip(row.uid)

    def related_tables(self, request: HttpRequest, row: Any) -> list[Table]:
        payments = Payment.objects.filter(session=row.uid).defer("raw").order_by("-remote_created_at", "-id")[:10]
        return [
            Table(
                title=_("Payments"),
                heads=(_("Payment"), _("Created"), _("Status"), _("Total")),
                rows=[
                    (
                        link_to(p),
                        moment(p.remote_created_at),
                        badge(p.status, PaymentStatus),
                        format_money(p.total_amount, p.currency),
                    )
                    for p in payments
                ],
                empty=_("No payment is known."),
                more=(list_of(Payment, session=row.uid), _("All payments")),
                numeric=(3,),
            )
        ]


@admin.register(PaymentLink)
class PaymentLinkAdmin(ReadOnlyAdmin):
    created = moment_column("created_at", _("created"))
    expires = moment_column("expires_at", _("expires"))
    state_badge = badge_column("state", _("state"), LinkState)
    amount_money = money_column("amount", _("amount"))
    account_link = link_column("account", _("payment account"))
    customer_link = link_column("customer", _("customer"))
    payment_link = link_column("payment", _("payment"))
    session_link = link_column("session", _("hosted session"))

    list_display = (
        "link",
        "state_badge",
        "amount_money",
        "created",
        "expires",
        "payment_link",
        "customer_link",
        "account_link",
    )
    list_filter = (known_values("state", _("state"), LinkState),)
    list_select_related = ("payment", "customer", "account")
    sortable_by = ("created",)
    date_hierarchy = "created_at"
    search_fields = ("public_id__exact", "reference_id__exact")
    search_help_text = _("The whole public ID or reference.")

    page_select_related = ("account", "customer", "payment", "session", "created_by")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "state_badge",
                    "amount_money",
                    "reference_id",
                    "description",
                    "expires_at",
                    "account_link",
                    "customer_link",
                    "payment_link",
                    "session_link",
                )
            },
        ),
        (_("Record"), {"fields": ("public_id", "created_at", "creator")}),
    )

    @column(_("payment link"))
    def link(self, row: PaymentLink) -> str | None:
        return clip(row)

    @column(_("made by"))
    def creator(self, row: PaymentLink) -> str | None:
        return clip(row.created_by)

"""Customers and their saved payment methods."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from govpay.admin.base import MirrorAdmin
from govpay.admin.cells import (
    Table,
    badge,
    clip,
    column,
    label_of,
    link_column,
    link_to,
    list_of,
    method_label,
    moment,
    text_column,
)
from govpay.admin.filters import AccountFilter, ExpiryFilter, linked
from govpay.models import Customer, HostedSession, Payment, SavedPaymentMethod
from govpay.models.choices import MethodType, PaymentStatus
from govpay.models.money import format_money

#: Rows in a table on a relative's page; the rest is behind its link.
SHOWN = 10


@admin.register(Customer)
class CustomerAdmin(MirrorAdmin):
    reference = text_column("reference_id", _("reference"))
    address = text_column("email", _("email"))
    account_link = link_column("account", _("payment account"))

    list_display = ("name_or_uid", "reference", "address", "account_link", "created")
    list_filter = (AccountFilter,)
    list_select_related = ("account",)
    sortable_by = ("created",)
    date_hierarchy = "remote_created_at"
    search_fields = ("uid__exact", "reference_id__exact", "email__exact")
    search_help_text = _("The whole UID, reference or email address.")

    page_select_related = ("account",)
    fieldsets = (
        (None, {"fields": ("name", "email", "reference_id", "account_link")}),
        MirrorAdmin.RECORD,
        MirrorAdmin.RAW,
    )

    @column(_("customer"))
    def name_or_uid(self, row: Customer) -> str | None:
        return clip(row)

    def search_terms(self, term: str) -> list[str]:
        # The platform mostly keeps addresses in small letters.
        return list(dict.fromkeys([term, term.lower()])) if "@" in term else [term]

    def related_tables(self, request: HttpRequest, row: Any) -> list[Table]:
        return [self._methods(row), self._payments(row), self._sessions(row)]

    def _methods(self, row: Customer) -> Table:
        methods = SavedPaymentMethod.objects.filter(customer=row.uid).defer("raw").order_by("-id")[:SHOWN]
        return Table(
            title=_("Saved payment methods"),
            heads=(_("Method"), _("Kind"), _("Expires"), _("Default")),
            rows=[
                (
                    link_to(m, method_label(m)),
                    label_of(m.method_type, MethodType),
                    expiry(m),
                    _("Yes") if m.is_default else "",
                )
                for m in methods
            ],
            empty=_("No saved payment method is known."),
            more=(list_of(SavedPaymentMethod, customer=row.uid), _("All saved payment methods")),
        )

    def _payments(self, row: Customer) -> Table:
        payments = Payment.objects.filter(customer=row.uid).defer("raw").order_by("-remote_created_at", "-id")[:SHOWN]
        return Table(
            title=_("Latest payments"),
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
            more=(list_of(Payment, customer=row.uid), _("All payments")),
            numeric=(3,),
        )

    def _sessions(self, row: Customer) -> Table:
        sessions = HostedSession.objects.filter(customer=row.uid).only("uid", "status", "remote_created_at")
        return Table(
            title=_("Latest hosted sessions"),
            heads=(_("Session"), _("Created"), _("Status")),
            rows=[
                (link_to(s), moment(s.remote_created_at), s.status)
                for s in sessions.order_by("-remote_created_at", "-id")[:SHOWN]
            ],
            empty=_("No hosted session is known."),
            more=(list_of(HostedSession, customer=row.uid), _("All hosted sessions")),
        )


def expiry(method: SavedPaymentMethod) -> str | None:
    """``04/2027``."""
    if method.exp_year is None or method.exp_month is None:
        return None
    return f"{method.exp_month:02d}/{method.exp_year}"


@admin.register(SavedPaymentMethod)
class SavedPaymentMethodAdmin(MirrorAdmin):
    holder = text_column("holder_name", _("holder"))
    customer_link = link_column("customer", _("customer"))
    account_link = link_column("account", _("payment account"))

    list_display = (
        "method",
        "kind",
        "expires",
        "is_default",
        "holder",
        "customer_link",
        "account_link",
        "created",
    )
    list_filter = (AccountFilter, ExpiryFilter, linked("customer", _("customer")))
    list_select_related = ("customer", "account")
    sortable_by = ("created",)
    date_hierarchy = "remote_created_at"
    search_fields = ("uid__exact", "customer__exact")
    search_help_text = _("The whole UID of the method or of its customer.")

    page_select_related = ("customer", "account")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "method",
                    "kind",
                    "expires",
                    "holder_name",
                    "bank_name",
                    "account_type",
                    "is_default",
                    "customer_link",
                    "account_link",
                )
            },
        ),
        MirrorAdmin.RECORD,
        MirrorAdmin.RAW,
    )

    @column(_("method"))
    def method(self, row: SavedPaymentMethod) -> str | None:
        return method_label(row)

    @column(_("kind"))
    def kind(self, row: SavedPaymentMethod) -> Any:
        return label_of(row.method_type, MethodType)

    @column(_("expires"))
    def expires(self, row: SavedPaymentMethod) -> str | None:
        return expiry(row)

"""The admin of customers and of their saved payment methods."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, reverse
from django.utils.translation import gettext_lazy as _

from govpay.admin.base import MirrorAdmin
from govpay.admin.charges import ChargeView, charge_address
from govpay.admin.confirmations import own_url
from govpay.admin.filters import AccountListFilter, ExpiryFilter, linked
from govpay.admin.flags import badges
from govpay.admin.formatting import (
    Button,
    Table,
    badge,
    clip,
    column,
    expiry,
    label_of,
    link_column,
    link_to,
    list_of,
    method_label,
    moment,
    text_column,
)
from govpay.admin.notes import note_context, note_urls, notes_of
from govpay.admin.wallet_actions import RemoveMethodView, SetDefaultMethodView, WalletView
from govpay.models import Customer, HostedSession, Payment, PaymentLink, SavedPaymentMethod
from govpay.models.choices import LinkState, MethodType
from govpay.models.money import format_money
from govpay.models.permissions import CHARGE_CUSTOMER, MANAGE_WALLET

#: Maximum rows in a table on a customer's page. A link below the table leads to all rows.
RELATED_ROWS_LIMIT = 10


@admin.register(Customer)
class CustomerAdmin(MirrorAdmin):
    reference = text_column("reference_id", _("reference"))
    address = text_column("email", _("email"))
    account_link = link_column("account", _("payment account"))

    list_display = ("name_or_uid", "reference", "address", "account_link", "created")
    list_filter = (AccountListFilter,)
    list_select_related = ("account",)
    sortable_by = ("created",)
    date_hierarchy = "remote_created_at"
    search_fields = ("search_name",)
    search_help_text = _(
        "Name, email address, last four digits, UID, or a reference or its start. All words must match."
    )

    page_select_related = ("account",)
    fieldsets = (
        (None, {"fields": ("name", "email", "reference_id", "account_link")}),
        MirrorAdmin.RECORD,
        MirrorAdmin.RAW,
    )

    @column(_("customer"))
    def name_or_uid(self, row: Customer) -> str | None:
        return clip(row)

    def get_urls(self) -> list[URLPattern]:
        return [
            own_url(self, "charge/", "govpay_customer_charge", ChargeView.as_view(admin=self)),
            own_url(self, "<int:pk>/wallet/", "govpay_customer_wallet", WalletView.as_view(admin=self)),
            *note_urls(self),
            *super().get_urls(),
        ]

    def list_tools(self, request: HttpRequest) -> list[tuple[Any, str]]:
        if not request.user.has_perm(CHARGE_CUSTOMER):
            return []
        return [(_("Charge a saved payment method"), reverse("admin:govpay_customer_charge"))]

    def page_context(self, request: HttpRequest, row: Customer) -> dict[str, Any]:
        notes = note_context(request, row)
        if row.deleted_at:
            return notes
        links, buttons = [], []
        if request.user.has_perm(CHARGE_CUSTOMER):
            links.append((_("Charge a saved payment method"), charge_address(row)))
        if request.user.has_perm(MANAGE_WALLET):
            buttons.append(Button(_("Add or change methods"), reverse("admin:govpay_customer_wallet", args=[row.pk])))
        return {**notes, "links": links, "buttons": buttons}

    def related_tables(self, request: HttpRequest, row: Any) -> list[Table]:
        tables = (self._methods, self._payments, notes_of, self._links, self._sessions)
        return [each(row, request.user) for each in tables]

    def _methods(self, row: Customer, user: Any) -> Table:
        visible = SavedPaymentMethod.objects.visible_to(user).filter(customer=row.uid)
        methods = visible.defer("raw").order_by("-id")[:RELATED_ROWS_LIMIT]
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

    def _payments(self, row: Customer, user: Any) -> Table:
        visible = Payment.objects.visible_to(user).filter(customer=row.uid)
        payments = visible.defer("raw").with_fee_preview().order_by("-remote_created_at", "-id")[:RELATED_ROWS_LIMIT]
        return Table(
            title=_("Latest payments"),
            heads=(_("Payment"), _("Created"), _("Status"), _("Total")),
            rows=[
                (
                    link_to(p),
                    moment(p.remote_created_at),
                    badges(p),
                    format_money(p.total_amount, p.currency),
                )
                for p in payments
            ],
            empty=_("No payment is known."),
            more=(list_of(Payment, customer=row.uid), _("All payments")),
            numeric=(3,),
        )

    def _links(self, row: Customer, user: Any) -> Table:
        links = PaymentLink.objects.visible_to(user).filter(customer=row.uid).order_by("-id")[:RELATED_ROWS_LIMIT]
        return Table(
            title=_("Latest payment links"),
            heads=(_("Payment link"), _("Created"), _("State"), _("Amount")),
            rows=[
                (link_to(x), moment(x.created_at), badge(x.state, LinkState), format_money(x.amount, x.currency))
                for x in links
            ],
            empty=_("No payment link was made."),
            numeric=(3,),
        )

    def _sessions(self, row: Customer, user: Any) -> Table:
        visible = HostedSession.objects.visible_to(user).filter(customer=row.uid)
        sessions = visible.only("uid", "status", "remote_created_at")
        return Table(
            title=_("Latest hosted sessions"),
            heads=(_("Session"), _("Created"), _("Status")),
            rows=[
                (link_to(s), moment(s.remote_created_at), s.status)
                for s in sessions.order_by("-remote_created_at", "-id")[:RELATED_ROWS_LIMIT]
            ],
            empty=_("No hosted session is known."),
            more=(list_of(HostedSession, customer=row.uid), _("All hosted sessions")),
        )


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
    list_filter = (AccountListFilter, ExpiryFilter, linked("customer", _("customer")))
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

    def get_urls(self) -> list[URLPattern]:
        name = "govpay_savedpaymentmethod"
        return [
            own_url(self, "<int:pk>/remove/", f"{name}_remove", RemoveMethodView.as_view(admin=self)),
            own_url(self, "<int:pk>/default/", f"{name}_default", SetDefaultMethodView.as_view(admin=self)),
            *super().get_urls(),
        ]

    def page_context(self, request: HttpRequest, row: SavedPaymentMethod) -> dict[str, Any]:
        if row.deleted_at or row.customer is None:
            return {}
        links, buttons = [], []
        if request.user.has_perm(CHARGE_CUSTOMER):
            links.append((_("Charge this method"), charge_address(row.customer, row)))
        if request.user.has_perm(MANAGE_WALLET):
            links.append((_("Remove"), reverse("admin:govpay_savedpaymentmethod_remove", args=[row.pk])))
            if not row.is_default:
                address = reverse("admin:govpay_savedpaymentmethod_default", args=[row.pk])
                buttons.append(Button(_("Make it the default"), address))
        return {"links": links, "buttons": buttons}

    @column(_("method"))
    def method(self, row: SavedPaymentMethod) -> str | None:
        return method_label(row)

    @column(_("kind"))
    def kind(self, row: SavedPaymentMethod) -> Any:
        return label_of(row.method_type, MethodType)

    @column(_("expires"))
    def expires(self, row: SavedPaymentMethod) -> str | None:
        return expiry(row)

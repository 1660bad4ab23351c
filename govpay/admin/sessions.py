"""The admin of hosted sessions, with *End this session*."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django.utils.translation import gettext_lazy as _

from govpay import operations
from govpay.admin.base import MirrorAdmin
from govpay.admin.confirmation_views import ConfirmationView
from govpay.admin.confirmations import own_url
from govpay.admin.filters import AccountListFilter, known_values, linked
from govpay.admin.formatting import (
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
    payment_badge,
    relative,
)
from govpay.models import HostedSession, Payment
from govpay.models.choices import SessionStatus
from govpay.models.money import format_money
from govpay.operations import staff


class EndSessionView(ConfirmationView):
    """End the session on the platform. Afterwards nobody can pay in it."""

    title = _("End this session?")
    consequence = _("Nobody can use its page any more, also not somebody who has it open. This cannot be undone.")
    button = _("End this session")

    def is_allowed(self) -> bool:
        return any(staff.may_open(self.request.user, scope) for scope in ("payment", "wallet"))

    def rows(self) -> Any:
        return HostedSession.objects.visible_to(self.request.user).select_related("customer", "account")

    def load(self) -> HttpResponse | None:
        super().load()
        if not staff.may_end(self.request.user, self.row):
            raise PermissionDenied
        return None

    def context(self) -> dict[str, Any]:
        row = self.row
        table = Table(
            title=_("Hosted session"),
            heads=(_("Session"), _("Amount"), _("Customer"), _("Payment account"), _("Expires"), _("Status")),
            rows=[
                (
                    link_to(row, clip(row.uid)),
                    format_money(row.amount, row.currency),
                    relative(row, "customer"),
                    relative(row, "account"),
                    moment(row.expires_at),
                    badge(row.status, SessionStatus),
                )
            ],
            numeric=(1,),
        )
        return {"doable": row.status == SessionStatus.ACTIVE, "tables": [table]}

    def execute(self) -> tuple[int, Any]:
        operations.expire_hosted_session(session=self.row, actor=self.request.user)
        return messages.SUCCESS, _("The session has ended.")


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
        AccountListFilter,
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

    def get_urls(self) -> list[URLPattern]:
        return [
            own_url(self, "<int:pk>/expire/", "govpay_hostedsession_expire", EndSessionView.as_view(admin=self)),
            *super().get_urls(),
        ]

    def page_context(self, request: HttpRequest, row: HostedSession) -> dict[str, Any]:
        if row.status != SessionStatus.ACTIVE or not staff.may_end(request.user, row):
            return {}
        address = reverse("admin:govpay_hostedsession_expire", args=[row.pk])
        return {"links": [(_("End this session"), address)]}

    def related_tables(self, request: HttpRequest, row: Any) -> list[Table]:
        visible = Payment.objects.visible_to(request.user).filter(session=row.uid)
        payments = visible.defer("raw").with_fee_preview().order_by("-remote_created_at", "-id")[:10]
        return [
            Table(
                title=_("Payments"),
                heads=(_("Payment"), _("Created"), _("Status"), _("Total")),
                rows=[
                    (
                        link_to(p),
                        moment(p.remote_created_at),
                        payment_badge(p),
                        format_money(p.total_amount, p.currency),
                    )
                    for p in payments
                ],
                empty=_("No payment is known."),
                more=(list_of(Payment, session=row.uid), _("All payments")),
                numeric=(3,),
            )
        ]

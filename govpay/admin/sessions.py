"""Hosted sessions, and ending one by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.translation import gettext_lazy as _

from govpay import operations
from govpay.admin.base import MirrorAdmin
from govpay.admin.confirmations import own_url
from govpay.admin.filters import AccountListFilter, known_values, linked
from govpay.admin.formatting import (
    Button,
    Table,
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
    page_of,
    payment_badge,
)
from govpay.exceptions import GovPayError
from govpay.models import HostedSession, Payment
from govpay.models.choices import SessionStatus
from govpay.models.money import format_money
from govpay.operations import staff


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
            own_url(self, "<int:pk>/expire/", "govpay_hostedsession_expire", self.expire_view),
            *super().get_urls(),
        ]

    def page_context(self, request: HttpRequest, row: HostedSession) -> dict[str, Any]:
        if row.status != SessionStatus.ACTIVE or not staff.may_end(request.user, row):
            return {}
        address = reverse("admin:govpay_hostedsession_expire", args=[row.pk])
        return {"buttons": [Button(_("End this session"), address)]}

    def expire_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """POST only: nobody can pay in it any more."""
        if not any(staff.may_open(request.user, scope) for scope in ("payment", "wallet")):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        session = HostedSession.objects.visible_to(request.user).filter(pk=pk).first()
        if session is None:
            raise Http404
        if not staff.may_end(request.user, session):
            raise PermissionDenied
        try:
            operations.expire_hosted_session(session=session, actor=request.user)
        except GovPayError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, _("The session has ended."), messages.SUCCESS)
        return HttpResponseRedirect(page_of(session))

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

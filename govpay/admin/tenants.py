"""The admin of clients and payment accounts, with *Sync now*."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.translation import gettext_lazy as _

from govpay.admin.base import MirrorAdmin
from govpay.admin.confirmation_views import ConfirmationView
from govpay.admin.confirmations import chosen_ids, own_url
from govpay.admin.doctor import doctor_tools
from govpay.admin.filters import ClientListFilter
from govpay.admin.formatting import (
    Table,
    clip,
    column,
    document_field,
    link_column,
    link_to,
    list_of,
    moment,
    text_column,
)
from govpay.admin.health import health_of
from govpay.admin.setup import CreateClientView, CreatePaymentAccountView, SetupStepView, may_create, setup_view
from govpay.models import Client, Customer, Payment, PaymentAccount, SyncCursor, SyncRun, Transaction
from govpay.models.money import format_money
from govpay.models.permissions import PROVISION_ACCOUNT, SYNC_NOW

logger = logging.getLogger("govpay.admin")

#: Maximum payment accounts on one confirmation page.
MAX_ACCOUNTS = 100
#: The platform's limits have no currency; the vendor's samples are in dollars (assumption A27).
LIMIT_CURRENCY = "USD"


@admin.register(Client)
class ClientAdmin(MirrorAdmin):
    number = text_column("customer_id", _("customer ID"))
    zone = text_column("timezone", _("time zone"))
    domain = text_column("subdomain", _("subdomain"))

    list_display = ("label", "number", "domain", "zone", "created")
    search_fields = ("uid__exact",)
    search_help_text = _("The whole UID.")

    fieldsets = (
        (None, {"fields": ("name", "customer_id", "subdomain", "timezone")}),
        MirrorAdmin.RECORD,
        MirrorAdmin.RAW,
    )

    def get_urls(self) -> list[URLPattern]:
        create = own_url(self, "create/", "govpay_client_create", CreateClientView.as_view(admin=self))
        return [create, *super().get_urls()]

    def list_tools(self, request: HttpRequest) -> list[tuple[Any, str]]:
        if not may_create(request):
            return []
        return [(_("Create a client"), reverse("admin:govpay_client_create"))]

    @column(_("client"))
    def label(self, row: Client) -> str | None:
        return clip(row)

    def related_tables(self, request: HttpRequest, row: Any) -> list[Table]:
        visible = PaymentAccount.objects.visible_to(request.user).filter(client=row.uid)
        accounts = visible.only("uid", "name", "processor", "active")
        return [
            Table(
                title=_("Payment accounts"),
                heads=(_("Payment account"), _("Processor"), _("Active")),
                rows=[
                    (link_to(a), clip(a.processor), _("Yes") if a.active else _("No"))
                    for a in accounts.order_by("name", "id")[:50]
                ],
                empty=_("No payment account is known."),
                more=(list_of(PaymentAccount, client=row.uid), _("All payment accounts of this client")),
            )
        ]


class SyncNowView(ConfirmationView):
    """Ask for confirmation on GET, and queue one task per account on POST."""

    permission = SYNC_NOW
    title = _("Sync these payment accounts now?")
    consequence = _("A worker reads what has changed on the platform since the last time. Nothing is changed there.")
    button = _("Sync now")
    accounts: list[PaymentAccount]

    def load(self) -> HttpResponse | None:
        self.ids = chosen_ids(self.request)[:MAX_ACCOUNTS]
        visible = PaymentAccount.objects.visible_to(self.request.user).filter(pk__in=self.ids)
        self.accounts = list(visible.only("uid", "name", "active"))
        if self.accounts:
            return None
        messages.error(self.request, _("Choose the payment accounts in the list first."))
        return HttpResponseRedirect(self.back())

    def back(self) -> str:
        return list_of(PaymentAccount)

    def context(self) -> dict[str, Any]:
        table = Table(
            title=_("Payment accounts"),
            heads=(_("Payment account"), _("Active")),
            rows=[(link_to(a), _("Yes") if a.active else _("No")) for a in self.accounts],
        )
        return {"tables": [table], "missing": len(self.ids) - len(self.accounts)}

    def run(self) -> HttpResponse:
        # Imported here: Celery would take a third of the app's start time in each process that has an admin.
        from govpay import tasks  # noqa: PLC0415

        queued = []
        for account in self.accounts:
            try:
                tasks.sync_account.delay(account.uid)
            except Exception:
                # Each broker raises its own exceptions; any exception means that nothing was queued.
                logger.warning("a sync of %s could not be queued", account.uid, exc_info=True)
                text = _("Not queued: the message broker cannot be reached. Is it running?")
                messages.error(self.request, text)
                break
            queued.append(str(account))
        if queued:
            text = _("Queued for a worker: %(accounts)s. See the sync runs for what comes of it.")
            messages.success(self.request, text % {"accounts": ", ".join(queued)})
        return HttpResponseRedirect(self.back())


@admin.register(PaymentAccount)
class PaymentAccountAdmin(MirrorAdmin):
    processor_text = text_column("processor", _("processor"))
    merchant = text_column("external_merchant_id", _("external merchant ID"))
    client_link = link_column("client", _("client"))
    origins = document_field("allowed_origins", _("allowed origins"))

    list_display = (
        "label",
        "client_link",
        "processor_text",
        "merchant",
        "active",
        "enable_credit_card",
        "enable_ach",
        "webhook_enabled",
    )
    list_filter = (ClientListFilter,)
    list_select_related = ("client",)
    search_fields = ("uid__exact",)
    search_help_text = _("The whole UID.")
    actions = ("sync_now",)

    change_form_template = "govpay/admin/account_change_form.html"
    page_select_related = ("client",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "name",
                    "client_link",
                    "active",
                    "processor",
                    "external_account_id",
                    "external_merchant_id",
                )
            },
        ),
        (_("Payments"), {"fields": ("enable_credit_card", "enable_ach", "smallest", "largest")}),
        (_("Webhooks"), {"fields": ("webhook_enabled", "callback_url", "origins", "secret_fetched", "refused_late")}),
        MirrorAdmin.RECORD,
        MirrorAdmin.RAW,
    )

    @column(_("payment account"))
    def label(self, row: PaymentAccount) -> str | None:
        return clip(row)

    @column(_("webhook secret read"))
    def secret_fetched(self, row: PaymentAccount) -> str | None:
        return moment(row.webhook_secret_fetched_at)

    @column(_("deliveries refused as too old"))
    def refused_late(self, row: PaymentAccount) -> str:
        from govpay.sync import inbox  # noqa: PLC0415 - keeps it out of each process's start

        count = inbox.stale_count(row.uid)
        return str(_("%(count)d in a week; the sync reads their changes") % {"count": count}) if count else "0"

    @column(_("smallest payment"))
    def smallest(self, row: PaymentAccount) -> str:
        return format_money(row.minimum_payment_amount, LIMIT_CURRENCY)

    @column(_("largest payment"))
    def largest(self, row: PaymentAccount) -> str:
        return format_money(row.maximum_payment_amount, LIMIT_CURRENCY)

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        links = [
            (list_of(model, account=row.uid), model._meta.verbose_name_plural)
            for model in (Payment, Transaction, Customer, SyncRun)
        ]
        context: dict[str, Any] = {"account_links": links}
        if request.user.has_perm(PROVISION_ACCOUNT) and not row.deleted_at:
            context["setup_url"] = reverse("admin:govpay_paymentaccount_setup", args=[row.pk])
        if self.has_sync_permission(request):
            context["sync_url"] = f"{reverse('admin:govpay_paymentaccount_sync')}?ids={row.pk}"
        return context

    def related_tables(self, request: HttpRequest, row: Any) -> list[Table]:
        visible = SyncCursor.objects.visible_to(request.user).filter(account=row.uid)
        found = visible.defer("position", "watermark").order_by("resource")
        cursors = list(found[:50])
        return [
            health_of(row, cursors, request.user),
            Table(
                title=_("Lists that are synced"),
                heads=(_("List"), _("Last success"), _("Last attempt"), _("Error")),
                rows=[
                    (
                        link_to(cursor, cursor.resource),
                        moment(cursor.completed_at),
                        moment(cursor.attempted_at),
                        clip(cursor.error, 200),
                    )
                    for cursor in cursors
                ],
                empty=_("Nothing was synced yet."),
            ),
        ]

    # Sync now

    def get_urls(self) -> list[URLPattern]:
        name = "govpay_paymentaccount"
        return [
            own_url(self, "sync/", f"{name}_sync", SyncNowView.as_view(admin=self)),
            own_url(self, "create/", f"{name}_create", CreatePaymentAccountView.as_view(admin=self)),
            own_url(self, "<int:pk>/setup/", f"{name}_setup", partial(setup_view, self)),
            own_url(self, "<int:pk>/setup/<slug:step>/", f"{name}_setup_step", SetupStepView.as_view(admin=self)),
            *super().get_urls(),
        ]

    def list_tools(self, request: HttpRequest) -> list[tuple[Any, str]]:
        create = (_("Create a payment account"), reverse("admin:govpay_paymentaccount_create"))
        return [*([create] if may_create(request) else []), *doctor_tools(request)]

    def has_sync_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(SYNC_NOW))

    @admin.action(permissions=["sync"], description=_("Sync selected payment accounts now…"))
    def sync_now(self, request: HttpRequest, queryset: QuerySet[PaymentAccount]) -> HttpResponse | None:
        ids = ",".join(str(pk) for pk in queryset.values_list("pk", flat=True)[:MAX_ACCOUNTS])
        return HttpResponseRedirect(f"{reverse('admin:govpay_paymentaccount_sync')}?ids={ids}")

"""The admin of payments: list, actions, and a page with the payment's transactions and operations."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from govpay.admin.actions import ACTIONS, assess, open_operations
from govpay.admin.base import MirrorAdmin
from govpay.admin.changelist import SummingPaginator
from govpay.admin.charge_confirmations import Charge, ChargeConfirmation, TakeBackView
from govpay.admin.confirmations import MAX_ROWS, PaymentConfirmationView, own_url
from govpay.admin.filters import (
    AccountListFilter,
    BacklogFilter,
    BrandFilter,
    DisputedFilter,
    FlagListFilter,
    NotedFilter,
    PaymentStatusFilter,
    RefundedFilter,
    WaitingFilter,
    known_values,
    linked,
)
from govpay.admin.flags import ClearFlagView, badges, flag_alert
from govpay.admin.formatting import (
    EMPTY,
    Table,
    clip,
    column,
    dealt_with,
    link_column,
    method_label,
    moment,
    payment_badge,
    relative,
)
from govpay.admin.history import history_of
from govpay.admin.link_payments import link_paid, with_link
from govpay.admin.messages import open_operation_alert
from govpay.admin.notes import note_context, note_urls
from govpay.admin.overview import report_tools
from govpay.admin.payment_tables import PaymentRows, technical_tables
from govpay.admin.ranges import AmountFilter, DayFilter
from govpay.admin.report_urls import report_urls
from govpay.admin.review import review_tools
from govpay.models import Operation, Payment
from govpay.models.choices import MethodType, OperationAction, PaymentStatus
from govpay.models.money import format_money
from govpay.models.reasons import DECLINE, advice_on, reason_in_words
from govpay.operations import staff

#: Maximum transactions, and maximum operations, shown on a payment's page.
RELATED_ROWS_LIMIT = 50


@admin.register(Payment)
class PaymentAdmin(MirrorAdmin):
    account_link = link_column("account", _("payment account"))
    customer_link = link_column("customer", _("customer"))
    session_link = link_column("session", _("hosted session"))

    list_display = ("payment", "payer", "status_badge", "method", "total_money", "created", "account_link")
    list_filter = (
        PaymentStatusFilter,
        FlagListFilter,
        BacklogFilter,
        WaitingFilter,
        DayFilter,
        AmountFilter,
        AccountListFilter,
        known_values("method_type", _("method"), MethodType),
        BrandFilter,
        RefundedFilter,
        DisputedFilter,
        NotedFilter,
        linked("customer", _("customer")),
        linked("session", _("hosted session")),
    )
    list_select_related = ("account", "customer", "saved_method")
    sortable_by = ("created",)
    date_hierarchy = "remote_created_at"
    search_fields = ("search_reference",)
    search_help_text = _(
        "Payer's name or email address, last four digits, amount such as 51.86, UID, processor's ID, or a reference or "
        "its start. All words must match."
    )
    paginator_class = SummingPaginator
    actions = ("capture_payments", "refund_payments", "void_payments")

    change_form_template = "govpay/admin/payment_change_form.html"
    page_select_related = ("account", "customer", "saved_method", "session", "flag_movement")
    fieldsets = (
        (None, {"fields": ("reference_id", "session_link")}),
        # The facts above show the other times.
        (_("Record"), {"fields": ("uid", "remote_updated_at", "synced_at", "mended")}),
        MirrorAdmin.RAW,
    )

    # Columns

    @column(_("payment"))
    def payment(self, row: Payment) -> str | None:
        return clip(row.__dict__.get("link_reference")) or clip(row)

    @column(_("status"))
    def status_badge(self, row: Payment) -> str | None:
        return badges(row)

    @column(_("method"))
    def method(self, row: Payment) -> str | None:
        return method_label(row)

    @column(_("payer"))
    def payer(self, row: Payment) -> str | None:
        """Return the customer, or the name on the card or bank account, and below it the payment link that was paid."""
        name, link = relative(row, "customer") or clip(row.holder_name), link_paid(row)
        return format_html('{}<small class="govpay-below">{}</small>', name or EMPTY, link) if link else name

    @column(_("total"))
    def total_money(self, row: Payment) -> str | None:
        total = format_money(row.total_amount, row.currency)
        if not row.refunded_amount:
            return total
        refunded = _("%(amount)s refunded") % {"amount": format_money(row.refunded_amount, row.currency)}
        return format_html('{}<small class="govpay-below">{}</small>', total, refunded)

    # Actions. They only redirect to the confirmation pages.

    def get_urls(self) -> list[URLPattern]:
        own = [
            own_url(
                self,
                f"{action.name}/",
                f"govpay_payment_{action.name}",
                PaymentConfirmationView.as_view(admin=self, action=action),
            )
            for action in ACTIONS
        ]
        charge = own_url(self, "charge/", "govpay_payment_charge", ChargeConfirmation.as_view(admin=self))
        back = own_url(self, "charge/take-back/", "govpay_payment_take_back", TakeBackView.as_view(admin=self))
        clear = own_url(self, "<int:pk>/lower-flag/", "govpay_payment_clear_flag", ClearFlagView.as_view(admin=self))
        return [*own, charge, back, clear, *report_urls(self), *note_urls(self), *super().get_urls()]

    def list_tools(self, request: HttpRequest) -> list[tuple[Any, str]]:
        return [*review_tools(request), *report_tools(request)]

    def has_capture_permission(self, request: HttpRequest) -> bool:
        return staff.may(request.user, OperationAction.CAPTURE)

    def has_refund_permission(self, request: HttpRequest) -> bool:
        return staff.may(request.user, OperationAction.REFUND)

    def has_void_permission(self, request: HttpRequest) -> bool:
        return staff.may(request.user, OperationAction.VOID)

    @admin.action(permissions=["capture"], description=_("Capture selected payments…"))
    def capture_payments(self, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponse | None:
        return self.lead_to("capture", request, queryset)

    @admin.action(permissions=["refund"], description=_("Refund selected payments…"))
    def refund_payments(self, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponse | None:
        return self.lead_to("refund", request, queryset)

    @admin.action(permissions=["void"], description=_("Void selected payments…"))
    def void_payments(self, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponse | None:
        return self.lead_to("void", request, queryset)

    def lead_to(self, action: str, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponse | None:
        """Redirect to the confirmation page of the ticked rows. Refuse "select all": nobody can review so many rows."""
        ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if request.POST.get("select_across") == "1" or len(ticked) > MAX_ROWS:
            text = _("Tick the payments one by one or a page at a time, %(most)d at most.")
            self.message_user(request, text % {"most": MAX_ROWS}, messages.ERROR)
            return None
        ids = ",".join(str(pk) for pk in queryset.values_list("pk", flat=True)[:MAX_ROWS])
        return HttpResponseRedirect(f"{reverse(f'admin:govpay_payment_{action}')}?ids={ids}")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        return with_link(rows.with_fee_preview(), request.user)

    # The payment's page

    def get_page_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_page_queryset(request)
        found: QuerySet[Any] = rows.with_pending_refunds().with_refunds_before()
        return found

    def page_context(self, request: HttpRequest, row: Payment) -> dict[str, Any]:
        waiting = open_operations([row])
        raised = flag_alert(row, request.user)
        return {
            **note_context(request, row),
            "alerts": [*([raised] if raised else []), *map(open_operation_alert, waiting.values())],
            "subtitle": row.__dict__.get("link_reference") or str(row),
            "status_badge": payment_badge(row),
            "amounts": self._amounts(row),
            "facts": self._facts(row),
            "available_actions": self._available_actions(request, row, waiting),
            "tables_first": True,
            "technical_tables": technical_tables(row, self._about(request, row)),
        }

    def _amounts(self, row: Payment) -> list[tuple[Any, str, str]]:
        """Return the lines of the amounts table: label, formatted amount, CSS class."""
        lines: list[tuple[Any, int | None, str]] = [
            (_("Base"), row.base_amount, ""),
            (_("Tax"), row.tax_amount, ""),
            (_("Convenience fee"), row.processing_fee_amount, ""),
            (_("Total"), row.total_amount, "govpay-sum"),
            (_("Refunded"), row.refunded_amount, ""),
        ]
        pending = row.__dict__.get("pending_refunds")
        if pending:
            lines.append((_("Refunds under way"), pending, ""))
        lines.append((_("Left to refund"), row.refundable_amount, "govpay-sum"))
        return [(label, format_money(amount, row.currency), weight) for label, amount, weight in lines]

    def _facts(self, row: Payment) -> list[tuple[Any, Any]]:
        facts = [
            (_("Payment link"), link_paid(row)),
            (_("Customer"), relative(row, "customer")),
            (_("Payment account"), relative(row, "account")),
            (_("Method"), method_label(row)),
            (_("Saved payment method"), relative(row, "saved_method")),
            (_("Created"), moment(row.remote_created_at)),
            (_("Captured"), moment(row.captured_at)),
            (_("Declined"), reason_in_words(DECLINE, row.decline_code)),
            (_("What to do"), " ".join(advice_on(DECLINE, row.decline_code))),
            (_("No longer on the platform since"), moment(row.deleted_at)),
            (_("Marked as dealt with"), dealt_with(row, "flag")),
        ]
        if row.status == PaymentStatus.VALIDATED:
            until = _("Ends by itself") if row.is_fee_preview else _("Can be captured until")
            facts.append((until, moment(row.capturable_until)))
        return [(label, value) for label, value in facts if value]

    def _available_actions(
        self, request: HttpRequest, row: Payment, waiting: dict[str, Operation]
    ) -> list[dict[str, Any]]:
        """Return the buttons of the actions that this user may do; a disabled button has a reason."""
        own = row.is_fee_preview and staff.may_confirm(request.user, row)
        actions = (Charge(request.user), *ACTIONS) if own else ACTIONS
        return [
            {
                "label": action.button,
                "url": f"{reverse(f'admin:govpay_payment_{action.name}')}?ids={row.pk}",
                "reason": assess(action, [row], waiting)[0].reason,
            }
            for action in actions
            if action.is_allowed(request.user)
        ]

    def related_tables(self, request: HttpRequest, row: Payment) -> list[Table]:
        return [history_of(row, request.user, _("What happened"), self._about(request, row))]

    def _about(self, request: HttpRequest, row: Payment) -> PaymentRows:
        """Return the rows about the payment. They are read once for a page."""
        found: PaymentRows | None = getattr(request, "govpay_payment_rows", None)
        if found is None or found.payment_pk != row.pk:
            found = PaymentRows.read(row, request.user)
            request.govpay_payment_rows = found  # type: ignore[attr-defined]
        return found

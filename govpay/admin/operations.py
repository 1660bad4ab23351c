"""The admin of the journal: each operation, who requested it, and its outcome."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html_join
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from govpay import operations
from govpay.admin.base import ReadOnlyAdmin
from govpay.admin.confirmations import own_url
from govpay.admin.filters import AccountListFilter, PersonFilter, known_values, linked
from govpay.admin.formatting import (
    action_label,
    badge_column,
    clip,
    column,
    dealt_with,
    link_column,
    moment,
    moment_column,
    money_column,
    text_column,
)
from govpay.admin.messages import open_operation_alert
from govpay.admin.review import (
    DealtWithView,
    ResolveView,
    list_view,
    operation_alert,
    resolve_links,
    review_tools,
)
from govpay.models import Operation
from govpay.models.choices import OperationAction, OperationState
from govpay.models.people import name_of
from govpay.operations import staff


def retry_links(row: Operation, user: Any) -> list[tuple[Any, str]]:
    """Return the *Try again* link to the confirmation page, for a capture, refund or void that was not executed."""
    if operations.why_not_retry(row) or row.payment is None:
        return []
    page = row.action
    if row.action == OperationAction.CAPTURE and staff.may_confirm(user, row.payment):
        page = "charge"
    elif not staff.may(user, row.action):
        return []
    chosen = urlencode({"ids": row.payment.pk, "operation": row.pk})
    return [(gettext("Try again"), f"{reverse(f'admin:govpay_payment_{page}')}?{chosen}")]


def attempt_in_words(ended: dict[str, Any]) -> str:
    """Return one line about an earlier attempt: its number, start, user, error, and who resolved it and why."""
    began = moment(parse_datetime(ended["started_at"]))
    resolved = ": ".join(filter(None, (ended["resolved_by"], ended["resolution"])))
    return " · ".join(filter(None, (f"{ended['attempt']}. {began}", ended["by"], ended["error"], resolved)))


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin):
    started = moment_column("created_at", _("started"))
    state_badge = badge_column("state", _("state"), OperationState)
    amount_money = money_column("amount", _("amount"))
    payment_link = link_column("payment", _("payment"))
    customer_link = link_column("customer", _("customer"))
    session_link = link_column("session", _("hosted session"))
    account_link = link_column("account", _("payment account"))
    error_text = text_column("error", _("error"))

    list_display = (
        "action",
        "state_badge",
        "amount_money",
        "started",
        "payment_link",
        "who",
        "error_text",
        "account_link",
    )
    list_filter = (
        known_values("state", _("state"), OperationState),
        known_values("action", _("action"), OperationAction),
        AccountListFilter,
        PersonFilter,
        linked("payment", _("payment")),
    )
    list_select_related = ("payment", "actor", "account")
    sortable_by = ("started",)
    date_hierarchy = "created_at"
    search_fields = ("reference_id",)
    search_help_text = _(
        "Key, our reference, amount, user name of staff, or anything that finds the payment. All words must match."
    )

    page_select_related = ("payment", "customer", "session", "account", "actor", "settled_by", "retried_by")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "action",
                    "state_badge",
                    "amount_money",
                    "payment_link",
                    "customer_link",
                    "session_link",
                    "account_link",
                    "who",
                    "reason",
                )
            },
        ),
        (_("Authorization by the payer"), {"fields": ("sec_code", "authorized_at", "authorization_text")}),
        (_("Outcome"), {"fields": ("error", "error_code", "result_uid", "remote_request_id")}),
        (_("Attempts"), {"fields": ("attempts", "attempted_at", "retrier", "attempts_before")}),
        (_("Resolved by hand"), {"fields": ("settled_at", "resolver", "settlement")}),
        (_("Review"), {"fields": ("reviewed",)}),
        (
            _("Time"),
            {"fields": ("created_at", "finished_at", "deadline_at", "checked_at", "look_up_error", "absent_at")},
        ),
        (_("Record"), {"fields": ("key", "reference_id")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the row's fieldsets, without authorization, attempts, resolution by hand or review if it has none."""
        rare = {
            "sec_code": bool(obj and obj.sec_code),
            "settlement": bool(obj and obj.settled_at),
            "attempts": bool(obj and obj.attempts > 1),
            "reviewed": bool(obj and obj.attention_cleared_at),
        }
        return [
            each
            for each in super().get_fieldsets(request, obj)
            if all(rare.get(str(name), True) for name in each[1]["fields"])
        ]

    @column(_("action"))
    def action(self, row: Operation) -> Any:
        return action_label(row)

    @column(_("by"))
    def who(self, row: Operation) -> str | None:
        return clip(name_of(row, "actor"))

    @column(_("tried again by"))
    def retrier(self, row: Operation) -> str | None:
        return clip(name_of(row, "retried_by"))

    @column(_("earlier attempts"))
    def attempts_before(self, row: Operation) -> Any:
        return format_html_join("", "<div>{}</div>", ((attempt_in_words(each),) for each in row.earlier_attempts))

    @column(_("resolved by"))
    def resolver(self, row: Operation) -> str | None:
        return clip(name_of(row, "settled_by"))

    @column(_("Marked as dealt with"))
    def reviewed(self, row: Operation) -> str | None:
        return dealt_with(row, "attention")

    def get_urls(self) -> list[URLPattern]:
        return [
            own_url(self, "attention/", "govpay_review", self.review_view),
            own_url(self, "<int:pk>/settle/", "govpay_operation_resolve", ResolveView.as_view(admin=self)),
            own_url(self, "<int:pk>/dealt-with/", "govpay_operation_dealt_with", DealtWithView.as_view(admin=self)),
            *super().get_urls(),
        ]

    def review_view(self, request: HttpRequest) -> HttpResponse:
        return list_view(self, request)

    def list_tools(self, request: HttpRequest) -> list[tuple[Any, str]]:
        return review_tools(request)

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        raised = operation_alert(row, request.user)
        waiting = [replace(open_operation_alert(row), link="")] if row.is_open else []
        return {
            "alerts": [*waiting, *([raised] if raised else [])],
            "links": [*resolve_links(row, request.user), *retry_links(row, request.user)],
        }

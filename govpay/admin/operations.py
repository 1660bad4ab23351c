"""The journal: what was asked of the platform, by whom, and how it ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from govpay.admin.base import ReadOnlyAdmin
from govpay.admin.cells import (
    badge_column,
    clip,
    column,
    label_of,
    link_column,
    moment_column,
    money_column,
    text_column,
)
from govpay.admin.filters import AccountFilter, known_values, linked
from govpay.admin.wording import open_operation_alert
from govpay.models import Operation
from govpay.models.choices import OperationAction, OperationState


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
        "deed",
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
        AccountFilter,
        linked("payment", _("payment")),
    )
    list_select_related = ("payment", "actor", "account")
    sortable_by = ("started",)
    date_hierarchy = "created_at"
    search_fields = ("key__exact", "payment__exact", "reference_id__exact")
    search_help_text = _("The whole key, our reference, or the payment's UID.")

    page_select_related = ("payment", "customer", "session", "account", "actor")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "deed",
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
        (_("Time"), {"fields": ("created_at", "finished_at", "deadline_at", "checked_at", "absent_at")}),
        (_("Record"), {"fields": ("key", "reference_id")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        # Only a bank account that was charged from here has an authorization.
        return [each for each in self.fieldsets if "sec_code" not in each[1]["fields"] or (obj and obj.sec_code)]

    @column(_("action"))
    def deed(self, row: Operation) -> Any:
        return label_of(row.action, OperationAction)

    @column(_("by"))
    def who(self, row: Operation) -> str | None:
        return clip(row.actor)

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {"alerts": [replace(open_operation_alert(row), link="")]} if row.is_open else {}

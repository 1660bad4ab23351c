"""Webhook subscriptions, and the events that came of them."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from govpay.admin.base import MirrorAdmin, ReadOnlyAdmin
from govpay.admin.cells import badge_column, document_field, link_column, moment_column, text_column
from govpay.admin.filters import AccountFilter, known_values
from govpay.models import WebhookEvent, WebhookSubscription
from govpay.models.choices import EventState


@admin.register(WebhookSubscription)
class WebhookSubscriptionAdmin(MirrorAdmin):
    event = text_column("event_type", _("event type"))
    changed = moment_column("synced_at", _("last change here"))
    account_link = link_column("account", _("payment account"))

    list_display = ("event", "enabled", "account_link", "changed")
    list_filter = (AccountFilter,)
    list_select_related = ("account",)
    # By the column, not by the account's own order, which would be a join and a sort.
    ordering = ("account_id", "event_type", "id")
    search_fields = ("uid__exact",)
    search_help_text = _("The whole UID.")

    page_select_related = ("account",)
    fieldsets = (
        (None, {"fields": ("event_type", "enabled", "account_link")}),
        MirrorAdmin.RECORD,
        MirrorAdmin.RAW,
    )


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    event = text_column("event_type", _("event type"))
    received = moment_column("received_at", _("received"))
    state_badge = badge_column("state", _("state"), EventState)
    account_link = link_column("account", _("payment account"))
    error_text = text_column("error", _("error"))
    payload_document = document_field("payload", _("payload"))

    list_display = ("event", "received", "state_badge", "attempts", "account_link", "error_text")
    list_filter = (known_values("state", _("state"), EventState), AccountFilter)
    list_select_related = ("account",)
    sortable_by = ("received",)
    date_hierarchy = "received_at"
    search_fields = ("webhook_id__exact",)
    search_help_text = _("The whole webhook ID.")

    page_select_related = ("account",)
    fieldsets = (
        (None, {"fields": ("event_type", "state_badge", "error", "attempts", "account_link")}),
        (_("Record"), {"fields": ("webhook_id", "sent_at", "received_at", "processed_at")}),
        (
            _("Payload as it was delivered"),
            {
                "classes": ("collapse",),
                "description": _("A hint only: the object is read from the platform before anything is believed."),
                "fields": ("payload_document",),
            },
        ),
    )

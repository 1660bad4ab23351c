"""Admins of webhook subscriptions and webhook events."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django.utils.translation import gettext_lazy as _

from govpay.admin.base import MirrorAdmin, ReadOnlyAdmin
from govpay.admin.confirmations import MAX_ROWS, own_url, own_view
from govpay.admin.filters import AccountListFilter, AgeFilter, known_values, linked
from govpay.admin.formatting import (
    Button,
    badge_column,
    column,
    document,
    label_of,
    link_column,
    moment_column,
    text_column,
)
from govpay.admin.replays import ReplayView, failure_alert, may_replay, report
from govpay.models import WebhookEvent, WebhookSubscription
from govpay.models.choices import EventState, EventType

#: Maximum number of events on a payment's page.
RELATED_EVENTS_LIMIT = 50


@admin.register(WebhookSubscription)
class WebhookSubscriptionAdmin(MirrorAdmin):
    event = text_column("event_type", _("event type"))
    changed = moment_column("synced_at", _("last change here"))
    account_link = link_column("account", _("payment account"))

    list_display = ("event", "enabled", "account_link", "changed")
    list_filter = (AccountListFilter,)
    list_select_related = ("account",)
    # Ordered by the column. The default order of the account would need a join and a sort.
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
    received = moment_column("received_at", _("received"))
    state_badge = badge_column("state", _("state"), EventState)
    account_link = link_column("account", _("payment account"))
    payment_link = link_column("payment", _("payment"))
    due = moment_column("due_at", _("not tried again before"))
    claimed = moment_column("claimed_until", _("claimed by a worker until"))
    error_text = text_column("error", _("error"))
    webhook = text_column("webhook_id", _("webhook ID"))

    list_display = (
        "event",
        "received",
        "state_badge",
        "attempts",
        "payment_link",
        "error_text",
        "account_link",
        "webhook",
    )
    list_filter = (
        known_values("state", _("state"), EventState),
        AgeFilter,
        known_values("event_type", _("event type"), EventType),
        AccountListFilter,
        linked("payment", _("payment")),
    )
    list_select_related = ("account", "payment")
    sortable_by = ("received",)
    date_hierarchy = "received_at"
    search_fields = ("webhook_id__exact", "payment__exact")
    search_help_text = _("The whole webhook ID, or the UID of the payment.")
    actions = ("process_again",)

    page_select_related = ("account", "payment")
    fieldsets = (
        (
            None,
            {"fields": ("event_and_type", "state_badge", "attempts", "error", "payment_link", "account_link")},
        ),
        (_("Time"), {"fields": ("sent_at", "received_at", "processed_at", "due", "claimed")}),
        (
            _("Payload as it was delivered"),
            {
                "description": _("A hint only: the object is read from the platform before anything is believed."),
                "fields": ("webhook_id", "payload_document"),
            },
        ),
    )

    @column(_("event"))
    def event(self, row: WebhookEvent) -> Any:
        return label_of(row.event_type, EventType)

    @column(_("event"))
    def event_and_type(self, row: WebhookEvent) -> str:
        """Return the label and the platform's name of the event type."""
        label = dict(EventType.choices).get(row.event_type)
        return f"{label} ({row.event_type})" if label else row.event_type

    @column(_("payload"))
    def payload_document(self, row: WebhookEvent) -> Any:
        """Return the payload, masked again. It is masked when it is stored, but rows can be added in another way."""
        # Imported here, so that the start of the app does not load the sync.
        from govpay.sync.inbox import kept  # noqa: PLC0415

        try:
            return document(kept(row.payload))
        except ValueError:
            return _("It is nested too deeply to be shown.")

    # Process again

    def get_urls(self) -> list[URLPattern]:
        listed = super().get_urls()
        for pattern in listed:
            if pattern.name == "govpay_webhookevent_changelist":
                # Outside a transaction: the action must commit the events before it queues them.
                pattern.callback = own_view(pattern.callback)
        return [
            own_url(self, "<int:pk>/replay/", "govpay_webhookevent_replay", ReplayView.as_view(admin=self)),
            *listed,
        ]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return may_replay(request.user)

    @admin.action(permissions=["replay"], description=_("Process again"))
    def process_again(self, request: HttpRequest, queryset: QuerySet[WebhookEvent]) -> HttpResponse | None:
        ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if request.POST.get("select_across") == "1" or len(ticked) > MAX_ROWS:
            text = _("Tick the events one by one or a page at a time, %(most)d at most.")
            self.message_user(request, text % {"most": MAX_ROWS}, messages.ERROR)
            return None
        return report(self, request, list(queryset[:MAX_ROWS]))

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        context: dict[str, Any] = {}
        if row.state == EventState.FAILED:
            context["alerts"] = [failure_alert(row)]
        if self.has_replay_permission(request):
            address = reverse("admin:govpay_webhookevent_replay", args=[row.pk])
            context["buttons"] = [Button(_("Process again"), address)]
        return context

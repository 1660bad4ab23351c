"""Webhook events: read them, and process one again."""

from __future__ import annotations

from govpay import tasks
from govpay.exceptions import OperationInProgress
from govpay.models import WebhookEvent
from govpay.models.permissions import REPLAY_EVENT
from govpay.rest.actions import QueuedActionView
from govpay.rest.base import Rows, RowView
from govpay.rest.filters import MomentFilter, RowFilter, TextFilter
from govpay.rest.rows import RowSerializer


class EventSerializer(RowSerializer):
    """Omits the payload, which is only a hint: read the object that it names."""

    class Meta:
        model = WebhookEvent
        fields = (
            *("id", "webhook_id", "event_type", "account", "payment", "state", "attempts", "error"),
            *("sent_at", "received_at", "processed_at"),
        )


class EventFilter(RowFilter):
    state = TextFilter()
    event_type = TextFilter()
    account = TextFilter()
    payment = TextFilter()
    webhook_id = TextFilter()
    created_from = MomentFilter("received_at", "gte")
    created_before = MomentFilter("received_at", "lt")


class EventList(Rows):
    model = WebhookEvent
    serializer_class = EventSerializer
    filterset_class = EventFilter
    order_column = "received_at"
    operations = {"GET": "list_events"}
    reads = "Webhook events, the last one received comes first."


class EventDetail(RowView):
    model = WebhookEvent
    serializer_class = EventSerializer
    lookup_field = "pk"
    operations = {"GET": "get_event"}
    reads = "One webhook event."


class ReplayEvent(QueuedActionView):
    model = WebhookEvent
    operations = {"POST": "replay_event"}
    does = (
        "Process a stored event again, whatever its state. Its object is read from the platform, so rows that are "
        "up to date do not change; the key is remembered for a day only. Needs `govpay.replay_event`."
    )
    permission = REPLAY_EVENT

    def queue(self, row: WebhookEvent) -> str:
        outcome = tasks.replay_events([row.pk])[row.pk]
        if outcome == "busy":
            raise OperationInProgress("A worker is processing it; try again in a moment.")
        return outcome

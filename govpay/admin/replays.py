"""*Process again*: reset stored webhook events, queue them for a worker, and show the result of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.options import ModelAdmin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from govpay.admin.confirmation_views import PostView
from govpay.admin.formatting import Table, clip, label_of, link_to, list_of, moment
from govpay.admin.messages import Alert, StaffOutcome
from govpay.admin.rendering import render
from govpay.models import WebhookEvent
from govpay.models.choices import EventType
from govpay.models.permissions import REPLAY_EVENT


def may_replay(user: Any) -> bool:
    return bool(user.has_perm(REPLAY_EVENT))


def replay(events: Sequence[WebhookEvent]) -> dict[int, StaffOutcome]:
    """Reset the events, queue them, and return the result of each by primary key.

    Call it outside any transaction: the worker must see the reset rows.
    """
    # Imported here, so that starting a process does not import Celery and the sync.
    from govpay import tasks  # noqa: PLC0415

    told = {
        "busy": StaffOutcome(
            "left", _("Being processed already"), _("A worker is processing it; try again in a moment.")
        ),
        "queued": StaffOutcome("done", _("Queued"), _("A worker takes it next.")),
        "waiting": StaffOutcome(
            "pending",
            _("Waiting"),
            _(
                "The message broker cannot be reached. A worker processes the event within two minutes after the "
                "broker is available again."
            ),
        ),
    }
    return {pk: told[outcome] for pk, outcome in tasks.replay_events([event.pk for event in events]).items()}


class ReplayView(PostView):
    """Process the event again when the button on its page is pressed."""

    permission = REPLAY_EVENT
    back = PostView.page_or_index

    def execute(self) -> tuple[int, str]:
        outcome = replay([self.row])[self.row.pk]
        return outcome.level, f"{outcome.title}: {clip(self.row, 120)}. {outcome.text}"


def report(admin: ModelAdmin[Any], request: HttpRequest, events: Sequence[WebhookEvent]) -> HttpResponse:
    """Process the ticked events again and show one line for each. Reloading the page repeats this, without harm."""
    outcomes = replay(events)
    table = Table(
        title=ngettext("%(count)d event", "%(count)d events", len(events)) % {"count": len(events)},
        heads=(_("Event"), _("Received"), _("Webhook ID"), _("Outcome"), _("What that means")),
        rows=[
            (
                link_to(event, label_of(event.event_type, EventType)),
                moment(event.received_at),
                clip(event.webhook_id),
                badge_of(outcomes[event.pk]),
                outcomes[event.pk].text,
            )
            for event in events
        ],
    )
    context = {
        "title": _("Process again"),
        "tables": [table],
        "back": list_of(WebhookEvent),
        "back_label": _("Back to the events"),
    }
    return render(admin, request, "govpay/admin/result.html", context)


def badge_of(outcome: StaffOutcome) -> str:
    return format_html('<span class="govpay-badge govpay-{}">{}</span>', outcome.tone, outcome.title)


def failure_alert(event: WebhookEvent) -> Alert:
    """Return the alert on an event's page that says why the event is not processed any more."""
    title = ngettext("Given up after %(count)d attempt", "Given up after %(count)d attempts", event.attempts)
    return Alert(
        title % {"count": event.attempts},
        (
            event.error or _("No reason was recorded."),
            _("The regular sync brings the same change later. Process it again when the cause is gone."),
        ),
    )

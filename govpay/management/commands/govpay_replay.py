"""``manage.py govpay_replay``: process stored webhook events again, in this process."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from govpay import tasks
from govpay.management.base import PlatformCommand
from govpay.models import WebhookEvent
from govpay.models.choices import EventState
from govpay.sync import inbox


class Command(PlatformCommand):
    help = (
        "Process stored webhook events again, in this process. Their objects are read from the platform again, so rows "
        "that are up to date do not change."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("events", nargs="*", metavar="EVENT", help="a webhook ID, such as evt_…")
        parser.add_argument("--failed", action="store_true", help="process all failed events")

    def carry_out(self, options: dict[str, Any]) -> None:
        wanted: list[str] = list(options["events"])
        if bool(wanted) == bool(options["failed"]):
            raise CommandError("Name events by their webhook ID, or give --failed.")
        rows = WebhookEvent.objects.filter(state=EventState.FAILED)
        if wanted:
            rows = WebhookEvent.objects.filter(webhook_id__in=wanted)
            missing = set(wanted) - set(rows.values_list("webhook_id", flat=True))
            if missing:
                raise CommandError(f"No such event: {', '.join(sorted(missing))}.")
        unprocessed = sum(not self._replay(pk) for pk in rows.order_by("pk").values_list("pk", flat=True))
        if unprocessed:
            raise CommandError(f"{unprocessed} of the events could not be processed.")

    def _replay(self, pk: int) -> bool:
        busy = not inbox.requeue([pk])
        if not busy:
            tasks.process_slow_event(pk)  # here it may take its time
        event = WebhookEvent.objects.get(pk=pk)
        told = "busy: a worker is at it" if busy else f"{event.state} {event.error}".rstrip()
        self.stdout.write(f"{event.webhook_id} {event.event_type} account={event.account_id} {told}")
        return event.state in (EventState.PROCESSED, EventState.IGNORED)

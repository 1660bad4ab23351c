"""The story of a payment: everything that happened to it, in the order of time, in a finance officer's words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay.admin.formatting import (
    Table,
    action_label,
    clip,
    label_of,
    link_to,
    moment,
    reason_of,
    transaction_badge,
)
from govpay.models import Note, Operation, Payment, PaymentLink, Transaction, WebhookEvent
from govpay.models.choices import EventType, OperationAction, OperationState, TransactionType
from govpay.models.money import format_money
from govpay.models.reasons import DECLINE, reason_in_words

#: Maximum number of rows of each kind that the story reads.
STORY_LIMIT = 50

#: Action → what the story says when it succeeded.
DONE: dict[str, Any] = {
    OperationAction.QUOTE: gettext_lazy("Fee quoted"),
    OperationAction.CAPTURE: gettext_lazy("Captured"),
    OperationAction.VOID: gettext_lazy("Voided"),
    OperationAction.REFUND: gettext_lazy("Refund sent"),
}
#: State of an operation that did not succeed → what the story says. ``action`` is its label.
NOT_DONE: dict[str, Any] = {
    OperationState.STARTED: gettext_lazy("%(action)s: under way"),
    OperationState.FAILED: gettext_lazy("%(action)s: refused or failed"),
    OperationState.UNKNOWN: gettext_lazy("%(action)s: outcome not known yet"),
}


@dataclass(frozen=True)
class StoryStep:
    """One thing that happened: when, what, by whom, the amount as text, and details. Texts are escaped later."""

    at: dt.datetime
    what: Any
    who: Any = None
    amount: str | None = None
    details: Any = None


@dataclass(frozen=True)
class PaymentRows:
    """The rows about one payment that its page shows, the newest first."""

    payment: Payment
    transactions: list[Transaction]
    operations: list[Operation]
    events: list[WebhookEvent]
    notes: list[Note]
    marks: list[LogEntry]
    link: PaymentLink | None

    @classmethod
    def read(cls, payment: Payment, user: Any) -> PaymentRows:
        """Read what ``user`` may see. Makes at most six statements."""
        about = {"payment": payment.uid}
        transactions: Any = Transaction.objects.visible_to(user).filter(**about).defer("raw")
        operations: Any = Operation.objects.visible_to(user).filter(**about).defer("validated_method")
        events: Any = WebhookEvent.objects.visible_to(user).filter(**about).defer("payload")
        notes: Any = Note.objects.visible_to(user).filter(**about).select_related("author")
        kind = ContentType.objects.get_for_model(Payment)
        marks = LogEntry.objects.filter(content_type=kind, object_id=str(payment.pk)).select_related("user")
        links: Any = PaymentLink.objects.visible_to(user).filter(session=payment.session_id)
        return cls(
            payment,
            list(transactions.order_by("-remote_created_at", "-id")[:STORY_LIMIT]),
            list(operations.select_related("actor", "settled_by").order_by("-created_at", "-id")[:STORY_LIMIT]),
            list(events.order_by("-received_at", "-id")[:STORY_LIMIT]),
            list(notes[:STORY_LIMIT]),
            list(marks.order_by("-action_time")[:STORY_LIMIT]),
            links.select_related("created_by").order_by("-id").first() if payment.session_id else None,
        )


def story_of(rows: PaymentRows) -> Table:
    """Return the table of all steps, the newest first."""
    steps = sorted(_steps(rows), key=lambda step: step.at, reverse=True)
    return Table(
        title=_("What happened"),
        heads=(_("When"), _("What"), _("By"), _("Amount"), _("Details")),
        rows=[(moment(step.at), step.what, clip(step.who), step.amount, step.details) for step in steps],
        empty=_("Nothing is known yet."),
        numeric=(3,),
    )


def _steps(rows: PaymentRows) -> Iterator[StoryStep]:
    yield from _beginning(rows)
    for operation in rows.operations:
        yield from _operation(operation)
    for each in rows.transactions:
        if each.remote_created_at:
            kind = label_of(each.type, TransactionType) or _("Transaction")
            amount = format_money(each.amount, each.currency)
            what = link_to(each, _("%(kind)s at the platform") % {"kind": kind})
            details = transaction_badge(each)
            yield StoryStep(each.remote_created_at, what, None, amount, reason_of(each) or details)
    for event in rows.events:
        kind = label_of(event.event_type, EventType)
        yield StoryStep(event.received_at, link_to(event, _("Message from the platform: %(kind)s") % {"kind": kind}))
    for note in rows.notes:
        yield StoryStep(note.created_at, _("Note"), note.written_by, None, clip(note.text, 300))
    for mark in rows.marks:
        yield StoryStep(mark.action_time, mark.get_change_message() or str(mark), mark.user)


def _beginning(rows: PaymentRows) -> Iterator[StoryStep]:
    """Yield how the payment began and ended by itself: link, session, creation, capture, decline, last read."""
    payment, link = rows.payment, rows.link
    total = format_money(payment.total_amount, payment.currency)
    if link is not None:
        asked = format_money(link.amount, link.currency)
        yield StoryStep(
            link.created_at, link_to(link, _("Payment link made")), link.created_by, asked, clip(link.reference_id)
        )
    session = payment.session
    if session is not None and session.remote_created_at:
        yield StoryStep(session.remote_created_at, link_to(session, _("Payment page opened")))
    if payment.remote_created_at:
        yield StoryStep(payment.remote_created_at, _("Payment made at the platform"), None, total)
    if payment.captured_at:
        yield StoryStep(payment.captured_at, _("Captured at the platform"), None, total)
    if payment.decline_code and payment.remote_updated_at:
        reason = reason_in_words(DECLINE, payment.decline_code)
        yield StoryStep(payment.remote_updated_at, _("Declined"), details=reason)
    if payment.synced_at:
        yield StoryStep(payment.synced_at, _("Last change read from the platform"))
    if payment.deleted_at:
        yield StoryStep(payment.deleted_at, _("Not on the platform any more"))


def _operation(row: Operation) -> Iterator[StoryStep]:
    label = action_label(row)
    if row.state == OperationState.SUCCEEDED:
        what = DONE.get(row.action, label) if not row.fee_preview else label
    else:
        what = NOT_DONE.get(row.state, "%(action)s") % {"action": label}
    details = clip(" · ".join(filter(None, (row.reason, row.error))), 300)
    at = row.attempted_at or row.created_at
    yield StoryStep(at, link_to(row, what), row.actor, format_money(row.amount, row.currency), details)
    if row.settled_at:
        what = link_to(row, _("Resolved by hand"))
        yield StoryStep(row.settled_at, what, row.settled_by, details=clip(row.settlement, 300))

"""The history of a row: what staff and programs did here, and what happened on the platform."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.db import models
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from govpay.admin.formatting import Table, clip, label_of, link_to, moment
from govpay.admin.payment_tables import PaymentRows
from govpay.models import (
    Customer,
    HostedSession,
    Operation,
    Payment,
    PaymentAccount,
    PaymentLink,
    Transaction,
    WebhookEvent,
)
from govpay.models.base import Mirror
from govpay.models.choices import EventType, LinkState, OperationState, TransactionStatus, TransactionType
from govpay.models.money import format_money
from govpay.models.notes import notes_about
from govpay.models.people import name_of
from govpay.review.items import action_in_words

#: The column of ``Operation`` that names a row of each kind.
OPERATIONS_OF: dict[type[models.Model], str] = {
    Payment: "payment",
    Customer: "customer",
    HostedSession: "session",
    PaymentAccount: "account",
}

ONE_MINUTE = dt.timedelta(minutes=1)
#: Maximum number of entries of each source. The newest are shown.
ENTRIES_LIMIT = 100


@dataclass(frozen=True)
class Entry:
    """One line of the history."""

    when: dt.datetime
    #: The user, or an empty text for the platform or a program.
    who: str
    what: Any


def has_history(row: models.Model) -> bool:
    """Return whether the page of ``row`` has a link to its history. A sync run, for example, has none."""
    return isinstance(row, Mirror | Operation | PaymentLink)


def history_of(row: Any, user: Any, title: Any = "", rows: PaymentRows | None = None) -> Table:
    """Return the history of ``row`` as a table, the newest entry first. ``user`` sees only operations they may see."""
    if rows is None and isinstance(row, Payment):
        rows = PaymentRows.read(row, user)
    logged = list(_logged(row))
    found = [
        *logged,
        *_cleared(row, logged),
        *_moments(row),
        *(_operations(row, user) if rows is None else _acts(rows.operations)),
    ]
    if isinstance(row, Operation):
        found += _attempts(row)
    if isinstance(row, Payment | Customer):
        found += _notes(row, user)
    if rows is not None:
        found += [*_transactions(rows.transactions), *_events(rows.events), *_checkout(row, user)]
    found.sort(key=lambda entry: entry.when, reverse=True)
    return Table(
        title=title or _("History"),
        # What happened is beside the time, because a narrow screen shows only the first columns without scrolling.
        heads=(_("When"), _("What"), _("By")),
        rows=[(moment(entry.when), entry.what, entry.who or _("Platform or program")) for entry in found],
        empty=_("Nothing is known about it."),
    )


def _logged(row: models.Model) -> Iterator[Entry]:
    """What was done on the admin's pages and changes nothing on the platform, such as *Mark as dealt with*."""
    entries = LogEntry.objects.filter(object_id=str(row.pk), content_type=get_content_type_for_model(row))
    for entry in entries.select_related("user").order_by("-action_time")[:ENTRIES_LIMIT]:
        yield Entry(entry.action_time, str(entry.user), entry.get_change_message())


def _cleared(row: Any, logged: list[Entry]) -> Iterator[Entry]:
    """Who marked the row as dealt with, if Django's log lost it with the user. The row keeps the newest one."""
    for what in ("flag", "attention"):
        when = getattr(row, f"{what}_cleared_at", None)
        if when is not None and not any(abs(entry.when - when) < ONE_MINUTE for entry in logged):
            yield Entry(when, getattr(row, f"{what}_cleared_by_name"), _("Marked as dealt with"))


def _moments(row: Any) -> Iterator[Entry]:
    """Return the times that the row itself has."""
    known = [
        ("remote_created_at", _("Created on the platform")),
        ("captured_at", _("Captured")),
        ("synced_at", _("Changed here for the last time, as the platform has it")),
        ("deleted_at", _("No longer found on the platform")),
    ]
    if isinstance(row, PaymentLink):
        yield Entry(row.created_at, name_of(row, "created_by"), _("Created"))
        if row.state == LinkState.OPEN:
            known.append(("expires_at", _("Expires")))
    for name, what in known:
        when = getattr(row, name, None)
        if when is not None:
            yield Entry(when, "", what)


def _operations(row: Any, user: Any) -> Iterator[Entry]:
    column = OPERATIONS_OF.get(type(row))
    if column is None:
        return
    visible = Operation.objects.visible_to(user).filter(**{column: row.uid})
    yield from _acts(visible.select_related("actor").defer("validated_method").order_by("-created_at")[:ENTRIES_LIMIT])


def _acts(operations: Iterable[Operation]) -> Iterator[Entry]:
    for operation in operations:
        yield Entry(operation.created_at, name_of(operation, "actor"), _operation(operation))


def _operation(operation: Operation) -> str:
    what = _("%(action)s: %(state)s") % {
        "action": action_in_words(operation),
        "state": label_of(operation.state, OperationState),
    }
    return link_to(operation, what)


def _attempts(operation: Operation) -> Iterator[Entry]:
    for ended in filter(lambda each: isinstance(each, dict), operation.earlier_attempts):
        began = parse_datetime(ended["started_at"])
        if began is not None:
            yield Entry(began, ended["by"], _("Attempt %(number)s: %(error)s") % _attempt(ended))
    yield Entry(
        operation.attempted_at or operation.created_at,
        name_of(operation, "retried_by") or name_of(operation, "actor"),
        _("Started: %(action)s") % {"action": action_in_words(operation)},
    )
    if operation.finished_at is not None:
        state = label_of(operation.state, OperationState)
        yield Entry(operation.finished_at, "", " ".join(filter(None, (f"{state}.", clip(operation.error, 200)))))
    if operation.settled_at is not None:
        text = _("Resolved by hand: %(how)s") % {"how": operation.settlement}
        yield Entry(operation.settled_at, name_of(operation, "settled_by"), text)


def _attempt(ended: dict[str, Any]) -> dict[str, Any]:
    return {"number": ended["attempt"], "error": ended["error"] or "—"}


def _transactions(transactions: Iterable[Transaction]) -> Iterator[Entry]:
    """Return an entry for each movement of the payment's money, also for those that the platform started."""
    for found in transactions:
        parts = {
            "type": label_of(found.type, TransactionType) or found.uid,
            "amount": format_money(found.amount, found.currency),
            "status": label_of(found.status, TransactionStatus) or "—",
        }
        text = _("On the platform: %(type)s of %(amount)s, %(status)s") % parts
        if found.remote_created_at is not None:
            yield Entry(found.remote_created_at, "", link_to(found, text))


def _notes(row: Payment | Customer, user: Any) -> Iterator[Entry]:
    for note in notes_about(row, user)[:ENTRIES_LIMIT]:
        yield Entry(note.created_at, name_of(note, "author"), _("Note: %(text)s") % {"text": clip(note.text, 300)})


def _events(events: Iterable[WebhookEvent]) -> Iterator[Entry]:
    """Return the messages of the platform about the payment."""
    for event in events:
        kind = label_of(event.event_type, EventType)
        yield Entry(event.received_at, "", link_to(event, _("The platform reported: %(kind)s") % {"kind": kind}))


def _checkout(row: Payment, user: Any) -> Iterator[Entry]:
    """Return the payment link and the hosted session in which the payer paid."""
    if not row.session_id:
        return
    session = row.session
    if session is not None and session.remote_created_at is not None:
        yield Entry(session.remote_created_at, "", link_to(session, _("Payment page opened for the payer")))
    visible = PaymentLink.objects.visible_to(user).filter(session=row.session_id, account=row.account_id)
    link = visible.select_related("created_by").first()
    if link is not None:
        text = _("Payment link made: %(amount)s") % {"amount": format_money(link.amount, link.currency)}
        yield Entry(link.created_at, name_of(link, "created_by"), link_to(link, text))

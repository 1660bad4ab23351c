"""The rows about one payment, read once for its page, and their tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from govpay.admin.formatting import (
    Table,
    action_label,
    badge,
    clip,
    label_of,
    link_to,
    list_of,
    moment,
    reason_cell,
    transaction_badge,
)
from govpay.models import Operation, Payment, Transaction, WebhookEvent
from govpay.models.choices import EventState, EventType, OperationState, TransactionType
from govpay.models.money import format_money
from govpay.models.people import name_of

#: Maximum number of rows of each kind on a payment's page.
RELATED_ROWS_LIMIT = 50


@dataclass(frozen=True)
class PaymentRows:
    """The transactions, operations and events of a payment that a user may see, the newest first."""

    payment_pk: int
    transactions: list[Transaction]
    operations: list[Operation]
    events: list[WebhookEvent]

    @classmethod
    def read(cls, payment: Payment, user: Any) -> PaymentRows:
        """Read the newest rows of each kind. Makes three statements."""
        about = {"payment": payment.uid}
        transactions = Transaction.objects.visible_to(user).filter(**about).defer("raw")
        operations = (
            Operation.objects.visible_to(user).filter(**about).select_related("actor").defer("validated_method")
        )
        events = WebhookEvent.objects.visible_to(user).filter(**about)
        fields = ("event_type", "received_at", "state", "attempts")
        return cls(
            payment.pk,
            list(transactions.order_by("-remote_created_at", "-id")[:RELATED_ROWS_LIMIT]),
            list(operations.order_by("-created_at", "-id")[:RELATED_ROWS_LIMIT]),
            list(events.only(*fields).order_by("-received_at", "-id")[:RELATED_ROWS_LIMIT]),
        )


def technical_tables(payment: Payment, rows: PaymentRows) -> list[Table]:
    """Return the tables of transactions, operations and events."""
    return [_transactions(payment, rows), _operations(payment, rows), _events(payment, rows)]


def _transactions(payment: Payment, rows: PaymentRows) -> Table:
    return Table(
        title=_("Transactions"),
        heads=(_("Type"), _("Created"), _("Amount"), _("Status"), _("Processor's ID"), _("Reason")),
        rows=[
            (
                link_to(t, label_of(t.type, TransactionType) or clip(t.uid)),
                moment(t.remote_created_at),
                format_money(t.amount, t.currency),
                transaction_badge(t),
                clip(t.processor_transaction_id),
                reason_cell(t),
            )
            for t in rows.transactions
        ],
        empty=_("No transaction is known."),
        more=(list_of(Transaction, payment=payment.uid), _("All transactions of this payment")),
        numeric=(2,),
    )


def _operations(payment: Payment, rows: PaymentRows) -> Table:
    return Table(
        title=_("Operations"),
        heads=(_("Action"), _("Started"), _("By"), _("Amount"), _("State"), _("Message")),
        rows=[
            (
                link_to(o, action_label(o)),
                moment(o.created_at),
                clip(name_of(o, "actor")),
                format_money(o.amount, o.currency),
                badge(o.state, OperationState),
                clip(o.error or o.reason, 200),
            )
            for o in rows.operations
        ],
        empty=_("Nothing was done to this payment from here."),
        more=(list_of(Operation, payment=payment.uid), _("All operations on this payment")),
        numeric=(3,),
    )


def _events(payment: Payment, rows: PaymentRows) -> Table:
    return Table(
        title=_("Events"),
        heads=(_("Event"), _("Received"), _("State"), _("Attempts")),
        rows=[
            (
                link_to(e, label_of(e.event_type, EventType)),
                moment(e.received_at),
                badge(e.state, EventState),
                e.attempts,
            )
            for e in rows.events
        ],
        empty=_("The platform has sent no webhook events for this payment."),
        more=(list_of(WebhookEvent, payment=payment.uid), _("All events of this payment")),
        numeric=(3,),
    )

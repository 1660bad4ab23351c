"""Review items: operations of unknown outcome, late failures, disputes and returns, each with its next step."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay.models import Operation, Payment
from govpay.models.choices import (
    OperationAction,
    OperationAttention,
    OperationState,
    PaymentStatus,
    TransactionType,
    label_of,
)
from govpay.models.moments import format_moment
from govpay.models.money import format_money
from govpay.models.operations import OperationQuerySet
from govpay.models.payments import PaymentQuerySet
from govpay.models.reasons import find_reason
from govpay.review import flagged
from govpay.review.flagged import Group

#: Maximum number of items of each kind. The oldest are listed first.
ITEMS_PER_KIND_LIMIT = 100

#: Interval at which workers look up open operations.
LOOKED_UP_EVERY = dt.timedelta(minutes=1)
#: If an operation was not looked up for this long, the workers count as stopped.
LOOKUP_SILENCE_LIMIT = dt.timedelta(minutes=5)

#: For each kind of attention, the text about the next step of an operation that has ended.
ENDED: dict[str, Any] = {
    OperationAttention.LATE_FAILURE: gettext_lazy(
        "Nothing happens automatically. The money has not left: refund it again, or give it back in another way, if "
        "it is owed."
    ),
    OperationAttention.NOT_EXECUTED: gettext_lazy(
        "Nothing happens automatically. Press Try again on the operation if it is still wanted: it keeps its "
        "reference, so that it cannot be carried out twice."
    ),
    OperationAttention.CONTRADICTED: gettext_lazy(
        "Nothing happens automatically. Check whether the same action was done a second time in the meantime."
    ),
    OperationAttention.MISMATCH: gettext_lazy(
        "Nothing happens automatically. Compare the platform's own record with this operation, then resolve it by hand."
    ),
    OperationAttention.DIVERGED: gettext_lazy(
        "Nothing happens automatically. Ask the platform's support which is true before you do it again."
    ),
    OperationAttention.UNRECORDED: gettext_lazy(
        "Nothing happens automatically. Compare it with your own records: the person who asked for it is no longer "
        "known here."
    ),
}

NO_TRACE = gettext_lazy(
    "Nothing happens automatically. See whether the money has moved; if it has not, do it again if it is still wanted."
)


@dataclass(frozen=True)
class Item:
    """One review item. The texts are plain text in the active language."""

    row: Operation | Payment
    #: The heading, such as ``Refund of $5.00``.
    what: str
    #: ``unknown``, a value of ``OperationAttention`` or one of ``PaymentFlag``.
    kind: str
    since: dt.datetime | None
    known: str
    next: str

    @property
    def payment(self) -> Payment | None:
        return self.row if isinstance(self.row, Payment) else self.row.payment

    @property
    def account_name(self) -> str:
        return self.row.account.name if self.row.account else ""


def find_items(operations: OperationQuerySet, payments: PaymentQuerySet) -> list[Item | Group]:
    """Return the review items among these rows, the oldest of each kind first. Runs four statements."""
    rows: Any = operations.select_related("payment", "account", "actor").defer("validated_method")
    now = timezone.now()
    unknown = rows.open_for_long().order_by("created_at", "id")[:ITEMS_PER_KIND_LIMIT]
    ended = rows.needing_review().order_by("attention_at", "id")[:ITEMS_PER_KIND_LIMIT]
    return [
        *(unknown_item(row, now) for row in unknown),
        *(ended_item(row) for row in ended),
        *(_flagged(row) for row in flagged.find_single(payments)[:ITEMS_PER_KIND_LIMIT]),
        *flagged.find_groups(payments)[:ITEMS_PER_KIND_LIMIT],
    ]


def count_items(operations: OperationQuerySet, payments: PaymentQuerySet) -> int:
    """Return the number of items, at most ``ITEMS_PER_KIND_LIMIT``. Runs one statement."""
    kinds = (operations.open_for_long(), operations.needing_review(), payments.flagged().filter(flag_backlog=False))
    first, *others = (rows.order_by().values_list("pk") for rows in kinds)
    # A union keeps the model's default ordering, whose columns are not selected here. Django 6.1 refuses that.
    return len(first.union(*others, flagged.one_row_a_group(payments), all=True).order_by()[:ITEMS_PER_KIND_LIMIT])


def action_in_words(operation: Operation) -> str:
    """Return the action and its amount, such as ``Refund of $5.00``."""
    action = label_of(operation.action, OperationAction)
    if operation.amount is None:
        return action
    amount = format_money(operation.amount, operation.currency)
    return _("%(action)s of %(amount)s") % {"action": action, "amount": amount}


def next_step(operation: Operation, now: dt.datetime) -> str:
    """Return a text that says what happens next with an operation of unknown outcome, and when."""
    seen = operation.checked_at
    if seen is None or now - seen > LOOKUP_SILENCE_LIMIT:
        return _(
            "It should be looked up each minute, and no worker has done so. See whether workers and beat are alive."
        )
    if operation.absent_at is not None:
        return _(
            "The platform has shown no sign of it since %(when)s. If that stays so for long enough, it ends as not "
            "carried out."
        ) % {"when": format_moment(operation.absent_at)}
    return _(
        "It is looked up each minute, next at %(when)s, and is closed automatically as soon as the platform shows the "
        "outcome."
    ) % {"when": format_moment(max(seen + LOOKED_UP_EVERY, now))}


def unknown_item(row: Operation, now: dt.datetime) -> Item:
    """Return the item for an operation of unknown outcome."""
    known = [row.error or _("No answer was recorded: the process that asked was probably stopped.")]
    if row.checked_at is not None:
        known.append(_("Last looked up at %(when)s.") % {"when": format_moment(row.checked_at)})
    if row.look_up_error:
        known.append(row.look_up_error)
    return Item(row, action_in_words(row), "unknown", row.created_at, " ".join(known), next_step(row, now))


def ended_item(row: Operation) -> Item:
    """Return the item for an operation that has ended, but whose outcome staff must look at."""
    known = row.error
    if row.attention == OperationAttention.DIVERGED:
        known = _now_shown(row)
    if row.attention == OperationAttention.LATE_FAILURE:
        known = " ".join(filter(None, (known, _why_it_failed(row))))
    if row.attention == OperationAttention.CONTRADICTED:
        known = " ".join(filter(None, (_was_told(row), known)))
    step = ENDED.get(row.attention, "")
    if row.attention == OperationAttention.CONTRADICTED and row.state == OperationState.SUCCEEDED and _is_word(row):
        step = NO_TRACE
    return Item(row, action_in_words(row), row.attention, row.attention_at, known, str(step))


def _why_it_failed(row: Operation) -> str:
    """Return the meaning of the bank's code, or an empty text if the error says it already."""
    reason = find_reason(TransactionType.REFUND, row.error_code)
    return "" if reason is None or str(reason.means) in row.error else str(reason.means)


def _is_word(row: Operation) -> bool:
    """Return whether the outcome is known only from a manual resolution."""
    return row.settled_at is not None and row.finished_at == row.settled_at


def _now_shown(row: Operation) -> str:
    """Return a text about the state in the mirror that contradicts a success. ``payment`` should be joined."""
    if row.action == OperationAction.CREATE_CUSTOMER:
        return _("It succeeded, and the platform no longer has the customer.")
    if row.action == OperationAction.REMOVE_METHOD:
        return _("It succeeded, and the platform has the saved payment method again.")
    payment = row.payment
    if payment is None or payment.deleted_at:
        return _("It succeeded, and the platform no longer has the payment.")
    if row.action == OperationAction.REFUND:
        return _("It succeeded, and the platform now has the refund with other figures or no longer has it.")
    return _("It succeeded, and the platform now shows the payment with the status %(status)s.") % {
        "status": label_of(payment.status, PaymentStatus)
    }


def _was_told(row: Operation) -> str:
    if row.settled_at is None:
        return _("The platform had no trace of it, and shows it now.")
    if _is_word(row):
        return _("A colleague resolved it as carried out, but the platform shows no trace of it.")
    return _("A colleague resolved it by hand, but the platform shows another outcome.")


def _flagged(row: Payment) -> Item:
    since = row.newest_movement.remote_created_at if row.newest_movement else None
    known, step = " ".join(flagged.known(row)), " ".join((str(flagged.NEXT.get(row.flag, "")), *flagged.advice(row)))
    return Item(row, flagged.headline(row), row.flag, since or row.flagged_at, known, step.strip())

"""*Try again*: an operation that was not executed is opened again, with the same key and the same reference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from govpay.exceptions import OperationRefused
from govpay.models import Operation, Payment
from govpay.models.base import Mirror
from govpay.operations import attempts, journal
from govpay.operations.actions import Snapshot
from govpay.operations.engine import reopen
from govpay.operations.reconciliation import ACTIONS
from govpay.operations.refunds import AT_STAKE


def retry_operation(*, operation: Operation, actor: Any = None, seen: Snapshot | None = None) -> Mirror:
    """Try a capture, refund or void again that was not executed; returns the row that came of it.

    The operation keeps its key, its reference and its amount, so that the platform refuses it as a duplicate should an
    earlier attempt arrive late (assumption A10). The platform is read first: found there, nothing is sent. Calling this
    for an operation that has ended otherwise returns or raises what that one came to.

    Raises ``OperationRefused``, ``OutcomeUnknown``, ``APIError``, and ``RuntimeError`` inside a transaction.
    """
    row = journal.entries().select_related("actor", "retried_by", "settled_by").get(pk=operation.pk)
    if row.action not in ACTIONS:
        raise OperationRefused(f"{row.action} is an action of another release.")
    return reopen(ACTIONS[row.action].again(row, seen), row, actor=actor)


def not_executed_of(payments: Iterable[Payment], action: str) -> dict[str, Operation]:
    """The newest operation of this kind on each payment that was sent and not executed, by the payment's uid."""
    uids = [payment.uid for payment in payments]
    rows = journal.entries().filter(journal.not_found(), action=action, payment__in=uids)
    found = rows.select_related("actor", "retried_by").defer("validated_method").order_by("finished_at", "pk")
    return {str(row.payment_id): row for row in found} if uids else {}


def is_at_stake(operation: Operation) -> bool:
    """Whether the platform may still carry out what was not executed, so that another one is a second one."""
    ended = operation.finished_at
    return attempts.was_sent(operation) and ended is not None and ended >= timezone.now() - AT_STAKE


def why_not_retry(operation: Operation) -> str:
    """Why *Try again* is closed for an operation, or an empty string."""
    if not attempts.is_not_executed(operation):
        return _("There is nothing to try again: this operation did not end as not carried out.")
    if operation.action not in journal.MOVES_MONEY:
        return _("It is started again where it was started.")
    return ""

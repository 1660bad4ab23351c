"""*Try again*: make a further attempt of an operation that was not executed, with the same key and reference."""

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
    """Try again a capture, refund or void that was not executed. Returns the row that it created or changed.

    The operation keeps its key, reference and amount, so that the platform refuses the duplicate if an earlier attempt
    arrives late (assumption A10). The platform is read first, and nothing is sent if the effect is found there. For an
    operation in any other state, its outcome is returned or raised.

    Raises ``OperationRefused``, ``OutcomeUnknown``, ``APIError``, and ``RuntimeError`` inside a transaction.
    """
    row = journal.entries().select_related("actor", "retried_by", "settled_by").get(pk=operation.pk)
    if row.action not in ACTIONS:
        raise OperationRefused(_("This action belongs to another release of govpay, so it cannot be tried again here."))
    return reopen(ACTIONS[row.action].again(row, seen), row, actor=actor)


def not_executed_of(payments: Iterable[Payment], action: str) -> dict[str, Operation]:
    """Return the newest operation of this action that was sent and not executed, by the payment's uid."""
    uids = [payment.uid for payment in payments]
    rows = journal.entries().filter(attempts.not_found(), action=action, payment__in=uids)
    found = rows.select_related("actor", "retried_by").defer("validated_method").order_by("finished_at", "pk")
    return {str(row.payment_id): row for row in found} if uids else {}


def is_at_stake(operation: Operation) -> bool:
    """Return whether the platform may still carry out this operation, so that a new one could be a duplicate."""
    ended = operation.finished_at
    return attempts.was_sent(operation) and ended is not None and ended >= timezone.now() - AT_STAKE


def why_not_retry(operation: Operation) -> str:
    """Return the reason why *Try again* is not available for an operation, or an empty string."""
    if not attempts.is_not_executed(operation):
        return _("Only an operation that was not carried out can be tried again.")
    if operation.action not in journal.MOVES_MONEY:
        return _("This cannot be tried again here. Start it again on the page or with the command that started it.")
    return ""

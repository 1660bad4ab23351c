"""Attempts of one operation: when *Try again* may reopen it, and the record of its earlier attempts."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from govpay import conf
from govpay.exceptions import APIConnectionError
from govpay.models import Operation
from govpay.models.choices import OperationState
from govpay.operations.actions import Action
from govpay.operations.hold import demand_not_held
from govpay.operations.journal import entries, not_found, note_step, read_what_is_committed
from govpay.sync.transactions import in_transaction


def reopen_row(action: Action, operation: Operation, actor: Any) -> bool:
    """Start the next attempt of an operation that was not executed, and check the rules again.

    Call it in a durable transaction. Returns False when another process reopened or changed the row first.

    Raises ``IntegrityError`` when another operation of this payment is open, and ``OperationRefused``.
    """
    read_what_is_committed()
    demand_not_held()
    kept = {name: value for name, value in action.entry().items() if name in ("validated_method", "method_expires_at")}
    if operation.validated_method is not None:
        kept = {}  # keep the method of the first attempt: the look-up recognizes the effect by it
    columns: dict[str, Any] = {
        **kept,
        "state": OperationState.STARTED,
        "attempts": operation.attempts + 1,
        "attempted_at": timezone.now(),
        "retried_by": actor if getattr(actor, "pk", None) else None,
        "earlier_attempts": _with_this_attempt(operation),
        "deadline_at": Operation.deadline(float(conf.get("CALL_TIMEOUT"))),
        **dict.fromkeys(("finished_at", "absent_at", "attention_at", "settled_by", "settled_at")),
        **dict.fromkeys(("error", "error_class", "error_code", "attention", "settlement", "look_up_error"), ""),
    }
    failed = entries().filter(pk=operation.pk, attempts=operation.attempts, state=OperationState.FAILED)
    if not failed.update(**columns):
        return False
    for name, value in columns.items():
        setattr(operation, name, value)
    action.check(operation)
    note_step(operation, "claimed")
    return True


def _with_this_attempt(operation: Operation) -> list[dict[str, Any]]:
    """Return the earlier attempts and the one that just ended, each with the person who resolved it by hand, if any."""
    ended = {
        "attempt": operation.attempts,
        "started_at": (operation.attempted_at or operation.created_at).isoformat(),
        "finished_at": operation.finished_at.isoformat() if operation.finished_at else None,
        "by": str(operation.retried_by or operation.actor or ""),
        "error": operation.error,
        "resolved_by": str(operation.settled_by or ""),
        "resolution": operation.settlement,
    }
    return [*operation.earlier_attempts, ended]


def doubt(operation: Operation, why: str) -> None:
    """Set an operation that counts as not executed back to ``unknown``, because the platform shows a sign of it."""

    columns: dict[str, Any] = {
        "state": OperationState.UNKNOWN,
        "look_up_error": why[:255],
        **dict.fromkeys(("finished_at", "absent_at", "settled_by", "settled_at")),
        **dict.fromkeys(("attention", "settlement"), ""),
    }
    if operation.settled_at is not None:
        columns["earlier_attempts"] = _with_this_attempt(operation)

    def work() -> None:
        if entries().filter(not_found(), pk=operation.pk).update(**columns):
            operation.state = OperationState.UNKNOWN

    in_transaction(work)


def is_not_executed(operation: Operation) -> bool:
    """Whether *Try again* may reopen this operation: as far as is known, nothing was done.

    A refusal of the first attempt ends the operation. A refusal of a later attempt says nothing about the earlier
    attempts, so that only a retry with the same reference is safe.
    """
    absent = operation.error_class == APIConnectionError.__name__
    tried_again = operation.attempts > 1 and not operation.result_uid
    return operation.state == OperationState.FAILED and (absent or tried_again or operation.settled_at is not None)


def was_sent(operation: Operation) -> bool:
    """Whether an attempt of this operation, which counts as not executed, may have reached the platform."""
    return operation.attempts > 1 or operation.absent_at is not None or operation.settled_at is not None

"""Attempts of one operation: when *Try again* may reopen it, and the columns of its row for the next attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Q
from django.utils import timezone

from govpay import conf
from govpay.exceptions import APIConnectionError
from govpay.models import Operation
from govpay.models.choices import OperationState
from govpay.models.people import name_of, person, user_id_of


def next_attempt(operation: Operation, entry: Mapping[str, Any], actor: Any) -> dict[str, Any]:
    """Return the columns that begin the next attempt. ``entry``: the journal columns of the repeated request."""
    kept = {name: value for name, value in entry.items() if name in ("validated_method", "method_expires_at")}
    if operation.validated_method is not None:
        kept = {}  # keep the method of the first attempt: the look-up recognizes the effect by it
    return {
        **kept,
        "state": OperationState.STARTED,
        "attempts": operation.attempts + 1,
        "attempted_at": timezone.now(),
        **person("retried_by", actor),
        "earlier_attempts": _with_this_attempt(operation),
        "deadline_at": Operation.deadline(float(conf.get("CALL_TIMEOUT"))),
        **dict.fromkeys(("finished_at", "absent_at", "attention_at", "settled_at")),
        **person("settled_by", None),
        **dict.fromkeys(("error", "error_class", "error_code", "attention", "settlement", "look_up_error"), ""),
    }


def doubted(operation: Operation, why: str) -> dict[str, Any]:
    """Return the columns that set a not executed operation back to ``unknown``. ``why``: the sign that was found."""
    columns: dict[str, Any] = {
        "state": OperationState.UNKNOWN,
        "look_up_error": why[:255],
        **dict.fromkeys(("finished_at", "absent_at", "settled_at")),
        **person("settled_by", None),
        **dict.fromkeys(("attention", "settlement"), ""),
    }
    if operation.settled_at is not None:
        columns["earlier_attempts"] = _with_this_attempt(operation)
    return columns


def _with_this_attempt(operation: Operation) -> list[dict[str, Any]]:
    """Return the earlier attempts and the one that just ended, each with the user who resolved it by hand, if any."""
    ended = {
        "attempt": operation.attempts,
        "started_at": (operation.attempted_at or operation.created_at).isoformat(),
        "finished_at": operation.finished_at.isoformat() if operation.finished_at else None,
        "by": name_of(operation, operation.asked_by),
        "by_user_id": user_id_of(operation, operation.asked_by),
        "error": operation.error,
        "resolved_by": name_of(operation, "settled_by"),
        "resolved_by_user_id": user_id_of(operation, "settled_by"),
        "resolution": operation.settlement,
    }
    return [*operation.earlier_attempts, ended]


def is_not_executed(operation: Operation) -> bool:
    """Return whether *Try again* may reopen this operation: it failed, and nothing is known to have been done.

    A refusal of the first attempt ends the operation. A refusal of a later attempt says nothing about the earlier
    attempts, so that only a retry with the same reference is safe.
    """
    absent = operation.error_class == APIConnectionError.__name__
    tried_again = operation.attempts > 1 and not operation.result_uid
    return operation.state == OperationState.FAILED and (absent or tried_again or operation.settled_at is not None)


def was_sent(operation: Operation) -> bool:
    """Return whether an attempt of this operation, which is closed as not executed, may have reached the platform."""
    return operation.attempts > 1 or operation.absent_at is not None or operation.settled_at is not None


def not_found() -> Q:
    """Return the filter for operations that were sent and closed as not executed, by reconciliation or by hand.

    The platform may still carry them out later.
    """
    absent = Q(error_class=APIConnectionError.__name__, absent_at__isnull=False)
    # A refusal of a later attempt says nothing about the earlier ones: without a result they may still arrive.
    tried_again = Q(attempts__gt=1, result_uid="")
    return Q(absent | tried_again | Q(settled_at__isnull=False), state=OperationState.FAILED)

"""Manual resolution: a person records the outcome of an operation, and the platform is checked again afterwards."""

from __future__ import annotations

import datetime as dt
import logging
import time
from functools import partial
from typing import Any

from django.db import Error as DatabaseTrouble
from django.utils import timezone
from django.utils.translation import gettext as _

from govpay.client.cards import refuse_cards
from govpay.exceptions import APIConnectionError, GovPayError, OperationRefused
from govpay.models import Operation
from govpay.models.choices import OperationAction, OperationAttention, OperationState, Source
from govpay.models.operations import OPEN_STATES, RECHECK_PERIOD
from govpay.models.people import person
from govpay.operations import journal
from govpay.operations.engine import dispatch_signals
from govpay.operations.reconciliation import ACTIONS, reconcile_one
from govpay.sync import outbox
from govpay.sync.transactions import in_transaction

logger = logging.getLogger("govpay.operations")

#: Interval between two reads of the platform after an operation was resolved by hand.
RECHECK_INTERVAL = dt.timedelta(hours=1)

#: Maximum look-ups in one pass, and the maximum duration of a pass in seconds.
RECHECKS_PER_PASS, PASS_TIMEOUT = 50, 30.0


def resolve_manually(*, operation: Operation, carried_out: bool, reason: str, actor: Any) -> Operation:
    """Close an operation of unknown outcome with the outcome that ``actor`` found in the platform's own records.

    The platform is read once more first. If that shows the outcome, it is recorded instead of the actor's, and
    ``settled_at`` of the returned row is empty. Nothing is written to the platform, and the actor's answer changes no
    mirrored row.

    Raises ``OperationRefused``, and ``RuntimeError`` inside a transaction.
    """
    journal.demand_commits()
    text = " ".join(str(reason or "").split())
    if not text:
        raise OperationRefused(_("Say how you know: what you looked at, and where."))
    if getattr(actor, "pk", None) is None:
        raise OperationRefused(_("Only a signed-in user can resolve an operation."))
    refuse_cards(reason=text)
    row = journal.entries().get(pk=operation.pk)
    if not row.is_open:
        raise OperationRefused(_("Its outcome is known already; look at it again."))
    if not row.is_overdue:
        raise OperationRefused(_("Its call may still be under way; look at it again in a minute."))
    # An action of another release cannot be looked up, but it may be resolved by hand.
    told = row.action in ACTIONS and reconcile_one(row) not in OPEN_STATES
    closed = not told and in_transaction(partial(_close, row, carried_out, text, actor))
    dispatch_signals()
    now = journal.entries().get(pk=row.pk)
    if not closed and now.settled_at is not None:
        # Another person resolved it first. Their name must not appear beside this actor's decision.
        raise OperationRefused(_("Its outcome is known already; look at it again."))
    return now


def _close(operation: Operation, carried_out: bool, reason: str, actor: Any) -> int:
    now = timezone.now()
    columns: dict[str, Any] = {
        "state": OperationState.SUCCEEDED if carried_out else OperationState.FAILED,
        "finished_at": now,
        **person("settled_by", actor),
        "settled_at": now,
        "settlement": reason,
        "error": "",
        "error_class": "",
        "error_code": "",
        "checked_at": now,
    }
    if carried_out and operation.action in (OperationAction.CAPTURE, OperationAction.VOID):
        columns["result_uid"] = operation.payment_id
    if not carried_out:
        columns["error"] = "Resolved by hand: not carried out."
        columns["error_class"] = APIConnectionError.__name__
        if operation.action not in journal.KNOWN_BY_METHOD:
            columns["validated_method"] = None  # nothing was validated that could be captured
    changed = journal.entries().filter(pk=operation.pk, state__in=OPEN_STATES).update(**columns)
    if changed:
        outbox.enqueue([("operation_finished", Operation, int(operation.pk))], source=Source.OPERATION)
    return changed


def recheck_resolved() -> int:
    """Look up money operations that were resolved by hand. Returns how many turned out differently.

    Each is looked up once an hour for three days, or until a review item is raised. If the platform records a different
    outcome, that one replaces the manual one. If the platform shows no sign of an operation that was resolved as
    carried out, a review item is raised and the manual outcome stays. Only reads the platform. Raises database errors,
    but no errors of the platform.
    """
    now, end = timezone.now(), time.monotonic() + PASS_TIMEOUT
    watched = journal.entries().filter(
        settled_at__gt=now - RECHECK_PERIOD,
        attention_at=None,
        action__in=journal.MOVES_MONEY,
        checked_at__lt=now - RECHECK_INTERVAL,
    )
    turned = 0
    for operation in list(watched.order_by("checked_at")[:RECHECKS_PER_PASS]):
        if time.monotonic() > end:
            break
        journal.entries().filter(pk=operation.pk).update(checked_at=timezone.now())
        try:
            turned += _look_again(operation)
        except (GovPayError, ValueError) as error:
            logger.info("operation %s cannot be looked up now: %s", operation.key, error)
        except DatabaseTrouble:
            raise
        except Exception:
            # One failure must not stop the other look-ups.
            logger.exception("operation %s cannot be looked up", operation.key)
    dispatch_signals()
    return turned


def _look_again(operation: Operation) -> bool:
    if _has_later(operation):
        return False  # the present status may be the effect of the later operation
    action, said = ACTIONS[operation.action], operation.state == OperationState.SUCCEEDED
    answer = action.look_up(operation)
    if answer is not None:
        journal.JournalEntry(operation).record(action, answer)  # raises a review item if the outcome differs
        return said != (answer.error is None)
    if said:
        told = journal.review_columns(operation, OperationAttention.CONTRADICTED)
        journal.entries().filter(pk=operation.pk).update(**told)
    return said


def _has_later(operation: Operation) -> bool:
    """Return whether a later action may have caused the payment's status. False for a refund (own reference)."""
    if operation.action == OperationAction.REFUND:
        return False
    later = journal.entries().filter(payment=operation.payment_id, action__in=journal.MOVES_MONEY, pk__gt=operation.pk)
    return later.exclude(state=OperationState.FAILED).exists()

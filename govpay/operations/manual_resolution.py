"""Operations that the platform does not tell the outcome of: closed by somebody's word, and watched afterwards."""

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
from govpay.models.operations import OPEN_STATES, WATCHED
from govpay.operations import journal
from govpay.operations.engine import tell
from govpay.operations.reconciliation import ACTIONS, settle_one
from govpay.sync import outbox
from govpay.sync.transactions import in_transaction

logger = logging.getLogger("govpay.operations")

#: So often the platform is asked again after an operation was settled by hand.
RECHECK_INTERVAL = dt.timedelta(hours=1)

#: Looked up in one pass, for no longer than so many seconds.
RECHECKS_PER_PASS, PASS_TIMEOUT = 50, 30.0


def resolve_manually(*, operation: Operation, carried_out: bool, reason: str, actor: Any) -> Operation:
    """Close an operation of unknown outcome by the word of ``actor``, who looked into the platform's own records.

    The platform is asked once more before: what it tells counts, and ``settled_at`` of the row that comes back
    is then empty. Nothing is sent, and the mirrored rows stay the platform's to tell.

    Raises ``OperationRefused``, and ``RuntimeError`` inside a transaction.
    """
    journal.demand_commits()
    text = " ".join(str(reason or "").split())
    if not text:
        raise OperationRefused(_("Say how you know: what you looked at, and where."))
    if getattr(actor, "pk", None) is None:
        raise OperationRefused(_("An operation is settled by somebody, and nobody is signed in."))
    refuse_cards(reason=text)
    row = journal.entries().get(pk=operation.pk)
    if not row.is_open:
        raise OperationRefused(_("Its outcome is known already; look at it again."))
    if not row.is_overdue:
        raise OperationRefused(_("Its call may still be under way; look at it again in a minute."))
    # An action of another release cannot be looked up, and is still somebody's to settle.
    told = row.action in ACTIONS and settle_one(row) not in OPEN_STATES
    closed = not told and in_transaction(partial(_close, row, carried_out, text, actor))
    tell()
    now = journal.entries().get(pk=row.pk)
    if not closed and now.settled_at is not None:
        # Somebody else was quicker: nobody's name may stand for another one's word.
        raise OperationRefused(_("Its outcome is known already; look at it again."))
    return now


def _close(operation: Operation, carried_out: bool, reason: str, actor: Any) -> int:
    now = timezone.now()
    columns: dict[str, Any] = {
        "state": OperationState.SUCCEEDED if carried_out else OperationState.FAILED,
        "finished_at": now,
        "settled_by": actor,
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
        columns["error"] = "Settled by hand: not carried out."
        columns["error_class"] = APIConnectionError.__name__
        if operation.action not in journal.KNOWN_BY_METHOD:
            columns["validated_method"] = None  # nothing was validated that could be captured
    changed = journal.entries().filter(pk=operation.pk, state__in=OPEN_STATES).update(**columns)
    if changed:
        outbox.enqueue([("operation_finished", Operation, int(operation.pk))], source=Source.OPERATION)
    return changed


def recheck_settled() -> int:
    """Ask the platform again about money whose outcome was settled by hand; gives how many turned out otherwise.

    Each is asked about once an hour for three days, until somebody was told. What the platform says replaces
    somebody's word; that it has no trace proves less than somebody's word, which then stays. Reads only. Raises
    database errors; none of the platform's.
    """
    now, end = timezone.now(), time.monotonic() + PASS_TIMEOUT
    watched = journal.entries().filter(
        settled_at__gt=now - WATCHED,
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
            # One that fails does not hold up the others.
            logger.exception("operation %s cannot be looked up", operation.key)
    tell()
    return turned


def _look_again(operation: Operation) -> bool:
    if _has_later(operation):
        return False  # what is seen now may be the later one's work
    action, said = ACTIONS[operation.action], operation.state == OperationState.SUCCEEDED
    answer = action.look_up(operation)
    if answer is not None:
        journal.settle(action, operation, answer)  # which tells somebody if it turned out otherwise
        return said != (answer.error is None)
    if said:
        told = journal.attention_for(operation, OperationAttention.CONTRADICTED)
        journal.entries().filter(pk=operation.pk).update(**told)
    return said


def _has_later(operation: Operation) -> bool:
    """Whether the payment's status may be another action's work. A refund is known by its own reference."""
    if operation.action == OperationAction.REFUND:
        return False
    later = journal.entries().filter(payment=operation.payment_id, action__in=journal.MOVES_MONEY, pk__gt=operation.pk)
    return later.exclude(state=OperationState.FAILED).exists()

"""Operations that the platform does not tell the outcome of: closed by somebody's word, and watched afterwards."""

from __future__ import annotations

import datetime as dt
import logging
from functools import partial
from typing import Any

from django.db import Error as DatabaseTrouble
from django.utils import timezone
from django.utils.translation import gettext as _

from govpay.client.cards import refuse_cards
from govpay.exceptions import APIConnectionError, GovPayError, OperationRefused
from govpay.models import Operation
from govpay.models.choices import OperationAttention, OperationState, Source
from govpay.models.operations import OPEN_STATES
from govpay.operations import journal
from govpay.operations.base import tell
from govpay.operations.deeds import Answer
from govpay.operations.reconciliation import DEEDS, settle_one
from govpay.sync import news
from govpay.sync.mapping import Unmappable
from govpay.sync.transactions import in_transaction

logger = logging.getLogger("govpay.operations")

#: For so long after it was settled by hand the platform is asked again, and so often.
WATCHED, EVERY = dt.timedelta(days=3), dt.timedelta(hours=1)

#: Looked up in one pass.
MOST = 50


def settle_by_hand(*, operation: Operation, carried_out: bool, reason: str, actor: Any) -> Operation:
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
    if settle_one(row) not in OPEN_STATES or not in_transaction(partial(_close, row, carried_out, text, actor)):
        logger.info("operation %s was settled by the platform before somebody did", row.key)
    tell()
    return journal.entries().get(pk=row.pk)


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
    if not carried_out:
        columns["error"] = "Settled by hand: not carried out."
        columns["error_class"] = APIConnectionError.__name__
        columns["validated_method"] = None  # nothing was validated that could be captured
    changed = journal.entries().filter(pk=operation.pk, state__in=OPEN_STATES).update(**columns)
    if changed:
        news.announce([("operation_finished", Operation, int(operation.pk))], source=Source.OPERATION)
    return changed


def recheck_settled() -> int:
    """Ask the platform again about what was settled by hand; gives how many turned out otherwise.

    Each is asked about once an hour for three days. What the platform tells replaces somebody's word, and
    somebody is told. Reads only. Raises database errors; none of the platform's.
    """
    now = timezone.now()
    watched = journal.entries().filter(settled_at__gt=now - WATCHED, attention="", action__in=DEEDS)
    due = watched.filter(checked_at__lt=now - EVERY).order_by("checked_at")
    return sum(_look_again(operation) for operation in list(due[:MOST]))


def _look_again(operation: Operation) -> bool:
    deed = DEEDS[operation.action]
    journal.entries().filter(pk=operation.pk).update(checked_at=timezone.now())
    if _done_since(operation):
        return False  # what is seen now may be the later one's work
    try:
        answer = deed.look_up(operation)
    except (GovPayError, ValueError, DatabaseTrouble) as error:
        logger.info("operation %s cannot be looked up now: %s", operation.key, error)
        return False
    succeeded = operation.state == OperationState.SUCCEEDED
    if succeeded == (answer is not None and answer.error is None):
        return False
    return _turn(operation, answer)


def _done_since(operation: Operation) -> bool:
    """Whether the same was done to the payment once more, after this one was closed."""
    if operation.payment_id is None:
        return False
    later = journal.entries().filter(action=operation.action, payment=operation.payment_id, pk__gt=operation.pk)
    return later.exclude(state=OperationState.FAILED).exists()


def _turn(operation: Operation, answer: Answer | None) -> bool:
    """The platform says otherwise. That it has no trace proves less than somebody's word, which then stays."""
    if answer is not None:
        try:
            journal.settle(DEEDS[operation.action], operation, answer, OperationAttention.CONTRADICTED)
        except Unmappable as unmappable:
            logger.warning("operation %s: its row cannot be made: %s", operation.key, unmappable)
            return False
        except DatabaseTrouble:
            logger.exception("operation %s turned out otherwise, which could not be recorded", operation.key)
            return False
    else:
        told = journal.attention_for(operation, OperationAttention.CONTRADICTED)
        journal.entries().filter(pk=operation.pk).update(**told)
    tell()
    logger.warning("operation %s was settled by hand, and the platform says otherwise", operation.key)
    return True

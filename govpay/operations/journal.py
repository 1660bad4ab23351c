"""The journal's rows: each is opened once, before anything is sent, and closed once."""

from __future__ import annotations

import logging
import uuid
from typing import Any, cast

from django.db import router, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from govpay import conf
from govpay.exceptions import APIConnectionError, APIError, GovPayError
from govpay.models import Operation
from govpay.models.base import Mirror
from govpay.models.choices import OperationAction, OperationAttention, OperationState, Source
from govpay.models.operations import OPEN_STATES
from govpay.operations.actions import Action, ActionResult
from govpay.operations.hold import demand_not_held
from govpay.security.tracebacks import scrub_traceback
from govpay.sync import outbox
from govpay.sync.mapping import Unmappable
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_document

logger = logging.getLogger("govpay.operations")

#: How far an action has come, in this order. A process may end between any two of them and loses nothing.
STEPS = (
    "claimed",  # the row is inserted and the rules are kept, in a transaction that is still open
    "journalled",  # that is committed
    "sending",  # the call comes next
    "answered",  # the platform's answer is here and not yet understood
    "stored",  # how it ended is written, in a transaction that is still open
    "closed",  # that is committed
    "read again",  # what else may have changed is up to date
    "told",  # the signals that were owed are sent
)

#: What ``close`` writes; everything else in a row stays as it was opened.
CLOSING = (
    *("state", "finished_at", "error", "error_class", "error_code", "remote_request_id"),
    *("result_uid", "payment_id"),
)

#: Actions whose sealed method is what the look-up knows their effect by, so that it outlives "not executed".
KNOWN_BY_METHOD = (OperationAction.SAVE_METHOD, OperationAction.IMPORT_METHODS)

#: Actions that move money: if the final outcome differs from what the user was shown, a review item is raised.
MOVES_MONEY = (OperationAction.CAPTURE, OperationAction.REFUND, OperationAction.VOID)


def note_step(operation: Operation, step: str) -> None:
    """Log that ``operation`` has come to ``step``, one of ``STEPS``, at DEBUG; the record has it as ``step``."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("operation %s: %s", operation.key, step, extra={"step": step})


def entries() -> QuerySet[Operation]:
    """The journal where it is written: a replica may lag behind, and money does not wait for it."""
    return cast("QuerySet[Operation]", Operation.objects.using(router.db_for_write(Operation)))


def is_used(key: uuid.UUID | str | None) -> bool:
    """Whether ``key`` stands for an operation already: its outcome is then the answer."""
    try:
        return key is not None and entries().filter(key=uuid.UUID(str(key))).exists()
    except ValueError:
        return True  # it is none, as ``execute`` will say


def demand_commits() -> None:
    """Raises ``RuntimeError`` inside a transaction: what is written there could be taken back later.

    The journal has to be on disk before anything is sent, and no lock may be held during HTTP.
    """
    connection = transaction.get_connection(router.db_for_write(Operation))
    blocks = connection.atomic_blocks
    # Django's own TestCase wraps each test in a transaction and marks it so.
    in_transaction_of_caller = any(not getattr(block, "_from_testcase", False) for block in blocks)
    if in_transaction_of_caller or not (blocks or connection.get_autocommit()):
        raise RuntimeError(
            "Operations commit before they call the platform, so they cannot run inside a transaction "
            "(transaction.atomic, ATOMIC_REQUESTS, autocommit off). Nothing was sent."
        )


def reference_of(action: Action | type[Action], key: uuid.UUID) -> str:
    """The reference that the platform gets: made from the key, so that the same key always sends the same one.

    A request that is repeated after this database was restored from a backup is then the platform's duplicate.
    """
    return f"{action.reference_prefix}-{key.hex}"


def open_row(action: Action, key: uuid.UUID, fingerprint: str, actor: Any, known: Mirror | None = None) -> Operation:
    """Insert the row, which is the claim, and check the rules. Run it in a durable transaction.

    With ``known`` there is nothing to do: the row is closed at once, so that the key stands for that.

    Raises ``IntegrityError`` when the key or the payment is taken, and ``OperationRefused``.
    """
    read_what_is_committed()
    demand_not_held()
    operation = Operation(
        key=key,
        action=action.action,
        fingerprint=fingerprint,
        actor=actor if getattr(actor, "pk", None) else None,
        deadline_at=Operation.deadline(float(conf.get("CALL_TIMEOUT"))),
        **action.entry(),
    )
    if action.reference_prefix and not operation.reference_id:
        operation.reference_id = reference_of(action, key)
    if known is not None:
        operation.state, operation.finished_at = OperationState.SUCCEEDED, timezone.now()
        operation.result_uid = known.uid
    operation.save(force_insert=True)
    if known is None:
        action.check(operation)
    else:
        action.stored(operation, known)
    note_step(operation, "claimed")
    return operation


def read_what_is_committed() -> None:
    """For sites that run PostgreSQL under a stricter isolation.

    There a transaction sees what was so when it began, and this one may have waited for another action's end:
    its rules would be checked on rows of before.
    """
    connection = transaction.get_connection(router.db_for_write(Operation))
    level = getattr(getattr(connection, "isolation_level", None), "name", "")
    if level in ("REPEATABLE_READ", "SERIALIZABLE"):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")


@scrub_traceback
def settle(action: type[Action], operation: Operation, answer: ActionResult, attention: str = "") -> Mirror:
    """Store what the platform said and close the row, in one transaction; gives the row that came of it.

    ``attention`` tells somebody that it has ended otherwise than they were told.

    Raises ``Unmappable`` for a document that no row can be made of, and database errors.
    """

    def work() -> Mirror:
        where = action.address(operation)
        row = save_document(answer.mapper, answer.document, extra=where, source=Source.OPERATION)
        if row is None:
            raise Unmappable("the row is gone")
        if answer.local:
            type(row)._default_manager.filter(pk=row.pk).update(**answer.local)
            row.refresh_from_db()
        operation.result_uid = row.uid
        operation.remote_request_id = operation.remote_request_id or answer.request_id
        action.stored(operation, row)
        state = OperationState.FAILED if answer.error else OperationState.SUCCEEDED
        _close(operation, state, answer.error, attention)
        return row

    row = in_transaction(work)
    note_step(operation, "closed")
    return row


@scrub_traceback
def close(operation: Operation, state: str, error: GovPayError | None = None, attention: str = "") -> None:
    """Write how the operation ended, unless somebody else did so first."""
    in_transaction(lambda: _close(operation, state, error, attention))
    note_step(operation, "closed")


def _close(operation: Operation, state: str, error: GovPayError | None, attention: str = "") -> None:
    operation.state = state
    operation.finished_at = None if state == OperationState.UNKNOWN else timezone.now()
    operation.error = str(error) if error else ""
    operation.error_class = type(error).__name__ if error else ""
    operation.error_code = str(getattr(error, "code", "") or "")[:64]
    operation.remote_request_id = (getattr(error, "request_id", "") or operation.remote_request_id)[:255]
    columns = {name: getattr(operation, name) for name in CLOSING}
    absent = isinstance(error, APIConnectionError)
    if state == OperationState.FAILED and not (absent and operation.action in KNOWN_BY_METHOD):
        columns["validated_method"] = None  # nothing was validated that could be captured
    row = entries().filter(pk=operation.pk)
    raised = attention_for(operation, attention or operation.attention)
    still_open = row.filter(state__in=OPEN_STATES)
    if error is not None and not operation.result_uid:
        # What became of one attempt says nothing about a later one, which may be under way.
        still_open = still_open.filter(attempts=operation.attempts)
    changed = still_open.update(**columns, **raised)
    if not changed and state != OperationState.UNKNOWN:
        told = attention_for(operation, OperationAttention.CONTRADICTED)
        changed = row.filter(_turnable(state, error)).update(**columns, **told)
        if not changed and operation.result_uid:
            # Somebody's word was right, and now it is known what came of it.
            row.filter(state=state, settled_at__isnull=False).update(result_uid=operation.result_uid)
    if changed and state != OperationState.UNKNOWN:
        outbox.enqueue([("operation_finished", Operation, int(operation.pk))], source=Source.OPERATION)
    note_step(operation, "stored")


def _turnable(state: str, error: GovPayError | None) -> Q:
    """Which closed rows end otherwise after all: what the platform itself says counts more than that it once had
    no trace, and more than somebody's word."""
    if state == OperationState.SUCCEEDED:
        return not_found()
    if isinstance(error, APIConnectionError):
        return Q(pk=None)  # no trace is no word
    return Q(state=OperationState.SUCCEEDED, settled_at__isnull=False)


def attention_for(operation: Operation, attention: str) -> dict[str, Any]:
    """The columns by which somebody is told of how it ended. Only what moves money is worth it.

    A fee preview that was not taken back is not: nobody can charge it, and it ends by itself.
    """
    if not attention or operation.action not in MOVES_MONEY:
        return {}
    if operation.fee_preview and attention == OperationAttention.NOT_EXECUTED:
        return {}
    return {"attention": attention, "attention_at": timezone.now()}


def turn(operation: Operation, error: str, **columns: Any) -> int:
    """Flip a closed operation between succeeded and failed, and raise a review item: its user saw the other outcome.

    ``error`` is empty for one that succeeded after all. Returns 0 when somebody else changed it meanwhile.
    """
    attention = OperationAttention.LATE_FAILURE if error else OperationAttention.CONTRADICTED
    columns.update(
        attention_for(operation, attention),
        state=OperationState.FAILED if error else OperationState.SUCCEEDED,
        error=error,
        error_class=APIError.__name__ if error else "",
        finished_at=timezone.now(),
    )

    def work() -> int:
        changed = entries().filter(pk=operation.pk, state=operation.state).update(**columns)
        if changed:
            outbox.enqueue([("operation_finished", Operation, int(operation.pk))], source=Source.SYNC)
        return changed

    return in_transaction(work)


def flag_mismatch(operation: Operation) -> None:
    """Raise a review item: the platform has what was sent with another amount, currency, type or object."""
    raised = attention_for(operation, OperationAttention.MISMATCH)
    row = entries().filter(pk=operation.pk)
    row.filter(state__in=OPEN_STATES).update(absent_at=None)
    row.exclude(attention=OperationAttention.MISMATCH).update(**raised)


def not_found() -> Q:
    """Rows that were sent and closed as not executed: no sign of them was found, or somebody said so.

    The platform may still carry them out, however late.
    """
    absent = Q(error_class=APIConnectionError.__name__, absent_at__isnull=False)
    # A refusal of a later attempt says nothing about the earlier ones: without a result they may still arrive.
    tried_again = Q(attempts__gt=1, result_uid="")
    return Q(absent | tried_again | Q(settled_at__isnull=False), state=OperationState.FAILED)

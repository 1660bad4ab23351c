"""The journal: each row is inserted before anything is sent, and closed with the outcome."""

from __future__ import annotations

import logging
import uuid
from typing import Any, cast

from django.db import Error as DatabaseTrouble
from django.db import router, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from govpay import conf
from govpay.exceptions import APIConnectionError, APIError, GovPayError, OutcomeUnknown
from govpay.models import Operation
from govpay.models.base import Mirror
from govpay.models.choices import OperationAction, OperationAttention, OperationState, Source
from govpay.models.operations import OPEN_STATES
from govpay.models.people import person
from govpay.operations import attempts
from govpay.operations.actions import Action, ActionResult
from govpay.operations.hold import demand_not_held
from govpay.security.tracebacks import scrub_traceback
from govpay.sync import outbox
from govpay.sync.mapping import Unmappable
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_document

logger = logging.getLogger("govpay.operations")

#: The steps of an action, in this order. A process may be killed between any two of them without losing an operation.
STEPS = (
    "claimed",  # the row is inserted and the rules are checked, in a transaction that is still open
    "journalled",  # that transaction is committed
    "sending",  # the call comes next
    "answered",  # the platform's answer has arrived and is not yet interpreted
    "stored",  # the outcome is written, in a transaction that is still open
    "closed",  # that transaction is committed
    "read again",  # other rows that the action may have changed are up to date
    "told",  # the signals in the outbox are sent
)

#: The columns that ``close`` and ``record`` write. It leaves the other columns as they were inserted.
CLOSING = (
    *("state", "finished_at", "error", "error_class", "error_code", "remote_request_id"),
    *("result_uid", "payment_id"),
)

#: Actions whose look-up recognizes the effect by the sealed method, so that the method is kept after "not executed".
KNOWN_BY_METHOD = (OperationAction.SAVE_METHOD, OperationAction.IMPORT_METHODS)

#: Actions that move money: if the final outcome differs from what the user was shown, a review item is raised.
MOVES_MONEY = (OperationAction.CAPTURE, OperationAction.REFUND, OperationAction.VOID)


def entries() -> QuerySet[Operation]:
    """Return the journal rows of the database that is written to, because a replica may lag behind."""
    return cast("QuerySet[Operation]", Operation.objects.using(router.db_for_write(Operation)))


def is_used(key: uuid.UUID | str | None) -> bool:
    """Return whether ``key`` is already used; ``execute`` then returns the first outcome. True for an invalid key."""
    try:
        return key is not None and entries().filter(key=uuid.UUID(str(key))).exists()
    except ValueError:
        return True  # not a UUID: ``execute`` raises for it


def demand_commits() -> None:
    """Raises ``RuntimeError`` inside a transaction, because the journal row could be rolled back later.

    The journal row must be committed before anything is sent, and no lock may be held during HTTP.
    """
    connection = transaction.get_connection(router.db_for_write(Operation))
    blocks = connection.atomic_blocks
    # Django's TestCase wraps each test in a transaction and marks it as its own.
    in_transaction_of_caller = any(not getattr(block, "_from_testcase", False) for block in blocks)
    if in_transaction_of_caller or not (blocks or connection.get_autocommit()):
        raise RuntimeError(
            "Operations commit before they call the platform, so they cannot run inside a transaction "
            "(transaction.atomic, ATOMIC_REQUESTS, autocommit off). Nothing was sent."
        )


def read_what_is_committed() -> None:
    """Use READ COMMITTED for this transaction, for sites that run PostgreSQL with a stricter isolation level.

    With a stricter level, a transaction sees the rows as they were when it began. This transaction may have waited for
    another action to end, and would then check its rules on rows from before that action.
    """
    connection = transaction.get_connection(router.db_for_write(Operation))
    level = getattr(getattr(connection, "isolation_level", None), "name", "")
    if level in ("REPEATABLE_READ", "SERIALIZABLE"):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")


class JournalEntry:
    """One journal row from its insertion to its end: succeeded, failed or unknown. Its methods commit."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation

    @classmethod
    def open(
        cls, action: Action, key: uuid.UUID, fingerprint: str, actor: Any, known: Mirror | None = None
    ) -> JournalEntry:
        """Insert the row, which claims key and payment, and check the rules.

        With ``known`` nothing has to be sent: the row is inserted as succeeded, so that the key returns ``known``.

        Raises ``IntegrityError`` when the key is used or the payment has an open operation, and ``OperationRefused``.
        """

        def work() -> JournalEntry:
            read_what_is_committed()
            demand_not_held()
            operation = Operation(
                key=key,
                action=action.action,
                fingerprint=fingerprint,
                **person("actor", actor),
                deadline_at=Operation.deadline(float(conf.get("CALL_TIMEOUT"))),
                **action.entry(),
            )
            if action.reference_prefix and not operation.reference_id:
                # The same key makes the same reference, so that the platform knows a request that a restore forgot.
                operation.reference_id = f"{action.reference_prefix}-{key.hex}"
            if known is not None:
                operation.state, operation.finished_at = OperationState.SUCCEEDED, timezone.now()
                operation.result_uid = known.uid
            operation.save(force_insert=True)
            if known is None:
                action.check(operation)
            else:
                action.stored(operation, known)
            entry = cls(operation)
            entry.mark("claimed")
            return entry

        return in_transaction(work, durable=True)

    def reopen(self, action: Action, actor: Any) -> bool:
        """Start the next attempt of an operation that was not executed, and check the rules again.

        Returns False when another process changed the row first.
        Raises ``IntegrityError`` when another operation of this payment is open, and ``OperationRefused``.
        """
        # Made before the transaction, because its retry must look for the same attempt.
        columns = attempts.next_attempt(self.operation, action.entry(), actor)
        failed = self._row.filter(attempts=self.operation.attempts, state=OperationState.FAILED)

        def work() -> bool:
            read_what_is_committed()
            demand_not_held()
            if not failed.update(**columns):
                return False
            for name, value in columns.items():
                setattr(self.operation, name, value)
            action.check(self.operation)
            self.mark("claimed")
            return True

        return in_transaction(work, durable=True)

    def mark(self, step: str) -> None:
        """Log at DEBUG that the operation has reached ``step``, one of ``STEPS``. The log record has it as ``step``."""
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("operation %s: %s", self.operation.key, step, extra={"step": step})

    @scrub_traceback
    def record(self, action: Action | type[Action], answer: ActionResult, attention: str = "") -> Mirror:
        """Store the object in the platform's answer and close the operation, in one transaction.

        Returns the object's row. ``attention``, an ``OperationAttention``, puts the operation into the review queue if
        its action moves money. Raises ``Unmappable`` if the answer cannot be mapped to a row, and database errors.
        """
        operation = self.operation

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
            self._close(answer.error, attention)
            return row

        row = in_transaction(work)
        self.mark("closed")
        return row

    @scrub_traceback
    def close(self, error: GovPayError | None = None, attention: str = "") -> None:
        """Write the outcome: succeeded without ``error``, unknown after ``OutcomeUnknown``, else failed.

        A row that is already closed stays as it is, except that the platform's record overrides "not executed" and a
        manual resolution. The error of an earlier attempt is not written if a later attempt may be running.
        ``attention``: as for ``record``.
        """
        in_transaction(lambda: self._close(error, attention))
        self.mark("closed")

    def give_up(self, error: GovPayError) -> bool:
        """Close the row. Returns False if the database fails; reconciliation then finds the outcome later."""
        failure = "operation %s failed (%s), which could not be recorded"
        if isinstance(error, OutcomeUnknown):
            error.operation_key = str(self.operation.key)
            failure = "operation %s could not be marked unknown (%s)"
        try:
            self.close(error)
        except DatabaseTrouble:
            logger.exception(failure, self.operation.key, error)
            return False
        return True

    def doubt(self, why: str) -> None:
        """Set an operation that counts as not executed back to ``unknown``: the platform shows a sign of it.

        Raises ``IntegrityError`` when another operation of this payment is open.
        """
        row, columns = self._row.filter(attempts.not_found()), attempts.doubted(self.operation, why)
        if in_transaction(lambda: row.update(**columns)):
            self.operation.state = OperationState.UNKNOWN

    def turn(self, error: str, code: str = "", **columns: Any) -> int:
        """Flip a closed row between succeeded and failed, and raise a review item: its user saw the other outcome.

        ``error`` is empty if it succeeded after all. ``code`` is the bank's reason code. Returns 0 when another process
        changed the row first.
        """
        attention = OperationAttention.LATE_FAILURE if error else OperationAttention.CONTRADICTED
        columns.update(
            review_columns(self.operation, attention),
            state=OperationState.FAILED if error else OperationState.SUCCEEDED,
            error=error,
            error_code=code[:64],
            error_class=APIError.__name__ if error else "",
            finished_at=timezone.now(),
        )

        def work() -> int:
            changed = self._row.filter(state=self.operation.state).update(**columns)
            if changed:
                outbox.enqueue([("operation_finished", Operation, int(self.operation.pk))], source=Source.SYNC)
            return changed

        return in_transaction(work)

    def flag_mismatch(self) -> None:
        """Raise a review item: the platform has this operation with another amount, currency, type or object."""
        raised = review_columns(self.operation, OperationAttention.MISMATCH)

        def work() -> None:
            self._row.filter(state__in=OPEN_STATES).update(absent_at=None)
            self._row.exclude(attention=OperationAttention.MISMATCH).update(**raised)

        in_transaction(work)

    @property
    def _row(self) -> QuerySet[Operation]:
        return entries().filter(pk=self.operation.pk)

    def _close(self, error: GovPayError | None, attention: str) -> None:
        operation, row = self.operation, self._row
        state = OperationState.FAILED if error else OperationState.SUCCEEDED
        operation.state = state = OperationState.UNKNOWN if isinstance(error, OutcomeUnknown) else state
        operation.finished_at = None if state == OperationState.UNKNOWN else timezone.now()
        if isinstance(error, APIError) and not error.request_id:
            error.request_id = operation.remote_request_id  # the same key raises the same error again
        operation.error = str(error) if error else ""
        operation.error_class = type(error).__name__ if error else ""
        operation.error_code = str(getattr(error, "code", "") or "")[:64]
        operation.remote_request_id = (getattr(error, "request_id", "") or operation.remote_request_id)[:255]
        columns = {name: getattr(operation, name) for name in CLOSING}
        absent = isinstance(error, APIConnectionError)
        if state == OperationState.FAILED and not (absent and operation.action in KNOWN_BY_METHOD):
            columns["validated_method"] = None  # nothing was validated that could be captured
        raised = review_columns(operation, attention or operation.attention)
        still_open = row.filter(state__in=OPEN_STATES)
        if error is not None and not operation.result_uid:
            # The outcome of one attempt says nothing about a later one, which may be under way.
            still_open = still_open.filter(attempts=operation.attempts)
        changed = still_open.update(**columns, **raised)
        if not changed and state != OperationState.UNKNOWN:
            told = review_columns(operation, OperationAttention.CONTRADICTED)
            changed = row.filter(_turnable(state, error)).update(**columns, **told)
            if not changed and operation.result_uid:
                # The manual resolution was right, and the resulting row is known now.
                row.filter(state=state, settled_at__isnull=False).update(result_uid=operation.result_uid)
        if changed and state != OperationState.UNKNOWN:
            outbox.enqueue([("operation_finished", Operation, int(operation.pk))], source=Source.OPERATION)
        self.mark("stored")


def _turnable(state: str, error: GovPayError | None) -> Q:
    """Return the filter for closed rows whose state may still change to ``state``.

    The platform's own record overrides "not executed" and a manual resolution.
    """
    if state == OperationState.SUCCEEDED:
        return attempts.not_found()
    if isinstance(error, APIConnectionError):
        return Q(pk=None)  # absence of evidence does not override a manual resolution
    return Q(state=OperationState.SUCCEEDED, settled_at__isnull=False)


def review_columns(operation: Operation, attention: str) -> dict[str, Any]:
    """Return the columns that raise a review item. Empty for an action that does not move money.

    Also empty for the void of a fee preview that was not executed: nobody can charge that payment, and it expires.
    """
    if not attention or operation.action not in MOVES_MONEY:
        return {}
    if operation.fee_preview and attention == OperationAttention.NOT_EXECUTED:
        return {}
    return {"attention": attention, "attention_at": timezone.now()}

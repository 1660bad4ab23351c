"""The one way to change anything on the platform: rule, journal, call, store, close."""

from __future__ import annotations

import json
import logging
import uuid
from functools import partial
from typing import Any

from django.db import Error as DatabaseTrouble
from django.db import IntegrityError
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from govpay import exceptions
from govpay.exceptions import (
    APIConnectionError,
    APIError,
    Conflict,
    GovPayError,
    KeyReused,
    OperationRefused,
    OutcomeUnknown,
)
from govpay.models import Operation
from govpay.models.base import Mirror
from govpay.models.choices import OperationAttention, OperationState
from govpay.operations import attempts, journal
from govpay.operations.actions import Action, ActionResult
from govpay.operations.evidence import EffectSeen, Mismatch
from govpay.operations.outcomes import outcome_again, taken
from govpay.sync import outbox
from govpay.sync.transactions import in_transaction

logger = logging.getLogger("govpay.operations")

#: The platform looked at the object and said no, so that it is worth reading again.
ABOUT_THE_OBJECT = (
    exceptions.PaymentDeclined,
    exceptions.Conflict,
    exceptions.Gone,
    exceptions.InvalidRequest,
    exceptions.NotFound,
)

#: What proves that nothing was done: refused by us or by the platform, or never sent. Any other error of a
#: call leaves its outcome unknown.
NOTHING_DONE = (
    *ABOUT_THE_OBJECT,
    exceptions.APIConnectionError,
    exceptions.AuthenticationError,
    exceptions.RateLimited,
    exceptions.ConfigurationError,
    exceptions.OperationRefused,
)


class RequestKey(str):
    """A key with ``mark``, a keyed hash of the whole request, which is more than the arguments of an action."""

    mark: str

    def __new__(cls, key: uuid.UUID, mark: str) -> RequestKey:
        made = super().__new__(cls, key)
        made.mark = mark
        return made


def execute(action: Action, *, actor: Any = None, key: uuid.UUID | str | None = None) -> Mirror:
    """Carry out ``action`` once and return the row it made or changed.

    The journal row is committed before the call and no transaction is open during it. The same
    ``key`` with the same arguments returns the first result without HTTP; an operation that was not
    executed is tried again, with the same reference.

    Raises ``OperationRefused`` (our rules, or the key belongs to something else),
    ``OperationInProgress``, ``OutcomeUnknown`` (the answer was lost; reconciliation settles it) and
    ``APIError`` (the platform said no; nothing happened), and ``RuntimeError`` inside a transaction.
    """
    journal.demand_commits()
    mark = key.mark if isinstance(key, RequestKey) else _fingerprint(action)
    chosen = uuid.uuid4() if key is None else _as_uuid(key)
    earlier = journal.entries().filter(key=chosen).first() if key is not None else None
    if earlier is not None:
        return _repeat(action, earlier, mark, actor)
    known = action.known()
    try:
        operation = in_transaction(partial(journal.open_row, action, chosen, mark, actor, known), durable=True)
    except IntegrityError as error:
        return _collided(action, chosen, mark, error, actor)
    if known is not None:
        return known
    return _carry_out(action, operation)


def reopen(action: Action, operation: Operation, *, actor: Any = None) -> Mirror:
    """Try an operation again that was not executed: the same row, key and reference, so that it stays one wish.

    The platform is read first where an earlier attempt was sent: found there, nothing is sent. Returns the row that
    came of it, and for an operation that has ended otherwise meanwhile what that one came to.

    Raises what ``execute`` raises; ``OutcomeUnknown`` when the platform shows a sign of the earlier attempt.
    """
    journal.demand_commits()
    if not attempts.is_not_executed(operation):
        return outcome_again(operation, action.model)
    if attempts.was_sent(operation) and (found := _found_before(action, operation)) is not None:
        return found
    try:
        reopened = in_transaction(partial(attempts.reopen_row, action, operation, actor), durable=True)
    except IntegrityError as error:
        raise taken(action, error) from error
    if not reopened:
        return outcome_again(journal.entries().get(pk=operation.pk), action.model)
    return _carry_out(action, operation)


def _found_before(action: Action, operation: Operation) -> Mirror | None:
    """What an earlier attempt has come to after all; ``None``: there is no sign of it."""
    try:
        answer = action.look_up(operation)
    except EffectSeen as sign:
        try:
            attempts.doubt(operation, str(sign))
        except IntegrityError as error:
            raise taken(action, error) from error
        if operation.state != OperationState.UNKNOWN:  # somebody else was quicker: the sign is that attempt's
            return outcome_again(journal.entries().get(pk=operation.pk), action.model)
        raise OutcomeUnknown(
            _("Nothing was sent: the platform shows a sign that the earlier attempt was carried out. It is looked up."),
            operation_key=str(operation.key),
        ) from sign
    except (APIError, ValueError) as error:
        raise OperationRefused(
            _("Nothing was sent: whether the earlier attempt was carried out cannot be read now (%(why)s).")
            % {"why": error}
        ) from error
    if answer is None:
        return None
    _record(action, operation, answer)
    read_again(action, operation, refused=False)
    tell(operation)
    return outcome_again(journal.entries().get(pk=operation.pk), action.model)


def _carry_out(action: Action, operation: Operation) -> Mirror:
    journal.note_step(operation, "journalled")
    answer = _ask(action, operation)
    row = _record(action, operation, answer)
    read_again(action, operation, refused=False)
    tell(operation)
    if answer.error is not None:
        raise answer.error
    return row


def read_again(action: Action | type[Action], operation: Operation, *, refused: bool) -> None:
    """Bring up to date what the action may have changed beside its own row. The next sync does so anyway."""
    try:
        action.read_again(operation, refused=refused)
    except (GovPayError, ValueError, DatabaseTrouble) as error:
        logger.info("nothing was read again after operation %s: %s", operation.key, error)
    journal.note_step(operation, "read again")


def tell(operation: Operation | None = None) -> None:
    """Send the signals that are owed. What fails here is sent by the next tick; the action itself stands."""
    try:
        outbox.dispatch()
    except DatabaseTrouble:
        logger.exception("signals could not be sent; the next tick sends them")
    if operation is not None:
        journal.note_step(operation, "told")


def _ask(action: Action, operation: Operation) -> ActionResult:
    """Make the call. Whatever happens here, the journal knows how it ended, or that nobody knows."""
    try:
        if operation.is_late:
            # Reconciliation reads the platform after the deadline: a call that begins now could outlast it.
            raise APIConnectionError("Not sent: this site was too slow to begin. Try again.")
        return _answered(action, operation)
    except NOTHING_DONE as error:
        answer = _after_refusal(action, operation, error)
        if answer is None:
            raise
        return answer
    except OutcomeUnknown as error:
        _lose(operation, error)
        raise
    except BaseException as error:
        # The process is being stopped, or our own code failed, possibly after the request had left.
        lost = OutcomeUnknown(f"Interrupted by {type(error).__name__}; it may have been carried out.")
        _lose(operation, lost)
        if isinstance(error, Exception):
            raise lost from error
        raise


def _answered(action: Action, operation: Operation) -> ActionResult:
    journal.note_step(operation, "sending")
    request_id, mismatch = "", False
    try:
        found = action.send(operation)
        request_id, why = found.request_id, "the answer does not say that it was done"
        journal.note_step(operation, "answered")
        answer = action.judge_answer(operation, found)
        if answer is not None:
            return answer
    except OutcomeUnknown as lost:
        if lost.status is None or not 200 <= lost.status < 300:
            raise
        journal.note_step(operation, "answered")
        request_id, why = lost.request_id, str(lost)
    except NOTHING_DONE:
        raise
    except (APIError, ValueError) as error:
        why, mismatch = str(error), isinstance(error, Mismatch)
    # A success that says nothing, or something else than what was sent, is none: the platform is read instead.
    try:
        answer = action.look_up(operation)
    except (APIError, ValueError) as error:
        answer, mismatch = None, mismatch or isinstance(error, Mismatch)
    if answer is None:
        if mismatch:
            operation.attention = OperationAttention.MISMATCH
        raise OutcomeUnknown(f"Sent and answered, but {why}. It is looked up.", request_id=request_id)
    return answer


def _after_refusal(action: Action, operation: Operation, error: GovPayError) -> ActionResult | None:
    """Close what the platform or we refused; returns the answer where an earlier attempt of it was carried out.

    A refusal of a further attempt says nothing about the ones before it.
    """
    if operation.attempts > 1 and isinstance(error, ABOUT_THE_OBJECT):
        try:
            answer = action.look_up(operation)
        except (APIError, ValueError) as why:
            lost = OutcomeUnknown(f"{error} The attempt before it is looked up: {why}", code=error.code)
            _lose(operation, lost)
            raise lost from error
        if answer is not None:
            return answer
        if isinstance(error, Conflict) and action.reads_object:
            # What the earlier attempt may have changed is in the way of this one, and no read shows it yet.
            lost = OutcomeUnknown(f"{error} It may be the attempt before it, which is looked up.", code=error.code)
            _lose(operation, lost)
            raise lost from error
    _fail(action, operation, error)
    return None


def _record(action: Action, operation: Operation, answer: ActionResult) -> Mirror:
    try:
        return journal.settle(type(action), operation, answer)
    except Exception as error:
        # The platform has acted; reconciliation reads it back once we can record it.
        lost = OutcomeUnknown(
            f"The platform answered, but the answer could not be recorded ({type(error).__name__}).",
            operation_key=str(operation.key),
            request_id=answer.request_id,
        )
        # A database that refused this so often would refuse the next as well; the row stays "started".
        if not isinstance(error, DatabaseTrouble):
            _lose(operation, lost)
        raise lost from error


def _fail(action: Action, operation: Operation, error: GovPayError) -> None:
    try:
        journal.close(operation, OperationState.FAILED, error)
    except DatabaseTrouble:
        # The row stays "started": reconciliation finds out the same after the deadline.
        logger.exception("operation %s failed (%s), which could not be recorded", operation.key, error)
        return
    if isinstance(error, ABOUT_THE_OBJECT):
        read_again(action, operation, refused=True)
    tell(operation)


def _lose(operation: Operation, error: OutcomeUnknown) -> None:
    error.operation_key = str(operation.key)
    try:
        journal.close(operation, OperationState.UNKNOWN, error)
    except DatabaseTrouble:
        # The row stays "started", which reconciliation treats alike after the deadline.
        logger.exception("operation %s could not be marked unknown", operation.key)


def _collided(action: Action, key: uuid.UUID, mark: str, error: IntegrityError, actor: Any) -> Mirror:
    """The journal row could not be inserted: the key is taken, or the payment is."""
    earlier = journal.entries().filter(key=key).first()
    if earlier is not None:
        return _repeat(action, earlier, mark, actor)
    raise taken(action, error)


def _repeat(action: Action, earlier: Operation, mark: str, actor: Any) -> Mirror:
    if earlier.action != action.action or not _same_request(action, earlier, mark):
        raise KeyReused(_("This key was used for another operation: each needs one of its own."))
    if action.can_retry and attempts.is_not_executed(earlier):
        return reopen(action, earlier, actor=actor)
    return outcome_again(earlier, action.model)


def _same_request(action: Action, earlier: Operation, mark: str) -> bool:
    """A row that was made from the platform's own record after a restore has no fingerprint: its object tells."""
    if earlier.fingerprint:
        return earlier.fingerprint == mark
    asked = action.entry()
    return asked.get("payment_id") == earlier.payment_id and asked.get("amount") in (None, earlier.amount)


def _fingerprint(action: Action) -> str:
    # Keyed, because the arguments of a quote could be guessed from a plain hash.
    text = json.dumps([action.action, action.arguments()], sort_keys=True, default=str)
    return salted_hmac("govpay.operations", text, algorithm="sha256").hexdigest()


def _as_uuid(key: uuid.UUID | str) -> uuid.UUID:
    try:
        return key if isinstance(key, uuid.UUID) else uuid.UUID(str(key))
    except ValueError:
        raise OperationRefused("The key must be a UUID.") from None

"""``execute`` carries out every action: insert the journal row, check the rules, call, store the answer, close."""

from __future__ import annotations

import json
import logging
import uuid
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
from govpay.operations.journal import JournalEntry
from govpay.operations.outcomes import outcome_again, taken
from govpay.sync import outbox

logger = logging.getLogger("govpay.operations")

#: The platform refused because of the object's own state, so the object is read again.
ABOUT_THE_OBJECT = (
    exceptions.PaymentDeclined,
    exceptions.Conflict,
    exceptions.Gone,
    exceptions.InvalidRequest,
    exceptions.NotFound,
)

#: Errors that prove that nothing was done: we or the platform refused, or the request was never sent. After any other
#: error of a call, its outcome is unknown.
NOTHING_DONE = (
    *ABOUT_THE_OBJECT,
    exceptions.APIConnectionError,
    exceptions.AuthenticationError,
    exceptions.RateLimited,
    exceptions.ConfigurationError,
    exceptions.OperationRefused,
)


class RequestKey(str):
    """A key with ``mark``, a keyed hash of the whole REST request. The mark is used instead of the fingerprint."""

    mark: str

    def __new__(cls, key: uuid.UUID, mark: str) -> RequestKey:
        made = super().__new__(cls, key)
        made.mark = mark
        return made


def execute(action: Action, *, actor: Any = None, key: uuid.UUID | str | None = None) -> Mirror:
    """Carry out ``action`` once and return the row that it created or changed.

    The journal row is committed before the call, and no transaction is open during the call. The same ``key`` with the
    same arguments returns the first result without HTTP. If the first operation was not executed, it is tried again
    with the same reference.

    Raises ``OperationRefused`` (our rules forbid it, or the key was used for another request),
    ``OperationInProgress``, ``OutcomeUnknown`` (the answer was lost; reconciliation finds the outcome),
    ``APIError`` (the platform refused; nothing happened), and ``RuntimeError`` inside a transaction.
    """
    journal.demand_commits()
    mark = key.mark if isinstance(key, RequestKey) else _fingerprint(action)
    chosen = uuid.uuid4() if key is None else _as_uuid(key)
    earlier = journal.entries().filter(key=chosen).first() if key is not None else None
    if earlier is not None:
        return _repeat(action, earlier, mark, actor)
    known = action.known()
    try:
        entry = JournalEntry.open(action, chosen, mark, actor, known)
    except IntegrityError as error:
        # The key has been used meanwhile, or the payment has an open operation.
        earlier = journal.entries().filter(key=chosen).first()
        if earlier is None:
            raise taken(action, error) from error
        return _repeat(action, earlier, mark, actor)
    return known if known is not None else _carry_out(action, entry)


def reopen(action: Action, operation: Operation, *, actor: Any = None) -> Mirror:
    """Try again an operation that was not executed, with the same journal row, key and reference.

    If an earlier attempt may have reached the platform, the platform is read first, and nothing is sent if the effect
    is found there. Returns the row that was created or changed. If the operation has another state by now, its outcome
    is returned or raised, and nothing is sent.

    Raises the errors of ``execute``, and ``OutcomeUnknown`` when the platform shows a sign of the earlier attempt.
    """
    journal.demand_commits()
    entry = JournalEntry(operation)
    if not attempts.is_not_executed(operation):
        return outcome_again(operation, action.model)
    try:
        if (attempts.was_sent(operation) and _was_carried_out(action, entry)) or not entry.reopen(action, actor):
            return outcome_again(journal.entries().get(pk=operation.pk), action.model)
    except IntegrityError as error:
        raise taken(action, error) from error
    return _carry_out(action, entry)


def _was_carried_out(action: Action, entry: JournalEntry) -> bool:
    """Return whether an earlier attempt was carried out after all, or another process has reopened the operation."""
    try:
        answer = action.look_up(entry.operation)
    except EffectSeen as sign:
        entry.doubt(str(sign))
        if entry.operation.state != OperationState.UNKNOWN:
            return True  # another process reopened it first: its attempt caused the sign
        raise OutcomeUnknown(
            _("Nothing was sent: the platform shows a sign that the earlier attempt was carried out. It is looked up."),
            operation_key=str(entry.operation.key),
        ) from sign
    except (APIError, ValueError) as error:
        raise OperationRefused(
            _("Nothing was sent: whether the earlier attempt was carried out cannot be read now (%(why)s).")
            % {"why": error}
        ) from error
    if answer is None:
        return False
    _record(action, entry, answer)
    return True


def _carry_out(action: Action, entry: JournalEntry) -> Mirror:
    entry.mark("journalled")
    answer = _ask(action, entry)
    row = _record(action, entry, answer)
    if answer.error is not None:
        raise answer.error
    return row


def read_again(action: Action | type[Action], entry: JournalEntry, *, refused: bool) -> None:
    """Update other rows that the action may have changed. Errors are only logged: the next sync updates them anyway."""
    try:
        action.read_again(entry.operation, refused=refused)
    except (GovPayError, ValueError, DatabaseTrouble) as error:
        logger.info("the rows of operation %s could not be read again: %s", entry.operation.key, error)
    entry.mark("read again")


def dispatch_signals(entry: JournalEntry | None = None) -> None:
    """Send the signals in the outbox. If that fails, the next tick sends them; the action itself is not affected."""
    try:
        outbox.dispatch()
    except DatabaseTrouble:
        logger.exception("signals could not be sent; the next tick sends them")
    if entry is not None:
        entry.mark("told")


def _ask(action: Action, entry: JournalEntry) -> ActionResult:
    """Make the call. After every error, the journal row is closed as ``failed`` or marked ``unknown``."""
    try:
        if entry.operation.is_late:
            # Reconciliation reads the platform after the deadline. A call that begins now could end after that read.
            raise APIConnectionError(_("Not sent: this site was too slow. Try again."))
        return _answered(action, entry)
    except NOTHING_DONE as error:
        answer = _after_refusal(action, entry, error)
        if answer is None:
            raise
        return answer
    except OutcomeUnknown as error:
        entry.give_up(error)
        raise
    except BaseException as error:
        # The process is being stopped, or our own code failed, possibly after the request was sent.
        logger.error("operation %s was interrupted by %s", entry.operation.key, type(error).__name__)
        lost = OutcomeUnknown(_("This site was interrupted in the middle of it; it may have been carried out."))
        entry.give_up(lost)
        if isinstance(error, Exception):
            raise lost from error
        raise


def _answered(action: Action, entry: JournalEntry) -> ActionResult:
    operation = entry.operation
    entry.mark("sending")
    request_id, mismatch = "", False
    try:
        found = action.send(operation)
        request_id, why = found.request_id, _("the answer does not say that it was done")
        entry.mark("answered")
        answer = action.judge_answer(operation, found)
        if answer is not None:
            return answer
    except OutcomeUnknown as lost:
        if lost.status is None or not 200 <= lost.status < 300:
            raise
        entry.mark("answered")
        request_id, why = lost.request_id, str(lost)
    except NOTHING_DONE:
        raise
    except (APIError, ValueError) as error:
        why, mismatch = str(error), isinstance(error, Mismatch)
    # The answer reports success, but is empty or does not match the request. Read the platform instead of trusting it.
    try:
        answer = action.look_up(operation)
    except (APIError, ValueError) as error:
        answer, mismatch = None, mismatch or isinstance(error, Mismatch)
    if answer is None:
        if mismatch:
            operation.attention = OperationAttention.MISMATCH
        raise OutcomeUnknown(
            _("The platform answered, but %(why)s. It is looked up.") % {"why": why.rstrip(".")}, request_id=request_id
        )
    return answer


def _after_refusal(action: Action, entry: JournalEntry, error: GovPayError) -> ActionResult | None:
    """Close an operation that the platform or we refused.

    A refusal of a further attempt says nothing about the earlier ones. Returns the answer if the platform shows that an
    earlier attempt was carried out, else None. Raises ``OutcomeUnknown`` if that cannot be found out.
    """
    if entry.operation.attempts > 1 and isinstance(error, ABOUT_THE_OBJECT):
        doubt = ""
        try:
            answer = action.look_up(entry.operation)
        except (APIError, ValueError) as why:
            answer, doubt = None, _("The outcome of the earlier attempt is still unknown: %(why)s") % {"why": why}
        if answer is not None:
            return answer
        if not doubt and isinstance(error, Conflict) and action.reads_object:
            # The effect of the earlier attempt may be what this one conflicts with, although no read shows it yet.
            doubt = _("The earlier attempt may be the cause; it is looked up.")
        if doubt:
            lost = OutcomeUnknown(f"{error} {doubt}", code=error.code)
            entry.give_up(lost)
            raise lost from error
    if entry.give_up(error):
        if isinstance(error, ABOUT_THE_OBJECT):
            read_again(action, entry, refused=True)
        dispatch_signals(entry)
    return None


def _record(action: Action, entry: JournalEntry, answer: ActionResult) -> Mirror:
    """Store the answer, close the journal row, read again the other rows that changed, and send the signals."""
    try:
        row = entry.record(action, answer)
    except Exception as error:
        # The platform has acted. Reconciliation reads the object again when the database can store it.
        logger.error("the answer of operation %s was not recorded: %s", entry.operation.key, type(error).__name__)
        lost = OutcomeUnknown(
            _("The platform answered, but the answer could not be recorded."),
            operation_key=str(entry.operation.key),
            request_id=answer.request_id,
        )
        # After several failed tries the database would refuse this write as well. The row stays "started".
        if not isinstance(error, DatabaseTrouble):
            entry.give_up(lost)
        raise lost from error
    read_again(action, entry, refused=False)
    dispatch_signals(entry)
    return row


def _repeat(action: Action, earlier: Operation, mark: str, actor: Any) -> Mirror:
    if earlier.action != action.action or not _same_request(action, earlier, mark):
        raise KeyReused(_("This key was used for another operation. Each operation needs its own key."))
    if action.can_retry and attempts.is_not_executed(earlier):
        return reopen(action, earlier, actor=actor)
    return outcome_again(earlier, action.model)


def _same_request(action: Action, earlier: Operation, mark: str) -> bool:
    """Return whether ``action`` is the same request as ``earlier``, by their fingerprints.

    A row that was added after a restore from a backup (``adopt_refunds``) has no fingerprint. Then the payment and the
    amount are compared, and a request without an amount matches any amount.
    """
    if earlier.fingerprint:
        return earlier.fingerprint == mark
    asked = action.entry()
    return asked.get("payment_id") == earlier.payment_id and asked.get("amount") in (None, earlier.amount)


def _fingerprint(action: Action) -> str:
    # A keyed hash, because the arguments of a quote could be guessed from a plain hash.
    text = json.dumps([action.action, action.arguments()], sort_keys=True, default=str)
    return salted_hmac("govpay.operations", text, algorithm="sha256").hexdigest()


def _as_uuid(key: uuid.UUID | str) -> uuid.UUID:
    try:
        return key if isinstance(key, uuid.UUID) else uuid.UUID(str(key))
    except ValueError:
        raise OperationRefused("The key must be a UUID.") from None

"""The one way to change anything on the platform: rule, journal, call, store, close."""

from __future__ import annotations

import json
import logging
import time
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
    GovPayError,
    KeyReused,
    OperationInProgress,
    OperationRefused,
    OutcomeUnknown,
)
from govpay.models import Operation
from govpay.models.base import Mirror
from govpay.models.choices import OperationState
from govpay.models.operations import OPEN_STATES
from govpay.operations import journal
from govpay.operations.deeds import Answer, Deed
from govpay.sync import news
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

#: How long the second of two equal calls waits for the first, in seconds.
PATIENCE = 10.0


class RequestKey(str):
    """A key with ``mark``, a keyed hash of the whole request: more than a deed's arguments tells two of them apart."""

    mark: str

    def __new__(cls, key: uuid.UUID, mark: str) -> RequestKey:
        made = super().__new__(cls, key)
        made.mark = mark
        return made


def perform(deed: Deed, *, actor: Any = None, key: uuid.UUID | str | None = None) -> Mirror:
    """Carry out ``deed`` once and return the row it made or changed.

    The journal row is committed before the call and no transaction is open during it. The same
    ``key`` with the same arguments returns the first result without HTTP.

    Raises ``OperationRefused`` (our rules, or the key belongs to something else),
    ``OperationInProgress``, ``OutcomeUnknown`` (the answer was lost; reconciliation settles it) and
    ``APIError`` (the platform said no; nothing happened), and ``RuntimeError`` inside a transaction.
    """
    journal.demand_commits()
    mark = key.mark if isinstance(key, RequestKey) else _fingerprint(deed)
    chosen = uuid.uuid4() if key is None else _as_uuid(key)
    earlier = journal.entries().filter(key=chosen).first() if key is not None else None
    if earlier is not None:
        return _repeat(deed, earlier, mark)
    known = deed.known()
    try:
        operation = in_transaction(partial(journal.open_row, deed, chosen, mark, actor, known), durable=True)
    except IntegrityError as error:
        return _collided(deed, chosen, mark, error)
    if known is not None:
        return known
    journal.note_step(operation, "journalled")
    answer = _ask(deed, operation)
    row = _record(deed, operation, answer)
    read_again(deed, operation, refused=False)
    tell(operation)
    if answer.error is not None:
        raise answer.error
    return row


def read_again(deed: Deed | type[Deed], operation: Operation, *, refused: bool) -> None:
    """Bring up to date what the deed may have changed beside its own row. The next sync does so anyway."""
    try:
        deed.read_again(operation, refused=refused)
    except (GovPayError, ValueError, DatabaseTrouble) as error:
        logger.info("nothing was read again after operation %s: %s", operation.key, error)
    journal.note_step(operation, "read again")


def tell(operation: Operation | None = None) -> None:
    """Send the signals that are owed. What fails here is sent by the next tick; the deed itself stands."""
    try:
        news.dispatch()
    except DatabaseTrouble:
        logger.exception("signals could not be sent; the next tick sends them")
    if operation is not None:
        journal.note_step(operation, "told")


def _ask(deed: Deed, operation: Operation) -> Answer:
    """Make the call. Whatever happens here, the journal knows how it ended, or that nobody knows."""
    try:
        if operation.is_late:
            # Reconciliation reads the platform after the deadline: a call that begins now could outlast it.
            raise APIConnectionError("Not sent: this site was too slow to begin. Start it anew.")
        return _answered(deed, operation)
    except NOTHING_DONE as error:
        _fail(deed, operation, error)
        raise
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


def _answered(deed: Deed, operation: Operation) -> Answer:
    journal.note_step(operation, "sending")
    found = deed.send(operation)
    journal.note_step(operation, "answered")
    why = "the answer does not say that it was done"
    try:
        answer = deed.judge(operation, found)
    except (APIError, ValueError) as error:
        answer, why = None, str(error)
    if answer is None:
        raise OutcomeUnknown(f"Sent and answered, but {why}. It is looked up.", request_id=found.request_id)
    return answer


def _record(deed: Deed, operation: Operation, answer: Answer) -> Mirror:
    try:
        return journal.settle(type(deed), operation, answer)
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


def _fail(deed: Deed, operation: Operation, error: GovPayError) -> None:
    try:
        journal.close(operation, OperationState.FAILED, error)
    except DatabaseTrouble:
        # The row stays "started": reconciliation finds out the same after the deadline.
        logger.exception("operation %s failed (%s), which could not be recorded", operation.key, error)
        return
    if isinstance(error, ABOUT_THE_OBJECT):
        read_again(deed, operation, refused=True)
    tell(operation)


def _lose(operation: Operation, error: OutcomeUnknown) -> None:
    error.operation_key = str(operation.key)
    try:
        journal.close(operation, OperationState.UNKNOWN, error)
    except DatabaseTrouble:
        # The row stays "started", which reconciliation treats alike after the deadline.
        logger.exception("operation %s could not be marked unknown", operation.key)


def _collided(deed: Deed, key: uuid.UUID, mark: str, error: IntegrityError) -> Mirror:
    """The journal row could not be inserted: the key is taken, or the payment is."""
    earlier = journal.entries().filter(key=key).first()
    if earlier is not None:
        return _repeat(deed, earlier, mark)
    payment = deed.entry().get("payment_id")
    if payment is None:
        raise error
    other = journal.entries().filter(payment=payment, state__in=OPEN_STATES).first()
    if other is None:
        raise OperationRefused(_("Another operation on this payment has just ended. Look at the payment again."))
    if other.state == OperationState.UNKNOWN:
        raise OperationRefused(
            _("The outcome of an earlier %(action)s of this payment is not known yet; it is being looked up.")
            % {"action": other.action}
        )
    raise OperationInProgress(_("Another operation on this payment is under way."))


def _repeat(deed: Deed, earlier: Operation, mark: str) -> Mirror:
    if earlier.action != deed.action or earlier.fingerprint != mark:
        raise KeyReused(_("This key was used for another operation: each needs one of its own."))
    return outcome_again(earlier, deed.model)


def outcome_again(earlier: Operation, model: type[Mirror]) -> Mirror:
    """What came of it, a row of ``model``, waiting for it a while. Raises what the first call has raised."""
    end = time.monotonic() + PATIENCE
    while earlier.state == OperationState.STARTED and not earlier.is_overdue and time.monotonic() < end:
        time.sleep(0.2)
        earlier = journal.entries().get(pk=earlier.pk)
    if earlier.state == OperationState.FAILED:
        raise _error_again(earlier)
    if earlier.state == OperationState.SUCCEEDED:
        row = model._default_manager.filter(uid=earlier.result_uid).first()
        if row is not None:
            return row
    elif earlier.state == OperationState.STARTED and not earlier.is_overdue:
        raise OperationInProgress(_("This %(action)s is under way.") % {"action": earlier.action})
    if earlier.settled_at is not None:
        raise OutcomeUnknown(
            _("Somebody settled it as carried out; the platform's record of it is not known here."),
            operation_key=str(earlier.key),
        )
    raise OutcomeUnknown(
        earlier.error
        or _("The outcome of this %(action)s is not known here yet; it is being looked up.")
        % {"action": earlier.action},
        operation_key=str(earlier.key),
    )


def _error_again(operation: Operation) -> GovPayError:
    kind = getattr(exceptions, operation.error_class, None)
    if not (isinstance(kind, type) and issubclass(kind, GovPayError)):
        kind = APIError
    request_id = operation.remote_request_id
    leads = bool(request_id) and operation.error.startswith(f"[{request_id}] ")
    error = kind(operation.error.removeprefix(f"[{request_id}] ") if leads else operation.error)
    if isinstance(error, APIError):
        error.code, error.request_id = operation.error_code, request_id if leads else ""
    return error


def _fingerprint(deed: Deed) -> str:
    # Keyed, because the arguments of a quote could be guessed from a plain hash.
    text = json.dumps([deed.action, deed.arguments()], sort_keys=True, default=str)
    return salted_hmac("govpay.operations", text, algorithm="sha256").hexdigest()


def _as_uuid(key: uuid.UUID | str) -> uuid.UUID:
    try:
        return key if isinstance(key, uuid.UUID) else uuid.UUID(str(key))
    except ValueError:
        raise OperationRefused("The key must be a UUID.") from None

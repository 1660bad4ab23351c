"""The outcome of an earlier call with the same key: return its row or raise its error again."""

from __future__ import annotations

import time

from django.db import IntegrityError
from django.utils.translation import gettext as _

from govpay import exceptions
from govpay.exceptions import APIError, GovPayError, OperationInProgress, OperationRefused, OutcomeUnknown
from govpay.models import Operation
from govpay.models.base import Mirror
from govpay.models.choices import OperationAction, OperationState, label_of
from govpay.models.operations import OPEN_STATES
from govpay.operations import journal
from govpay.operations.actions import Action

#: Seconds that the second of two equal calls waits for the first.
SAME_KEY_TIMEOUT = 10.0


def outcome_again(earlier: Operation, model: type[Mirror]) -> Mirror:
    """Return the row of ``model`` that ``earlier`` created or changed, or raise the error of the first call again.

    Waits up to ``SAME_KEY_TIMEOUT`` seconds for a call that is under way, then raises ``OperationInProgress``.
    """
    end = time.monotonic() + SAME_KEY_TIMEOUT
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
        raise OperationInProgress(
            _("This action is under way: %(action)s.") % {"action": label_of(earlier.action, OperationAction)}
        )
    if earlier.settled_at is not None:
        raise OutcomeUnknown(
            _("A colleague resolved it as carried out; the platform's record of it is not known here."),
            operation_key=str(earlier.key),
        )
    raise OutcomeUnknown(
        earlier.error
        or _("The outcome of this action is not known here yet: %(action)s. It is being looked up.")
        % {"action": label_of(earlier.action, OperationAction)},
        operation_key=str(earlier.key),
    )


def _error_again(operation: Operation) -> GovPayError:
    kind = getattr(exceptions, operation.error_class, None)
    if not (isinstance(kind, type) and issubclass(kind, GovPayError)):
        kind = APIError
    error = kind(operation.error)
    if isinstance(error, APIError):
        error.code, error.request_id = operation.error_code, operation.remote_request_id
    return error


def taken(action: Action, error: IntegrityError) -> Exception:
    """Return the error to raise when the journal row could not be inserted: the payment has another open operation."""
    payment = action.entry().get("payment_id")
    if payment is None:
        return error
    other = journal.entries().filter(payment=payment, state__in=OPEN_STATES).first()
    if other is None:
        return OperationRefused(_("Another operation on this payment has just ended. Look at the payment again."))
    if other.state == OperationState.UNKNOWN:
        return OperationRefused(
            _("The outcome of an earlier action on this payment is not known yet: %(action)s. It is being looked up.")
            % {"action": label_of(other.action, OperationAction)}
        )
    return OperationInProgress(_("Another operation on this payment is under way."))

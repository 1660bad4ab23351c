"""Reconciliation: finds the outcome of open operations. It reads the platform and never writes to it."""

from __future__ import annotations

import datetime as dt
import logging
import time
from dataclasses import dataclass

from django.db import Error as DatabaseTrouble
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from govpay import conf
from govpay.exceptions import APIConnectionError, GovPayError
from govpay.models import Operation
from govpay.models.choices import ONCE_CAPTURED, OperationAction, OperationAttention, OperationState, PaymentStatus
from govpay.operations import attempts, journal
from govpay.operations.account_settings import ACTIONS as SETTING_ACTIONS
from govpay.operations.actions import Action, ActionResult
from govpay.operations.customers import CreateCustomerAction
from govpay.operations.engine import dispatch_signals, read_again
from govpay.operations.events import ACTIONS as EVENT_ACTIONS
from govpay.operations.evidence import EffectSeen, Mismatch
from govpay.operations.imports import ACTIONS as IMPORT_ACTIONS
from govpay.operations.journal import JournalEntry
from govpay.operations.payments import CaptureAction, VoidAction
from govpay.operations.quotes import QuoteAction, forget_methods
from govpay.operations.refunds import RefundAction, follow_refunds
from govpay.operations.sessions import CreateSessionAction, ExpireSessionAction, UpdateSessionAction
from govpay.operations.tenants import CreateAccount, CreateClientAction
from govpay.operations.wallets import ACTIONS as WALLET_ACTIONS
from govpay.sync.mapping import Unmappable
from govpay.sync.transactions import in_transaction

logger = logging.getLogger("govpay.operations")

#: An action whose object itself is read counts as not executed after two reads without a sign, this far apart.
BETWEEN_READS = dt.timedelta(seconds=60)

#: A pass begins no further look-up after this many seconds. The next pass continues with the others.
PASS_TIMEOUT = 60.0

MONEY_ACTIONS: tuple[type[Action], ...] = (QuoteAction, CaptureAction, VoidAction, RefundAction)
SESSION_ACTIONS: tuple[type[Action], ...] = (CreateSessionAction, UpdateSessionAction, ExpireSessionAction)

TENANT_ACTIONS: tuple[type[Action], ...] = (CreateClientAction, CreateAccount, *SETTING_ACTIONS, *EVENT_ACTIONS)
CUSTOMER_ACTIONS: tuple[type[Action], ...] = (CreateCustomerAction, *WALLET_ACTIONS, *IMPORT_ACTIONS)

ALL_ACTIONS: tuple[type[Action], ...] = (*MONEY_ACTIONS, *SESSION_ACTIONS, *CUSTOMER_ACTIONS, *TENANT_ACTIONS)

ACTIONS: dict[str, type[Action]] = {action.action: action for action in ALL_ACTIONS}


@dataclass
class Reconciled:
    """The counts of one pass."""

    succeeded: int = 0
    failed: int = 0
    #: Still open: the platform could not be read, did not show the outcome, or must be read once more.
    waiting: int = 0
    #: Closed refunds, captures and voids that turned out differently.
    late_failures: int = 0

    def count(self, state: str) -> None:
        if state == OperationState.SUCCEEDED:
            self.succeeded += 1
        elif state == OperationState.FAILED:
            self.failed += 1
        else:
            self.waiting += 1

    def __str__(self) -> str:
        return (
            f"succeeded={self.succeeded} failed={self.failed} waiting={self.waiting} late_failures={self.late_failures}"
        )


def reconcile(limit: int = 500) -> Reconciled:
    """Look up open operations, the longest unchecked first, and close those whose outcome is found.

    If the effect is found, the state becomes ``succeeded``, or ``failed`` when the platform says so. It also becomes
    ``failed`` (not executed) if two reads find no sign of the effect in any place. Both reads are made after the call's
    deadline, at least ``ABSENT_AFTER`` apart (60 s if the object itself is read). Nothing is ever sent again.

    Raises ``RuntimeError`` inside a transaction, and database errors, but no errors of the platform.
    """
    journal.demand_commits()
    outcome = Reconciled()
    end = time.monotonic() + PASS_TIMEOUT
    over = Q(state=OperationState.STARTED, deadline_at__lte=timezone.now())
    due = journal.entries().filter(Q(state=OperationState.UNKNOWN) | over, action__in=ACTIONS)
    order = (F("checked_at").asc(nulls_first=True), "deadline_at")
    for operation in list(due.order_by(*order)[:limit]):
        if time.monotonic() > end:
            outcome.waiting += 1
            continue
        outcome.count(reconcile_one(operation))
    outcome.late_failures = follow_refunds() + follow_payments()
    in_transaction(forget_methods)
    dispatch_signals()
    return outcome


def follow_payments() -> int:
    """Mark captures and voids that were closed as not executed as succeeded, if the payment now shows their effect.

    Returns how many. If another operation may have captured or voided the payment, the payment's status proves nothing
    about this one.
    """
    journal_rows = journal.entries()
    others = journal_rows.filter(payment=OuterRef("payment_id"), action=OuterRef("action"))
    mine = journal_rows.filter(attempts.not_found(), payment__deleted_at=None).exclude(
        Exists(others.exclude(state=OperationState.FAILED).exclude(pk=OuterRef("pk")))
    )
    captured = Q(payment__status__in=ONCE_CAPTURED) | Q(payment__captured_at__isnull=False)
    voided = Q(payment__status=PaymentStatus.VOIDED)
    shown = Q(captured, action=OperationAction.CAPTURE) | Q(voided, action=OperationAction.VOID)
    return sum(JournalEntry(row).turn("", result_uid=row.payment_id) for row in list(mine.filter(shown)))


def reconcile_one(operation: Operation) -> str:
    """Look up one open operation and close it if its outcome is found. Returns its state. Never raises."""
    action = ACTIONS[operation.action]
    asked_at = timezone.now()
    try:
        answer = action.look_up(operation)
        if answer is not None:
            return _found(action, operation, answer)
        return _absent(action, operation, asked_at)
    except EffectSeen as sign:
        # There is a sign now, so that the time without any sign begins again.
        _attempt(operation).update(absent_at=None)
        why = str(sign)
    except Mismatch as error:
        JournalEntry(operation).flag_mismatch()
        why = str(error)
    except (GovPayError, ValueError, DatabaseTrouble) as error:
        # The outcome cannot be found now, which proves nothing. One failure must not stop the other look-ups.
        logger.info("operation %s cannot be looked up now: %s", operation.key, error)
        why = str(error)
    except Exception:
        logger.exception("operation %s cannot be looked up", operation.key)
        why = _("This site failed while it looked; the log has the details.")
    _seen(operation, why)
    return OperationState.UNKNOWN


def _found(action: type[Action], operation: Operation, answer: ActionResult) -> str:
    entry = JournalEntry(operation)
    # The user was shown "outcome unknown", so that a failure found now raises a review item.
    attention = OperationAttention.NOT_EXECUTED if answer.error else ""
    try:
        entry.record(action, answer, attention)
    except Unmappable as unmappable:
        logger.warning("operation %s is closed, but its row cannot be stored: %s", operation.key, unmappable)
        entry.close(answer.error, attention)
    read_again(action, entry, refused=False)
    return operation.state


def absent_after(action: type[Action]) -> dt.timedelta:
    """Return the time without any sign after which an operation counts as not executed."""
    return BETWEEN_READS if action.reads_object else dt.timedelta(seconds=float(conf.get("ABSENT_AFTER")))


def _absent(action: type[Action], operation: Operation, asked_at: dt.datetime) -> str:
    """Record the time of the first read without a sign; close the row when it is long enough ago.

    ``asked_at`` is the time at which this read began: the read says nothing about later changes.
    """
    if asked_at >= operation.deadline_at:
        if operation.absent_at is not None and asked_at - operation.absent_at >= absent_after(action):
            text = _("Not executed: the platform shows no sign of it. It may be tried again.")
            JournalEntry(operation).close(APIConnectionError(text), OperationAttention.NOT_EXECUTED)
            return OperationState.FAILED
        _attempt(operation).filter(absent_at=None).update(absent_at=timezone.now())
    _seen(operation)
    return OperationState.UNKNOWN


def _seen(operation: Operation, why_not: str = "") -> None:
    _attempt(operation).update(checked_at=timezone.now(), look_up_error=why_not[:255])


def _attempt(operation: Operation) -> QuerySet[Operation]:
    """Return the row's queryset. It is empty if a later attempt has begun, for which the result is not valid."""
    return journal.entries().filter(pk=operation.pk, attempts=operation.attempts)

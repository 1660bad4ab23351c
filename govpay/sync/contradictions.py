"""Raises a review item for each succeeded operation that contradicts newer data from the platform."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import router
from django.db.models import Model, Q
from django.utils import timezone

from govpay import conf
from govpay.models import Customer, Operation, Payment, SavedPaymentMethod, Transaction
from govpay.models.choices import (
    NEVER_CAPTURED,
    ONCE_CAPTURED,
    OperationAction,
    OperationAttention,
    OperationState,
    PaymentStatus,
    TransactionStatus,
    TransactionType,
)
from govpay.sync.outbox import OBSERVED_FIELDS

#: Statuses that a payment has only after a refund.
REFUNDED = frozenset({PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED})


def flag_changes(
    model: type[Model], known: Mapping[str, Sequence[Any]], written: Mapping[str, Mapping[str, Any]]
) -> None:
    """Flag the operations that the ``written`` rows contradict. Runs no statement for ordinary changes.

    ``known``: the rows before the change (``upsert.Known``). Call this in the transaction of the change.
    """
    changed = {uid: row for uid, row in written.items() if uid in known}
    if model is Payment:
        _flag_payments({uid: (known[uid][2] or "", row.get("status") or "") for uid, row in changed.items()})
    elif model is Transaction:
        # ``known`` holds these columns, so a page in which only the status of refunds changed costs no statement.
        told = OBSERVED_FIELDS[Transaction][1:]
        _flag_refunds([row for uid, row in changed.items() if known[uid][3:-1] != [row.get(name) for name in told]])
    elif model is SavedPaymentMethod:
        _flag_removals([uid for uid in changed if known[uid][1] is not None])


def flag_losses(model: type[Model], pks: Iterable[int]) -> None:
    """Flag the operations whose payment, transaction or customer the platform no longer has.

    A saved method that is gone says nothing: its payer may have removed it.
    """
    if model is Payment:
        gone = list(Payment.objects.filter(pk__in=list(pks)).values_list("uid", flat=True))
        _flag(Q(payment__in=gone, action__in=(OperationAction.CAPTURE, OperationAction.VOID, OperationAction.REFUND)))
    elif model is Transaction:
        rows = Transaction.objects.filter(pk__in=list(pks), type=TransactionType.REFUND)
        found = dict(rows.values_list("uid", "payment_id"))
        if found:
            _flag(Q(payment__in=found.values(), result_uid__in=found, action=OperationAction.REFUND))
    elif model is Customer:
        lost = list(Customer.objects.filter(pk__in=list(pks)).values_list("uid", flat=True))
        _flag(Q(customer__in=lost, action=OperationAction.CREATE_CUSTOMER))


def _flag_removals(uids: Sequence[str]) -> None:
    """Flag removals of saved methods that the platform has again. A list may lag for ``ABSENT_AFTER``."""
    if uids:
        before = timezone.now() - dt.timedelta(seconds=float(conf.get("ABSENT_AFTER")))
        _flag(Q(reference_id__in=uids, action=OperationAction.REMOVE_METHOD, finished_at__lt=before))


def _flag_payments(statuses: Mapping[str, tuple[str, str]]) -> None:
    uncaptured, unvoided, unrefunded = [], [], []
    for uid, (old, new) in statuses.items():
        if old in ONCE_CAPTURED and new in NEVER_CAPTURED:
            uncaptured.append(uid)
        elif old == PaymentStatus.VOIDED != new:
            unvoided.append(uid)
        if old in REFUNDED and (new in NEVER_CAPTURED or new == PaymentStatus.CAPTURED):
            unrefunded.append(uid)
    if uncaptured or unvoided or unrefunded:
        _flag(
            Q(payment__in=uncaptured, action=OperationAction.CAPTURE)
            | Q(payment__in=unvoided, action=OperationAction.VOID)
            | Q(payment__in=unrefunded, action=OperationAction.REFUND)
        )


def _flag_refunds(rows: Sequence[Mapping[str, Any]]) -> None:
    """Flag refunds whose type, amount, currency or payment differs from the requested refund."""
    by_uid = {row["uid"]: row for row in rows if row.get("status") != TransactionStatus.FAILED}
    if not by_uid:
        return
    references = [row["reference_id"] for row in by_uid.values() if row.get("reference_id")]
    payments = [row["payment_id"] for row in by_uid.values() if row.get("payment_id")]
    mine = Q(reference_id__in=references) | Q(payment__in=payments, result_uid__in=list(by_uid))
    operations = _operations().filter(mine, action=OperationAction.REFUND, state=OperationState.SUCCEEDED)
    wrong, told = [], ("type", "amount", "currency", "payment_id")
    for pk, uid, *asked in operations.values_list("pk", "result_uid", "amount", "currency", "payment_id"):
        row = by_uid.get(uid)
        if row is not None and [TransactionType.REFUND, *asked] != [row.get(name) for name in told]:
            wrong.append(pk)
    if wrong:
        _flag(Q(pk__in=wrong))


def _flag(which: Q) -> None:
    """Flag the succeeded operations that match. An operation that has a review item already keeps its reason."""
    rows = _operations().filter(which, state=OperationState.SUCCEEDED, attention="")
    rows.update(attention=OperationAttention.DIVERGED, attention_at=timezone.now())


def _operations() -> Any:
    return Operation.objects.using(router.db_for_write(Operation))

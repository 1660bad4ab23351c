"""The outbox: finds the signals for a change of a row, stores them, and sends each of them exactly once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from django.apps import apps
from django.db import DatabaseError, models, router, transaction
from django.db.models import F

from govpay import signals
from govpay.models import HostedSession, OutboxSignal, Payment, SavedPaymentMethod, Transaction
from govpay.models.choices import ONCE_CAPTURED, PaymentStatus, SessionStatus, TransactionStatus, TransactionType
from govpay.sync.transactions import in_transaction

logger = logging.getLogger("govpay.signals")

#: The columns that the upsert reads in addition to the digest, because signals depend on their old values.
OBSERVED_FIELDS: dict[type[models.Model], tuple[str, ...]] = {
    Payment: ("status",),
    Transaction: ("status", "type", "amount", "currency", "payment_id"),
    HostedSession: ("status",),
    SavedPaymentMethod: (),
}

#: Maximum attempts to send a signal when a receiver causes a database error.
MAX_ATTEMPTS = 5


#: The signals of new movements. The status of the payment is not enough:
#: two refunds between two reads look like one, and a dispute that was won in between does not show.
OF_MOVEMENT: dict[str, str] = {
    TransactionType.CHARGEBACK: "payment_disputed",
    TransactionType.ACH_RETURN: "payment_returned",
}


def of_change(model: type[models.Model], old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the names of the signals for a change from ``old`` (empty for a new row) to ``new``."""
    if model is SavedPaymentMethod:
        return ["saved_method_changed"]
    before, after, new_row = old.get("status") or "", new.get("status") or "", not old
    names: list[str] = []
    if model is HostedSession and before != after:
        names += ["session_completed"] * (after == SessionStatus.COMPLETED)
        names += ["session_expired"] * (after == SessionStatus.EXPIRED)
    if model is Payment:
        if after in ONCE_CAPTURED and before not in ONCE_CAPTURED:
            names.append("payment_captured")
        if before != after:
            names += ["payment_failed"] * (after == PaymentStatus.FAILED)
    if model is Transaction:
        kind = new.get("type") or ""
        if kind == TransactionType.REFUND:
            names += ["payment_refunded"] * (after == TransactionStatus.SUCCEEDED != before)
        elif kind in OF_MOVEMENT:
            names += [OF_MOVEMENT[kind]] * (new_row and after != TransactionStatus.FAILED)
    return names


def enqueue(entries: Iterable[tuple[str, type[models.Model], int]], *, source: str) -> None:
    """Store signals to send: (name, model, primary key). Call it in the transaction of the change.

    A signal without receivers is not stored. Connect receivers in ``AppConfig.ready``, so that web and worker
    processes have the same ones.
    """
    rows = [
        OutboxSignal(name=name, model=model._meta.label, row=pk, source=source)
        for name, model, pk in entries
        if signals.BY_NAME[name].has_listeners(Payment if model is Transaction else model)
    ]
    if rows:
        OutboxSignal.objects.bulk_create(rows)


def enqueue_changes(
    model: type[models.Model],
    known: Mapping[str, Sequence[Any]],
    written: Mapping[str, Mapping[str, Any]],
    *,
    source: str,
) -> None:
    """Call ``enqueue`` for each row whose ``written`` state differs from its ``known`` state (``upsert.Known``)."""
    watched = OBSERVED_FIELDS.get(model)
    if watched is None:
        return
    enqueue(
        (
            (name, model, row["pk"])
            for uid, row in written.items()
            for name in of_change(model, dict(zip(watched, known.get(uid, ())[2:], strict=False)), row)
        ),
        source=source,
    )


def enqueue_loss(model: type[models.Model], pks: Iterable[int], *, source: str) -> None:
    """Call ``enqueue`` for rows that the platform no longer has."""
    if model is SavedPaymentMethod:
        enqueue((("saved_method_changed", model, pk) for pk in pks), source=source)


def dispatch(limit: int | None = None) -> int:
    """Send the stored signals, each in one transaction with its deletion. Returns the number of sent signals.

    Therefore a receiver's writes to this database happen exactly once. An exception in a receiver is logged and does
    not stop the other receivers. Only a database error rolls a signal back; it is then sent again.
    """
    if not any(signal.has_listeners() for signal in signals.BY_NAME.values()):
        return 0  # this process has no receivers; another process may have some and send
    if transaction.get_connection(_alias()).in_atomic_block and not _in_test_case():
        return 0  # the caller's transaction may still roll back: the next tick sends
    position, sent = 0, 0
    while limit is None or sent < limit:
        owed = in_transaction(partial(_claim_and_send, position))
        if owed is None:
            break
        position = owed.position
        sent += owed.sent
    return sent


def _alias() -> str:
    return router.db_for_write(OutboxSignal)


def _in_test_case() -> bool:
    blocks = transaction.get_connection(_alias()).atomic_blocks
    return all(getattr(block, "_from_testcase", False) for block in blocks)


class _Outcome(NamedTuple):
    position: int
    sent: bool


def _claim_and_send(after: int) -> _Outcome | None:
    """Claim the next signal with a write, so that other dispatchers wait or skip it, and send it. ``None``: no more."""
    alias = _alias()
    queue = OutboxSignal.objects.using(alias).filter(pk__gt=after).order_by("pk")
    if transaction.get_connection(alias).features.has_select_for_update_skip_locked:
        queue = queue.select_for_update(skip_locked=True)
    owed = queue.first()
    if owed is None:
        return None
    claimed = OutboxSignal.objects.using(alias).filter(pk=owed.pk)
    if not claimed.update(attempts=F("attempts") + 1):
        return _Outcome(owed.pk, False)  # another dispatcher has just sent it
    try:
        with transaction.atomic(using=alias):
            _send(owed)
            if transaction.get_rollback(using=alias):
                raise DatabaseError("a receiver caught a database error outside its own atomic block")
    except DatabaseError:
        if owed.attempts + 1 < MAX_ATTEMPTS:
            logger.warning(
                "signal %s for %s %s could not be sent; it is tried again",
                owed.name,
                owed.model,
                owed.row,
                exc_info=True,
            )
            return _Outcome(owed.pk, False)
        logger.exception("signal %s for %s %s is dropped after too many attempts", owed.name, owed.model, owed.row)
    claimed.delete()
    return _Outcome(owed.pk, True)


def _send(owed: OutboxSignal) -> None:
    if owed.name not in signals.BY_NAME:
        logger.error("signal %s for %s %s is unknown to this release", owed.name, owed.model, owed.row)
        return
    model = apps.get_model(owed.model)
    row = model._default_manager.filter(pk=owed.row).first()
    if row is None:
        return
    if isinstance(row, Transaction):
        model, row = Payment, Payment.objects.filter(uid=row.payment_id).first()
        if row is None:
            return
    answers = signals.BY_NAME[owed.name].send_robust(sender=model, row=row, source=owed.source)
    for receiver, answer in answers:
        if isinstance(answer, Exception):
            logger.error("receiver %r of %s failed", receiver, owed.name, exc_info=answer)
        if isinstance(answer, DatabaseError):
            raise answer

"""Look for signs that an operation was carried out, in every place where its effect would show.

Absence from one list proves nothing: lists lag behind objects, and a webhook may arrive before both show the effect. An
operation may be closed as "not executed" only when no place shows a sign. A sign is no proof either: if there is one,
the outcome stays unknown.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db.models import Q

from govpay.client import PaymentResource, TransactionResource, field
from govpay.connection import get_endpoints
from govpay.exceptions import InvalidAnswer, InvalidRequest, NotFound
from govpay.models import Operation, Payment, Transaction, WebhookEvent
from govpay.models.choices import ONCE_CAPTURED, EventType, PaymentStatus, TransactionStatus, TransactionType
from govpay.operations.lookups import CLOCKS_DIFFER, may_be_new, rows_changed_since, rows_since

#: Statuses that only a refund gives to a payment.
REFUNDED = (PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED)


class EffectSeen(InvalidAnswer):
    """There is a sign of the operation's effect, but the object that would prove it cannot be read yet."""


class Mismatch(InvalidAnswer):
    """The platform has the operation with another amount, currency, type or object: staff must look at it."""


def transactions_of(operation: Operation) -> Iterator[dict[str, Any]]:
    """Yield the transactions of the operation's payment, from a read by payment and a read by time: each list may lag.

    Raises ``APIError`` when one of the lists cannot be read completely.
    """
    wanted = field("payment_uid").eq(operation.payment_id)
    for document in rows_since("list_transactions", operation, wanted):
        if document.get("payment_uid") == operation.payment_id:
            yield document
    for document in rows_changed_since("list_transactions", operation):
        if document.get("payment_uid") == operation.payment_id:
            yield document


def demand_no_refund(operation: Operation, listed: Iterable[Mapping[str, Any]]) -> TransactionResource | None:
    """Look for signs that the platform made this refund, although the lists of transactions do not show it.

    Signs are a mirrored transaction, a received event, and the payment's refunded amount or status. ``listed`` are the
    payment's transactions that the lists contain. Returns the refund if the mirror or an event names it and it can be
    read. Returns None if there is no sign.

    Raises ``EffectSeen`` if there is a sign but the refund itself cannot be found. Raises ``APIError`` if the payment
    cannot be read.
    """
    mirrored = Transaction.objects.filter(reference_id=operation.reference_id, deleted_at=None).first()
    if mirrored is not None:
        return _read(operation, mirrored.uid)
    known = {str(row.get("uid")): TransactionResource(row) for row in listed}
    for found in _named_by_events(operation, known):
        if found.raw.get("reference_id") == operation.reference_id:
            return found
        known[found.uid] = found
    payment = _payment(operation)
    explained = _explained(operation, known)
    if (payment.refunded_amount or 0) > explained:
        raise EffectSeen("The payment shows a refund that no list contains yet.")
    if payment.status in REFUNDED and not explained:
        raise EffectSeen("The payment's status shows a refund that no list contains yet.")
    return None


def demand_no_movement(operation: Operation, kind: str, event_type: str = "") -> None:
    """Look for signs of a capture or void outside the payment itself: its transactions, events, and the mirror.

    Raises ``EffectSeen`` if there is a sign, and ``APIError`` when the transactions cannot be read. If the platform
    offers no list of transactions (404, 405), none are checked.
    """
    try:
        for found in map(TransactionResource, transactions_of(operation)):
            if found.type == kind and found.status != TransactionStatus.FAILED:
                raise EffectSeen("Its transaction exists, but the payment does not show it yet.")
    except NotFound:
        pass  # this API offers no such list, so that the effect cannot show there
    shown = Q(status=PaymentStatus.VOIDED)
    if kind == TransactionType.CAPTURE:
        shown = Q(status__in=ONCE_CAPTURED) | Q(captured_at__isnull=False)
    if Payment.objects.filter(shown, uid=operation.payment_id, deleted_at=None).exists():
        raise EffectSeen("A sync has stored it, but the payment itself does not show it yet.")
    if event_type and next(_events(operation, event_type), None) is not None:
        raise EffectSeen("An event reports it, but the payment does not show it yet.")


def _payment(operation: Operation) -> PaymentResource:
    try:
        return get_endpoints().get_payment(str(operation.account_id), str(operation.payment_id))
    except NotFound as error:
        raise InvalidAnswer(f"The payment cannot be read: {error}") from error


def _explained(operation: Operation, known: Mapping[str, TransactionResource]) -> int:
    """Return the sum of the known succeeded refunds in minor units, from ``known`` and from the mirror."""
    total = sum(
        found.amount or 0
        for found in known.values()
        if found.type == TransactionType.REFUND and found.status == TransactionStatus.SUCCEEDED
    )
    mirrored = Transaction.objects.filter(
        payment=operation.payment_id,
        type=TransactionType.REFUND,
        status=TransactionStatus.SUCCEEDED,
        deleted_at=None,
    )
    others = mirrored.exclude(uid__in=list(known)).exclude(reference_id=operation.reference_id)
    return total + sum(amount or 0 for amount in others.values_list("amount", flat=True))


def _events(operation: Operation, event_type: str) -> Iterator[Mapping[str, Any]]:
    """Yield the ``data`` of the events of this payment that arrived since the operation began."""
    since: dt.datetime = operation.created_at - CLOCKS_DIFFER
    rows = WebhookEvent.objects.filter(account=operation.account_id, event_type=event_type, received_at__gte=since)
    for payload in rows.order_by("received_at").values_list("payload", flat=True).iterator():
        data = payload.get("data") if isinstance(payload, dict) else None
        if isinstance(data, dict) and operation.payment_id in (data.get("payment_uid"), data.get("uid")):
            yield data


def _named_by_events(operation: Operation, known: Mapping[str, TransactionResource]) -> Iterator[TransactionResource]:
    """Yield the refunds that events name and no list shows. Each is read by its uid.

    Raises ``EffectSeen`` for a refund that cannot be read yet, and for an event that does not name its refund.
    """
    for data in _events(operation, EventType.PAYMENT_REFUNDED):
        uid = data.get("transaction_uid")
        if not isinstance(uid, str) or not uid:
            if not _refunded_since(operation, known):
                raise EffectSeen("An event reports a refund that no list contains yet.")
            continue
        if uid in known or Transaction.objects.filter(uid=uid).exclude(reference_id=operation.reference_id).exists():
            continue
        yield _read(operation, uid)


def _read(operation: Operation, uid: str) -> TransactionResource:
    """Return a transaction that an event or the mirror names. Raises ``EffectSeen`` when it cannot be read yet."""
    try:
        return get_endpoints().get_transaction(str(operation.account_id), uid)
    except (NotFound, InvalidRequest) as error:
        raise EffectSeen("A refund that is known here cannot be read yet.") from error


def _refunded_since(operation: Operation, known: Mapping[str, TransactionResource]) -> bool:
    """Return whether a known refund can be the reason for an event that does not name its refund."""
    return any(row.type == TransactionType.REFUND and may_be_new(row, operation) for row in known.values())

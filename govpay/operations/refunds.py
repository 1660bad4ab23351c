"""Refunds: giving back captured money, and what becomes of a refund after it was accepted."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, cast

from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _

from govpay.client import TransactionResource, field, shapes
from govpay.client.cards import refuse_cards
from govpay.connection import get_endpoints
from govpay.exceptions import APIError, Conflict, GovPayError, InvalidAnswer, OperationRefused, OutcomeUnknown
from govpay.models import Operation, Payment, Transaction
from govpay.models.choices import (
    OperationAction,
    OperationAttention,
    OperationState,
    Source,
    TransactionStatus,
    TransactionType,
)
from govpay.models.money import format_money, is_amount
from govpay.operations import journal
from govpay.operations.base import perform
from govpay.operations.deeds import Answer, Seen, completed
from govpay.operations.lookups import CLOCKS_DIFFER, rows_since
from govpay.operations.payments import PaymentDeed, read_payment
from govpay.sync import mapping, news
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_documents


def refund_payment(
    *,
    payment: Payment,
    amount: int | None = None,
    reason: str = "",
    actor: Any = None,
    key: uuid.UUID | str | None = None,
    seen: Seen | None = None,
) -> Transaction:
    """Give back ``amount`` minor units of a captured payment, or with ``None`` all that is left (assumption A10).

    Raises ``OperationRefused``, ``Conflict``, ``InvalidRequest``, ``OutcomeUnknown``, ``APIError``.
    """
    return cast(Transaction, perform(Refund(payment, amount, reason, seen), actor=actor, key=key))


class Refund(PaymentDeed):
    action: ClassVar[str] = OperationAction.REFUND
    model = Transaction
    body: shapes.RefundPayment

    def __init__(self, payment: Payment, amount: int | None, reason: str, seen: Seen | None) -> None:
        if amount is not None and not is_amount(amount):
            raise OperationRefused("The amount must be a positive whole number of minor units.", field="amount")
        self.amount, self.reason = amount, " ".join(str(reason or "").split())
        if self.reason:
            refuse_cards(reason=self.reason)
            shapes.is_text("reason", self.reason)
        super().__init__(payment, seen)

    def arguments(self) -> Mapping[str, Any]:
        return {"payment": self.payment.uid, "amount": self.amount, "reason": self.reason}

    def entry(self) -> dict[str, Any]:
        # Never derived from payment and amount: two equal partial refunds are legitimate (assumption A25).
        reference = f"rf-{uuid.uuid4().hex}"
        return {**super().entry(), "amount": self.amount, "reason": self.reason, "reference_id": reference}

    def amount_of(self, row: Payment) -> int:
        return row.refundable_amount if self.amount is None else self.amount

    def rule(self, row: Payment, operation: Operation) -> None:
        why = row.why_not_refundable()
        if why:
            raise OperationRefused(why)
        left = row.refundable_amount
        if self.seen is not None and self.seen.refundable not in (None, left):
            raise OperationRefused(
                _("What is left to refund has changed since it was shown. Look at the payment again.")
            )
        amount = self.amount_of(row)
        if amount > left:
            raise OperationRefused(
                _("Only %(amount)s is left to refund.") % {"amount": format_money(left, row.currency)}
            )
        self.body = shapes.RefundPayment(amount=amount, reason=self.reason or None, reference_id=operation.reference_id)

    def send(self, operation: Operation) -> TransactionResource:
        account, uid = str(operation.account_id), str(operation.payment_id)
        try:
            found = get_endpoints().refund_payment(account, uid, self.body, idempotency_key=str(operation.key))
        except Conflict as error:
            if error.code != "duplicate_refund":
                raise
            return self._already_there(operation, error)
        known = {"payment_uid": uid, "type": TransactionType.REFUND.value, "currency": operation.currency}
        return completed(found, {**known, **self.body.to_wire()})

    def _already_there(self, operation: Operation, error: Conflict) -> TransactionResource:
        """Our reference is unique, so the platform having it means that this very refund has arrived."""
        try:
            found = _find(operation)
        except (GovPayError, ValueError):
            found = None
        if found is None:
            raise OutcomeUnknown(
                f"{error.message} It is this very refund, which is being looked up.",
                code=error.code,
                request_id=error.request_id,
            ) from error
        return found

    @staticmethod
    def judge(operation: Operation, found: TransactionResource) -> Answer | None:
        if found.reference_id not in (None, "", operation.reference_id):
            raise InvalidAnswer("the answer is about another refund")
        error = None
        if found.status == TransactionStatus.FAILED:
            error = APIError(f"The refund failed: {found.reason_code or found.reason or 'no reason given'}.")
        return Answer(mapping.TRANSACTION, found.raw, found.request_id, error)

    @classmethod
    def look_up(cls, operation: Operation) -> Answer | None:
        found = _find(operation)
        return cls.judge(operation, found) if found is not None else None

    @staticmethod
    def read_again(operation: Operation, *, refused: bool) -> None:
        """The payment, whose refunded sum is the platform's to tell; refused: also what others refunded."""
        if refused:
            _read_transactions(operation)
        read_payment(operation)


def _find(operation: Operation) -> TransactionResource | None:
    """The transaction that carries our reference, which no other refund has.

    It is sought among those of its payment, so that a platform which does not give references back is
    noticed: there, a refund without one may be ours, and the outcome cannot be told.
    """
    nameless: list[dict[str, Any]] = []
    wanted = field("payment_uid").eq(operation.payment_id)
    for document in rows_since("list_transactions", operation, wanted):
        if document.get("reference_id") == operation.reference_id:
            return TransactionResource(document)
        if not document.get("reference_id") and document.get("payment_uid") == operation.payment_id:
            nameless.append(document)
    if any(_may_be_ours(TransactionResource(document), operation) for document in nameless):
        raise InvalidAnswer("The payment has a refund of this amount that carries no reference.")
    return None


def _may_be_ours(found: TransactionResource, operation: Operation) -> bool:
    if found.type not in (None, TransactionType.REFUND) or found.amount not in (None, operation.amount):
        return False
    return found.created_at is None or found.created_at >= operation.created_at - CLOCKS_DIFFER


def _read_transactions(operation: Operation) -> None:
    account = str(operation.account_id)
    wanted = field("payment_uid").eq(operation.payment_id)
    documents = [
        document
        for document in rows_since("list_transactions", operation, wanted)
        if document.get("payment_uid") == operation.payment_id
    ]
    in_transaction(
        lambda: save_documents(mapping.TRANSACTION, documents, extra={"account_id": account}, source=Source.OPERATION)
    )


def follow_refunds() -> int:
    """Bring the journal in line with refunds that turned out differently later; gives how many did.

    One that the platform accepted may fail days later (an ACH refund), and one that it had no trace of, or
    refused to somebody on the way who had sent it twice, may yet appear: the reference is proof. Each change
    sends ``operation_finished`` once more.
    """
    refunds = Transaction.objects.filter(type=TransactionType.REFUND, deleted_at=None).exclude(reference_id="")
    failed = refunds.filter(status=TransactionStatus.FAILED)
    ours = journal.entries().filter(action=OperationAction.REFUND)
    count = 0
    for operation in ours.filter(state=OperationState.SUCCEEDED, reference_id__in=failed.values("reference_id")):
        row = failed.filter(reference_id=operation.reference_id).first()
        why = (row.reason_code or row.reason) if row else ""
        count += _turn(operation, f"The refund was accepted and failed later: {why or 'no reason given'}.")
    there = refunds.exclude(status=TransactionStatus.FAILED).filter(reference_id=OuterRef("reference_id"))
    for operation in ours.filter(Exists(there), state=OperationState.FAILED):
        uid = refunds.filter(reference_id=operation.reference_id).values_list("uid", flat=True).first()
        count += _turn(operation, "", result_uid=uid)
    return count


def _turn(operation: Operation, error: str, **columns: Any) -> int:
    """From succeeded to failed, with ``error``, or back. Somebody was told otherwise, and is told so."""
    attention = OperationAttention.LATE_FAILURE if error else OperationAttention.CONTRADICTED
    columns.update(
        journal.attention_for(operation, attention),
        state=OperationState.FAILED if error else OperationState.SUCCEEDED,
        error=error,
        error_class=APIError.__name__ if error else "",
        finished_at=timezone.now(),
    )
    return in_transaction(partial(_turned, operation, columns))


def _turned(operation: Operation, columns: dict[str, Any]) -> int:
    changed = journal.entries().filter(pk=operation.pk, state=operation.state).update(**columns)
    if changed:
        news.announce([("operation_finished", Operation, int(operation.pk))], source=Source.SYNC)
    return changed

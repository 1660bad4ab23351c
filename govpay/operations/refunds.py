"""Refunds: give back captured money, and follow a refund after the platform accepted it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
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
    OperationState,
    Source,
    TransactionStatus,
    TransactionType,
)
from govpay.models.money import format_money, is_amount
from govpay.models.reasons import find_reason
from govpay.operations import attempts, journal
from govpay.operations.actions import ActionResult, Snapshot, completed
from govpay.operations.engine import execute, reopen
from govpay.operations.evidence import EffectSeen, Mismatch, demand_no_refund, transactions_of
from govpay.operations.journal import JournalEntry
from govpay.operations.lookups import may_be_new, readable, rows_since
from govpay.operations.payments import PaymentAction, payment_of, read_payment
from govpay.sync import mapping
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_documents

#: How long a refund that was not executed may still arrive. Until then, another refund needs a confirmation.
AT_STAKE = dt.timedelta(hours=24)


def refund_payment(
    *,
    payment: Payment,
    amount: int | None = None,
    reason: str = "",
    confirm_second_refund: bool = False,
    actor: Any = None,
    key: uuid.UUID | str | None = None,
    seen: Snapshot | None = None,
) -> Transaction:
    """Give back ``amount`` minor units of a captured payment; ``None`` gives back all that is left (assumption A10).

    If a refund of the same amount was not executed, that operation is tried again with its own key and reference. This
    requires that ``key`` is None or that operation's key; another key is refused. Within 24 hours of a refund that was
    not executed, another amount needs ``confirm_second_refund``: if the platform still carries out the earlier refund,
    both amounts go back.

    Raises ``OperationRefused``, ``Conflict``, ``InvalidRequest``, ``OutcomeUnknown``, ``APIError``.
    """
    action = RefundAction(payment, amount, reason, seen, confirmed=confirm_second_refund)
    action.may_retry = key is None
    try:
        return cast(Transaction, execute(action, actor=actor, key=key))
    except NotExecutedBefore as before:
        earlier = journal.entries().get(pk=before.pk)
        return cast(Transaction, reopen(RefundAction.again(earlier, seen), earlier, actor=actor))


class NotExecutedBefore(OperationRefused):
    """A refund of the same amount was not executed: it is tried again instead of creating a second one."""

    pk: int


class RefundAction(PaymentAction):
    action: ClassVar[str] = OperationAction.REFUND
    model = Transaction
    reference_prefix: ClassVar[str] = "rf"
    statuses = frozenset(TransactionStatus.values)
    body: shapes.RefundPayment
    #: Whether an earlier refund of the same amount that was not executed is tried again instead.
    may_retry = False

    def __init__(
        self, payment: Payment, amount: int | None, reason: str, seen: Snapshot | None, *, confirmed: bool = False
    ) -> None:
        if amount is not None and not is_amount(amount):
            raise OperationRefused("The amount must be a positive whole number of minor units.", field="amount")
        self.amount, self.reason = amount, " ".join(str(reason or "").split())
        if self.reason:
            refuse_cards(reason=self.reason)
            shapes.is_text("reason", self.reason)
        self.confirmed = confirmed
        super().__init__(payment, seen)

    @classmethod
    def again(cls, operation: Operation, seen: Snapshot | None) -> RefundAction:
        return cls(payment_of(operation), operation.amount, operation.reason, seen, confirmed=True)

    def arguments(self) -> Mapping[str, Any]:
        return {"payment": self.payment.uid, "amount": self.amount, "reason": self.reason}

    def entry(self) -> dict[str, Any]:
        # The reference is made from the key, never from payment and amount: two equal partial refunds are
        # legitimate (assumption A25).
        return {**super().entry(), "amount": self.amount, "reason": self.reason}

    def check(self, operation: Operation) -> None:
        if operation.attempts > 1:
            self.amount = operation.amount  # the same reference needs the same amount; less may be left by now
        super().check(operation)

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
        self._demand_no_second(row, operation, amount)
        self.body = shapes.RefundPayment(amount=amount, reason=self.reason or None, reference_id=operation.reference_id)

    def _demand_no_second(self, row: Payment, operation: Operation, amount: int) -> None:
        """Refuse a second refund while an earlier one that was not executed may still arrive.

        Raises ``NotExecutedBefore`` for the same amount if ``may_retry``. Otherwise raises ``OperationRefused``, unless
        the amount differs and staff confirmed the second refund.
        """
        if not row.__dict__["refund_not_executed"]:
            return
        others = journal.entries().filter(attempts.not_found(), action=self.action, payment=row.uid)
        found = others.exclude(pk=operation.pk).order_by("-finished_at", "-pk")
        earlier = list(found.values_list("pk", "amount", "finished_at"))
        if self.may_retry:
            for pk, same, _when in earlier:
                if same == amount:
                    before = NotExecutedBefore("It is tried again.")
                    before.pk = pk
                    raise before
        since = timezone.now() - AT_STAKE
        amounts = [each for _pk, each, when in earlier if when is not None and when >= since]
        if amount in amounts and operation.attempts == 1:
            raise OperationRefused(
                _(
                    "An earlier refund of %(amount)s of this payment was not carried out, as far as is known. "
                    "Try that one again instead: both would go back if it arrives late."
                )
                % {"amount": format_money(amount, row.currency)}
            )
        if amounts and not self.confirmed:
            raise OperationRefused(
                _(
                    "An earlier refund of %(earlier)s of this payment was not carried out, as far as is known. If the "
                    "platform still carries it out, both amounts go back: confirm that you want a second refund."
                )
                % {"earlier": format_money(amounts[0], row.currency)},
                field="confirm_second_refund",
            )

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
        """Return this refund after a "duplicate" answer: our reference is unique, so the platform has the refund.

        Raises ``OutcomeUnknown`` when it cannot be found.
        """
        try:
            found = _find(operation)
        except (GovPayError, ValueError):
            found = None
        if found is None:
            raise OutcomeUnknown(
                _("%(text)s It is the same refund, which is being looked up.") % {"text": error.message},
                code=error.code,
                request_id=error.request_id,
            ) from error
        return found

    @staticmethod
    def judge(operation: Operation, found: TransactionResource) -> ActionResult | None:
        if found.raw.get("reference_id") not in (None, "", operation.reference_id):
            raise InvalidAnswer("the answer is about another refund")
        if found.amount not in (None, operation.amount) or found.currency not in (None, "", operation.currency):
            raise Mismatch("the platform has this refund with another amount or currency")
        if found.payment_uid not in (None, operation.payment_id) or found.type not in (None, TransactionType.REFUND):
            raise Mismatch("the platform has its reference on another object")
        error = None
        if found.status == TransactionStatus.FAILED:
            code, said = readable(found, "reason_code") or "", readable(found, "reason") or ""
            error = APIError(_("The refund failed. %(why)s") % {"why": _why(code, said)}, code=code)
        return ActionResult(mapping.TRANSACTION, found.raw, found.request_id, error)

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        found = _find(operation)
        return cls.judge(operation, found) if found is not None else None

    @staticmethod
    def read_again(operation: Operation, *, refused: bool) -> None:
        """Read the payment again for its refunded sum. After a refusal, read its transactions too (other refunds)."""
        if refused:
            _read_transactions(operation)
        read_payment(operation)


def _find(operation: Operation) -> TransactionResource | None:
    """Return the transaction with our reference, which no other refund has; ``None`` if there is no sign of it.

    All transactions of the payment are read, in order to notice a platform that does not return references. On such a
    platform, a refund without a reference may be ours. Raises ``EffectSeen`` for such a refund, and ``APIError``.
    """
    listed: list[dict[str, Any]] = []
    for document in transactions_of(operation):
        if document.get("reference_id") == operation.reference_id:
            return TransactionResource(document)
        listed.append(document)
    nameless = (TransactionResource(document) for document in listed if not document.get("reference_id"))
    if any(_may_be_ours(found, operation) for found in nameless):
        raise EffectSeen("The payment has a refund of this amount without a reference.")
    if operation.error_code == "duplicate_refund":
        raise EffectSeen("The platform refused its reference as a duplicate, but no list shows it yet.")
    return demand_no_refund(operation, listed)


def _may_be_ours(found: TransactionResource, operation: Operation) -> bool:
    if found.type not in (None, TransactionType.REFUND) or found.amount not in (None, operation.amount):
        return False
    return may_be_new(found, operation)


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
    """Update the journal for refunds whose outcome changed later. Returns how many changed.

    A refund that the platform accepted may fail days later (an ACH refund). A refund that was closed as not executed
    may appear later. A refund may also exist although its request was refused, because a proxy had sent the request
    twice. Its reference proves that it exists. Each change sends ``operation_finished`` again.
    """
    refunds = Transaction.objects.filter(type=TransactionType.REFUND, deleted_at=None).exclude(reference_id="")
    failed = refunds.filter(status=TransactionStatus.FAILED)
    ours = journal.entries().filter(action=OperationAction.REFUND)
    count = 0
    for operation in ours.filter(state=OperationState.SUCCEEDED, reference_id__in=failed.values("reference_id")):
        row = failed.filter(reference_id=operation.reference_id).first()
        code, said = (row.reason_code, row.reason) if row else ("", "")
        text = _("The refund was accepted and failed later. %(why)s") % {"why": _why(code, said)}
        count += JournalEntry(operation).turn(text, code)
    present = Transaction.objects.filter(deleted_at=None).exclude(status=TransactionStatus.FAILED)
    there = present.filter(reference_id=OuterRef("reference_id"))
    for operation in ours.filter(Exists(there), state=OperationState.FAILED).exclude(reference_id=""):
        found = present.filter(reference_id=operation.reference_id).first()
        if found is None:
            continue
        if _is_same(found, operation):
            count += JournalEntry(operation).turn("", result_uid=found.uid)
        elif operation.attention_at is None or (found.synced_at and found.synced_at > operation.attention_at):
            # Raise it only once for each version of the row, because staff may have dealt with it already.
            JournalEntry(operation).flag_mismatch()
    return count


def _why(code: str, said: str) -> str:
    """Return the meaning of the bank's reason code, else the platform's own words."""
    reason = find_reason(TransactionType.REFUND, code)
    return str(reason.means) if reason else said or _("No reason was given that is known here.")


def _is_same(row: Transaction, operation: Operation) -> bool:
    """Return whether ``row`` is the refund that ``operation`` requested."""
    asked = (TransactionType.REFUND, operation.amount, operation.currency, operation.payment_id)
    return (row.type, row.amount, row.currency, row.payment_id) == asked

"""Capture and void, and the rules that all actions on an existing payment share."""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, cast

from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from govpay.client import PaymentResource, shapes
from govpay.connection import get_endpoints
from govpay.exceptions import APIError, Conflict, Gone, InvalidAnswer, NotFound, OperationRefused
from govpay.models import Operation, Payment
from govpay.models.base import Mirror
from govpay.models.choices import (
    ONCE_CAPTURED,
    EventType,
    OperationAction,
    PaymentStatus,
    Source,
    TransactionType,
    label_of,
)
from govpay.operations import attempts, journal
from govpay.operations.actions import Action, ActionResult, Snapshot, completed
from govpay.operations.authorizations import Authorization, authorization_of, check_authorization
from govpay.operations.engine import execute
from govpay.operations.evidence import Mismatch, demand_no_movement
from govpay.operations.lookups import readable
from govpay.operations.quotes import declined, forget_method, is_quoted_by_actor, validated_method
from govpay.sync import mapping
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_document


def capture_payment(
    *,
    payment: Payment,
    authorization: Authorization | None = None,
    fee_preview: bool = False,
    actor: Any = None,
    key: uuid.UUID | str | None = None,
    seen: Snapshot | None = None,
) -> Payment:
    """Capture a validated payment with exactly the method and amounts that were validated (assumption A9).

    ``authorization`` is stored in the journal, because the platform documents no field for it except a session's
    ``ach_authorization``. ``fee_preview=True``: ``actor`` confirms the charge after seeing its fee. Any other capture
    of a fee preview is refused.

    Raises ``OperationRefused``, ``PaymentDeclined``, ``Conflict``, ``Gone``, ``OutcomeUnknown``, ``APIError``.
    """
    return cast(Payment, execute(CaptureAction(payment, seen, authorization, fee_preview), actor=actor, key=key))


def void_payment(
    *,
    payment: Payment,
    fee_preview: bool = False,
    actor: Any = None,
    key: uuid.UUID | str | None = None,
    seen: Snapshot | None = None,
) -> Payment:
    """Cancel a payment before capture or on the day of capture (assumption A11).

    ``fee_preview=True``: ``actor`` cancels their own fee preview. It is refused for any other payment.

    Raises ``OperationRefused``, ``Conflict``, ``Gone``, ``OutcomeUnknown``, ``APIError``.
    """
    return cast(Payment, execute(VoidAction(payment, seen, fee_preview), actor=actor, key=key))


class PaymentAction(Action):
    """Base class of the actions on an existing payment."""

    def __init__(self, payment: Payment, seen: Snapshot | None) -> None:
        #: The row that the caller passed. ``check`` replaces it with the locked row of the database.
        self.payment = payment
        self.seen = seen

    def arguments(self) -> Mapping[str, Any]:
        return {"payment": self.payment.uid}

    def entry(self) -> dict[str, Any]:
        return {
            "account_id": self.payment.account_id,
            "payment_id": self.payment.uid,
            "customer_id": self.payment.customer_id,
            "session_id": self.payment.session_id,
            "amount": self.payment.total_amount,
            "currency": self.payment.currency,
        }

    def check(self, operation: Operation) -> None:
        # This is read in the same query, because almost no payment has a refund that was not executed.
        absent = journal.entries().filter(attempts.not_found(), action=OperationAction.REFUND, payment=OuterRef("uid"))
        rows = Payment.objects.with_pending_refunds().with_fee_preview().select_related("account")
        rows = rows.annotate(refund_not_executed=Exists(absent))
        row = rows.select_for_update(of=("self",)).filter(uid=self.payment.uid).first()
        if row is None:
            raise OperationRefused(_("There is no such payment here; sync first."))
        if not row.account_id or row.account_id != operation.account_id:
            raise OperationRefused(_("The payment belongs to another payment account."))
        if row.account is not None and row.account.deleted_at:
            raise OperationRefused(_("The platform no longer has this payment account."))
        self._compare(row)
        self.rule(row, operation)
        amount = self.amount_of(row)
        if (operation.amount, operation.currency) != (amount, row.currency):
            operation.amount, operation.currency = amount, row.currency
            operation.save(update_fields=["amount", "currency"])
        self.payment = row

    def _compare(self, row: Payment) -> None:
        """Raises ``OperationRefused`` when the payment differs from the page or from the caller's row (faults M7)."""
        held = self.payment
        changed = held.total_amount not in (None, row.total_amount) or held.currency not in ("", row.currency)
        seen = self.seen
        if seen is not None:
            changed = changed or seen.total not in (None, row.total_amount) or seen.currency not in ("", row.currency)
        if changed:
            raise OperationRefused(_("The amount has changed since it was shown. Look at the payment again."))
        if seen is not None and seen.status != row.status:
            raise OperationRefused(
                _("The payment has changed since it was shown. Its status now: %(status)s. Look at it again.")
                % {"status": label_of(row.status, PaymentStatus)}
            )

    def amount_of(self, row: Payment) -> int | None:
        """Return the amount of the action in minor units."""
        return row.total_amount

    @abstractmethod
    def rule(self, row: Payment, operation: Operation) -> None:
        """Check the rule and prepare the request. Raises ``OperationRefused`` if ``row`` does not allow it."""

    @staticmethod
    def read_again(operation: Operation, *, refused: bool) -> None:
        if refused and read_payment(operation).status != PaymentStatus.VALIDATED:
            in_transaction(lambda: forget_method(str(operation.payment_id)))


class _WholePaymentAction(PaymentAction):
    """Base class of capture and void, whose outcome is the payment's own status."""

    model = Payment
    reads_object: ClassVar[bool] = True
    statuses = frozenset(PaymentStatus.values)
    #: The types of the transaction and of the event that would also show the effect.
    shown_by: ClassVar[tuple[str, str]]

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        try:
            found = get_endpoints().get_payment(*_address(operation))
        except NotFound as error:
            # The payment or the route is missing on the platform. Neither says anything about the action.
            raise InvalidAnswer(_("The payment cannot be read. %(why)s") % {"why": error}) from error
        answer = cls.judge(operation, found)
        if answer is None:
            demand_no_movement(operation, *cls.shown_by)
        return answer

    @staticmethod
    def stored(operation: Operation, row: Mirror) -> None:
        forget_method(row.uid)


class CaptureAction(_WholePaymentAction):
    action: ClassVar[str] = OperationAction.CAPTURE
    shown_by: ClassVar[tuple[str, str]] = (TransactionType.CAPTURE, EventType.PAYMENT_COMPLETED)
    body: shapes.CapturePayment

    def __init__(
        self,
        payment: Payment,
        seen: Snapshot | None,
        authorization: Authorization | None = None,
        fee_preview: bool = False,
    ) -> None:
        super().__init__(payment, seen)
        self.authorization, self.fee_preview = authorization, fee_preview
        if authorization is not None:
            check_authorization(authorization)

    @classmethod
    def again(cls, operation: Operation, seen: Snapshot | None) -> CaptureAction:
        return cls(payment_of(operation), seen, authorization_of(operation), fee_preview=True)

    def arguments(self) -> Mapping[str, Any]:
        given = self.authorization
        return {**super().arguments(), **({"sec_code": given.sec_code} if given else {})}

    def entry(self) -> dict[str, Any]:
        given = self.authorization
        if given is None:
            return super().entry()
        kept = {"sec_code": given.sec_code, "authorization_text": given.text, "authorized_at": given.accepted_at}
        return {**super().entry(), **kept}

    def rule(self, row: Payment, operation: Operation) -> None:
        method = validated_method(row) if row.status == PaymentStatus.VALIDATED else None
        confirming = self.fee_preview and is_quoted_by_actor(row, operation)
        why = row.why_not_capturable(has_method=method is not None, confirming=confirming)
        if why or method is None:
            raise OperationRefused(why)
        self.body = shapes.CapturePayment(
            base_amount=cast(int, row.base_amount),
            tax_amount=row.tax_amount,
            processing_fee_amount=cast(int, row.processing_fee_amount),
            total_amount=cast(int, row.total_amount),
            currency=row.currency,
            reference_id=row.reference_id,
            payment_method=method,
        )

    def send(self, operation: Operation) -> PaymentResource:
        account, uid = _address(operation)
        found = get_endpoints().capture_payment(account, uid, self.body, idempotency_key=str(operation.key))
        return completed(found, {**self.payment.raw, "status": None})

    @staticmethod
    def judge(operation: Operation, found: PaymentResource) -> ActionResult | None:
        """Accept a captured payment, also if another program captured it. A validated one shows no sign."""
        status = found.status or ""
        _demand_same(operation, found)
        error: APIError | None = None
        if status == PaymentStatus.FAILED:
            error = declined(readable(found, "decline_code"))
        elif status == PaymentStatus.VALIDATED:
            return None
        elif status not in ONCE_CAPTURED and not found.raw.get("captured_at"):  # a time that cannot be read counts too
            error = _not_done(_("Not captured. The status of the payment: %(status)s."), status)
        return ActionResult(mapping.PAYMENT, found.raw, found.request_id, error)


class VoidAction(_WholePaymentAction):
    action: ClassVar[str] = OperationAction.VOID
    shown_by: ClassVar[tuple[str, str]] = (TransactionType.VOID, "")

    @classmethod
    def again(cls, operation: Operation, seen: Snapshot | None) -> VoidAction:
        return cls(payment_of(operation), seen)

    def __init__(self, payment: Payment, seen: Snapshot | None, fee_preview: bool = False) -> None:
        super().__init__(payment, seen)
        self.fee_preview = fee_preview

    def arguments(self) -> Mapping[str, Any]:
        return {**super().arguments(), **({"fee_preview": True} if self.fee_preview else {})}

    def entry(self) -> dict[str, Any]:
        return {**super().entry(), "fee_preview": self.fee_preview}

    def rule(self, row: Payment, operation: Operation) -> None:
        why = row.why_not_voidable()
        if not why and self.fee_preview and not (row.is_fee_preview and is_quoted_by_actor(row, operation)):
            why = _("Only the person who asked for the fee can take it back, and only before the charge.")
        if why:
            raise OperationRefused(why)

    def send(self, operation: Operation) -> PaymentResource:
        found = get_endpoints().void_payment(*_address(operation), idempotency_key=str(operation.key))
        return completed(found, {**self.payment.raw, "status": None})

    @staticmethod
    def judge(operation: Operation, found: PaymentResource) -> ActionResult | None:
        status = found.status or ""
        _demand_same(operation, found)
        if status in (PaymentStatus.VALIDATED, PaymentStatus.CAPTURED):
            return None
        error = (
            None
            if status == PaymentStatus.VOIDED
            else _not_done(_("Not voided. The status of the payment: %(status)s."), status)
        )
        return ActionResult(mapping.PAYMENT, found.raw, found.request_id, error)


def _demand_same(operation: Operation, found: PaymentResource) -> None:
    """Raises ``Mismatch`` when amount or currency differ from the operation's, and ``InvalidAnswer`` without a status.

    Such an answer does not show that the action was done.
    """
    differ = None not in (found.total_amount, operation.amount) and found.total_amount != operation.amount
    if differ or (operation.currency and found.currency not in (None, "", operation.currency)):
        raise Mismatch("the platform has this payment with another amount or currency")
    if not found.status:
        raise InvalidAnswer("the answer has no status")


def _not_done(text: str, status: str) -> APIError:
    """Return the error for a payment whose status shows no success. Raises ``InvalidAnswer`` for an unknown status."""
    if status not in PaymentStatus.values:
        raise InvalidAnswer(_("the status of the payment does not show the outcome"))
    kind = Gone if status == PaymentStatus.EXPIRED else Conflict
    return kind(text % {"status": label_of(status, PaymentStatus)})


def payment_of(operation: Operation) -> Payment:
    """Return the payment of an earlier operation. Raises ``OperationRefused`` when it is not known here."""
    row = Payment.objects.filter(uid=operation.payment_id).first()
    if row is None:
        raise OperationRefused(_("There is no such payment here; sync first."))
    return row


def read_payment(operation: Operation) -> Payment:
    """Read the payment from the platform, save it and return it.

    Raises ``APIError``, ``Unmappable`` and database errors.
    """
    account, uid = _address(operation)
    found = get_endpoints().get_payment(account, uid)
    where = {"account_id": account}
    save = partial(save_document, mapping.PAYMENT, found.raw, extra=where, source=Source.OPERATION)
    return cast(Payment, in_transaction(save))


def _address(operation: Operation) -> tuple[str, str]:
    return str(operation.account_id or ""), str(operation.payment_id or "")

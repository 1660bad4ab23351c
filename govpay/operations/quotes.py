"""Quotes: validate a payment, and store its method for as long as the payment can be captured."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, ClassVar, cast

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from govpay import conf
from govpay.client import PaymentResource, field, shapes
from govpay.client.cards import refuse_cards
from govpay.connection import get_endpoints
from govpay.exceptions import InvalidAnswer, OperationRefused, PaymentDeclined
from govpay.models import Operation, Payment, PaymentAccount, SavedPaymentMethod
from govpay.models.base import Mirror
from govpay.models.choices import OperationAction, OperationState, PaymentStatus
from govpay.models.fields import Sealed
from govpay.models.money import is_amount, is_currency
from govpay.models.payments import TOKEN_VALIDATION, WALLET_VALIDATION
from govpay.models.reasons import DECLINE, find_reason
from govpay.operations import attempts, journal
from govpay.operations.actions import Action, ActionResult, completed
from govpay.operations.engine import execute
from govpay.operations.lookups import may_be_new, readable, rows_changed_since, rows_since
from govpay.sync import mapping

#: How long the sealed method of a not executed save or import is kept, to recognize the effect if it arrives late.
LATE_ARRIVAL = dt.timedelta(hours=24)

#: Maximum length of a reference in the database.
REFERENCE_LENGTH = 255


def quote_payment(
    *,
    account: PaymentAccount,
    base_amount: int,
    tax_amount: int = 0,
    currency: str = "USD",
    reference_id: str | None = None,
    payment_method: Mapping[str, Any] | None = None,
    saved_method: SavedPaymentMethod | None = None,
    description: str = "",
    fee_preview: bool = False,
    actor: Any = None,
    key: uuid.UUID | str | None = None,
) -> Payment:
    """Validate a payment without capturing it. The returned payment has the platform's convenience fee.

    Amounts are in minor units. Give either ``payment_method``, the vendor's request object (/platform/payments/), or
    ``saved_method``. ``reference_id=None`` makes a reference from the key. The method is stored encrypted until the
    payment is captured or the validation has expired. ``description`` says what the payment is for; it is stored in the
    journal, because the platform has no field for it. ``fee_preview=True``: the fee is only shown, and only ``actor``
    may capture the payment, with ``capture_payment(fee_preview=True)``.

    Raises ``OperationRefused``, ``PaymentDeclined``, ``OutcomeUnknown``, ``APIError``.
    """
    if (payment_method is None) == (saved_method is None):
        raise OperationRefused("Give either payment_method or saved_method.")
    if fee_preview and getattr(actor, "pk", None) is None:
        raise OperationRefused("A fee preview needs an actor, who confirms it.", field="actor")
    method = payment_method if saved_method is None else _wallet_method(saved_method)
    refuse_cards(description=description, reference_id=reference_id, payment_method=method)
    action = QuoteAction(account, base_amount, tax_amount, currency, reference_id, method, description, fee_preview)
    return cast(Payment, execute(action, actor=actor, key=key))


def declined(code: str | None) -> PaymentDeclined:
    """Return the error for a payment that the bank declined with the platform's ``code``."""
    reason = find_reason(DECLINE, code or "")
    why = reason.means if reason else _("The bank gave no reason that is known here.")
    return PaymentDeclined(_("The payment was declined. %(why)s") % {"why": why}, code=code or "")


class QuoteAction(Action):
    action: ClassVar[str] = OperationAction.QUOTE
    model = Payment
    reference_prefix: ClassVar[str] = "gp"
    statuses = frozenset(PaymentStatus.values)

    def __init__(
        self,
        account: PaymentAccount,
        base: int,
        tax: int,
        currency: str,
        reference_id: str | None,
        method: Any,
        description: str = "",
        fee_preview: bool = False,
    ) -> None:
        """Raises ``OperationRefused``, which names the wrong field of the request."""
        shapes.is_cents("tax_amount", tax)
        self.body = shapes.ValidatePayment(
            base_amount=base,
            tax_amount=tax,
            currency=currency,
            reference_id=f"gp-{uuid.uuid4().hex}" if reference_id is None else reference_id,
            payment_method=shapes.payment_method_from_dict(method),
        )
        if not is_amount(base + tax):
            raise OperationRefused(_("The amounts are too large together."), field="base_amount")
        if not is_currency(currency):
            raise OperationRefused(_("The currency must be an ISO 4217 code such as USD."), field="currency")
        if len(self.body.reference_id) > REFERENCE_LENGTH:
            raise OperationRefused(
                f"reference_id must have at most {REFERENCE_LENGTH} characters.", field="reference_id"
            )
        self.account, self.given_reference, self.description = account, reference_id, description
        self.fee_preview = fee_preview

    def arguments(self) -> Mapping[str, Any]:
        asked = {"account": self.account.uid, "reference_id": self.given_reference}
        more = {"description": self.description, "fee_preview": self.fee_preview}
        return {**self.body.to_wire(), **asked, **{name: value for name, value in more.items() if value}}

    def entry(self) -> dict[str, Any]:
        body = self.body
        # The method in the platform's answer is "sanitized" (/platform/payments/), but a capture needs the original.
        life = WALLET_VALIDATION if body.payment_method.wallet else TOKEN_VALIDATION
        return {
            "account_id": self.account.uid,
            "amount": body.base_amount + (body.tax_amount or 0),
            "currency": body.currency,
            "reference_id": self.given_reference or "",
            "reason": self.description,
            "fee_preview": self.fee_preview,
            "validated_method": Sealed.of(json.dumps(body.payment_method.to_wire())),
            # The platform counts from its answer, which may come as late as the call's deadline.
            "method_expires_at": Operation.deadline(float(conf.get("CALL_TIMEOUT"))) + life,
        }

    def check(self, operation: Operation) -> None:
        self.body = replace(self.body, reference_id=operation.reference_id)
        account = PaymentAccount.objects.filter(uid=self.account.uid).first()
        if account is None:
            raise OperationRefused(_("There is no such payment account here; sync first."))
        if account.deleted_at:
            raise OperationRefused(_("The platform no longer has this payment account."))
        wallet = self.body.payment_method.wallet
        if wallet is None:
            return
        method = SavedPaymentMethod.objects.filter(uid=wallet.saved_payment_method_uid).first()
        if method is None:
            return  # not synced yet; the platform checks it
        if method.account_id != account.uid:
            raise OperationRefused(_("The saved payment method belongs to another payment account."))
        if method.deleted_at:
            raise OperationRefused(_("The saved payment method was removed."))
        operation.customer_id = method.customer_id
        operation.save(update_fields=["customer"])

    def send(self, operation: Operation) -> PaymentResource:
        key = str(operation.key)
        found = get_endpoints().validate_payment(self.account.uid, self.body, idempotency_key=key)
        # Only uid, fee, total and method of the answer are documented. The rest is filled in from the request.
        return completed(found, {**self.body.to_wire(), "status": PaymentStatus.VALIDATED.value})

    def judge_answer(self, operation: Operation, found: PaymentResource) -> ActionResult | None:
        for name in ("base_amount", "tax_amount", "currency", "reference_id"):
            given = getattr(self.body, name)
            if found.raw.get(name) not in (None, given):
                raise InvalidAnswer(f"the answer has another {name.replace('_', ' ')}")
        return super().judge_answer(operation, found)

    @staticmethod
    def judge(operation: Operation, found: PaymentResource) -> ActionResult | None:
        error = None
        if found.status == PaymentStatus.FAILED:
            error = declined(readable(found, "decline_code"))
        return ActionResult(mapping.PAYMENT, found.raw, found.request_id, error)

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        """Find a payment with our reference and amount that was created since the quote and belongs to no other quote.

        Any status is accepted: a sync may store the payment, and another action may change it, before the outcome of
        the quote is known.
        """
        asked = (operation.amount, operation.currency)
        by_reference = rows_since("list_payments", operation, field("reference_id").eq(operation.reference_id))
        for document in chain(by_reference, rows_changed_since("list_payments", operation)):
            if document.get("reference_id") != operation.reference_id:
                continue
            found = PaymentResource(document)
            if ((found.base_amount or 0) + (found.tax_amount or 0), found.currency) != asked:
                continue
            if not may_be_new(found, operation):
                continue
            quotes = journal.entries().filter(action=OperationAction.QUOTE, result_uid=found.uid)
            if not quotes.exclude(pk=operation.pk).exists():
                return cls.judge(operation, found)
        return None

    @staticmethod
    def stored(operation: Operation, row: Mirror) -> None:
        operation.payment_id = row.uid


def capturable_methods(payments: Iterable[Payment]) -> set[str]:
    """Return the uids of those payments whose method is known: a saved method, or the method of a quote made here."""
    rows = list(payments)
    found = {row.uid for row in rows if row.is_wallet and row.saved_method_uid}
    rest = [row.uid for row in rows if row.uid not in found]
    if rest:
        found.update(str(uid) for uid in _keeping().filter(payment__in=rest).values_list("payment_id", flat=True))
    return found


def quote_of(payment: Payment, actor: Any) -> Operation | None:
    """Return the journal row of ``actor``'s own quote of ``payment``, or None."""
    mine = journal.entries().filter(payment=payment.uid, action=OperationAction.QUOTE, actor=actor)
    return mine.filter(state=OperationState.SUCCEEDED).defer("validated_method").order_by("-pk").first()


def is_quoted_by_actor(row: Payment, operation: Operation) -> bool:
    """Return whether the actor of the current attempt (the user who pressed *Try again*) made this payment's quote."""
    actor = getattr(operation, operation.asked_by)
    return actor is not None and quote_of(row, actor) is not None


def quoted_by_staff(payments: Iterable[Payment]) -> set[str]:
    """Return the uids of those payments that a signed-in user has quoted here, deleted users included."""
    quotes = journal.entries().filter(action=OperationAction.QUOTE).exclude(actor=None, actor_user_id="")
    uids = [payment.uid for payment in payments]
    return set(map(str, quotes.filter(payment__in=uids).values_list("payment_id", flat=True)))


def validated_method(row: Payment) -> shapes.PaymentMethod | None:
    """Return the validated method for the capture; ``None`` if it is neither stored here nor a saved method.

    Raises ``EncryptionError`` when the key that sealed the method is missing.
    """
    quote = _keeping().filter(payment=row.uid).order_by("-pk").first()
    if quote is not None:
        return shapes.payment_method_from_dict(json.loads(cast(Sealed, quote.validated_method).reveal()))
    if not (row.is_wallet and row.saved_method_uid):
        return None
    wallet = shapes.Wallet(saved_payment_method_uid=row.saved_method_uid)
    return shapes.PaymentMethod(payment_method_type=row.method_type, wallet=wallet)


def forget_method(payment_uid: str) -> None:
    """Delete the stored method of a payment that was captured or voided, or has failed."""
    _keeping().filter(payment=payment_uid).update(validated_method=None)


def forget_methods() -> None:
    """Delete the stored methods of payments that can no longer be captured, and the stored data of failed operations.

    A save or import that was not executed keeps this data for ``LATE_ARRIVAL``, because its effect may still arrive.
    """
    still_validated = Payment.objects.filter(uid=OuterRef("payment_id"), status=PaymentStatus.VALIDATED)
    expired = Q(method_expires_at__lt=timezone.now())
    ended = Q(state=OperationState.SUCCEEDED) & ~Exists(still_validated)
    holding = journal.entries().filter(validated_method__isnull=False)
    absent = Q(attempts.not_found(), action__in=journal.KNOWN_BY_METHOD, finished_at__gte=timezone.now() - LATE_ARRIVAL)
    failed = Q(state=OperationState.FAILED) & ~absent
    holding.filter(expired | ended | failed).update(validated_method=None)


def _keeping() -> QuerySet[Operation]:
    return journal.entries().filter(
        validated_method__isnull=False, state=OperationState.SUCCEEDED, action=OperationAction.QUOTE
    )


def _wallet_method(method: SavedPaymentMethod) -> dict[str, Any]:
    """Return the vendor's request object for a saved method (/platform/wallets/)."""
    kind = "wallet_ach" if method.method_type in ("ach", "wallet_ach") else "wallet_credit"
    return {"payment_method_type": kind, "wallet": {"saved_payment_method_uid": method.uid}}

"""Payments and their transactions: read them; quote, capture, refund and void payments."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError

from govpay import operations
from govpay.exceptions import OperationRefused
from govpay.models import Operation, Payment, PaymentAccount, SavedPaymentMethod, Transaction
from govpay.models.choices import OperationAction, PaymentStatus, SecCode
from govpay.operations import staff
from govpay.rest.actions import ActionView
from govpay.rest.base import Rows, RowView
from govpay.rest.bodies import Body, CentsField, Json, StrictFlagField, StrictMomentField, TextField
from govpay.rest.events import EventSerializer
from govpay.rest.filters import CentsFilter, MirrorFilter, TextFilter
from govpay.rest.operations import OperationSerializer
from govpay.rest.rows import RECORD, MirrorSerializer, columns_of

#: Maximum number of transactions, of operations and of events shown with a payment. Their lists have all rows.
RELATED_ROWS_LIMIT = 50


class TransactionSerializer(MirrorSerializer):
    class Meta:
        model = Transaction
        fields = (
            *("uid", "account", "payment", "type", "amount", "currency", "status", "reference_id"),
            *("processor_transaction_id", "reason", "reason_code", *RECORD),
        )


class PaymentSerializer(MirrorSerializer):
    class Meta:
        model = Payment
        fields: tuple[str, ...] = (
            *("uid", "account", "customer", "saved_method", "session", "reference_id"),
            *("base_amount", "tax_amount", "processing_fee_amount", "total_amount", "refunded_amount", "currency"),
            *("status", "method_type", "brand", "last4", "decline_code", "captured_at", "flag", "flagged_at", *RECORD),
        )


class FullPaymentSerializer(PaymentSerializer):
    refundable_amount = serializers.IntegerField(
        read_only=True, help_text="Amount that can still be refunded. Pending refunds are subtracted."
    )
    transactions = TransactionSerializer(source="shown.transactions", many=True, read_only=True, allow_null=True)
    operations = OperationSerializer(source="shown.operations", many=True, read_only=True, allow_null=True)
    events = EventSerializer(source="shown.events", many=True, read_only=True, allow_null=True)

    class Meta(PaymentSerializer.Meta):
        fields = (*PaymentSerializer.Meta.fields, "refundable_amount", "transactions", "operations", "events")


class PaymentFilter(MirrorFilter):
    status = TextFilter()
    account = TextFilter()
    customer = TextFilter()
    saved_method = TextFilter()
    session = TextFilter()
    reference_id = TextFilter()
    currency = TextFilter()
    flag = TextFilter()
    amount_from = CentsFilter("total_amount", "gte")
    amount_to = CentsFilter("total_amount", "lte")


class TransactionFilter(MirrorFilter):
    status = TextFilter()
    type = TextFilter()
    account = TextFilter()
    payment = TextFilter()
    reference_id = TextFilter()
    processor_transaction_id = TextFilter()
    currency = TextFilter()
    amount_from = CentsFilter("amount", "gte")
    amount_to = CentsFilter("amount", "lte")


class PaymentList(Rows):
    model = Payment
    serializer_class = PaymentSerializer
    filterset_class = PaymentFilter
    operations = {"GET": "list_payments"}
    reads = "Payments, newest first. Amounts are minor units of `currency`; `amount_from`, `amount_to`: the total."


class ShownDetails:
    """The transactions, operations and events shown with one payment; ``None`` for those this user may not see."""

    def __init__(self, view: RowView, payment: Payment) -> None:
        for name, kind, order in (
            ("transactions", TransactionSerializer, "remote_created_at"),
            ("operations", OperationSerializer, "created_at"),
            ("events", EventSerializer, "received_at"),
        ):
            wanted = view.wanted()
            if wanted is None or name in wanted:
                setattr(self, name, self._rows(view, payment, kind, order))

    @staticmethod
    def _rows(view: RowView, payment: Payment, kind: Any, order: str) -> list[Any] | None:
        model = kind.Meta.model
        if not view.request.user.has_perm(f"govpay.view_{model._meta.model_name}"):
            return None
        rows = view.visible(model).filter(payment=payment.uid).order_by(f"-{order}", "-pk")
        if model is Operation:
            rows = rows.select_related("actor", "retried_by").defer(
                "validated_method", "row_marks", "authorization_text"
            )
        else:
            rows = rows.only(*columns_of(kind))
        return list(rows[:RELATED_ROWS_LIMIT])


class PaymentDetail(RowView):
    model = Payment
    serializer_class = FullPaymentSerializer
    operations = {"GET": "get_payment"}
    reads = (
        "One payment with its newest transactions, operations and events: at most 50 of each, `null` for those that "
        "you may not see."
    )

    def get_queryset(self) -> Any:
        return super().get_queryset().with_pending_refunds()  # type: ignore[attr-defined]

    def complete(self, row: Any) -> Any:
        row.shown = ShownDetails(self, row)
        return row


class TransactionList(Rows):
    model = Transaction
    serializer_class = TransactionSerializer
    filterset_class = TransactionFilter
    operations = {"GET": "list_transactions"}
    reads = "Transactions, newest first: captures, refunds, voids, disputes, returns."


class TransactionDetail(RowView):
    model = Transaction
    serializer_class = TransactionSerializer
    operations = {"GET": "get_transaction"}
    reads = "One transaction."


# --- Actions -------------------------------------------------------------------------------------------


class QuoteBody(Body):
    account = TextField(longest=128, help_text="The payment account's uid.")
    base_amount = CentsField(help_text="Minor units, without any fee.")
    tax_amount = CentsField(least=0, required=False)
    currency = TextField(longest=3, required=False, help_text="Default: `USD`.")
    reference_id = TextField(
        required=False, help_text="Your reference, such as an invoice number. By default one is generated."
    )
    saved_method = TextField(
        longest=128, required=False, help_text="The uid of a saved method. Give either this or `payment_method`."
    )
    payment_method = Json(required=False, help_text="The vendor's object with a token, never a card number.")
    description = TextField(required=False, help_text="The purpose of the payment. Stored in the operation.")


class QuoteView(ActionView):
    model = Payment
    action = OperationAction.QUOTE
    body = QuoteBody
    result_class = serializer_class = PaymentSerializer
    status = 201
    made_at = "payment"
    operations = {"POST": "quote_payment"}
    does = (
        "Validate a payment. The platform returns its convenience fee and charges nothing. Needs "
        "`govpay.charge_customer`."
    )

    def act(self, target: Any, given: dict[str, Any], **who: Any) -> Payment:
        account = self.choose(PaymentAccount, "account", uid=given.pop("account"))
        uid, method = given.pop("saved_method", None), given.pop("payment_method", None)
        if (uid is None) == (method is None):
            raise ValidationError({"saved_method": ["Give either saved_method or payment_method."]})
        if isinstance(method, dict) and "wallet" in method:
            # A saved method must be checked for its account and customer. The vendor's object would bypass that check.
            raise ValidationError({"payment_method.wallet": ["Name a saved method by saved_method."]})
        saved = None if uid is None else self.choose(SavedPaymentMethod, "saved_method", uid=uid)
        return operations.quote_payment(account=account, saved_method=saved, payment_method=method, **given, **who)


class PaymentAct(ActionView):
    """Base view of the actions on one payment, such as capture and refund."""

    model = Payment
    result_class = serializer_class = PaymentSerializer

    def target(self, **address: Any) -> Payment:
        payment: Payment = self.find(Payment, **address)
        return payment

    def demand_currency(self, payment: Payment, given: dict[str, Any]) -> None:
        if given.get("currency") not in (None, payment.currency):
            raise ValidationError({"currency": [f"The payment is in {payment.currency}."]})


class AuthorizationBody(Body):
    """The consent of a bank account's owner to the debit."""

    sec_code = TextField(one_of=SecCode.values, help_text="How the authorization was given.")
    text = TextField(longest=5000, help_text="The exact text of the authorization.")
    accepted_at = StrictMomentField(help_text="Date and time of the authorization, with a time zone.")


class CaptureBody(Body):
    total_amount = CentsField(
        required=False, help_text="The total that you expect. The capture is refused if it differs."
    )
    currency = TextField(longest=3, required=False)
    authorization = AuthorizationBody(
        required=False, help_text="Required for a bank account if a signed-in user quoted the payment."
    )


class CaptureView(PaymentAct):
    action = OperationAction.CAPTURE
    body = CaptureBody
    operations = {"POST": "capture_payment"}
    does = (
        "Capture a validated payment with exactly the validated amounts. Needs "
        "`govpay.capture_payment`, or `govpay.charge_customer` for a saved method that you quoted yourself. A "
        "payment whose fee was shown on the admin's charge page is refused; confirm it there."
    )

    def may_act(self, user: Any) -> bool:
        return super().may_act(user) or staff.may(user, OperationAction.QUOTE)

    def target(self, **address: Any) -> Payment:
        payment = super().target(**address)
        user = self.request.user
        if not (staff.may(user, self.action) or staff.may_confirm(user, payment)):
            raise PermissionDenied
        return payment

    def act(self, target: Payment, given: dict[str, Any], **who: Any) -> Payment:
        self.demand_currency(target, given)
        consent = given.get("authorization")
        authorization = operations.Authorization(**consent) if consent else None
        self._demand(target, authorization)
        seen = None
        if "total_amount" in given:
            seen = operations.Snapshot(PaymentStatus.VALIDATED, total=given["total_amount"], currency=target.currency)
        return operations.capture_payment(payment=target, authorization=authorization, seen=seen, **who)

    def _demand(self, payment: Payment, authorization: Any) -> None:
        """Check the same rules as the admin's capture page. Raises ``OperationRefused``."""
        if authorization is None and staff.needing_authorization([payment]):
            raise OperationRefused("A bank account needs its owner's authorization.", field="authorization")
        if staff.is_own_charge(self.request.user, payment) and (why := staff.why_wait(payment)):
            raise OperationRefused(why)


class RefundBody(Body):
    amount = CentsField(allow_null=True, help_text="Minor units; `null` for the whole remaining amount.")
    currency = TextField(longest=3, required=False)
    reason = TextField(required=False)
    confirm_second_refund = StrictFlagField(
        required=False,
        help_text="`true`: refund although an earlier refund of another amount was not executed and may still arrive.",
    )


class RefundView(PaymentAct):
    action = OperationAction.REFUND
    body = RefundBody
    result_class = TransactionSerializer
    status = 201
    made_at = "transaction"
    operations = {"POST": "refund_payment"}
    does = (
        "Refund a payment to the card or bank account that paid. A refund to a bank account is `pending` at first, "
        "settles some days later and can still fail. Needs `govpay.refund_payment`."
    )

    def act(self, target: Payment, given: dict[str, Any], **who: Any) -> Transaction:
        self.demand_currency(target, given)
        reason = given.get("reason", "")
        confirmed = given.get("confirm_second_refund", False)
        amount = given["amount"]
        return operations.refund_payment(
            payment=target, amount=amount, reason=reason, confirm_second_refund=confirmed, **who
        )


class VoidView(PaymentAct):
    action = OperationAction.VOID
    operations = {"POST": "void_payment"}
    does = (
        "Void a whole payment: before its capture, or on the day of the capture (in `VOID_DAY_ZONE`) and before any "
        "refund. Needs "
        "`govpay.void_payment`."
    )

    def act(self, target: Payment, given: dict[str, Any], **who: Any) -> Payment:
        return operations.void_payment(payment=target, **who)

"""The staff actions capture, refund and void: when a payment allows them, their forms, texts and outcomes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay import operations
from govpay.admin.amounts import amount_field, minor_units
from govpay.admin.confirmation_tokens import ShownPayment
from govpay.admin.flags import at_stake
from govpay.admin.messages import StaffOutcome, open_operation_reason
from govpay.models import Operation, Payment
from govpay.models.choices import OperationAction, PaymentStatus, TransactionStatus
from govpay.models.money import format_money, write_amount
from govpay.models.operations import OPEN_STATES
from govpay.models.permissions import ACTION_PERMISSIONS
from govpay.models.zones import with_void_day_zone
from govpay.operations import staff

MONEY_ACTIONS = (OperationAction.CAPTURE, OperationAction.REFUND, OperationAction.VOID)


class ConfirmForm(forms.Form):
    """A form without fields: the page shows the payments, and staff only confirm."""


class RefundForm(forms.Form):
    """The reason of a refund, for one payment or for many."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=255,
        help_text=gettext_lazy("Optional. Kept with the refund, here and on the platform."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class OneRefundForm(RefundForm):
    """The amount and the reason of one refund. The maximum is the refundable amount that the page showed."""

    amount = amount_field(gettext_lazy("Amount to refund"))
    field_order = ("amount", "reason")

    def __init__(self, *args: Any, shown: ShownPayment, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shown = shown
        amount = shown.refundable if shown.retry_amount is None else min(shown.retry_amount, shown.refundable)
        self.fields["amount"].initial = write_amount(amount, shown.currency)
        if shown.retry:
            self.fields["reason"].help_text = _(
                "Fill this in only if you change the amount. If the earlier refund is tried again, it keeps its "
                "original reason."
            )
        if shown.at_stake:
            self.fields["confirm_second_refund"] = forms.BooleanField(
                required=False,
                label=_("Refund this amount besides the earlier one"),
                help_text=_(
                    "Only if the amount is not %(amount)s. If the earlier refund is carried out late, the payer gets "
                    "both."
                )
                % {"amount": format_money(shown.retry_amount, shown.currency)},
            )
        self.fields["amount"].help_text = _("In %(currency)s, at most %(most)s.") % {
            "currency": shown.currency,
            "most": format_money(shown.refundable, shown.currency),
        }

    def clean_amount(self) -> int:
        amount = minor_units(self.cleaned_data["amount"], self.shown.currency)
        if amount > self.shown.refundable:
            most = format_money(self.shown.refundable, self.shown.currency)
            raise ValidationError(_("Only %(most)s is left to refund.") % {"most": most})
        return amount

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = dict(super().clean() or {})
        second = data.get("amount") not in (None, self.shown.retry_amount)
        if self.shown.at_stake and second and not data.get("confirm_second_refund"):
            text = _("This is another amount than the earlier refund of %(amount)s: confirm that you want both.")
            amount = format_money(self.shown.retry_amount, self.shown.currency)
            self.add_error("confirm_second_refund", ValidationError(text % {"amount": amount}))
        return data


@dataclass
class ConfirmationRow:
    """One payment on a confirmation page or a result page."""

    payment: Payment
    #: The reason why the action is refused, or an empty string.
    reason: str = ""
    #: The amount of the action, in minor units.
    amount: int | None = None
    #: A warning about a dispute or a return, or an empty string. It does not forbid the action.
    warning: str = ""
    outcome: StaffOutcome | None = None
    #: The operation of the same action that was not executed. This action tries it again.
    earlier: Operation | None = None


class StaffAction:
    """One action on payments. The rules are methods of ``Payment``; ``govpay.operations`` executes the action."""

    name: ClassVar[str]
    #: The ``OperationAction`` of its operations.
    action: ClassVar[str]
    title_one: ClassVar[Any]
    title_many: ClassVar[Any]
    button: ClassVar[Any]
    #: The text above the button: what will happen.
    consequence: ClassVar[Any]
    #: Whether the action needs the payment method that was validated.
    repeats_method = False
    #: Whether the form has an amount field. Then the button does not show the amount.
    asks_amount = False
    #: Whether the form asks for the authorization by the owner of a bank account.
    asks_authorization = False
    #: Whether the payer gets money back.
    gives_back = False
    #: Whether the action accepts only one payment at a time.
    one_only = False

    @property
    def permission(self) -> str:
        return ACTION_PERMISSIONS[self.action]

    def is_allowed(self, user: Any) -> bool:
        return bool(user.has_perm(self.permission))

    def why_not(self, payment: Payment, repeatable: set[str]) -> str:
        """Return the reason why the payment does not allow the action, or an empty string if it does.

        ``repeatable`` holds the UIDs of the payments whose validated payment method is known.
        """
        raise NotImplementedError

    def amount(self, payment: Payment) -> int | None:
        return payment.total_amount

    def amount_shown(self, shown: ShownPayment) -> int | None:
        """Return the amount of the action from the snapshot ``shown``, in minor units."""
        return shown.total

    def amounts(self, payment: Payment) -> tuple[tuple[Any, int | None], ...]:
        """Return (heading, amount in minor units) for each amount column of a payment. The action's amount is first."""
        return ((_("Total"), payment.total_amount),)

    def notes(self, payment: Payment) -> list[tuple[Any, Any]]:
        """Return (label, value) of each further note on the confirmation page of a single payment."""
        return []

    def form(self, payment: Payment | None, shown: ShownPayment | None, data: Any = None) -> forms.Form:
        """Return the form. ``payment`` and ``shown`` are ``None`` if there are several payments."""
        return ConfirmForm(data)

    def why_not_in_bulk(self, row: ConfirmationRow) -> str:
        """Return the reason why this row needs a confirmation page of its own, or an empty string."""
        return ""

    def perform(self, payment: Payment, shown: ShownPayment, data: dict[str, Any], **who: Any) -> StaffOutcome:
        """Execute the action and return its outcome. Raises the errors of ``govpay.operations``."""
        raise NotImplementedError

    def again(self, shown: ShownPayment, who: dict[str, Any]) -> Any:
        """Try the operation again that was not executed. It keeps its key and reference, so it stays one operation."""
        earlier = Operation.objects.get(key=shown.retry)
        return operations.retry_operation(operation=earlier, actor=who["actor"], seen=shown.seen())


class StaffCapture(StaffAction):
    name = "capture"
    action = OperationAction.CAPTURE
    #: Whether it captures a fee preview, for the person who asked for that preview.
    confirms_preview: ClassVar[bool] = False
    repeats_method = True
    title_one = gettext_lazy("Capture this payment?")
    title_many = gettext_lazy("Capture these payments?")
    button = gettext_lazy("Capture")
    consequence = with_void_day_zone(
        gettext_lazy(
            "The platform charges the payment method that was validated, with the amounts shown here. "
            "A capture can be voided on the same day (%(zone)s), and refunded later."
        )
    )

    def why_not(self, payment: Payment, repeatable: set[str]) -> str:
        return payment.why_not_capturable(has_method=payment.uid in repeatable, confirming=self.confirms_preview)

    def perform(self, payment: Payment, shown: ShownPayment, data: dict[str, Any], **who: Any) -> StaffOutcome:
        if shown.retry:
            self.again(shown, who)
        else:
            operations.capture_payment(payment=payment, seen=shown.seen(), **who)
        return StaffOutcome("done", _("Captured"))


class StaffVoid(StaffAction):
    name = "void"
    action = OperationAction.VOID
    gives_back = True
    title_one = gettext_lazy("Void this payment?")
    title_many = gettext_lazy("Void these payments?")
    button = gettext_lazy("Void")
    consequence = with_void_day_zone(
        gettext_lazy(
            "The payment is cancelled as a whole: what was validated is not charged, and what was captured today "
            "(%(zone)s) is given back. This cannot be undone."
        )
    )

    def why_not(self, payment: Payment, repeatable: set[str]) -> str:
        return payment.why_not_voidable()

    def perform(self, payment: Payment, shown: ShownPayment, data: dict[str, Any], **who: Any) -> StaffOutcome:
        if shown.retry:
            self.again(shown, who)
        else:
            operations.void_payment(payment=payment, seen=shown.seen(), **who)
        return StaffOutcome("done", _("Voided"))


class StaffRefund(StaffAction):
    name = "refund"
    action = OperationAction.REFUND
    asks_amount = True
    gives_back = True
    title_one = gettext_lazy("Refund this payment?")
    title_many = gettext_lazy("Refund these payments?")
    button = gettext_lazy("Refund")
    consequence = gettext_lazy(
        "The money goes back to the card or bank account that paid. A refund to a bank account settles some "
        "days later and can still fail. This cannot be undone."
    )

    def why_not(self, payment: Payment, repeatable: set[str]) -> str:
        return payment.why_not_refundable()

    def amount(self, payment: Payment) -> int | None:
        return payment.refundable_amount

    def amount_shown(self, shown: ShownPayment) -> int | None:
        return shown.refundable

    def amounts(self, payment: Payment) -> tuple[tuple[Any, int | None], ...]:
        left = payment.refundable_amount
        refunded = (payment.total_amount or 0) - left
        return ((_("To refund"), left), (_("Total"), payment.total_amount), (_("Refunded"), refunded))

    def form(self, payment: Payment | None, shown: ShownPayment | None, data: Any = None) -> forms.Form:
        return RefundForm(data) if shown is None else OneRefundForm(data, shown=shown)

    def why_not_in_bulk(self, row: ConfirmationRow) -> str:
        earlier = row.earlier
        if earlier is None or earlier.amount == row.amount or not operations.is_at_stake(earlier):
            return ""
        amount = format_money(earlier.amount, earlier.currency)
        return _("An earlier refund of %(amount)s may still arrive: refund this one on its own page.") % {
            "amount": amount
        }

    def perform(self, payment: Payment, shown: ShownPayment, data: dict[str, Any], **who: Any) -> StaffOutcome:
        # The exact amount that was shown, never the amount that is refundable now.
        amount = data.get("amount", shown.refundable)
        if shown.retry and amount == shown.retry_amount:
            refund = self.again(shown, who)
        else:
            refund = operations.refund_payment(
                payment=payment,
                amount=amount,
                reason=data["reason"],
                confirm_second_refund=data.get("confirm_second_refund", False),
                seen=shown.seen(),
                **who,
            )
        if refund.status == TransactionStatus.PENDING:
            return StaffOutcome("pending", _("Refund accepted"), _("It is pending and settles later."))
        return StaffOutcome("done", _("Refunded"))


#: All actions, in the order of their buttons.
ACTIONS: tuple[StaffAction, ...] = (StaffCapture(), StaffRefund(), StaffVoid())


def open_operations(payments: Iterable[Payment]) -> dict[str, Operation]:
    """Return the open operation of each payment that has one, by the payment's UID. Makes one query."""
    rows = Operation.objects.filter(
        payment__in=[payment.uid for payment in payments], state__in=OPEN_STATES, action__in=MONEY_ACTIONS
    )
    found = rows.select_related("actor").defer("validated_method")
    return {row.payment_id: row for row in found}


def assess(
    action: StaffAction, payments: list[Payment], waiting: dict[str, Operation] | None = None
) -> list[ConfirmationRow]:
    """Return a row for each payment: with its amount, or with the reason why it does not allow the action.

    ``waiting`` holds the open operations by the payment's UID. If it is ``None``, they are queried.
    """
    if waiting is None:
        waiting = open_operations(payments)
    candidates = [payment for payment in payments if payment.uid not in waiting]
    # This check costs one query, and only validated payments need it.
    validated = [p for p in candidates if action.repeats_method and p.status == PaymentStatus.VALIDATED]
    repeatable = operations.capturable_methods(validated) if validated else set()
    # A charge by staff to a saved bank account needs its owner's authorization (admin/authorizations).
    unauthorized = set() if action.asks_authorization else staff.needing_authorization(validated)
    not_executed = operations.not_executed_of(candidates, action.action)
    rows = []
    for payment in payments:
        open_one = waiting.get(payment.uid)
        reason = open_operation_reason(open_one) if open_one else action.why_not(payment, repeatable)
        if not reason and payment.uid in unauthorized:
            reason = _("A bank account needs its owner's authorization: charge it from the customer's page.")
        warning = at_stake(payment) if action.gives_back and not reason else ""
        amount = None if reason else action.amount(payment)
        rows.append(ConfirmationRow(payment, reason, amount, warning, earlier=not_executed.get(payment.uid)))
    return rows

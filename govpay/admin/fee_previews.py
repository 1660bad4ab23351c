"""Fee previews: find the form data that made a preview, and void a preview that its maker takes back."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils.translation import gettext as _

from govpay import operations
from govpay.admin.actions import open_operations
from govpay.admin.formatting import label_of, moment
from govpay.admin.messages import StaffOutcome, open_operation_reason, outcome_of_error
from govpay.exceptions import GovPayError
from govpay.models import Operation, Payment, SavedPaymentMethod
from govpay.models.choices import OperationAction, PaymentStatus

#: Statuses of a quoted payment that can no longer be charged.
ENDED = (PaymentStatus.VOIDED, PaymentStatus.EXPIRED, PaymentStatus.FAILED)


def typed(quote: Operation, payment: Payment, methods: list[SavedPaymentMethod]) -> dict[str, Any]:
    """Return the cleaned data of the charge form that made ``quote`` of ``payment``. The amount is in minor units."""
    made = quote.reference_id.endswith(quote.key.hex)
    return {
        "method": next((str(method.pk) for method in methods if method.uid == payment.saved_method_uid), ""),
        "amount": quote.amount,
        "currency": quote.currency,
        "description": quote.reason,
        "reference_id": "" if made else quote.reference_id,
    }


def take_back(quote: Operation, payment: Payment, user: Any, form: str) -> StaffOutcome:
    """Void the fee preview ``payment`` that ``user`` made with ``quote``.

    ``form`` is a text that identifies the submitted page: the same text sent twice makes only one void. The kind of the
    outcome is ``done``, or ``left`` if the payment could not be voided and was not charged either. With any other kind
    the payment was charged, or may have been.
    """
    try:
        operations.void_payment(payment=payment, fee_preview=True, actor=user, key=uuid.uuid5(quote.key, form))
    except GovPayError as error:
        return _not_voided(payment, outcome_of_error(error))
    return StaffOutcome("done", _("Nothing was charged"))


def _not_voided(payment: Payment, why: StaffOutcome) -> StaffOutcome:
    waiting = open_operations([payment]).get(payment.uid)
    if waiting is not None and waiting.action == OperationAction.CAPTURE:
        title = _("The charge was sent before it could be taken back")
        return StaffOutcome("unknown", title, open_operation_reason(waiting))
    payment.refresh_from_db(fields=["status"])
    if payment.status in ENDED:
        return StaffOutcome("done", _("Nothing was charged"))
    if payment.status != PaymentStatus.VALIDATED:
        text = _("The payment is now: %(status)s. Look at it before you charge anything.")
        return StaffOutcome("refused", _("Not taken back"), text % {"status": label_of(payment.status, PaymentStatus)})
    text = _(
        "The fee preview could not be voided; it ends by itself, at the latest %(when)s, and nobody else can charge it "
        "until then. (%(why)s)"
    )
    when = moment(payment.capturable_until) or _("a day later")
    return StaffOutcome("left", _("Nothing was charged"), text % {"when": when, "why": why})

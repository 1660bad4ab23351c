"""Charge a saved method, step 2: show the fee. The user who made the quote confirms the charge or takes it back."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay import operations
from govpay.admin import fee_previews
from govpay.admin.actions import ConfirmForm, StaffCapture, open_operations
from govpay.admin.authorizations import AuthorizationForm
from govpay.admin.charges import charge_address
from govpay.admin.confirmation_tokens import ShownPayment
from govpay.admin.confirmations import PaymentConfirmationView
from govpay.admin.formatting import link_to, moment
from govpay.admin.messages import StaffOutcome
from govpay.models import Payment
from govpay.models.choices import PaymentStatus
from govpay.models.money import format_money
from govpay.models.permissions import CHARGE_CUSTOMER
from govpay.models.zones import with_void_day_zone
from govpay.operations import staff

#: Period in which the page reports other payments of the same amount by the same customer.
SIMILAR_PAYMENT_WINDOW = dt.timedelta(hours=24)


class Charge(StaffCapture):
    """Capture a quote for a saved method, by the user who made the quote. Requires only ``charge_customer``."""

    name = "charge"
    confirms_preview = True
    one_only = True
    asks_authorization = True
    permission = CHARGE_CUSTOMER
    title_one = gettext_lazy("Charge this saved payment method?")
    button = gettext_lazy("Charge")
    consequence = with_void_day_zone(
        gettext_lazy(
            "The platform has stated its convenience fee; nothing is charged yet. The charge takes the total. "
            "It can be voided on the same day (%(zone)s), and refunded later."
        )
    )

    def __init__(self, user: Any) -> None:
        self.user = user

    def why_not(self, payment: Payment, repeatable: set[str]) -> str:
        if not staff.is_own_charge(self.user, payment):
            return _("You have not quoted this payment of a saved method; start again from the customer's page.")
        return staff.why_wait(payment) or super().why_not(payment, repeatable)

    def notes(self, payment: Payment) -> list[tuple[Any, Any]]:
        quote = operations.quote_of(payment, self.user)
        amounts = (
            (_("Amount"), payment.base_amount),
            (_("Convenience fee"), payment.processing_fee_amount),
            (_("Total"), payment.total_amount),
        )
        found: list[tuple[Any, Any]] = [(label, format_money(amount, payment.currency)) for label, amount in amounts]
        if quote is not None and quote.reason:
            found.append((_("Description"), quote.reason))
        alike = [(link_to(row), moment(row.remote_created_at)) for row in _charged_lately(payment, self.user)]
        if alike:
            said = format_html_join(", ", "{} ({})", alike)
            found.append((_("This customer has paid the same amount within a day"), said))
        return found

    def form(self, payment: Payment | None, shown: ShownPayment | None, data: Any = None) -> forms.Form:
        # A retried operation keeps the authorization of its first attempt.
        if payment is None or not staff.is_debit(payment) or (shown is not None and shown.retry):
            return ConfirmForm(data)
        return AuthorizationForm(payment, data)

    def perform(self, payment: Payment, shown: ShownPayment, data: dict[str, Any], **who: Any) -> StaffOutcome:
        if shown.retry:
            self.again(shown, who)
        else:
            given = data.get("authorization")
            operations.capture_payment(payment=payment, authorization=given, fee_preview=True, seen=shown.seen(), **who)
        return StaffOutcome("done", _("Charged"))


class ChargeConfirmation(PaymentConfirmationView):
    """Show the confirmation page, with a button that takes the fee preview back."""

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.action = Charge(request.user)
        super().setup(request, *args, **kwargs)

    def context(self) -> dict[str, Any]:
        context = super().context()
        payment = next(iter(self.payments.values()))
        if self.can_be_taken_back(payment):
            context["take_back"] = f"{reverse('admin:govpay_payment_take_back')}?ids={payment.pk}"
            context["page"] = uuid.uuid4().hex
        return context

    def can_be_taken_back(self, payment: Payment) -> bool:
        own = payment.is_fee_preview and staff.is_own_charge(self.request.user, payment)
        return own and not open_operations([payment])


class TakeBackView(ChargeConfirmation):
    """*No, take me back*: POST voids the fee preview. GET, for example after login, redirects to the confirmation."""

    def confirm(self, problem: str = "") -> HttpResponse:
        ids = ",".join(map(str, self.ids))
        return HttpResponseRedirect(f"{reverse('admin:govpay_payment_charge')}?ids={ids}")

    def check(self) -> HttpResponse | None:
        return None  # no token and no form are needed: the same page submitted twice makes one void

    def run(self) -> HttpResponse:
        payment = next(iter(self.payments.values()))
        quote = operations.quote_of(payment, self.request.user)
        if quote is None:
            raise PermissionDenied
        outcome = fee_previews.take_back(quote, payment, self.request.user, self.request.POST.get("page", ""))
        messages.add_message(self.request, outcome.level, str(outcome))
        customer = quote.customer
        if customer is None or customer.deleted_at or outcome.kind not in ("done", "left"):
            return HttpResponseRedirect(self.back())
        return HttpResponseRedirect(charge_address(customer, again=payment))


def _charged_lately(payment: Payment, user: Any) -> list[Payment]:
    """Return up to three recent captured payments of the same customer with the same amount and currency."""
    if not payment.customer_id:
        return []
    visible = Payment.objects.visible_to(user).exclude(pk=payment.pk)
    rows = visible.filter(customer=payment.customer_id, base_amount=payment.base_amount)
    taken = rows.filter(
        status__in=(PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED),
        currency=payment.currency,
        remote_created_at__gte=timezone.now() - SIMILAR_PAYMENT_WINDOW,
    )
    return list(taken.defer("raw").order_by("-remote_created_at", "-id")[:3])

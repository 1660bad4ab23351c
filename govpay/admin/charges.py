"""Charging a saved method: choose it and say how much, see the platform's fee, then confirm."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any

from django import forms
from django.contrib.admin.options import ModelAdmin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay import operations
from govpay.admin import tickets
from govpay.admin.amounts import amount_field, clean_money, currency_field
from govpay.admin.authorizations import AuthorizationForm
from govpay.admin.cells import Table, expiry, link_to, list_of, method_label, moment, page_of, relative
from govpay.admin.deeds import Capture, ConfirmForm
from govpay.admin.pages import render
from govpay.admin.tickets import Shown, TicketRefused
from govpay.admin.wording import Outcome, outcome_of_error
from govpay.exceptions import GovPayError
from govpay.models import Customer, Payment, SavedPaymentMethod
from govpay.models.choices import OperationAction, PaymentStatus
from govpay.models.money import format_money
from govpay.operations import staff

PERMISSION = staff.PERMISSIONS[OperationAction.QUOTE]
#: Customers shown for a search.
MOST_FOUND = 20
#: Within which another payment of the same sum by the same customer is pointed out.
LATELY = dt.timedelta(hours=24)


class ChargeForm(forms.Form):
    """Which method, how much, and what for."""

    method = forms.ChoiceField(label=gettext_lazy("Saved payment method"), widget=forms.RadioSelect)
    amount = amount_field(
        gettext_lazy("Amount"), gettext_lazy("Such as 12.34, without any fee: the platform adds its own.")
    )
    currency = currency_field()
    description = forms.CharField(
        label=gettext_lazy("Description"),
        max_length=255,
        required=False,
        help_text=gettext_lazy("What it is for. Kept here, with your name."),
    )
    reference_id = forms.CharField(
        label=gettext_lazy("Reference"),
        max_length=255,
        required=False,
        help_text=gettext_lazy("Your own, such as an invoice number; the platform keeps it. Left empty, one is made."),
    )

    def __init__(self, methods: list[SavedPaymentMethod], chosen: str, data: Any = None) -> None:
        super().__init__(data)
        field: Any = self.fields["method"]
        field.choices = [(str(method.pk), _label(method)) for method in methods]
        default = next((method for method in methods if method.is_default), methods[0])
        known = {str(method.pk) for method in methods}
        field.initial = chosen if chosen in known else str(default.pk)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = dict(super().clean() or {})
        from govpay.client.cards import looks_like_card  # noqa: PLC0415 - no start needs the client

        clean_money(self, data)
        for name in ("description", "reference_id"):
            if looks_like_card(data.get(name, "")):
                self.add_error(name, ValidationError(_("This looks like a card number, which is never accepted here.")))
        return data


def _label(method: SavedPaymentMethod) -> str:
    parts = [method_label(method) or method.uid]
    if until := expiry(method):
        parts.append((_("expired %(month)s") if is_expired(method) else _("expires %(month)s")) % {"month": until})
    if method.is_default:
        parts.append(_("default"))
    return ", ".join(parts)


def is_expired(method: SavedPaymentMethod) -> bool:
    today = timezone.localdate()
    return None not in (method.exp_year, method.exp_month) and (method.exp_year or 0, method.exp_month or 0) < (
        today.year,
        today.month,
    )


def charge_address(customer: Customer, method: SavedPaymentMethod | None = None) -> str:
    """Where ``customer`` is charged, with ``method`` chosen."""
    chosen = {"customer": customer.pk, **({"method": method.pk} if method else {})}
    return f"{reverse('admin:govpay_customer_charge')}?{urlencode(chosen)}"


class ChargeView:
    """The first step: a quote, which takes no money. The second is the confirmation of ``Charge``."""

    def __init__(self, admin: ModelAdmin[Any], request: HttpRequest) -> None:
        self.admin = admin
        self.request = request

    def respond(self) -> HttpResponse:
        if not self.request.user.has_perm(PERMISSION):
            raise PermissionDenied
        if self.request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        chosen = self.request.GET.get("customer", "")
        if not chosen:
            return self.search()
        if not (chosen.isascii() and chosen.isdigit() and len(chosen) <= 18):
            raise Http404
        visible = Customer.objects.visible_to(self.request.user).filter(deleted_at=None).select_related("account")
        customer = visible.filter(pk=chosen).first()
        if customer is None or customer.account is None:
            raise Http404
        own = SavedPaymentMethod.objects.visible_to(self.request.user).filter(customer=customer.uid, deleted_at=None)
        methods = list(own.defer("raw").order_by("-is_default", "-id"))
        if not methods:
            return self.page(customer, None)
        if self.request.method == "POST":
            return self.submit(customer, methods)
        return self.page(customer, ChargeForm(methods, self.request.GET.get("method", "")))

    def search(self) -> HttpResponse:
        """Whom to charge."""
        term = self.request.GET.get("q", "").replace("\x00", "").strip()
        tables = []
        if term:
            visible = Customer.objects.visible_to(self.request.user).filter(deleted_at=None)
            rows, _distinct = self.admin.get_search_results(self.request, visible.select_related("account"), term)
            found = list(rows.order_by("name", "id")[:MOST_FOUND])
            tables.append(
                Table(
                    title=_("Customers"),
                    heads=(_("Customer"), _("Reference"), _("Email"), _("Payment account")),
                    rows=[
                        (
                            format_html_join("", '<a href="?customer={}">{}</a>', [(row.pk, str(row))]),
                            row.reference_id,
                            row.email,
                            relative(row, "account"),
                        )
                        for row in found
                    ],
                    empty=_("Nobody was found. Give the whole UID, reference or email address."),
                )
            )
        return self.render("govpay/admin/charge_search.html", {"term": term, "tables": tables})

    def page(self, customer: Customer, form: ChargeForm | None, problem: str = "") -> HttpResponse:
        context = {
            "customer": customer,
            "customer_link": link_to(customer),
            "account_link": relative(customer, "account"),
            "form": form,
            "problem": problem,
            "key": tickets.mint(self.request.user, "quote", [customer.pk], {}) if form else "",
            "back": page_of(customer),
        }
        status = 400 if problem else 200
        return self.render("govpay/admin/charge.html", context, status)

    def submit(self, customer: Customer, methods: list[SavedPaymentMethod]) -> HttpResponse:
        form = ChargeForm(methods, "", self.request.POST)
        try:
            ticket = tickets.read(self.request.POST.get("key", ""), self.request.user, "quote", [customer.pk])
        except TicketRefused as refusal:
            return self.page(customer, form, str(refusal))
        if not form.is_valid():
            return self.page(customer, form)
        data = form.cleaned_data
        try:
            payment = operations.quote_payment(
                account=customer.account,
                base_amount=data["amount"],
                currency=data["currency"],
                reference_id=data["reference_id"] or None,
                saved_method=next(method for method in methods if str(method.pk) == data["method"]),
                description=data["description"],
                actor=self.request.user,
                # The same form sent twice is one quote; what was typed anew after "Back" is another.
                key=uuid.uuid5(ticket.key, json.dumps(data, sort_keys=True)),
            )
        except GovPayError as error:
            outcome = outcome_of_error(error)
            form.add_error(None, f"{outcome.title}. {outcome.text} {_('Nothing was charged.')}")
            return self.page(customer, form)
        return HttpResponseRedirect(f"{reverse('admin:govpay_payment_charge')}?ids={payment.pk}")

    def render(self, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
        common = {
            "title": _("Charge a saved payment method"),
            "back": list_of(Customer),
        }
        return render(self.admin, self.request, template, {**common, **context}, status)


class Charge(Capture):
    """The capture of a quote that the same person made of a saved method: its own permission is enough."""

    name = "charge"
    one_only = True
    asks_authorization = True
    permission = PERMISSION
    title_one = gettext_lazy("Charge this saved payment method?")
    button = gettext_lazy("Charge")
    consequence = gettext_lazy(
        "The platform has told its convenience fee; nothing is charged yet. The charge takes the total. "
        "It can be voided on the same day (UTC), and refunded later."
    )

    def __init__(self, user: Any) -> None:
        self.user = user

    def why_not(self, payment: Payment, repeatable: set[str]) -> str:
        if not staff.is_own_charge(self.user, payment):
            return _("You have not quoted this payment of a saved method; start again from the customer's page.")
        return staff.why_wait(payment) or super().why_not(payment, repeatable)

    def amounts(self, payment: Payment) -> tuple[tuple[Any, int | None], ...]:
        return (
            (_("Total"), payment.total_amount),
            (_("Convenience fee"), payment.processing_fee_amount),
            (_("Amount"), payment.base_amount),
        )

    def notes(self, payment: Payment) -> list[tuple[Any, Any]]:
        quote = operations.quote_of(payment, self.user)
        found: list[tuple[Any, Any]] = [
            (label, format_money(amount, payment.currency)) for label, amount in reversed(self.amounts(payment))
        ]
        if quote is not None and quote.reason:
            found.append((_("Description"), quote.reason))
        alike = [(link_to(row), moment(row.remote_created_at)) for row in _charged_lately(payment, self.user)]
        if alike:
            said = format_html_join(", ", "{} ({})", alike)
            found.append((_("This customer has paid the same amount within a day"), said))
        return found

    def form(self, payment: Payment | None, shown: Shown | None, data: Any = None) -> forms.Form:
        if payment is None or not staff.is_debit(payment):
            return ConfirmForm(data)
        return AuthorizationForm(payment, data)

    def perform(self, payment: Payment, shown: Shown, data: dict[str, Any], **who: Any) -> Outcome:
        operations.capture_payment(payment=payment, authorization=data.get("authorization"), seen=shown.seen(), **who)
        return Outcome("done", _("Charged"))


def _charged_lately(payment: Payment, user: Any) -> list[Payment]:
    """Payments that this one may be a repetition of."""
    if not payment.customer_id:
        return []
    visible = Payment.objects.visible_to(user).exclude(pk=payment.pk)
    rows = visible.filter(customer=payment.customer_id, base_amount=payment.base_amount)
    taken = rows.filter(
        status__in=(PaymentStatus.CAPTURED, PaymentStatus.PARTIALLY_REFUNDED),
        currency=payment.currency,
        remote_created_at__gte=timezone.now() - LATELY,
    )
    return list(taken.defer("raw").order_by("-remote_created_at", "-id")[:3])

"""Charge a saved method, step 1: staff choose the method and type the amount, and the platform quotes the fee."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay import operations
from govpay.admin import fee_previews
from govpay.admin.amounts import WITHOUT_FEE, amount_field, clean_money, currency_field
from govpay.admin.confirmation_tokens import ConfirmationToken
from govpay.admin.confirmation_views import ConfirmationView
from govpay.admin.formatting import Table, expiry, link_to, list_of, method_label, relative
from govpay.admin.messages import outcome_of_error
from govpay.admin.rendering import render
from govpay.exceptions import GovPayError
from govpay.models import Customer, Operation, Payment, SavedPaymentMethod
from govpay.models.choices import PaymentStatus
from govpay.models.money import write_amount
from govpay.models.permissions import CHARGE_CUSTOMER
from govpay.operations import staff

#: Maximum number of customers in a search result.
MOST_FOUND = 20


class ChargeForm(forms.Form):
    """The form for a charge: saved method, amount, currency, description and reference."""

    method = forms.ChoiceField(label=gettext_lazy("Saved payment method"), widget=forms.RadioSelect)
    amount = amount_field(gettext_lazy("Amount"), WITHOUT_FEE)
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

    def __init__(
        self, methods: list[SavedPaymentMethod], chosen: str, data: Any = None, typed: Mapping[str, Any] | None = None
    ) -> None:
        """Preselect a method. ``chosen`` is its primary key or empty. An expired card is never preselected."""
        super().__init__(data, initial=dict(typed or {}))
        field: Any = self.fields["method"]
        field.choices = [(str(method.pk), _label(method)) for method in methods]
        wanted = [method for method in methods if str(method.pk) == chosen] or methods
        usable = next((method for method in wanted if not is_expired(method)), None)
        self.initial["method"] = "" if usable is None else str(usable.pk)
        if usable is None:
            field.help_text = _(
                "None is chosen for you, because the card has expired. The platform may decline it; a payment link "
                "lets the customer pay in another way."
            )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = dict(super().clean() or {})
        from govpay.client.cards import looks_like_card  # noqa: PLC0415 - it loads the client

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


def charge_address(customer: Customer, method: SavedPaymentMethod | None = None, again: Payment | None = None) -> str:
    """Return the URL of the customer's charge form, with ``method`` selected or the data of the preview ``again``."""
    chosen = {"customer": customer.pk}
    if method is not None:
        chosen["method"] = method.pk
    if again is not None:
        chosen["again"] = again.pk
    return f"{reverse('admin:govpay_customer_charge')}?{urlencode(chosen)}"


def _is_key(text: str) -> bool:
    """Return whether ``text`` can be a primary key."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def _confirmation(payment: Payment) -> str:
    """Return the URL of the second step, the confirmation page."""
    return f"{reverse('admin:govpay_payment_charge')}?ids={payment.pk}"


def _quote_key(token: ConfirmationToken, data: dict[str, Any]) -> uuid.UUID:
    """Return the key of the quote. The same form sent twice makes one quote; a different amount makes another quote."""
    return uuid.uuid5(token.key, json.dumps(data, sort_keys=True))


class ChargeView(ConfirmationView):
    """Show the charge form and make the quote, which takes no money. The second step is ``ChargeConfirmation``."""

    permission = CHARGE_CUSTOMER
    signed_action = "quote"
    template = "govpay/admin/charge.html"
    title = gettext_lazy("Charge a saved payment method")
    methods: list[SavedPaymentMethod]

    def load(self) -> HttpResponse | None:
        chosen = self.request.GET.get("customer", "")
        if not chosen:
            return self.search()
        if not _is_key(chosen):
            raise Http404
        visible = Customer.objects.visible_to(self.request.user).filter(deleted_at=None).select_related("account")
        self.row = get_object_or_404(visible, pk=chosen)
        if self.row.account is None:
            raise Http404
        own = SavedPaymentMethod.objects.visible_to(self.request.user).filter(customer=self.row.uid, deleted_at=None)
        self.methods = list(own.defer("raw").order_by("-is_default", "-id"))
        return None if self.methods else self.confirm()

    def token_ids(self) -> list[int]:
        return [self.row.pk]

    def make_form(self, data: Any) -> ChargeForm | None:
        if not self.methods:
            return None
        if data is not None:
            return ChargeForm(self.methods, "", data)
        typed = self.typed_before()
        chosen = typed["method"] if typed else self.request.GET.get("method", "")
        return ChargeForm(self.methods, chosen, typed=typed)

    def context(self) -> dict[str, Any]:
        return {
            "customer": self.row,
            "customer_link": link_to(self.row),
            "account_link": relative(self.row, "account"),
            "doable": bool(self.methods),
        }

    def typed_before(self) -> dict[str, Any] | None:
        """Return the data of the form if this page follows a fee preview that was taken back, else ``None``."""
        again = self.request.GET.get("again", "")
        if not _is_key(again):
            return None
        payment = Payment.objects.visible_to(self.request.user).filter(pk=again).first()
        quote = operations.quote_of(payment, self.request.user) if payment else None
        if payment is None or quote is None or quote.customer_id != self.row.uid:
            return None
        typed = fee_previews.typed(quote, payment, self.methods)
        return {**typed, "amount": write_amount(typed["amount"], typed["currency"])}

    def search(self) -> HttpResponse:
        """Show a page on which staff search for the customer."""
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
        context = {"title": self.title, "back": list_of(Customer), "term": term, "tables": tables}
        return render(self.admin, self.request, "govpay/admin/charge_search.html", context)

    def run(self) -> HttpResponse:
        for quote, shown in self.shown_before():
            key = str(_quote_key(self.token, self.form.cleaned_data))
            outcome = fee_previews.take_back(quote, shown, self.request.user, key)
            if outcome.kind == "left":
                again = _("Press the button again to see the new fee.")
                return self.say_again(f"{outcome} {again}")
            if outcome.kind != "done":
                messages.add_message(self.request, outcome.level, outcome.after(str(outcome)))
                return HttpResponseRedirect(_confirmation(shown))
        try:
            payment = self.quote()
        except GovPayError as error:
            nothing = _("Nothing was charged.")
            outcome = outcome_of_error(error)
            return self.say_again(outcome.after(f"{outcome} {nothing}"))
        if payment.status == PaymentStatus.VOIDED:
            # The same form was sent again after its fee preview was taken back. The new page gets a new key.
            return self.say_again(_("This fee preview was taken back. Press the button again to see the fee."))
        return HttpResponseRedirect(_confirmation(payment))

    def say_again(self, text: str) -> HttpResponse:
        """Show the form again, with this error above it."""
        self.form.add_error(None, text)
        return self.confirm()

    def shown_before(self) -> list[tuple[Operation, Payment]]:
        """Return the fee previews that the form replaces: those made by this form, and the one that it follows."""
        again, key = self.request.GET.get("again", ""), _quote_key(self.token, self.form.cleaned_data)
        previews = staff.fee_previews(self.request.user, self.row).exclude(key=key)
        return [
            (quote, payment)
            for quote, payment in ((each, each.payment) for each in previews)
            if payment is not None
            and (
                str(payment.pk) == again
                or quote.key == _quote_key(self.token, fee_previews.typed(quote, payment, self.methods))
            )
        ]

    def quote(self) -> Payment:
        data = self.form.cleaned_data
        return operations.quote_payment(
            account=self.row.account,
            base_amount=data["amount"],
            currency=data["currency"],
            reference_id=data["reference_id"] or None,
            saved_method=next(method for method in self.methods if str(method.pk) == data["method"]),
            description=data["description"],
            fee_preview=True,
            actor=self.request.user,
            key=_quote_key(self.token, data),
        )

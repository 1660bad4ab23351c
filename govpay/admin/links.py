"""Admin of payment links: create a link, show its address and QR code, cancel it."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, URLPattern, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay import operations
from govpay.addresses import public_address
from govpay.admin.amounts import WITHOUT_FEE, amount_field, clean_money, currency_field
from govpay.admin.base import ReadOnlyAdmin
from govpay.admin.confirmation_tokens import TokenRefused
from govpay.admin.confirmation_views import ConfirmationView, PostView
from govpay.admin.confirmations import own_url
from govpay.admin.filters import AccountListFilter, known_values
from govpay.admin.formatting import (
    Table,
    badge,
    badge_column,
    clip,
    column,
    link_column,
    link_to,
    moment,
    moment_column,
    money_column,
    page_of,
    relative,
)
from govpay.admin.messages import outcome_of_error
from govpay.exceptions import GovPayError
from govpay.extras import missing_packages
from govpay.models import Customer, PaymentAccount, PaymentLink
from govpay.models.choices import LinkState
from govpay.models.money import format_money
from govpay.models.people import name_of
from govpay.models.permissions import CREATE_SESSION

#: Default and maximum number of days for which a link is valid.
DAYS, MOST_DAYS = 7, 366


class LinkForm(forms.Form):
    """The form for a new payment link: account, amount, payer and days."""

    account = forms.ModelChoiceField(
        label=gettext_lazy("Payment account"),
        queryset=PaymentAccount.objects.none(),
        to_field_name="uid",
        empty_label=None,
    )
    amount = amount_field(gettext_lazy("Amount"), WITHOUT_FEE)
    currency = currency_field()
    reference_id = forms.CharField(
        label=gettext_lazy("Reference"),
        max_length=255,
        required=False,
        help_text=gettext_lazy("Your own, such as an invoice number. The payer sees it."),
    )
    description = forms.CharField(
        label=gettext_lazy("Description"),
        max_length=255,
        required=False,
        help_text=gettext_lazy("What it is for. The payer sees it."),
    )
    payer = forms.CharField(
        label=gettext_lazy("Payer"),
        max_length=255,
        required=False,
        help_text=gettext_lazy("The UID or reference of a customer, if saved methods are to be offered."),
    )
    days = forms.IntegerField(label=gettext_lazy("Days valid"), min_value=1, max_value=MOST_DAYS, initial=DAYS)

    def __init__(self, user: Any, data: Any = None) -> None:
        super().__init__(data)
        self.user = user
        accounts: Any = self.fields["account"]
        visible = PaymentAccount.objects.visible_to(user).filter(deleted_at=None)
        accounts.queryset = visible.exclude(active=False).order_by("name", "id")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = dict(super().clean() or {})
        clean_money(self, data)
        if data.get("payer") and data.get("account"):
            data["customer"] = self._payer(data["account"], data["payer"])
        return data

    def _payer(self, account: PaymentAccount, text: str) -> Customer | None:
        customers = Customer.objects.visible_to(self.user).filter(account=account.uid, deleted_at=None)
        found = customers.filter(uid=text).first() or customers.filter(reference_id=text).first()
        if found is None:
            self.add_error("payer", ValidationError(_("This payment account has no such customer.")))
        return found


class CreateLinkView(ConfirmationView):
    """GET shows the form; POST creates the link and redirects to its page."""

    permission = CREATE_SESSION
    signed_action = "link"
    template = "govpay/admin/link_create.html"
    title = gettext_lazy("Create payment link")
    made: PaymentLink

    def make_form(self, data: Any) -> LinkForm:
        return LinkForm(self.request.user, data)

    def back(self) -> str:
        return reverse("admin:govpay_paymentlink_changelist")

    def next_page(self) -> str:
        return page_of(self.made)

    def execute(self) -> tuple[int, str]:
        data = self.form.cleaned_data
        _check_page(self.request)
        self.made = operations.create_payment_link(
            account=data["account"],
            amount=data["amount"],
            currency=data["currency"],
            reference_id=data["reference_id"],
            description=data["description"],
            customer=data.get("customer"),
            expires_at=timezone.now() + dt.timedelta(days=data["days"]),
            actor=self.request.user,
            # The same form sent twice makes one link. Different data typed after "Back" makes another link.
            key=uuid.uuid5(self.token.key, json.dumps([str(data[name]) for name in self.form.fields])),
        )
        self.admin.log_addition(self.request, self.made, _("Payment link made."))
        return messages.SUCCESS, _("The payment link is ready to be handed out.")

    def refuse(self, refusal: TokenRefused) -> HttpResponse:
        if self.form.is_valid():
            self.form.add_error(None, str(refusal))
        return self.confirm()

    def add_error(self, error: GovPayError) -> None:
        self.form.add_error(None, str(error))


class CancelLinkView(ConfirmationView):
    permission = CREATE_SESSION
    title = gettext_lazy("Cancel this payment link?")
    consequence = gettext_lazy(
        "Nobody can pay with it any more, and a payment page that is open now is closed. This cannot be undone; a new "
        "link can be created."
    )
    button = gettext_lazy("Cancel this link")
    back = PostView.page_or_index
    #: The state of the link before it was cancelled.
    before = ""

    def rows(self) -> Any:
        return PaymentLink.objects.visible_to(self.request.user).select_related("customer", "account")

    def context(self) -> dict[str, Any]:
        link = self.row
        table = Table(
            title=_("Payment link"),
            heads=(_("Payment link"), _("Amount"), _("Payer"), _("Payment account"), _("Expires"), _("State")),
            rows=[
                (
                    link_to(link),
                    format_money(link.amount, link.currency),
                    relative(link, "customer"),
                    relative(link, "account"),
                    moment(link.expires_at),
                    badge(link.state, LinkState),
                )
            ],
            numeric=(1,),
        )
        return {"doable": link.state in (LinkState.OPEN, LinkState.EXPIRED), "tables": [table]}

    def execute(self) -> tuple[int, str]:
        self.before = self.row.state
        operations.cancel_payment_link(link=self.row, actor=self.request.user)
        self.admin.log_change(self.request, self.row, _("Cancelled."))
        return messages.SUCCESS, _("The link is cancelled; nobody can pay with it any more.")

    def fail(self, error: GovPayError) -> HttpResponse:
        self.row.refresh_from_db()
        if self.row.state != LinkState.CANCELLED or self.before == LinkState.CANCELLED:
            return super().fail(error)
        text = _("The link is closed, but its open session could not be ended: %(error)s") % {"error": error}
        messages.warning(self.request, outcome_of_error(error).after(text))
        return HttpResponseRedirect(self.back())


@admin.register(PaymentLink)
class PaymentLinkAdmin(ReadOnlyAdmin):
    created = moment_column("created_at", gettext_lazy("created"))
    expires = moment_column("expires_at", gettext_lazy("expires"))
    state_badge = badge_column("state", gettext_lazy("state"), LinkState)
    amount_money = money_column("amount", gettext_lazy("amount"))
    account_link = link_column("account", gettext_lazy("payment account"))
    customer_link = link_column("customer", gettext_lazy("customer"))
    payment_link = link_column("payment", gettext_lazy("payment"))
    session_link = link_column("session", gettext_lazy("hosted session"))

    list_display = (
        "link",
        "state_badge",
        "amount_money",
        "created",
        "expires",
        "payment_link",
        "customer_link",
        "account_link",
    )
    list_filter = (known_values("state", gettext_lazy("state"), LinkState), AccountListFilter)
    list_select_related = ("payment", "customer", "account")
    sortable_by = ("created",)
    date_hierarchy = "created_at"
    search_fields = ("search_reference",)
    search_help_text = gettext_lazy(
        "Payer's name or email address, amount, public ID, or a reference or its start. All words must match."
    )
    change_form_template = "govpay/admin/link_change_form.html"

    page_select_related = ("account", "customer", "payment", "session", "created_by")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("state_badge", "amount_money", "reference_id", "description", "expires_at"),
                    *("account_link", "customer_link", "payment_link", "session_link"),
                )
            },
        ),
        (gettext_lazy("Record"), {"fields": ("public_id", "created_at", "creator", "canceller")}),
    )

    class Media:
        js = ["govpay/copy.js"]

    @column(gettext_lazy("payment link"))
    def link(self, row: PaymentLink) -> str | None:
        return clip(row)

    @column(gettext_lazy("made by"))
    def creator(self, row: PaymentLink) -> str | None:
        return clip(name_of(row, "created_by"))

    @column(gettext_lazy("cancelled by"))
    def canceller(self, row: PaymentLink) -> str | None:
        return clip(row.cancelled_by_name)

    def get_urls(self) -> list[URLPattern]:
        return [
            own_url(self, "create/", "govpay_paymentlink_create", CreateLinkView.as_view(admin=self)),
            own_url(self, "<int:pk>/cancel/", "govpay_paymentlink_cancel", CancelLinkView.as_view(admin=self)),
            *super().get_urls(),
        ]

    def list_tools(self, request: HttpRequest) -> list[tuple[Any, str]]:
        return [(_("Create payment link"), reverse("admin:govpay_paymentlink_create"))] if _may(request) else []

    def page_context(self, request: HttpRequest, row: PaymentLink) -> dict[str, Any]:
        is_open = row.state == LinkState.OPEN and row.expires_at > timezone.now()
        address = _address(request, row) if is_open else ""
        cancel = reverse("admin:govpay_paymentlink_cancel", args=[row.pk])
        return {
            "address": address,
            "qr_code": _qr_code(address) if address else "",
            "cancel": cancel if is_open and _may(request) else None,
        }


def _may(request: HttpRequest) -> bool:
    return bool(request.user.has_perm(CREATE_SESSION))


def _address(request: HttpRequest, link: PaymentLink) -> str:
    return _page_of(request, link.public_id)


def _page_of(request: HttpRequest, public_id: str) -> str:
    """Return the URL of a link's payment page, or an empty string if the site does not include ``govpay.urls``."""
    try:
        return public_address(request, "govpay:pay", public_id)
    except NoReverseMatch:
        return ""


def _check_page(request: HttpRequest) -> None:
    """Check that the link's page is an allowed return address. Otherwise no payer could open the link.

    Raises ``OperationRefused``.
    """
    from govpay.operations.session_options import check_return_address  # noqa: PLC0415 - it loads the client

    if address := _page_of(request, "x"):
        check_return_address(_("The page of the link"), address)


def _qr_code(address: str) -> str:
    """Return the QR code of the address as an SVG data URI, for a screen or a letter; without the extra ``qr`` ""."""
    if missing_packages("qr"):
        return ""
    import segno  # noqa: PLC0415 - only this page needs it

    return str(segno.make(address, error="m").svg_data_uri(scale=4, border=2))

"""The forms that create or change a client or a payment account on the platform. Each calls its own operation."""

from __future__ import annotations

from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.http.request import validate_host
from django.urls import NoReverseMatch
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay import operations
from govpay.addresses import public_path, public_url
from govpay.admin.amounts import minor_units, with_example
from govpay.models import Client, PaymentAccount, WebhookSubscription
from govpay.models.base import Mirror
from govpay.models.money import write_amount

#: The platform's limits have no currency; the vendor's samples are in dollars (assumption A27).
LIMIT_CURRENCY = "USD"
DOLLARS = with_example(gettext_lazy("In dollars, such as %(example)s."), 100, LIMIT_CURRENCY)


class SetupForm(forms.Form):
    """Base of the forms. One form is one step. ``carry_out`` calls the operation and raises its errors."""

    title: ClassVar[Any]
    button: ClassVar[Any] = gettext_lazy("Save")
    consequence: ClassVar[Any]

    def __init__(self, request: HttpRequest, account: Any = None) -> None:
        self.account, self.user = account, request.user
        #: Scheme and host of this site: as the browser uses them, and as outsiders use them.
        self.here = request.build_absolute_uri("/").rstrip("/")
        self.public = public_url() or self.here
        data = request.POST if request.method == "POST" else None
        super().__init__(data, initial=self.known(account) if account is not None else None)

    def known(self, account: PaymentAccount) -> dict[str, Any]:
        """Return the initial values of the fields."""
        return {}

    def carry_out(self, **who: Any) -> Mirror:
        raise NotImplementedError

    def given(self, *names: str) -> dict[str, Any]:
        """Return the cleaned values of the named fields that were filled in."""
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data[name] not in (None, "")}


def _text(label: Any, *, required: bool = False, help_text: Any = "", length: int = 255) -> forms.CharField:
    return forms.CharField(label=label, required=required, help_text=help_text, max_length=length)


def _switch(label: Any, *, initial: bool = False) -> forms.BooleanField:
    return forms.BooleanField(label=label, required=False, initial=initial)


class ClientForm(SetupForm):
    title = gettext_lazy("Create a client")
    button = gettext_lazy("Find or create")
    consequence = gettext_lazy(
        "The platform is asked for a client of this name first; a new one is created only if there is none."
    )

    name = _text(gettext_lazy("Name"), required=True)
    customer_id = _text(gettext_lazy("Customer ID"), help_text=gettext_lazy("Of your own, such as city-of-example."))
    timezone = _text(
        gettext_lazy("Time zone"), help_text=gettext_lazy("A Windows zone name, such as Mountain Standard Time.")
    )
    subdomain = _text(gettext_lazy("Subdomain"))

    def carry_out(self, **who: Any) -> Client:
        return operations.create_client(**self.given("name", "customer_id", "timezone", "subdomain"), **who)


class LimitsForm(SetupForm):
    """Base of the two forms with a payment account's limits and methods. Cleaned limits are in cents, or ``None``."""

    enable_credit_card = _switch(gettext_lazy("Cards"), initial=True)
    enable_ach = _switch(gettext_lazy("Bank accounts (ACH)"))
    minimum_payment_amount = _text(gettext_lazy("Smallest payment"), help_text=DOLLARS)
    maximum_payment_amount = _text(gettext_lazy("Largest payment"), help_text=DOLLARS)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = dict(super().clean() or {})
        for name in ("minimum_payment_amount", "maximum_payment_amount"):
            if text := str(data.get(name) or "").strip():
                try:
                    data[name] = minor_units(text, LIMIT_CURRENCY, least=0)
                except ValidationError as error:
                    self.add_error(name, error)
            else:
                data[name] = None
        return data

    def limits(self) -> dict[str, Any]:
        switches = {name: self.cleaned_data[name] for name in ("enable_credit_card", "enable_ach")}
        return {**switches, **self.given("minimum_payment_amount", "maximum_payment_amount")}


class AccountForm(LimitsForm):
    title = gettext_lazy("Create a payment account")
    button = gettext_lazy("Find or create")
    consequence = gettext_lazy(
        "First the platform is searched for an account with the same external IDs. If there is one, it is used; "
        "otherwise a new one is created."
    )

    client = forms.ModelChoiceField(
        label=gettext_lazy("Client"), queryset=Client.objects.none(), to_field_name="uid", empty_label=None
    )
    name = _text(
        gettext_lazy("Name"), required=True, help_text=gettext_lazy("Such as Utilities: a fund or department.")
    )
    processor = forms.CharField(label=gettext_lazy("Processor"), max_length=255, initial="zift")
    external_account_id = _text(gettext_lazy("External account ID"), required=True)
    external_merchant_id = _text(gettext_lazy("External merchant ID"), required=True)
    field_order = ("client", "name", "processor", "external_account_id", "external_merchant_id")

    def __init__(self, request: HttpRequest, account: Any = None) -> None:
        super().__init__(request, account)
        field: Any = self.fields["client"]
        field.queryset = Client.objects.visible_to(self.user).filter(deleted_at=None).order_by("name", "id")

    def carry_out(self, **who: Any) -> PaymentAccount:
        named = self.given("client", "name", "processor", "external_account_id", "external_merchant_id")
        return operations.create_payment_account(**named, active=True, **self.limits(), **who)


class PropertiesForm(LimitsForm):
    title = gettext_lazy("Change the payment account")
    consequence = gettext_lazy("Settings that are not in this form are not changed.")

    name = _text(gettext_lazy("Name"), required=True)
    active = _switch(gettext_lazy("Active"))
    field_order = ("name", "active")

    def known(self, account: PaymentAccount) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: getattr(account, name) for name in ("name", "active", "enable_credit_card", "enable_ach")
        }
        for name in ("minimum_payment_amount", "maximum_payment_amount"):
            cents = getattr(account, name)
            found[name] = "" if cents is None else write_amount(cents, LIMIT_CURRENCY)
        return found

    def __init__(self, request: HttpRequest, account: Any = None) -> None:
        super().__init__(request, account)
        for field in self.fields.values():
            field.show_hidden_initial = True  # only fields that the user changed are sent

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        for name in ("minimum_payment_amount", "maximum_payment_amount"):
            if name in self.changed_data and data.get(name) is None and name not in self.errors:
                self.add_error(name, _("A limit cannot be taken away; give another one."))
        return data

    def carry_out(self, **who: Any) -> PaymentAccount:
        changed = {name: self.cleaned_data[name] for name in self.changed_data}
        if not changed:
            return cast(PaymentAccount, self.account)
        return operations.update_payment_account(account=self.account, **changed, **who)


class CheckoutForm(SetupForm):
    title = gettext_lazy("Set up the payment page")
    consequence = gettext_lazy(
        "Payers' browsers may reach the platform only from these origins. How the page looks applies to new sessions."
    )

    allowed_origins = forms.CharField(
        label=gettext_lazy("Allowed origins"),
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("One a line: scheme and host without a path, such as https://pay.example.gov."),
    )
    display_name = _text(gettext_lazy("Display name"))
    logo_url = _text(gettext_lazy("Address of the logo"), length=2000)
    accent_color = _text(gettext_lazy("Accent color"), help_text=gettext_lazy("Such as #1d4f80."), length=7)
    page_message = _text(gettext_lazy("Message on the page"), length=2000)

    def known(self, account: PaymentAccount) -> dict[str, Any]:
        sent = {**operations.checkout_as_sent(account.uid), **account.raw}
        ours = list(dict.fromkeys([self.public, self.here]))
        origins = account.allowed_origins or sent.get("allowed_origins") or ours
        looks = {name: sent.get(name, "") for name in ("logo_url", "accent_color", "page_message")}
        return {"allowed_origins": "\n".join(origins), "display_name": sent.get("merchant_display_name", ""), **looks}

    def carry_out(self, **who: Any) -> PaymentAccount:
        looks = self.given("display_name", "logo_url", "accent_color", "page_message")
        origins = self.cleaned_data["allowed_origins"].split()
        return operations.set_checkout_config(account=self.account, allowed_origins=origins, **looks, **who)


class WebhooksForm(SetupForm):
    title = gettext_lazy("Have webhooks sent here")
    consequence = gettext_lazy("The platform sends its events to the callback address of this site, once they are on.")

    site = _text(
        gettext_lazy("Address of this site"),
        required=True,
        help_text=gettext_lazy("As the platform reaches it: https, public. The rest of the address is added."),
    )
    webhook_enabled = _switch(gettext_lazy("Webhooks on"), initial=True)
    field_order = ("site", "webhook_enabled")

    def known(self, account: PaymentAccount) -> dict[str, Any]:
        return {"site": own_site(account) or self.public, "webhook_enabled": True}

    def carry_out(self, **who: Any) -> PaymentAccount:
        if not self.cleaned_data["webhook_enabled"]:
            return operations.update_payment_account(account=self.account, webhook_enabled=False, **who)
        site = self.cleaned_data["site"].rstrip("/")
        operations.check_site("site", site)
        address = operations.callback(site, self.account.uid)
        return operations.update_payment_account(
            account=self.account, callback_url=address, webhook_enabled=True, **who
        )


def own_site(account: PaymentAccount) -> str:
    """Return scheme and host of the account's callback URL, or an empty string if it does not lead to this site."""
    try:
        parts = urlsplit(account.callback_url)
        path = public_path("govpay:webhook", account.uid)
    except (ValueError, NoReverseMatch):  # the platform may send any text
        return ""
    origin, site = f"{parts.scheme}://{parts.netloc}", public_url()
    if site and origin.lower() != site.lower():
        return ""
    names = settings.ALLOWED_HOSTS or ([".localhost", "127.0.0.1", "[::1]"] if settings.DEBUG else [])
    ours = parts.path == path and bool(parts.hostname) and validate_host(str(parts.hostname), names)
    return origin if ours else ""


class EventsForm(SetupForm):
    title = gettext_lazy("Choose the events")
    consequence = gettext_lazy("Exactly the chosen ones are sent. This is the platform's catalogue as it is now.")

    enabled = forms.MultipleChoiceField(
        label=gettext_lazy("Events"), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, request: HttpRequest, account: Any = None) -> None:
        """Read the platform's catalogue of events. Raises ``APIError``."""
        super().__init__(request, account)
        field: Any = self.fields["enabled"]
        catalogue = operations.catalogue_of(account.uid)
        field.choices = [(name, f"{name}: {said}" if said else name) for name, said in sorted(catalogue.items())]

    def known(self, account: PaymentAccount) -> dict[str, Any]:
        sent = WebhookSubscription.objects.visible_to(self.user).filter(account=account.uid, enabled=True)
        return {"enabled": list(sent.filter(deleted_at=None).values_list("event_type", flat=True))}

    def carry_out(self, **who: Any) -> PaymentAccount:
        operations.set_webhook_subscriptions(account=self.account, enabled=self.cleaned_data["enabled"], **who)
        return self.account


class SecretForm(SetupForm):
    title = gettext_lazy("Refresh the signing secret?")
    button = gettext_lazy("Refresh secret")
    consequence = gettext_lazy(
        "The secret is fetched and stored encrypted. It is never shown. A different secret replaces the previous one, "
        "which stays valid for some time."
    )

    def carry_out(self, **who: Any) -> PaymentAccount:
        return operations.refresh_webhook_secret(account=self.account, **who)


#: The steps of an account, in their order. The keys are part of the URLs.
FORMS: dict[str, type[SetupForm]] = {
    "account": PropertiesForm,
    "checkout": CheckoutForm,
    "webhooks": WebhooksForm,
    "events": EventsForm,
    "secret": SecretForm,
}

"""Guided setup of a client and a payment account: the steps show what is done and what is missing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.options import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from govpay import operations
from govpay.admin.confirmation_tokens import TokenRefused
from govpay.admin.confirmation_views import ConfirmationView, PostView
from govpay.admin.formatting import list_of, moment, page_of
from govpay.admin.rendering import render
from govpay.admin.setup_forms import FORMS, AccountForm, ClientForm, SetupForm, own_site
from govpay.exceptions import GovPayError
from govpay.models import Client, PaymentAccount, WebhookEvent, WebhookSubscription
from govpay.models.access import reach_of
from govpay.models.permissions import PROVISION_ACCOUNT


@dataclass(frozen=True)
class SetupStep:
    """One line of the setup page."""

    title: Any
    done: bool
    #: The present state, or what is missing.
    text: Any
    #: URL of the page for this step; empty if the user can do nothing.
    address: str = ""


def steps_of(account: PaymentAccount, user: Any) -> list[SetupStep]:
    """Return the setup steps of ``account``: what is done and what is missing. Reads only the local database."""

    def at(name: str) -> str:
        return reverse("admin:govpay_paymentaccount_setup_step", args=[account.pk, name])

    sent = WebhookSubscription.objects.visible_to(user).filter(account=account.uid, enabled=True, deleted_at=None)
    on = sent.count()
    ways = [(_("cards"), account.enable_credit_card), (_("bank accounts"), account.enable_ach)]
    takes = ", ".join(str(name) for name, enabled in ways if enabled)
    hooked = bool(account.webhook_enabled and own_site(account))
    origins = account.allowed_origins or operations.checkout_as_sent(account.uid).get("allowed_origins") or []
    return [
        SetupStep(
            _("Client"), bool(account.client_id), str(account.client or _("The client is not read yet; sync first."))
        ),
        SetupStep(
            _("Payment account"),
            bool(account.active and takes),
            _("Takes %(ways)s.") % {"ways": takes} if account.active and takes else _("It takes no payments."),
            at("account"),
        ),
        SetupStep(
            _("Payment page"),
            bool(origins),
            ", ".join(map(str, origins)) or _("No website may show it yet."),
            at("checkout"),
        ),
        SetupStep(_("Webhooks"), hooked, _webhooks_text(account, hooked), at("webhooks")),
        SetupStep(
            _("Events"),
            bool(on),
            ngettext("%(count)d type is sent.", "%(count)d types are sent.", on) % {"count": on}
            if on
            else _("Nothing is sent."),
            at("events"),
        ),
        SetupStep(
            _("Signing secret"),
            account.webhook_secret is not None,
            _("Fetched: %(when)s") % {"when": moment(account.webhook_secret_fetched_at)}
            if account.webhook_secret is not None
            else _("It is fetched when the first webhook arrives. You can also fetch it now."),
            at("secret"),
        ),
        _delivery(account, user),
    ]


def _delivery(account: PaymentAccount, user: Any) -> SetupStep:
    last = WebhookEvent.objects.visible_to(user).filter(account=account.uid).order_by("-received_at").first()
    if last is None:
        text = _("No event has come yet. The platform offers no test delivery; the first payment sends one.")
        return SetupStep(_("Test delivery"), False, text)
    text = _("The last event came: %(when)s") % {"when": moment(last.received_at)}
    return SetupStep(_("Test delivery"), True, text, list_of(WebhookEvent, account=account.uid))


def _webhooks_text(account: PaymentAccount, hooked: bool) -> str:
    if not account.webhook_enabled:
        return _("They are off.")
    return (
        account.callback_url if hooked else _("They are sent elsewhere: %(url)s") % {"url": account.callback_url or "—"}
    )


def setup_view(admin: ModelAdmin[Any], request: HttpRequest, pk: int) -> HttpResponse:
    """Show the setup page of one payment account. Raises ``PermissionDenied``, ``Http404``."""
    if not request.user.has_perm(PROVISION_ACCOUNT):
        raise PermissionDenied
    account = get_object_or_404(_accounts(request), pk=pk)
    steps = steps_of(account, request.user)
    context = {
        "title": _("Set up %(account)s") % {"account": account},
        "steps": steps,
        "missing": [step for step in steps if not step.done],
        "back": page_of(account),
    }
    return render(admin, request, "govpay/admin/setup.html", context)


def may_create(request: HttpRequest) -> bool:
    """Return whether the user may create clients and payment accounts.

    A user who is limited to some accounts may not, because they would not see the new one.
    """
    return request.user.has_perm(PROVISION_ACCOUNT) and reach_of(request.user).is_all


class SetupFormView(ConfirmationView):
    """Show the form on GET, and carry out its operation once on POST."""

    permission = PROVISION_ACCOUNT
    form_class: type[SetupForm]
    #: The row that the form created or changed.
    made: Any = None

    def make_form(self, data: Any) -> SetupForm:
        return self.form_class(self.request, self.row)  # the form binds itself to the data on POST

    def token_ids(self) -> list[int]:
        return [0]

    def refuse(self, refusal: TokenRefused) -> HttpResponse:
        return super().refuse(refusal) if self.form.is_valid() else self.confirm()

    def context(self) -> dict[str, Any]:
        return {name: getattr(self.form_class, name) for name in ("title", "consequence", "button")}

    def execute(self) -> tuple[int, str]:
        # Other values, typed after the browser's "Back", make another key and so another operation.
        key = uuid.uuid5(self.token.key, repr(sorted(self.form.cleaned_data.items(), key=str)))
        self.made = self.form.carry_out(actor=self.request.user, key=key)
        return messages.SUCCESS, _("Done: %(step)s.") % {"step": str(self.form.title).rstrip("?")}


class SetupStepView(SetupFormView):
    """Show and carry out one step of an account, then redirect to the setup page."""

    def rows(self) -> Any:
        return _accounts(self.request)

    def load(self) -> HttpResponse | None:
        super().load()
        step = self.kwargs["step"]
        if step not in FORMS:
            raise Http404
        self.form_class, self.signed_action = FORMS[step], f"setup {step}"
        try:
            self.form = self.make_form(None)
        except GovPayError as error:
            return PostView.fail(self, error)
        return None

    def token_ids(self) -> list[int]:
        return [self.row.pk]

    def back(self) -> str:
        return reverse("admin:govpay_paymentaccount_setup", args=[self.row.pk])


class CreateClientView(SetupFormView):
    form_class = ClientForm
    signed_action = "create client"

    def is_allowed(self) -> bool:
        return may_create(self.request)

    def back(self) -> str:
        return list_of(Client)

    def next_page(self) -> str:
        return page_of(self.made)


class CreatePaymentAccountView(SetupFormView):
    form_class = AccountForm
    signed_action = "create account"

    def is_allowed(self) -> bool:
        return may_create(self.request)

    def back(self) -> str:
        return list_of(PaymentAccount)

    def next_page(self) -> str:
        return reverse("admin:govpay_paymentaccount_setup", args=[self.made.pk])


def _accounts(request: HttpRequest) -> QuerySet[PaymentAccount]:
    found: QuerySet[PaymentAccount] = PaymentAccount.objects.visible_to(request.user).filter(deleted_at=None)
    return found.select_related("client")

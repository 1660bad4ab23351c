"""From nothing to a working payment account: steps that show what is done, and what is missing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.options import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from govpay import operations
from govpay.admin import confirmation_tokens
from govpay.admin.confirmation_tokens import TokenRefused
from govpay.admin.formatting import list_of, moment, page_of
from govpay.admin.messages import outcome_of_error
from govpay.admin.rendering import render, tell
from govpay.admin.setup_forms import FORMS, AccountForm, ClientForm, SetupForm, own_site
from govpay.exceptions import GovPayError
from govpay.models import Client, PaymentAccount, WebhookEvent, WebhookSubscription
from govpay.models.access import reach_of

PERMISSION = "govpay.provision_account"


@dataclass(frozen=True)
class SetupStep:
    """One line of the guided page."""

    title: Any
    done: bool
    #: What is so, or what is missing.
    text: Any
    #: Where it is done; empty where nothing can be done.
    address: str = ""


def steps_of(account: PaymentAccount, user: Any) -> list[SetupStep]:
    """What is done for ``account`` and what is missing, from our rows alone."""

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
            ", ".join(map(str, origins)) or _("No origin may show it."),
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
            else _("It is fetched with the first delivery, or now."),
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
    """The guided page of one account."""
    _demand(request)
    account = _account(request, pk)
    steps = steps_of(account, request.user)
    context = {
        "title": _("Set up %(account)s") % {"account": account},
        "steps": steps,
        "missing": [step for step in steps if not step.done],
        "back": page_of(account),
    }
    return render(admin, request, "govpay/admin/setup.html", context)


def step_view(admin: ModelAdmin[Any], request: HttpRequest, pk: int, step: str) -> HttpResponse:
    """GET shows the form of one step, POST carries it out once and leads back to the guided page."""
    _demand(request)
    account = _account(request, pk)
    if step not in FORMS:
        raise Http404
    back = reverse("admin:govpay_paymentaccount_setup", args=[account.pk])
    try:
        form = FORMS[step](request, account)
    except GovPayError as error:
        tell(request, error)
        return HttpResponseRedirect(back)
    return _respond(admin, request, form, f"setup {step}", account.pk, back, lambda made: back)


def may_create(request: HttpRequest) -> bool:
    """Who is limited to some accounts would not see the new one."""
    return request.user.has_perm(PERMISSION) and reach_of(request.user).is_all


def create_client_view(admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    if not may_create(request):
        raise PermissionDenied
    form = ClientForm(request)
    return _respond(admin, request, form, "create client", 0, list_of(Client), page_of)


def create_account_view(admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    if not may_create(request):
        raise PermissionDenied
    form = AccountForm(request)
    return _respond(
        admin,
        request,
        form,
        "create account",
        0,
        list_of(PaymentAccount),
        lambda made: reverse("admin:govpay_paymentaccount_setup", args=[made.pk]),
    )


def _respond(
    admin: ModelAdmin[Any], request: HttpRequest, form: SetupForm, action: str, pk: int, back: str, onward: Any
) -> HttpResponse:
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    problem = ""
    if request.method == "POST" and form.is_valid():
        try:
            ticket = confirmation_tokens.read(request.POST.get("key", ""), request.user, action, [pk])
            # What was typed anew after "Back" is another action.
            key = uuid.uuid5(ticket.key, repr(sorted(form.cleaned_data.items(), key=str)))
            made = form.carry_out(actor=request.user, key=key)
        except TokenRefused as refusal:
            problem = str(refusal)
        except GovPayError as error:
            outcome = outcome_of_error(error)
            form.add_error(None, f"{outcome.title}. {outcome.text}".strip())
        else:
            messages.success(request, _("Done: %(step)s.") % {"step": str(form.title).rstrip("?")})
            return HttpResponseRedirect(onward(made))
    context = {
        "title": form.title,
        "problem": problem,
        "doable": True,
        "consequence": form.consequence,
        "form": form,
        "key": confirmation_tokens.sign(request.user, action, [pk], {}),
        "button": form.button,
        "back": back,
    }
    return render(admin, request, "govpay/admin/confirm.html", context, 400 if problem else 200)


def _demand(request: HttpRequest) -> None:
    """On every address. Raises ``PermissionDenied``."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied


def _account(request: HttpRequest, pk: int) -> PaymentAccount:
    rows = PaymentAccount.objects.visible_to(request.user).select_related("client")
    account: PaymentAccount | None = rows.filter(pk=pk, deleted_at=None).first()
    if account is None:
        raise Http404
    return account

"""What staff do with saved methods: remove one, choose the default, open the wallet to add one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.options import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from govpay import conf, operations
from govpay.admin import confirmation_tokens
from govpay.admin.confirmation_tokens import TokenRefused
from govpay.admin.formatting import Table, expiry, link_to, method_label, page_of, relative
from govpay.admin.rendering import render, tell
from govpay.exceptions import EncryptionError, GovPayError
from govpay.models import Customer, HostedSession, SavedPaymentMethod
from govpay.models.choices import OperationAction, SessionStatus
from govpay.operations import staff
from govpay.security.headers import component_policy

PERMISSION = staff.PERMISSIONS[OperationAction.SAVE_METHOD]


def default_view(admin: ModelAdmin[Any], request: HttpRequest, pk: int) -> HttpResponse:
    """POST only; what is the default already stays so."""
    demand(request)
    method = _method(request, pk)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        operations.set_default_payment_method(method=method, actor=request.user)
    except GovPayError as error:
        tell(request, error)
    else:
        messages.success(request, _("It is the customer's default now."))
    return HttpResponseRedirect(page_of(method))


def remove_view(admin: ModelAdmin[Any], request: HttpRequest, pk: int) -> HttpResponse:
    """GET asks, POST removes once."""
    demand(request)
    method = _method(request, pk)
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    if request.method != "POST":
        return _ask(admin, request, method)
    try:
        ticket = confirmation_tokens.read(request.POST.get("key", ""), request.user, "remove", [method.pk])
    except TokenRefused as refusal:
        return _ask(admin, request, method, str(refusal))
    try:
        operations.remove_payment_method(method=method, actor=request.user, key=ticket.key)
    except GovPayError as error:
        tell(request, error)
    else:
        messages.success(request, _("The saved payment method was removed; its payments stay as they are."))
    return HttpResponseRedirect(page_of(method))


def _ask(admin: ModelAdmin[Any], request: HttpRequest, method: SavedPaymentMethod, problem: str = "") -> HttpResponse:
    table = Table(
        title=_("Saved payment method"),
        heads=(_("Method"), _("Expires"), _("Default"), _("Customer"), _("Payment account")),
        rows=[
            (
                link_to(method, method_label(method)),
                expiry(method),
                _("Yes") if method.is_default else _("No"),
                relative(method, "customer"),
                relative(method, "account"),
            )
        ],
    )
    context = {
        "title": _("Remove this saved payment method?"),
        "problem": problem,
        "doable": not method.deleted_at,
        "consequence": _(
            "The platform forgets it, so that it cannot be charged any more. Its payments, and refunds to it, "
            "stay possible. This cannot be undone: the customer has to enter it again."
        ),
        "tables": [table],
        "key": confirmation_tokens.sign(request.user, "remove", [method.pk], {}),
        "button": _("Remove"),
        "back": page_of(method),
    }
    return render(admin, request, "govpay/admin/confirm.html", context, 400 if problem else 200)


def wallet_view(admin: ModelAdmin[Any], request: HttpRequest, pk: int) -> HttpResponse:
    """POST opens a wallet session of the customer, GET ``?session=`` shows the vendor's component in it.

    Staff type a card for somebody into the component's own frame: its number comes neither here nor to the site.
    """
    demand(request)
    visible = Customer.objects.visible_to(request.user)
    customer = visible.filter(pk=pk, deleted_at=None).select_related("account").first()
    if customer is None:
        raise Http404
    if request.method == "POST":
        return _open(request, customer)
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    session = _session(request, customer, request.GET.get("session", ""))
    if session is None or session.status != SessionStatus.ACTIVE or not _can_be_opened(session):
        messages.warning(request, _("The wallet was closed meanwhile; open it again."))
        return HttpResponseRedirect(page_of(customer))
    script = conf.get("COMPONENT_SCRIPT_URL")
    context = {
        "title": _("Saved payment methods of %(customer)s") % {"customer": customer},
        "session": session,
    }
    # No page of the admin: its scripts, and those of a theme, have no business where a card is typed.
    response = TemplateResponse(request, "govpay/admin/wallet.html", context)
    response["Content-Security-Policy"] = component_policy(script, conf.get("API_URL"))
    response["Referrer-Policy"] = "same-origin"
    return response


def _open(request: HttpRequest, customer: Customer) -> HttpResponse:
    if request.POST.get("session"):
        return _close(request, customer)
    if not conf.get("COMPONENT_SCRIPT_URL"):
        messages.error(request, _("COMPONENT_SCRIPT_URL is not set, so the wallet cannot be shown."))
        return HttpResponseRedirect(page_of(customer))
    try:
        session = operations.create_wallet_session(customer=customer, actor=request.user)
    except GovPayError as error:
        tell(request, error)
        return HttpResponseRedirect(page_of(customer))
    return HttpResponseRedirect(f"{reverse('admin:govpay_customer_wallet', args=[customer.pk])}?session={session.uid}")


def _close(request: HttpRequest, customer: Customer) -> HttpResponse:
    """End the session and read what is on file now."""
    session = _session(request, customer, request.POST["session"])
    try:
        if session is not None and session.status == SessionStatus.ACTIVE:
            operations.expire_hosted_session(session=session, actor=request.user)
        operations.refresh_wallet(customer=customer)
    except GovPayError as error:
        tell(request, error)
    return HttpResponseRedirect(page_of(customer))


def _session(request: HttpRequest, customer: Customer, uid: str) -> HostedSession | None:
    """A wallet session of this customer."""
    visible = HostedSession.objects.visible_to(request.user).filter(customer=customer.uid, scope="wallet")
    return None if "\x00" in uid else visible.filter(uid=uid).first()


def _can_be_opened(session: HostedSession) -> bool:
    sealed: Any = session.credential
    try:
        return sealed is not None and bool(sealed.reveal())
    except EncryptionError:
        return False


def demand(request: HttpRequest) -> None:
    """On every method and address. Raises ``PermissionDenied``."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied


def _method(request: HttpRequest, pk: int) -> SavedPaymentMethod:
    visible = SavedPaymentMethod.objects.visible_to(request.user)
    method = visible.select_related("customer", "account").filter(pk=pk).first()
    if method is None:
        raise Http404
    return method

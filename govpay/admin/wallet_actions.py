"""Actions on saved payment methods: remove one, make one the default, open the wallet to add one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay import conf, operations
from govpay.admin.confirmation_views import ConfirmationView, PostView
from govpay.admin.formatting import Table, expiry, link_to, method_label, relative
from govpay.exceptions import EncryptionError, GovPayError
from govpay.models import Customer, HostedSession, SavedPaymentMethod
from govpay.models.choices import SessionStatus
from govpay.models.permissions import MANAGE_WALLET
from govpay.security.headers import component_policy


class MethodView(PostView):
    """Base of the views of one saved payment method."""

    permission = MANAGE_WALLET

    def rows(self) -> Any:
        return SavedPaymentMethod.objects.visible_to(self.request.user).select_related("customer", "account")


class SetDefaultMethodView(MethodView):
    """Make the method the customer's default. If it is the default already, nothing changes."""

    def execute(self) -> tuple[int, str]:
        operations.set_default_payment_method(method=self.row, actor=self.request.user)
        return messages.SUCCESS, _("It is the customer's default now.")


class RemoveMethodView(MethodView, ConfirmationView):
    signed_action = "remove"
    title = gettext_lazy("Remove this saved payment method?")
    consequence = gettext_lazy(
        "The platform forgets it, so that it cannot be charged any more. Its payments, and refunds to it, "
        "stay possible. This cannot be undone: the customer has to enter it again."
    )
    button = gettext_lazy("Remove")

    def token_ids(self) -> list[int]:
        return [self.row.pk]

    def context(self) -> dict[str, Any]:
        method = self.row
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
        return {"doable": not method.deleted_at, "tables": [table]}

    def execute(self) -> tuple[int, str]:
        operations.remove_payment_method(method=self.row, actor=self.request.user, key=self.token.key)
        return messages.SUCCESS, _("The saved payment method was removed; its payments stay as they are.")


class WalletView(PostView):
    """Open a wallet session of the customer on POST; show the vendor's component for ``?session=`` on GET.

    Staff type the card number into the component's own frame: neither this view nor the page's scripts receive it.
    """

    http_method_names = ["get", "head", "post"]
    permission = MANAGE_WALLET

    def rows(self) -> Any:
        return Customer.objects.visible_to(self.request.user).filter(deleted_at=None).select_related("account")

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        self.load()
        session = self.session(request.GET.get("session", ""))
        if session is None or session.status != SessionStatus.ACTIVE or not _can_be_opened(session):
            messages.warning(request, _("The wallet was closed meanwhile; open it again."))
            return HttpResponseRedirect(self.back())
        context = {
            "title": _("Saved payment methods of %(customer)s") % {"customer": self.row},
            "session": session,
        }
        # Not rendered as an admin page: scripts of the admin and of a theme must not run where a card is typed.
        response = TemplateResponse(request, "govpay/admin/wallet.html", context)
        response["Content-Security-Policy"] = component_policy(conf.get("COMPONENT_SCRIPT_URL"), conf.get("API_URL"))
        response["Referrer-Policy"] = "same-origin"
        return response

    def run(self) -> HttpResponse:
        try:
            address = self.close() if self.request.POST.get("session") else self.open()
        except GovPayError as error:
            return self.fail(error)
        return HttpResponseRedirect(address)

    def open(self) -> str:
        if not conf.get("COMPONENT_SCRIPT_URL"):
            messages.error(self.request, _("COMPONENT_SCRIPT_URL is not set, so the wallet cannot be shown."))
            return self.back()
        session = operations.create_wallet_session(customer=self.row, actor=self.request.user)
        return f"{reverse('admin:govpay_customer_wallet', args=[self.row.pk])}?session={session.uid}"

    def close(self) -> str:
        """End the session, read the wallet from the platform, and return the URL of the customer's page."""
        session = self.session(self.request.POST["session"])
        if session is not None and session.status == SessionStatus.ACTIVE:
            operations.expire_hosted_session(session=session, actor=self.request.user)
        operations.refresh_wallet(customer=self.row)
        return self.back()

    def session(self, uid: str) -> HostedSession | None:
        """Return this customer's wallet session ``uid``, or ``None``."""
        visible = HostedSession.objects.visible_to(self.request.user).filter(customer=self.row.uid, scope="wallet")
        return None if "\x00" in uid else visible.filter(uid=uid).first()


def _can_be_opened(session: HostedSession) -> bool:
    sealed: Any = session.credential
    try:
        return sealed is not None and bool(sealed.reveal())
    except EncryptionError:
        return False

"""Payment pages: ``pay/<public id>/`` for a payment link or a session, and the done page with the outcome."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from govpay import conf, operations, ratelimit
from govpay.addresses import public_address
from govpay.cache import FailOpenCache, done_page_key
from govpay.decorators import public
from govpay.exceptions import EncryptionError, GovPayError, OperationRefused
from govpay.models import HostedSession, Payment, PaymentAccount, PaymentLink
from govpay.models.choices import LinkState, PaymentStatus, SessionStatus
from govpay.models.fields import Sealed
from govpay.security.headers import component_policy, with_security_headers
from govpay.security.tracebacks import scrub_traceback
from govpay.sync import sessions
from govpay.sync.transactions import in_transaction

logger = logging.getLogger("govpay.checkout")

#: Minimum seconds between two requests of done pages for one session, however many pages are open.
ASK_EVERY = 5

_cache = FailOpenCache("cache of done pages")


#: A state of the done page only: no session is open, but the payment link can still be paid.
UNPAID = "unpaid"


@dataclass(frozen=True)
class PayerRequest:
    """The payment link or hosted session of a payment page."""

    public_id: str
    link: PaymentLink | None
    session: HostedSession | None

    @property
    def row(self) -> PaymentLink | HostedSession:
        row = self.link or self.session
        assert row is not None  # noqa: S101 - one of them was found
        return row

    @property
    def state(self) -> str:
        """``open``, ``paid``, ``cancelled`` or ``expired``."""
        if self.link is not None:
            over = self.link.state == LinkState.OPEN and self.link.expires_at <= timezone.now()
            paid = self.session is not None and self.session.status == SessionStatus.COMPLETED
            return LinkState.PAID.value if paid else LinkState.EXPIRED.value if over else self.link.state
        status = self.session.status if self.session is not None else ""
        known: dict[str, LinkState] = {
            SessionStatus.ACTIVE: LinkState.OPEN,
            SessionStatus.COMPLETED: LinkState.PAID,
        }
        return known.get(status, LinkState.EXPIRED).value

    @property
    def may_be_paid(self) -> bool:
        """Whether the payer may have paid without our knowing.

        It is not recorded as paid, and our copy of its session has not expired. No page may then say "Nothing was
        charged."
        """
        if self.session is None or self.state == LinkState.PAID:
            return False
        return self.session.status not in (SessionStatus.COMPLETED, SessionStatus.EXPIRED)

    @property
    def payment(self) -> Payment | None:
        """The payment that was made, as the platform charged it; ``None`` if it is not known here yet."""
        if self.session is None:
            return None
        made = Payment.objects.filter(session=self.session.uid, account=self.session.account_id)
        return made.exclude(status=PaymentStatus.FAILED).exclude(total_amount=None).defer("raw").first()


@public
@require_GET
@never_cache
@scrub_traceback
def pay(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show the payment with the vendor's component, or redirect to the vendor's own page.

    Answers 404 for an unknown id, 410 for a closed page, 429 for too many visits, and 503 when no session can be opened
    now. A paid request redirects to the done page. The query string is ignored.
    """
    found = _visited(request, public_id)
    if isinstance(found, HttpResponse):
        return found
    found = _told_anew(found)
    if found.state == LinkState.PAID or (found.state != LinkState.OPEN and found.may_be_paid):
        return HttpResponseRedirect(reverse("govpay:pay-done", args=[public_id]))
    if found.state != LinkState.OPEN:
        return _over(request, found.state)
    try:
        session = _session_of(request, found)
    except OperationRefused as refused:
        logger.warning("payment page %s: %s", public_id, refused)
        again = _find(public_id)
        if again is not None and again.state not in (LinkState.OPEN, LinkState.PAID):
            return _over(request, again.state)
        return _unavailable(request, again)
    except GovPayError as error:
        logger.warning("payment page %s has no session: %s", public_id, error)
        return _unavailable(request, _find(public_id))
    if session is None:
        return HttpResponseRedirect(reverse("govpay:pay-done", args=[public_id]))
    return _shown(request, found, session)


@public
@require_GET
@never_cache
@scrub_traceback
def done(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show the outcome as the platform reports it. The redirect that leads here is never trusted (assumption A28).

    ``?format=json`` returns only ``{"state": …}``, for the waiting page: ``paid``, ``open``, ``unpaid`` (it
    can still be paid), ``expired`` or ``cancelled``.
    """
    found = _visited(request, public_id)
    if isinstance(found, HttpResponse):
        return found
    found = _told_anew(found, always=True)
    state = LinkState.OPEN.value if found.may_be_paid else found.state
    if state == LinkState.OPEN and not found.may_be_paid:
        state = UNPAID
    if request.GET.get("format") == "json":
        return with_security_headers(JsonResponse({"state": state}))
    payment = found.payment if state == LinkState.PAID else None
    return _page(request, "done.html", 200, found=found, row=found.row, state=state, payment=payment)


def _visited(request: HttpRequest, public_id: str) -> PayerRequest | HttpResponse:
    """Return the payer's request, or an error page: for an unknown id, or for too many visits."""
    wait = ratelimit.address_retry_after(request)
    found = None if wait else _find(public_id)
    if found is not None:
        wait = ratelimit.page_retry_after(public_id)
    if wait:
        text = _("There were too many visits just now. Please try again in a minute.")
        response = _page(request, "gone.html", 429, title=_("Please try again"), text=text)
        response["Retry-After"] = str(wait)
        return response
    if found is None:
        return _page(request, "gone.html", 404, title=_("Not found"), text=_("This payment page does not exist."))
    return found


def _told_anew(found: PayerRequest, *, always: bool = False) -> PayerRequest:
    """Read the session again from the platform, and return the updated ``found``.

    Unless ``always`` is true, it is read only if the session may have ended and no delivery said so.
    """
    session = found.session
    if session is None or session.status != SessionStatus.ACTIVE:
        return found
    by_itself = found.link is None and sessions.is_ending(session)
    if not (always or by_itself or found.state != LinkState.OPEN):
        return found
    _read_again(session)
    return _find(found.public_id) or found


def _find(public_id: str) -> PayerRequest | None:
    if "\x00" in public_id:
        return None
    link = PaymentLink.objects.filter(public_id=public_id).first()
    if link is not None:
        session = HostedSession.objects.filter(uid=link.session_id).first() if link.session_id else None
        return PayerRequest(public_id, link, session)
    session = HostedSession.objects.filter(public_id=public_id, deleted_at=None).exclude(scope="wallet").first()
    return None if session is None else PayerRequest(public_id, None, session)


def _session_of(request: HttpRequest, found: PayerRequest) -> HostedSession | None:
    if found.link is None:
        session = found.session
        if session is None or session.credential is None:
            raise OperationRefused("This session cannot be opened here.")
        return session
    address = public_address(request, "govpay:pay-done", found.public_id)
    back = public_address(request, "govpay:pay", found.public_id)
    return operations.open_session(found.link, success_url=address, cancel_url=back)


def _shown(request: HttpRequest, found: PayerRequest, session: HostedSession) -> HttpResponse:
    script = conf.get("COMPONENT_SCRIPT_URL")
    try:
        # The component's template tag does this too, but cannot show an error.
        cast(Sealed, session.credential).reveal()
        hosted = cast(Sealed, session.hosted_url).reveal() if session.hosted_url is not None else ""
    except EncryptionError as error:
        logger.error("session %s: %s", session.uid, error)
        return _unavailable(request, found)
    if hosted and (session.layout == "hosted" or not script):
        return _lead_to(hosted)
    if not script:
        return _unavailable(request, found)
    account = PaymentAccount.objects.filter(uid=session.account_id).first()
    return _page(
        request,
        "pay.html",
        200,
        policy=component_policy(script, conf.get("API_URL")),
        session=session,
        account=account,
        row=found.row,
        link=found.link,
        done_url=reverse("govpay:pay-done", args=[found.public_id]),
    )


def _lead_to(hosted_url: str) -> HttpResponse:
    """Redirect to the vendor's page. The URL's fragment has a credential, so it goes to the payer's browser only."""
    response = HttpResponse(status=302)
    response["Location"] = hosted_url  # unchanged, with its fragment
    return with_security_headers(response)


def _read_again(session: HostedSession) -> None:
    if session.status != SessionStatus.ACTIVE or session.credential is None or not _may_ask(session.uid):
        return
    try:
        document = sessions.read_session(session)
        in_transaction(lambda: sessions.save_session(session.uid, document, extra={"account_id": session.account_id}))
    except GovPayError as error:
        logger.info("session %s could not be read: %s", session.uid, error)  # the webhook brings the status


def _may_ask(session_uid: str) -> bool:
    """Return whether this process may ask now, and mark that it asks. True when the cache is down."""
    return _cache.add(done_page_key(session_uid), "asked", timeout=ASK_EVERY)


def _over(request: HttpRequest, state: str) -> HttpResponse:
    text = _("It was cancelled.") if state == LinkState.CANCELLED else _("It has expired.")
    return _page(request, "gone.html", 410, title=_("This payment page is closed"), text=text)


def _unavailable(request: HttpRequest, found: PayerRequest | None) -> HttpResponse:
    if found is not None and found.may_be_paid:
        text = _(
            "The payment page cannot be opened just now. Please try again in a few minutes. If you have paid already, "
            "you do not need to do anything."
        )
    else:
        text = _("The payment page cannot be opened just now. Nothing was charged. Please try again in a few minutes.")
    response = _page(request, "gone.html", 503, title=_("Please try again"), text=text)
    response["Retry-After"] = "60"
    return response


def _page(request: HttpRequest, template: str, status: int, policy: str = "", **context: Any) -> HttpResponse:
    response = render(request, f"govpay/pay/{template}", context, status=status)
    return with_security_headers(response, policy)

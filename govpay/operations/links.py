"""Payment links: our own requests to pay, valid for days. Each link has at most one open hosted session."""

from __future__ import annotations

import base64
import datetime as dt
import logging
import secrets
import uuid
from typing import Any

from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from govpay.cache import FailOpenCache, link_pause_key
from govpay.client.cards import refuse_cards
from govpay.client.shapes import is_charge
from govpay.exceptions import GovPayError, NotFound, OperationRefused
from govpay.models import Customer, HostedSession, PaymentAccount, PaymentLink
from govpay.models.choices import LinkState, OperationAction, OperationState, SessionStatus, label_of
from govpay.models.money import is_amount, is_currency
from govpay.models.people import kept, person
from govpay.operations import journal
from govpay.operations.sessions import create_hosted_session, expire_hosted_session
from govpay.sync import sessions
from govpay.sync.transactions import in_transaction

logger = logging.getLogger("govpay.operations")

#: The default and the maximum lifetime of a link.
LIFE = dt.timedelta(days=7)
MAX_LIFETIME = dt.timedelta(days=366)

#: A session that expires sooner than this is read again before it is shown to a payer.
MARGIN = dt.timedelta(seconds=60)

#: Seconds after a failure in which no other session is opened for the link, because anybody can load its page.
PAUSE = 30

_cache = FailOpenCache("cache of payment links")

#: The namespace of the UUIDs that are made from a link and the number of its attempt.
NAMESPACE = uuid.UUID("5d5c0e0a-6c0f-4f0e-9a53-0d3a5e6d2f11")


def create_payment_link(
    *,
    account: PaymentAccount,
    amount: int,
    currency: str = "USD",
    reference_id: str = "",
    description: str = "",
    customer: Customer | None = None,
    expires_at: dt.datetime | None = None,
    actor: Any = None,
    key: uuid.UUID | None = None,
) -> PaymentLink:
    """Create a link to pay ``amount`` (minor units, without any fee) once. By default it is valid for a week.

    Nothing is sent: a session is opened when the payer opens the link. The same ``key`` returns the first link again.
    Raises ``OperationRefused``.
    """
    refuse_cards(reference_id=reference_id, description=description)
    is_charge("amount", amount)
    if not is_amount(amount) or not is_currency(currency):
        raise OperationRefused(_("The amount must be whole minor units of an ISO 4217 currency such as USD."))
    if account.deleted_at:
        raise OperationRefused(_("The platform no longer has this payment account."))
    if customer is not None and customer.account_id != account.uid:
        raise OperationRefused(_("The customer belongs to another payment account."))
    if len(reference_id) > 255:
        raise OperationRefused(_("The reference must have at most 255 characters."), field="reference_id")
    now = timezone.now()
    until = now + LIFE if expires_at is None else expires_at
    if not now < until <= now + MAX_LIFETIME:
        raise OperationRefused(_("The end of the link must lie within the coming year."), field="expires_at")
    link, _made = PaymentLink.objects.get_or_create(
        public_id=_public_id(key),
        defaults={
            "account_id": account.uid,
            "customer_id": customer.uid if customer is not None else None,
            "amount": amount,
            "currency": currency,
            "reference_id": reference_id,
            "description": description,
            "expires_at": until,
            **person("created_by", actor),
        },
    )
    return link


def _public_id(key: uuid.UUID | None) -> str:
    """Return an id that cannot be guessed, and that cannot be computed from ``key`` without the site's secret."""
    if key is None:
        return secrets.token_urlsafe(18)
    mark = salted_hmac("govpay.payment_link", str(key), algorithm="sha256").digest()[:18]
    return base64.urlsafe_b64encode(mark).decode()


def cancel_payment_link(*, link: PaymentLink, actor: Any = None) -> PaymentLink:
    """Cancel an open or expired link and expire its session. Other links are refused.

    Raises ``OperationRefused`` and the errors of ``expire_hosted_session``; the link is cancelled in that case, too.
    """
    open_links = PaymentLink.objects.filter(pk=link.pk, state__in=(LinkState.OPEN, LinkState.EXPIRED))
    closed = in_transaction(lambda: open_links.update(state=LinkState.CANCELLED, **kept("cancelled_by", actor)))
    link.refresh_from_db()
    if not closed:
        raise OperationRefused(
            _("This link cannot be used. Its state: %(state)s.") % {"state": label_of(link.state, LinkState)}
        )
    session = HostedSession.objects.filter(uid=link.session_id).exclude(status__in=sessions.ENDED).first()
    if session is not None:
        expire_hosted_session(session=session, actor=actor)
    return link


def open_session(link: PaymentLink, *, success_url: str, cancel_url: str) -> HostedSession | None:
    """Return the session in which ``link`` can be paid now: the open one, or a new one. Returns None for a paid link.

    A new session is opened only after the platform reports that the last one ended unpaid. Concurrent requests open the
    same one, because its key is made from the link and the number of the attempt. So nobody pays twice.

    Raises ``OperationRefused`` for a link that is not open, and the errors of ``create_hosted_session``.
    """
    link.refresh_from_db()
    if link.state == LinkState.PAID:
        return None
    if link.state == LinkState.OPEN and link.expires_at <= timezone.now():
        in_transaction(lambda: _open(link).update(state=LinkState.EXPIRED))
        link.refresh_from_db()
    if link.state != LinkState.OPEN:
        raise OperationRefused(
            _("This link cannot be used. Its state: %(state)s.") % {"state": label_of(link.state, LinkState)}
        )
    session = _look_at(HostedSession.objects.filter(uid=link.session_id).first())
    if session is not None and session.status == SessionStatus.COMPLETED:
        return None
    if session is not None and session.status == SessionStatus.ACTIVE:
        return session
    if session is not None and session.status not in sessions.ENDED:
        raise OperationRefused(_("The outcome of this link's session is not known yet; try again later."))
    if _is_paused(link):
        raise OperationRefused(_("This link could not be opened a moment ago; try again in half a minute."))
    if session is not None:
        _next_attempt(link)
    return _opened(link, success_url, cancel_url)


def close_expired_links() -> int:
    """Set open links whose ``expires_at`` is over to expired. Returns how many."""
    over = PaymentLink.objects.filter(state=LinkState.OPEN, expires_at__lte=timezone.now())
    return in_transaction(lambda: over.update(state=LinkState.EXPIRED))


def _opened(link: PaymentLink, success_url: str, cancel_url: str) -> HostedSession | None:
    attempt = link.attempt
    key = uuid.uuid5(NAMESPACE, f"{link.public_id}:{attempt}")
    account = PaymentAccount.objects.get(uid=link.account_id)
    try:
        session = create_hosted_session(
            account=account,
            amount=link.amount,
            currency=link.currency,
            success_url=success_url,
            cancel_url=cancel_url,
            description=link.description or None,
            customer=Customer.objects.filter(uid=link.customer_id, deleted_at=None).first(),
            metadata={"reference_id": link.reference_id, "payment_link": link.public_id},
            key=key,
        )
    except OperationRefused:
        found = _begun_before(link, key)
        if found is None:
            raise  # no session was created, or another request is creating it now
        session = found
    except GovPayError:
        # This key cannot be used again. A session whose answer was lost cannot be paid: nobody has its credential.
        _pause(link)
        _next_attempt(link)
        raise
    in_transaction(lambda: _open(link).filter(attempt=attempt).update(session_id=session.uid))
    link.refresh_from_db()
    if link.session_id != session.uid:
        # Meanwhile the link was closed or another attempt began. Payers must never get two open sessions.
        raise OperationRefused(_("The link has changed meanwhile."))
    return None if session.status == SessionStatus.COMPLETED else session


def _begun_before(link: PaymentLink, key: uuid.UUID) -> HostedSession | None:
    """Return the session that an interrupted request created with ``key``, perhaps for another host name of this site.

    ``None``: that request is under way, or it created no session that can be used. In the second case the link moves to
    the next attempt, which begins at the next visit.
    """
    earlier = journal.entries().filter(key=key, action=OperationAction.CREATE_SESSION).first()
    if earlier is None or (earlier.is_open and not earlier.is_overdue):
        return None
    if earlier.state == OperationState.SUCCEEDED:
        session = _look_at(HostedSession.objects.filter(uid=earlier.session_id).first())
        if session is not None and session.status != SessionStatus.EXPIRED:
            return session
    _next_attempt(link)
    return None


def _is_paused(link: PaymentLink) -> bool:
    return bool(_cache.get(link_pause_key(str(link.public_id))))


def _pause(link: PaymentLink) -> None:
    _cache.add(link_pause_key(str(link.public_id)), "failed", timeout=PAUSE)


def _open(link: PaymentLink) -> Any:
    return PaymentLink.objects.filter(pk=link.pk, state=LinkState.OPEN)


def _next_attempt(link: PaymentLink) -> None:
    """Increase the attempt number by one. If several requests do this at once, it is increased only once."""
    in_transaction(lambda: _open(link).filter(attempt=link.attempt).update(attempt=F("attempt") + 1))
    link.refresh_from_db()


def _look_at(session: HostedSession | None) -> HostedSession | None:
    """Return the session as it is now. If it expires soon or may have expired, it is read from the platform."""
    if session is None or session.status in sessions.ENDED:
        return session
    is_active = session.status == SessionStatus.ACTIVE
    if is_active and session.expires_at is not None and session.expires_at > timezone.now() + MARGIN:
        return session
    if session.credential is None:
        raise NotFound("The session cannot be read without its credential.")
    document = sessions.read_session(session)
    in_transaction(lambda: sessions.save_session(session.uid, document, extra={"account_id": session.account_id}))
    session.refresh_from_db()
    return session

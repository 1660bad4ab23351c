"""Payment links: a request to pay that lives for days, and the session that it has open."""

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
from govpay.models.choices import LinkState, OperationAction, OperationState, SessionStatus
from govpay.models.money import is_amount, is_currency
from govpay.operations import journal
from govpay.operations.sessions import create_hosted_session, expire_hosted_session
from govpay.sync import sessions
from govpay.sync.transactions import in_transaction

logger = logging.getLogger("govpay.operations")

#: How long a link lives unless told otherwise, and at most.
LIFE = dt.timedelta(days=7)
LONGEST_LIFE = dt.timedelta(days=366)

#: A session that ends sooner than this is not begun with any more.
MARGIN = dt.timedelta(seconds=60)

#: After a failure nobody asks for another session of the same link, in seconds: anybody can load its page.
PAUSE = 30

_cache = FailOpenCache("cache of payment links")

#: Apart from every other use of such names.
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
    """A link to pay ``amount`` (minor units, without any fee) once, good for a week unless told otherwise.

    Nothing is sent: a session is opened when somebody follows it. The same ``key`` gives the first link again.
    Raises ``OperationRefused``.
    """
    refuse_cards(reference_id=reference_id, description=description)
    is_charge("amount", amount)
    if not is_amount(amount) or not is_currency(currency):
        raise OperationRefused("amount must be whole minor units of an ISO 4217 currency such as USD.")
    if account.deleted_at:
        raise OperationRefused(_("The platform no longer has this payment account."))
    if customer is not None and customer.account_id != account.uid:
        raise OperationRefused(_("customer belongs to another payment account."))
    if len(reference_id) > 255:
        raise OperationRefused("reference_id must have at most 255 characters.")
    now = timezone.now()
    until = now + LIFE if expires_at is None else expires_at
    if not now < until <= now + LONGEST_LIFE:
        raise OperationRefused("expires_at must lie within the coming year.")
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
            "created_by": actor if getattr(actor, "pk", None) else None,
        },
    )
    return link


def _public_id(key: uuid.UUID | None) -> str:
    """Nobody guesses it, and without the site's secret nobody makes it of its key."""
    if key is None:
        return secrets.token_urlsafe(18)
    mark = salted_hmac("govpay.payment_link", str(key), algorithm="sha256").digest()[:18]
    return base64.urlsafe_b64encode(mark).decode()


def cancel_payment_link(*, link: PaymentLink, actor: Any = None) -> PaymentLink:
    """Close a link that is open, and the session that it has open. A paid one is refused.

    Raises ``OperationRefused``, and what ``expire_hosted_session`` raises: the link is closed all the same.
    """
    open_links = PaymentLink.objects.filter(pk=link.pk, state__in=(LinkState.OPEN, LinkState.EXPIRED))
    closed = in_transaction(lambda: open_links.update(state=LinkState.CANCELLED))
    link.refresh_from_db()
    if not closed:
        raise OperationRefused(_("This link is %(state)s.") % {"state": link.state})
    session = HostedSession.objects.filter(uid=link.session_id).exclude(status__in=sessions.ENDED).first()
    if session is not None:
        expire_hosted_session(session=session, actor=actor)
    return link


def open_session(link: PaymentLink, *, success_url: str, cancel_url: str) -> HostedSession | None:
    """The session in which ``link`` can be paid now: the one that is open, else a fresh one. ``None``: it is paid.

    A fresh one is opened only when the platform says that the last one ended unpaid, and by one of those who
    ask at once: its key is made of the link and the number of the attempt. So nobody pays twice.

    Raises ``OperationRefused`` for a link that is not open, and what ``create_hosted_session`` raises.
    """
    link.refresh_from_db()
    if link.state == LinkState.PAID:
        return None
    if link.state == LinkState.OPEN and link.expires_at <= timezone.now():
        in_transaction(lambda: _open(link).update(state=LinkState.EXPIRED))
        link.refresh_from_db()
    if link.state != LinkState.OPEN:
        raise OperationRefused(_("This link is %(state)s.") % {"state": link.state})
    session = _look_at(HostedSession.objects.filter(uid=link.session_id).first())
    if session is not None and session.status == SessionStatus.COMPLETED:
        return None
    if session is not None and session.status == SessionStatus.ACTIVE:
        return session
    if session is not None and session.status not in sessions.ENDED:
        raise OperationRefused(_("What became of this link's session cannot be told yet; try again later."))
    if _is_paused(link):
        raise OperationRefused(_("This link could not be opened a moment ago; try again in half a minute."))
    if session is not None:
        _next_attempt(link)
    return _opened(link, success_url, cancel_url)


def close_expired_links() -> int:
    """Links whose days are over; returns how many were closed."""
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
            raise  # nothing was begun, or somebody else is at it
        session = found
    except GovPayError:
        # That key is used up. A session whose answer was lost cannot be paid: nobody has its credential.
        _pause(link)
        _next_attempt(link)
        raise
    in_transaction(lambda: _open(link).filter(attempt=attempt).update(session_id=session.uid))
    link.refresh_from_db()
    if link.session_id != session.uid:
        # It took so long that the link was closed, or somebody moved on: two sessions must not be open for payers.
        raise OperationRefused(_("The link has changed meanwhile."))
    return None if session.status == SessionStatus.COMPLETED else session


def _begun_before(link: PaymentLink, key: uuid.UUID) -> HostedSession | None:
    """The session of an attempt that died before the link knew of it, begun under another name of this site.

    One that came to nothing, or whose answer was lost, is passed: the next visitor begins the next attempt.
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
    """Whoever finds the session ended moves on by one, together with everybody else who finds it so."""
    in_transaction(lambda: _open(link).filter(attempt=link.attempt).update(attempt=F("attempt") + 1))
    link.refresh_from_db()


def _look_at(session: HostedSession | None) -> HostedSession | None:
    """The session as it is now: one that is about to end here, or has, is read before another one is opened."""
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

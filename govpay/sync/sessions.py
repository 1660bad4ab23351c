"""Sync of hosted sessions: each session that is open here is read again with its own credential."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

from django.db.models import Exists, OuterRef, Q, Subquery
from django.utils import timezone

from govpay.connection import get_endpoints
from govpay.exceptions import (
    AuthenticationError,
    EncryptionError,
    Gone,
    InvalidAnswer,
    InvalidRequest,
    NotFound,
    ServerError,
)
from govpay.models import Customer, HostedSession, Payment, PaymentLink
from govpay.models.choices import ONCE_CAPTURED, LinkState, PaymentStatus, SessionStatus, Source
from govpay.models.fields import Sealed
from govpay.security.tracebacks import scrub_traceback
from govpay.sync import mapping
from govpay.sync.passes import SyncPass
from govpay.sync.related import fetch_related
from govpay.sync.transactions import in_transaction, reading
from govpay.sync.upsert import Saved, save_documents

logger = logging.getLogger("govpay.sync")

#: The final statuses. A session with an undocumented status may still be paid.
ENDED = (SessionStatus.COMPLETED, SessionStatus.EXPIRED)

#: Number of sessions that are looked up at a time.
CHUNK = 200
#: A session that ends within this time is read again.
MARGIN = dt.timedelta(seconds=60)


def read_open_sessions(sync_pass: SyncPass) -> None:
    """Read the account's open sessions again, by uid; there is no list of them (assumption A29).

    Each session is committed with its uid as the position, so that an interrupted pass continues after it.
    """
    sync_pass.whole = True
    for session in _open(sync_pass):
        place = {"uid": session.uid}
        try:
            document = read_session(session)
        except (AuthenticationError, EncryptionError, InvalidAnswer, InvalidRequest, NotFound) as error:
            sync_pass.reject(session.uid, str(error), place=place)
        except ServerError:
            sync_pass.commit(Saved, pages=0, place=place)  # the next pass goes on after this session
            raise
        else:
            sync_pass.commit(partial(save_session, session.uid, document, extra=sync_pass.address), place=place)
    _name_payments(str(sync_pass.account_uid))


def _name_payments(account_uid: str) -> None:
    """Set the payment of paid links whose payment was not known here. It is known now, after a sync of payments."""
    paid = Payment.objects.filter(session=OuterRef("session_id")).exclude(status=PaymentStatus.FAILED)
    waiting = PaymentLink.objects.filter(Exists(paid), account=account_uid, state=LinkState.PAID, payment=None)
    if reading(waiting.exists):
        in_transaction(lambda: waiting.update(payment_id=Subquery(paid.values("uid")[:1])))


def _open(sync_pass: SyncPass) -> Iterator[HostedSession]:
    rows = HostedSession.objects.filter(account=sync_pass.account_uid, credential__isnull=False, deleted_at=None)
    rows = rows.exclude(status__in=ENDED).order_by("uid")
    after = (sync_pass.place or {}).get("uid", "")
    chunk: list[HostedSession]
    while chunk := reading(partial(list, rows.filter(uid__gt=after)[:CHUNK])):
        yield from chunk
        after = chunk[-1].uid


@scrub_traceback
def read_session(session: HostedSession) -> dict[str, Any] | None:
    """Return the current document of the session; ``None`` when it expired unpaid.

    Raises ``NotFound``, ``AuthenticationError``, ``EncryptionError``, and other errors of the request.
    """
    try:
        found = get_endpoints().get_hosted_session(session.uid, _credential(session)).raw
    except Gone:
        return _ended(session)
    except (NotFound, AuthenticationError):
        # The credential "lives as long as the session". The answer after the end is not documented.
        if session.expires_at is not None and session.expires_at < timezone.now():
            return _ended(session)
        raise
    # The vendor promises no property of the answer. A missing property changes nothing.
    return {**session.raw, "status": session.status, **found, "session_id": session.uid}


def _ended(session: HostedSession) -> dict[str, Any] | None:
    """Return a completed document if the session was paid, else ``None``. The platform may hide ended sessions."""
    here = Payment.objects.filter(session=session.uid, status__in=ONCE_CAPTURED)
    paid = here.exists() or any(
        document.get("status") in ONCE_CAPTURED
        for document in fetch_related("list_payments", str(session.account_id), "session_id", session.uid)
    )
    if not paid:
        return None
    return {**session.raw, "session_id": session.uid, "status": SessionStatus.COMPLETED.value}


def is_ending(session: HostedSession) -> bool:
    """Return whether the session has expired or expires within ``MARGIN``, so that it must be read again."""
    return session.expires_at is None or session.expires_at <= timezone.now() + MARGIN


def read_or_believe(session: HostedSession, told: SessionStatus) -> dict[str, Any] | None:
    """Return the current document of the session, or ``None`` if it has expired. ``told``: the end in the delivery.

    A completed session never changes again. A read may lag behind, or be refused after the end. So the end in the
    signed delivery counts, unless the read shows that the session was completed.
    """
    found = None
    if session.credential is not None:
        try:
            found = read_session(session)
        except (EncryptionError, NotFound, AuthenticationError, InvalidRequest) as error:
            logger.info("session %s cannot be read any more: %s", session.uid, error)
    if told == SessionStatus.COMPLETED:
        return {**session.raw, **(found or {}), "session_id": session.uid, "status": told.value}
    return found if found is not None and found.get("status") == SessionStatus.COMPLETED else None


def _credential(session: HostedSession) -> str:
    sealed = cast(Sealed, session.credential)
    return sealed.reveal()


@scrub_traceback
def save_session(
    uid: str, document: Mapping[str, Any] | None, *, extra: Mapping[str, Any], source: str = Source.SYNC
) -> Saved:
    """Store the document of a session; ``None`` means that it has expired. A completed session stays completed.

    The end of a session deletes its credential. Call it in a transaction, because it locks the row.
    """
    row = HostedSession.objects.select_for_update().get(uid=uid)
    if document is None:
        if row.status in ENDED:
            return Saved(fetched=1, unchanged=1)  # another worker stored its end meanwhile
        document = {**row.raw, "session_id": uid, "status": SessionStatus.EXPIRED.value}
    elif row.status == SessionStatus.COMPLETED and document.get("status") != SessionStatus.COMPLETED:
        return Saved(fetched=1, unchanged=1)  # the document was read before the session was completed
    # The row is locked, so its values are the known state.
    known = {uid: [row.digest, row.deleted_at, row.status, row.older_seen_at]}
    saved = save_documents(mapping.SESSION, [document], extra=extra, source=source, known=known)
    if document["status"] in ENDED:
        wipe_if_ended(uid, completed=document["status"] == SessionStatus.COMPLETED)
        if row.customer_id:  # the customer may have saved a payment method; the platform sends no webhook for that
            Customer.objects.filter(uid=row.customer_id).update(methods_stale=True)
    return saved


def wipe_if_ended(uid: str, *, completed: bool = False) -> None:
    """Delete the credential of an ended session. If it was ``completed``, its payment link is set to paid."""
    if completed:
        paid = Payment.objects.filter(session=uid).exclude(status=PaymentStatus.FAILED).values("uid")[:1]
        # The end may be known before the payment. A later delivery then brings the payment.
        links = PaymentLink.objects.filter(~Q(state=LinkState.PAID) | Q(payment=None), session=uid)
        links.update(state=LinkState.PAID, payment_id=Subquery(paid))
    ended = HostedSession.objects.filter(uid=uid, status__in=ENDED)
    ended.exclude(credential=None, hosted_url=None).update(credential=None, hosted_url=None)

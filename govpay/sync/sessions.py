"""Hosted sessions: those that are open here are read again with their own credential."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

from django.db.models import Exists, OuterRef, Q, Subquery
from django.utils import timezone

from govpay.connection import get_endpoints
from govpay.exceptions import AuthenticationError, EncryptionError, Gone, InvalidRequest, NotFound
from govpay.models import Customer, HostedSession, Payment, PaymentLink
from govpay.models.choices import LinkState, PaymentStatus, SessionStatus, Source
from govpay.models.fields import Sealed
from govpay.security.tracebacks import scrub_traceback
from govpay.sync import mapping
from govpay.sync.outbox import ONCE_CAPTURED
from govpay.sync.passes import SyncPass
from govpay.sync.related import fetch_related
from govpay.sync.transactions import in_transaction, reading
from govpay.sync.upsert import Saved, save_documents

logger = logging.getLogger("govpay.sync")

#: How a session ends. One whose status nobody has documented may still be paid.
ENDED = (SessionStatus.COMPLETED, SessionStatus.EXPIRED)

#: How many sessions are looked up at a time.
CHUNK = 200
#: A session that ends sooner than this is asked for once more.
MARGIN = dt.timedelta(seconds=60)


def read_open_sessions(sync_pass: SyncPass) -> None:
    """Read the account's open sessions again; there is no list of them (assumption A29)."""
    sync_pass.whole = True
    for session in _open(sync_pass):
        try:
            document = read_session(session)
        except (AuthenticationError, EncryptionError, NotFound) as error:
            sync_pass.reject(session.uid, str(error))
        else:
            sync_pass.commit(partial(save_session, session.uid, document, extra=sync_pass.address))
    _name_payments(str(sync_pass.account_uid))


def _name_payments(account_uid: str) -> None:
    """Links that were known to be paid before their payment was: the list has brought it, if no delivery did."""
    paid = Payment.objects.filter(session=OuterRef("session_id")).exclude(status=PaymentStatus.FAILED)
    waiting = PaymentLink.objects.filter(Exists(paid), account=account_uid, state=LinkState.PAID, payment=None)
    if reading(waiting.exists):
        in_transaction(lambda: waiting.update(payment_id=Subquery(paid.values("uid")[:1])))


def _open(sync_pass: SyncPass) -> Iterator[HostedSession]:
    rows = HostedSession.objects.filter(account=sync_pass.account_uid, credential__isnull=False, deleted_at=None)
    rows = rows.exclude(status__in=ENDED).order_by("uid")
    after = ""
    chunk: list[HostedSession]
    while chunk := reading(partial(list, rows.filter(uid__gt=after)[:CHUNK])):
        yield from chunk
        after = chunk[-1].uid


@scrub_traceback
def read_session(session: HostedSession) -> dict[str, Any] | None:
    """The session as it is now; ``None`` once it has expired unpaid.

    Raises ``NotFound``, ``AuthenticationError``, ``EncryptionError``, and what else keeps it from being told.
    """
    try:
        found = get_endpoints().get_hosted_session(session.uid, _credential(session)).raw
    except Gone:
        return _ended(session)
    except (NotFound, AuthenticationError):  # "lives as long as the session", whatever that is answered with
        if session.expires_at is not None and session.expires_at < timezone.now():
            return _ended(session)
        raise
    # No property of the answer is promised; silence changes nothing.
    return {**session.raw, "status": session.status, **found, "session_id": session.uid}


def _ended(session: HostedSession) -> dict[str, Any] | None:
    """As completed if money came of it: a platform may refuse to show a session that was paid like one that expired."""
    here = Payment.objects.filter(session=session.uid, status__in=ONCE_CAPTURED)
    paid = here.exists() or any(
        document.get("status") in ONCE_CAPTURED
        for document in fetch_related("list_payments", str(session.account_id), "session_id", session.uid)
    )
    if not paid:
        return None
    return {**session.raw, "session_id": session.uid, "status": SessionStatus.COMPLETED.value}


def is_ending(session: HostedSession) -> bool:
    """Whether its time is over, or so nearly that it is better read than believed."""
    return session.expires_at is None or session.expires_at <= timezone.now() + MARGIN


def read_or_believe(session: HostedSession, told: SessionStatus) -> dict[str, Any] | None:
    """The session as it is now, but ended as we were ``told`` by a signed delivery. ``None``: it has expired.

    A session can be completed once and never afterwards be anything else, and a read may lag behind or be
    refused once it has ended; so what was told of its end stands, unless the read knows that it was completed.
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
    """Store what was read of a session; ``None``: that it has expired. A completed one stays so.

    The end of a session wipes its credential.
    """
    row = HostedSession.objects.select_for_update().get(uid=uid)
    if document is None:
        if row.status in ENDED:
            return Saved(fetched=1, unchanged=1)  # somebody else learnt its end meanwhile
        document = {**row.raw, "session_id": uid, "status": SessionStatus.EXPIRED.value}
    elif row.status == SessionStatus.COMPLETED and document.get("status") != SessionStatus.COMPLETED:
        return Saved(fetched=1, unchanged=1)  # it was read before it was completed
    # The row is locked, so what it says is what is known.
    known = {uid: [row.digest, row.deleted_at, row.status]}
    saved = save_documents(mapping.SESSION, [document], extra=extra, source=source, known=known)
    if document["status"] in ENDED:
        wipe_if_ended(uid, completed=document["status"] == SessionStatus.COMPLETED)
        if row.customer_id:  # who may have saved a method in it, of which no delivery tells
            Customer.objects.filter(uid=row.customer_id).update(methods_stale=True)
    return saved


def wipe_if_ended(uid: str, *, completed: bool = False) -> None:
    """Forget the credential of a session that is not open any more; if it was paid, so is the link that opened it."""
    if completed:
        paid = Payment.objects.filter(session=uid).exclude(status=PaymentStatus.FAILED).values("uid")[:1]
        # Its end may be known before its payment is, which the delivery then brings.
        links = PaymentLink.objects.filter(~Q(state=LinkState.PAID) | Q(payment=None), session=uid)
        links.update(state=LinkState.PAID, payment_id=Subquery(paid))
    ended = HostedSession.objects.filter(uid=uid, status__in=ENDED)
    ended.exclude(credential=None, hosted_url=None).update(credential=None, hosted_url=None)

"""Hosted sessions: those that are open here are read again with their own credential."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

from django.utils import timezone

from govpay.connection import get_endpoints
from govpay.exceptions import EncryptionError, Gone, NotFound
from govpay.models import HostedSession
from govpay.models.choices import SessionStatus, Source
from govpay.models.fields import Sealed
from govpay.sync import mapping
from govpay.sync.rounds import Round
from govpay.sync.upsert import Saved, save_documents

#: How many sessions are looked up at a time.
CHUNK = 200


def read_open_sessions(round: Round) -> None:
    """Read the account's open sessions again; there is no list of them (assumption A29)."""
    round.whole = True
    for session in _open(round):
        try:
            document = _read(session)
        except (EncryptionError, NotFound) as error:
            round.reject(session.uid, str(error))
        else:
            round.commit(partial(save_session, session.uid, document, extra=round.address))


def _open(round: Round) -> Iterator[HostedSession]:
    rows = HostedSession.objects.filter(
        account=round.account_uid, status=SessionStatus.ACTIVE, credential__isnull=False, deleted_at=None
    ).order_by("uid")
    after = ""
    while chunk := list(rows.filter(uid__gt=after)[:CHUNK]):
        yield from chunk
        after = chunk[-1].uid


def _read(session: HostedSession) -> dict[str, Any] | None:
    """The session as it is now; ``None`` once it has expired. Raises ``NotFound``, ``EncryptionError``."""
    try:
        found = get_endpoints().get_hosted_session(session.uid, _credential(session)).raw
    except Gone:
        return None
    except NotFound:
        if session.expires_at is not None and session.expires_at < timezone.now():
            return None
        raise
    # No property of the answer is promised; silence changes nothing.
    return {"status": session.status, **found, "session_id": session.uid}


def read_or_believe(session: HostedSession, told: SessionStatus) -> dict[str, Any] | None:
    """The session as it is now; without a usable credential as we were ``told``. ``None`` once it has expired."""
    if session.credential is not None:
        try:
            return _read(session)
        except (EncryptionError, NotFound):
            pass  # it cannot be read any more, so the word of the delivery has to do
    return None if told == SessionStatus.EXPIRED else {**session.raw, "session_id": session.uid, "status": told.value}


def _credential(session: HostedSession) -> str:
    sealed = cast(Sealed, session.credential)
    return sealed.reveal()


def save_session(
    uid: str, document: Mapping[str, Any] | None, *, extra: Mapping[str, Any], source: str = Source.SYNC
) -> Saved:
    """Store what was read of a session; ``None``: that it has expired. A completed one stays so.

    The end of a session wipes its credential.
    """
    row = HostedSession.objects.select_for_update().get(uid=uid)
    if document is None:
        if row.status != SessionStatus.ACTIVE:
            return Saved(fetched=1, unchanged=1)  # somebody else learnt its end meanwhile
        document = {**row.raw, "session_id": uid, "status": SessionStatus.EXPIRED.value}
    elif row.status == SessionStatus.COMPLETED and document.get("status") != SessionStatus.COMPLETED:
        return Saved(fetched=1, unchanged=1)  # it was read before it was completed
    saved = save_documents(mapping.SESSION, [document], extra=extra, source=source)
    if document["status"] != SessionStatus.ACTIVE:
        HostedSession.objects.filter(uid=uid).update(credential=None, hosted_url=None)
    return saved

"""``govpay.sync.sessions``: open sessions are read again until they end."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from django.utils import timezone

from govpay.client.tenant_shapes import CreateHostedSession
from govpay.connection import get_endpoints
from govpay.models import HostedSession
from govpay.models.fields import Sealed
from govpay.sync.pull import pull
from tests.reading import Heard, counts, cursor_of, read, watch

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def open_session(sandbox: Any, account: str) -> Callable[[], HostedSession]:
    """A session as an operation leaves it here."""

    def make() -> HostedSession:
        body = CreateHostedSession(
            amount=5000, currency="USD", success_url="https://city.example/ok", cancel_url="https://city.example/no"
        )
        made = get_endpoints().create_hosted_session(account, body, idempotency_key=str(uuid.uuid4()))
        return HostedSession.objects.create(
            uid=made.session_id,
            account_id=account,
            customer_id="cus_1",
            status="active",
            amount=5000,
            expires_at=made.expires_at,
            metadata={"order": 7},
            credential=made.client_secret,
            hosted_url=made.hosted_url,
            raw={"session_id": made.session_id, "status": "active"},
        )

    return make


def test_an_open_session_stays_open_and_keeps_its_credential(
    sandbox: Any, account: str, open_session: Callable[[], HostedSession]
) -> None:
    session = open_session()
    secret = session.credential
    assert counts(read("sessions", account)) == {"updated": 1}
    assert counts(read("sessions", account)) == {"unchanged": 1}
    session.refresh_from_db()
    assert (session.status, session.customer_id, session.metadata) == ("active", "cus_1", {"order": 7})
    assert session.credential.reveal() == secret
    assert secret not in str(session.raw)


@pytest.mark.parametrize("ended", ["completed", "expired"])
def test_a_session_that_ended_is_told_once_and_wiped(
    sandbox: Any, account: str, heard: Heard, open_session: Callable[[], HostedSession], ended: str
) -> None:
    read("sessions", account)  # the first run is over
    session = open_session()
    if ended == "expired":
        sandbox.advance(2 * 3600)
    else:
        sandbox.touch("session", session.uid, status="completed")
    assert counts(read("sessions", account)) == {"updated": 1}
    session.refresh_from_db()
    assert (session.status, session.credential, session.hosted_url) == (ended, None, None)
    assert (session.customer_id, session.metadata) == ("cus_1", {"order": 7})
    assert heard.signals == [(f"session_{ended}", session.uid, "sync")]
    calls = watch(sandbox)
    assert counts(read("sessions", account)) == {}
    assert len(calls) == 0


@pytest.mark.parametrize("overdue", [False, True])
def test_a_session_that_the_platform_does_not_know_expires_with_its_time(
    sandbox: Any, account: str, open_session: Callable[[], HostedSession], overdue: bool
) -> None:
    session = open_session()
    if overdue:
        HostedSession.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    sandbox.fault(f"GET /v1/hosted-sessions/{session.uid}", status=404)
    run = read("sessions", account)
    session.refresh_from_db()
    assert session.status == ("expired" if overdue else "active")
    assert counts(run) == ({"updated": 1} if overdue else {"rejected_count": 1})
    assert run.error == ""


def test_a_session_whose_key_is_lost_does_not_stop_the_others(
    sandbox: Any, account: str, open_session: Callable[[], HostedSession]
) -> None:
    """Faults S3."""
    sessions = sorted((open_session() for _ in range(3)), key=lambda row: row.uid)
    foreign = Fernet(Fernet.generate_key()).encrypt(b"x").decode()
    HostedSession.objects.filter(pk=sessions[0].pk).update(credential=Sealed(foreign))
    run = read("sessions", account)
    assert counts(run) == {"updated": 2, "rejected_count": 1}
    assert run.rejected[0]["uid"] == sessions[0].uid


def test_an_end_that_came_another_way_is_not_overwritten(
    sandbox: Any, account: str, open_session: Callable[[], HostedSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our read (410) and our write, a webhook has reported the true end."""
    session = open_session()
    sandbox.advance(2 * 3600)
    faults = sandbox.platform.faults
    take = faults.take

    def take_after_webhook(method: str, path: str) -> Any:
        if (method, path) == ("GET", f"/v1/hosted-sessions/{session.uid}"):
            HostedSession.objects.filter(pk=session.pk).update(status="completed")
            connection.close()  # of the platform's thread
        return take(method, path)

    monkeypatch.setattr(faults, "take", take_after_webhook)
    assert counts(read("sessions", account)) == {"unchanged": 1}
    session.refresh_from_db()
    assert session.status == "completed"


def test_an_answer_without_a_status_changes_none(
    sandbox: Any, account: str, open_session: Callable[[], HostedSession]
) -> None:
    session = open_session()
    sandbox.fault(f"GET /v1/hosted-sessions/{session.uid}", body='{"amount": 5000}', status=200)
    read("sessions", account)
    session.refresh_from_db()
    assert session.status == "active"
    assert session.credential is not None


def test_a_pass_gives_its_slot_back_and_goes_on_after_the_last_session(
    sandbox: Any, account: str, open_session: Callable[[], HostedSession]
) -> None:
    uids = sorted(open_session().uid for _ in range(3))
    sandbox.fault(f"GET /v1/hosted-sessions/{uids[1]}", status=404)
    calls = watch(sandbox)
    states = [pull("sessions", account, until=0.0).state for _ in range(4)]
    assert states == ["interrupted"] * 3 + ["succeeded"]
    assert [call["path"] for call in calls.all] == [f"/v1/hosted-sessions/{uid}" for uid in uids]
    assert cursor_of("sessions", account).position is None
    assert counts(read("sessions", account)) == {"unchanged": 2, "rejected_count": 1}


@pytest.mark.parametrize(("status", "states"), [(400, ["succeeded"]), (500, ["failed", "succeeded"])])
def test_a_session_that_cannot_be_read_stops_no_other(
    sandbox: Any, settings: Any, account: str, open_session: Callable[[], HostedSession], status: int, states: list[str]
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    uids = sorted(open_session().uid for _ in range(3))
    sandbox.fault(f"GET /v1/hosted-sessions/{uids[1]}", status=status)
    calls = watch(sandbox)
    assert [pull("sessions", account).state for _ in states] == states
    assert [call["path"] for call in calls.all] == [f"/v1/hosted-sessions/{uid}" for uid in uids]

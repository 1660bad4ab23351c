"""Payment links: a session is opened once, found again after a crash, and not requested too often."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.cache import cache as entries
from django.utils import timezone

from govpay import cache, operations
from govpay.exceptions import APIError, OperationRefused
from govpay.models import HostedSession, Operation, PaymentLink
from govpay.operations import links
from tests.operations.merchant import Merchant

pytestmark = pytest.mark.django_db(transaction=True)

CREATE = "POST /v1/hosted-sessions"
HERE, THERE = "https://city.example/", "https://www.city.example/"


@pytest.fixture
def merchant(sandbox: Any, settings: Any) -> Merchant:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": [HERE.rstrip("/"), THERE.rstrip("/")]}
    return Merchant(sandbox)


@pytest.fixture
def link(merchant: Merchant) -> PaymentLink:
    return operations.create_payment_link(account=merchant.account, amount=5000)


def follow(link: PaymentLink, address: str = HERE) -> HostedSession | None:
    return operations.open_session(link, success_url=address, cancel_url=address)


def sent(merchant: Merchant) -> int:
    calls = [call for call in merchant.sandbox.requests() if call["path"] == "/v1/hosted-sessions"]
    return sum(call["status"] != 401 for call in calls)


@pytest.fixture
def begun(merchant: Merchant, link: PaymentLink, monkeypatch: pytest.MonkeyPatch) -> HostedSession:
    """The session of a process that died before the link knew of it."""
    real = links.create_hosted_session

    def dies(**given: Any) -> None:
        real(**given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(links, "create_hosted_session", dies)
        with pytest.raises(KeyboardInterrupt):
            follow(link)
    link.refresh_from_db()
    assert not link.session_id
    return HostedSession.objects.get()


def test_a_session_begun_under_another_host_name_is_found_again(
    merchant: Merchant, link: PaymentLink, begun: HostedSession
) -> None:
    for address in (THERE, HERE, THERE):
        session = follow(link, address)
        assert session is not None
        assert session.uid == begun.uid
    assert link.session_id == begun.uid
    assert sent(merchant) == 1


def test_one_that_was_paid_meanwhile_is_not_opened_again(
    merchant: Merchant, link: PaymentLink, begun: HostedSession
) -> None:
    merchant.sandbox.confirm_session(begun.uid)
    HostedSession.objects.update(expires_at=timezone.now() - dt.timedelta(minutes=1))
    assert follow(link, THERE) is None
    assert sent(merchant) == 1


def test_one_that_ended_meanwhile_is_followed_by_another(
    merchant: Merchant, link: PaymentLink, begun: HostedSession
) -> None:
    operations.expire_hosted_session(session=begun)
    with pytest.raises(OperationRefused):
        follow(link, THERE)
    session = follow(link, THERE)
    assert session is not None
    assert session.uid != begun.uid
    assert HostedSession.objects.filter(status="active").count() == 1


@pytest.mark.parametrize("state", ["failed", "unknown"])
def test_one_that_came_to_nothing_is_followed_by_another(
    merchant: Merchant, link: PaymentLink, begun: HostedSession, state: str
) -> None:
    begun.delete()
    over = timezone.now() - dt.timedelta(seconds=1)
    Operation.objects.update(state=state, deadline_at=over, session=None)
    with pytest.raises(OperationRefused):
        follow(link, THERE)
    assert follow(link, THERE) is not None
    assert link.attempt == 1


def test_one_that_may_be_under_way_is_waited_for(merchant: Merchant, link: PaymentLink, begun: HostedSession) -> None:
    Operation.objects.update(state="started", deadline_at=timezone.now() + dt.timedelta(minutes=1), session=None)
    for _ in range(2):
        with pytest.raises(OperationRefused):
            follow(link, THERE)
    assert (link.attempt, sent(merchant)) == (0, 1)


def test_after_a_failure_there_is_a_pause(merchant: Merchant, link: PaymentLink) -> None:
    merchant.sandbox.fault(CREATE, status=422)
    with pytest.raises(APIError):
        follow(link)
    for _ in range(4):
        with pytest.raises(OperationRefused, match="a moment ago"):
            follow(link)
    assert (sent(merchant), Operation.objects.count()) == (1, 1)
    assert link.public_id not in cache.link_pause_key(str(link.public_id))
    other = operations.create_payment_link(account=merchant.account, amount=700)
    with pytest.raises(APIError):
        follow(other)
    merchant.sandbox.clear_faults()
    entries.clear()
    assert follow(link) is not None


def test_a_cache_that_is_down_costs_the_pause_alone(
    merchant: Merchant, link: PaymentLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant.sandbox.fault(CREATE, status=422, times=1)
    monkeypatch.setattr(cache, "caches", {})
    with pytest.raises(APIError):
        follow(link)
    assert follow(link) is not None


def test_the_session_of_an_open_link_keeps_its_amount(merchant: Merchant, link: PaymentLink) -> None:
    session = follow(link)
    assert session is not None
    with pytest.raises(OperationRefused, match="payment link"):
        operations.update_hosted_session(session=session, amount=9900)
    assert not Operation.objects.filter(action="update_session").exists()
    session.refresh_from_db()
    assert session.amount == 5000


def test_session_of_a_status_that_nobody_documented_may_still_be_paid(merchant: Merchant, link: PaymentLink) -> None:
    """It keeps its credential, is read again, and no second one is opened beside it."""
    session = follow(link)
    assert session is not None
    merchant.sandbox.fault("GET /v1/hosted-sessions/{uid}", strange="status")
    HostedSession.objects.update(expires_at=timezone.now())  # so that it is read
    for _ in range(2):
        with pytest.raises(OperationRefused, match="is not known yet"):
            follow(link)
    session.refresh_from_db()
    assert (session.status, session.credential is not None) == ("of_tomorrow", True)
    assert sent(merchant) == 1
    merchant.sandbox.clear_faults()
    merchant.sync("sessions")
    session.refresh_from_db()
    assert session.status == "active"
    assert (follow(link) or session).uid == session.uid
    assert sent(merchant) == 1


def test_cancelling_ends_a_session_whose_status_nobody_documented(merchant: Merchant, link: PaymentLink) -> None:
    session = follow(link)
    assert session is not None
    HostedSession.objects.update(status="of_tomorrow")
    operations.cancel_payment_link(link=link)
    assert merchant.sandbox.get("session", session.uid)["status"] == "expired"
    session.refresh_from_db()
    assert (session.status, session.credential) == ("expired", None)

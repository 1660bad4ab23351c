"""``govpay.web.checkout``: what a payer sees, and that nothing is paid twice."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connections
from django.test import Client
from django.utils import timezone

from govpay import operations, tasks
from govpay.exceptions import OperationRefused
from govpay.models import HostedSession, Operation, Payment, PaymentLink
from govpay.sync import sessions
from govpay.sync.transactions import in_transaction
from tests.events import event_for
from tests.operations.merchant import Merchant

pytestmark = pytest.mark.django_db(transaction=True)

SCRIPT = "https://cdn.example/govifi.js"
ADDRESSES = {"success_url": "https://testserver/paid", "cancel_url": "https://testserver/back"}


@pytest.fixture
def merchant(sandbox: Any, settings: Any) -> Merchant:
    settings.GOVPAY = {
        **settings.GOVPAY,
        "CHECKOUT_ORIGINS": ["https://testserver"],
        "COMPONENT_SCRIPT_URL": SCRIPT,
        "COMPONENT_SCRIPT_INTEGRITY": "sha384-abc",
    }
    return Merchant(sandbox)


def browse(path: str, **options: Any) -> Any:
    return Client().get(path, secure=True, **options)


def link_of(merchant: Merchant, **given: Any) -> PaymentLink:
    return operations.create_payment_link(
        **{"account": merchant.account, "amount": 5000, "description": "Water", **given}
    )


def session_of(merchant: Merchant, **given: Any) -> HostedSession:
    return operations.create_hosted_session(account=merchant.account, amount=5000, **ADDRESSES, **given)


def opened(merchant: Merchant) -> int:
    """How many sessions were asked for; a call that a new token repeats counts once."""
    calls = [call for call in merchant.sandbox.requests() if call["path"] == "/v1/hosted-sessions"]
    return sum(call["status"] != 401 for call in calls)


def complete(session: HostedSession) -> None:
    """As the webhook leaves it."""
    document = {**session.raw, "session_id": session.uid, "status": "completed"}
    extra = {"account_id": session.account_id}
    in_transaction(lambda: sessions.save_session(session.uid, document, extra=extra))


def test_a_link_opens_a_session_and_keeps_to_it(merchant: Merchant) -> None:
    link = link_of(merchant, reference_id="INV-7")
    for _ in range(3):
        answer = browse(f"/govpay/pay/{link.public_id}/")
        assert answer.status_code == 200
    assert opened(merchant) == 1
    session = HostedSession.objects.get()
    text = answer.content.decode()
    assert f'session-id="{session.uid}"' in text
    assert f'client-secret="{session.credential.reveal()}"' in text  # type: ignore[union-attr]
    assert f'src="{SCRIPT}" integrity="sha384-abc"' in text
    assert "INV-7" in text
    assert "$50.00" in text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "no-store" in answer.headers["Cache-Control"]
    assert session.metadata == {"reference_id": "INV-7", "payment_link": link.public_id}


def test_the_policy_of_the_page(merchant: Merchant, settings: Any) -> None:
    policy = browse(f"/govpay/pay/{link_of(merchant).public_id}/").headers["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for name in ("script-src", "style-src", "font-src"):
        assert rules[name] == "'self' https://cdn.example"
    assert settings.GOVPAY["API_URL"] in rules["connect-src"]
    assert {"https://cdn.example", settings.GOVPAY["API_URL"]} < set(rules["frame-src"].split())
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy


def test_without_a_component_the_payer_is_led_to_the_vendors_page(merchant: Merchant, settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "COMPONENT_SCRIPT_URL": ""}
    answer = browse(f"/govpay/pay/{link_of(merchant).public_id}/")
    assert answer.status_code == 302
    assert answer.headers["Location"] == HostedSession.objects.get().hosted_url.reveal()  # type: ignore[union-attr]
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_many_payers_at_once_get_one_session(merchant: Merchant) -> None:
    link = link_of(merchant)
    found: list[str] = []
    barrier = threading.Barrier(6)

    def follow() -> None:
        barrier.wait()
        answer = browse(f"/govpay/pay/{link.public_id}/")
        found.append(answer.content.decode().partition('session-id="')[2].partition('"')[0])
        connections.close_all()

    threads = [threading.Thread(target=follow) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened(merchant) == 1
    assert set(found) <= {HostedSession.objects.get().uid, ""}
    assert HostedSession.objects.get().uid in found


def test_a_fresh_session_once_the_last_one_has_ended(merchant: Merchant) -> None:
    link = link_of(merchant)
    browse(f"/govpay/pay/{link.public_id}/")
    merchant.sandbox.advance(3600)
    HostedSession.objects.update(expires_at=timezone.now() - dt.timedelta(minutes=1))
    assert browse(f"/govpay/pay/{link.public_id}/").status_code == 200
    assert opened(merchant) == 2
    assert sorted(HostedSession.objects.values_list("status", flat=True)) == ["active", "expired"]


def test_no_second_session_while_it_is_not_known_how_the_first_one_ended(merchant: Merchant) -> None:
    link = link_of(merchant)
    browse(f"/govpay/pay/{link.public_id}/")
    HostedSession.objects.update(expires_at=timezone.now() - dt.timedelta(minutes=1))
    merchant.sandbox.fault("GET /v1/hosted-sessions/{id}", status=500)
    answer = browse(f"/govpay/pay/{link.public_id}/")
    assert answer.status_code == 503
    assert opened(merchant) == 1


def test_a_lost_session_is_replaced(merchant: Merchant) -> None:
    link = link_of(merchant)
    merchant.sandbox.fault("POST /v1/hosted-sessions", close="after", times=1)
    assert browse(f"/govpay/pay/{link.public_id}/").status_code == 503
    cache.clear()  # half a minute later
    assert browse(f"/govpay/pay/{link.public_id}/").status_code == 200
    assert Operation.objects.filter(state="unknown").count() == 1
    assert HostedSession.objects.count() == 1


def test_a_paid_link_is_paid(merchant: Merchant) -> None:
    link = link_of(merchant)
    browse(f"/govpay/pay/{link.public_id}/")
    complete(HostedSession.objects.get())
    link.refresh_from_db()
    assert link.state == "paid"
    answer = browse(f"/govpay/pay/{link.public_id}/")
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/govpay/pay/{link.public_id}/done/")
    assert "Thank you" in browse(f"/govpay/pay/{link.public_id}/done/").content.decode()
    assert opened(merchant) == 1
    with pytest.raises(OperationRefused, match="Its state: Paid"):
        operations.cancel_payment_link(link=link)


def test_a_payers_payment_ends_up_on_the_link(merchant: Merchant) -> None:
    """The done page hears of the end first, the delivery brings the payment."""
    link = link_of(merchant)
    browse(f"/govpay/pay/{link.public_id}/")
    session = HostedSession.objects.get()
    made = merchant.sandbox.confirm_session(session.uid)
    assert "Thank you" in browse(f"/govpay/pay/{link.public_id}/done/").content.decode()
    link.refresh_from_db()
    assert (link.state, link.payment_id) == ("paid", None)
    event = event_for(merchant.account.uid, "checkout_session.completed", session_id=session.uid)
    tasks.process_event(event.pk)
    link.refresh_from_db()
    assert link.payment_id == Payment.objects.get().uid == made["payment_uid"]


def test_a_payers_payment_ends_up_on_the_link_without_any_delivery(merchant: Merchant) -> None:
    """Faults W1c: the sync of the sessions hears of the end just before that of the payments brings the payment."""
    link, unpaid = link_of(merchant), link_of(merchant)
    for each in (link, unpaid):
        browse(f"/govpay/pay/{each.public_id}/")
    link.refresh_from_db()
    made = merchant.sandbox.confirm_session(link.session_id)
    for names, payment in ((["sessions"], None), (["payments", "sessions"], made["payment_uid"])):
        merchant.sync(*names)
        link.refresh_from_db()
        assert (link.state, link.payment_id) == ("paid", payment)
    unpaid.refresh_from_db()
    assert (unpaid.state, unpaid.payment_id) == ("open", None)


def test_a_session_that_comes_after_the_link_was_closed_is_not_shown(merchant: Merchant, monkeypatch: Any) -> None:
    from govpay.operations import links

    link = link_of(merchant)
    real = links.create_hosted_session

    def closed_meanwhile(**given: Any) -> HostedSession:
        made = real(**given)
        PaymentLink.objects.update(state="cancelled")
        return made

    monkeypatch.setattr(links, "create_hosted_session", closed_meanwhile)
    answer = browse(f"/govpay/pay/{link.public_id}/")
    assert answer.status_code == 410
    assert "client-secret" not in answer.content.decode()


def test_a_cancelled_link(merchant: Merchant) -> None:
    link = link_of(merchant)
    browse(f"/govpay/pay/{link.public_id}/")
    operations.cancel_payment_link(link=link)
    assert HostedSession.objects.get().status == "expired"
    answer = browse(f"/govpay/pay/{link.public_id}/")
    assert answer.status_code == 410
    assert "cancelled" in answer.content.decode()
    assert "not paid" in browse(f"/govpay/pay/{link.public_id}/done/").content.decode()


def test_a_link_whose_days_are_over(merchant: Merchant) -> None:
    link = link_of(merchant)
    PaymentLink.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    assert browse(f"/govpay/pay/{link.public_id}/").status_code == 410
    assert opened(merchant) == 0
    assert operations.close_expired_links() == 1
    link.refresh_from_db()
    assert link.state == "expired"


@pytest.mark.parametrize("path", ["", "done/"])
def test_an_unknown_id(merchant: Merchant, path: str) -> None:
    assert browse(f"/govpay/pay/nobody-knows-it/{path}").status_code == 404


def test_a_session_by_itself(merchant: Merchant) -> None:
    session = session_of(merchant)
    assert browse(f"/govpay/pay/{session.public_id}/").status_code == 200
    hosted = session_of(merchant, layout="hosted")
    assert browse(f"/govpay/pay/{hosted.public_id}/").status_code == 302
    operations.expire_hosted_session(session=session)
    assert browse(f"/govpay/pay/{session.public_id}/").status_code == 410
    complete(hosted)
    assert browse(f"/govpay/pay/{hosted.public_id}/").headers["Location"].endswith("/done/")


def test_the_done_page_believes_the_platform_alone(merchant: Merchant) -> None:
    session = session_of(merchant)
    page = f"/govpay/pay/{session.public_id}/done/"
    lies = {"session_id": session.uid, "sig": "x", "state": "paid", "status": "completed"}
    text = browse(page, data=lies).content.decode()
    assert "waiting" in text
    assert "done.js" in text
    assert browse(f"{page}?format=json").json() == {"state": "open"}
    merchant.sandbox.advance(3600)
    cache.clear()  # as if the moment had passed in which nobody asks again
    assert browse(f"{page}?format=json").json() == {"state": "expired"}
    assert "not paid" in browse(page).content.decode()


def reads_of(merchant: Merchant, session: HostedSession) -> int:
    path = f"/v1/hosted-sessions/{session.uid}"
    return sum((call["method"], call["path"]) == ("GET", path) for call in merchant.sandbox.requests())


def test_done_pages_ask_the_platform_once_in_a_while(merchant: Merchant) -> None:
    session, other = session_of(merchant), session_of(merchant)
    for query in ("", "?format=json", "", "?format=json"):
        assert browse(f"/govpay/pay/{session.public_id}/done/{query}").status_code == 200
    assert reads_of(merchant, session) == 1
    browse(f"/govpay/pay/{other.public_id}/done/")
    assert reads_of(merchant, other) == 1
    cache.clear()
    browse(f"/govpay/pay/{session.public_id}/done/")
    assert reads_of(merchant, session) == 2


def test_the_done_page_does_without_a_cache(merchant: Merchant, settings: Any, tmp_path: Any) -> None:
    session = session_of(merchant)
    merchant.sandbox.confirm_session(session.uid)
    (tmp_path / "no-folder").touch()
    broken = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": tmp_path / "no-folder"}
    settings.CACHES = {**settings.CACHES, "broken": broken}
    settings.GOVPAY = {**settings.GOVPAY, "CACHE": "broken"}
    assert "Thank you" in browse(f"/govpay/pay/{session.public_id}/done/").content.decode()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"currency": "XXQ"}, "currency"),
        ({"expires_at": timezone.now() - dt.timedelta(days=1)}, "end of the link"),
        ({"expires_at": timezone.now() + dt.timedelta(days=900)}, "end of the link"),
        ({"reference_id": "x" * 256}, "reference"),
    ],
)
def test_what_a_link_cannot_be(merchant: Merchant, given: dict[str, Any], name: str) -> None:
    with pytest.raises(OperationRefused, match=name):
        link_of(merchant, **given)


def test_a_link_lives_a_week_unless_told_otherwise(merchant: Merchant, finance: Any) -> None:
    link = link_of(merchant, actor=finance)
    assert dt.timedelta(days=6.99) < link.expires_at - timezone.now() <= dt.timedelta(days=7)
    assert link.created_by == finance
    assert len(link.public_id) >= 20

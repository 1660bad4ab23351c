"""The end of a payment page: a payer who has paid is told so, and is not asked to pay twice."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from govpay import operations
from govpay.models import HostedSession, Payment, PaymentLink
from govpay.models.fields import Sealed
from govpay.models.money import format_money
from govpay.sync import sessions
from govpay.sync.pull import pull
from tests.operations.merchant import Merchant
from tests.test_checkout import browse, link_of, merchant, opened, session_of

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["merchant"]

SESSION = "GET /v1/hosted-sessions/{id}"
LONG_AGO = dt.timedelta(hours=1)


def begun(merchant: Merchant) -> tuple[PaymentLink, HostedSession]:
    """A link that a payer has opened."""
    link = link_of(merchant)
    assert browse(f"/govpay/pay/{link.public_id}/").status_code == 200
    link.refresh_from_db()
    return link, HostedSession.objects.get()


@pytest.mark.parametrize("closed", ["expired", "cancelled", "over"])
@pytest.mark.parametrize("page", ["", "done/"])
def test_a_payer_who_paid_in_the_last_moment_is_told_so(merchant: Merchant, closed: str, page: str) -> None:
    link, session = begun(merchant)
    merchant.sandbox.confirm_session(session.uid)
    if closed == "over":
        PaymentLink.objects.update(expires_at=timezone.now() - LONG_AGO)
    else:
        PaymentLink.objects.update(state=closed)
    answer = browse(f"/govpay/pay/{link.public_id}/{page}", follow=True)
    assert "It is paid" in answer.content.decode()
    link.refresh_from_db()
    assert link.state == "paid"


def test_while_nobody_knows_a_closed_link_waits(merchant: Merchant) -> None:
    link, _session = begun(merchant)
    PaymentLink.objects.update(state="cancelled")
    merchant.sandbox.fault(SESSION, status=503)
    text = browse(f"/govpay/pay/{link.public_id}/done/").content.decode()
    assert "waiting" in text
    assert "Nothing was charged" not in text
    assert browse(f"/govpay/pay/{link.public_id}/").headers["Location"].endswith("/done/")


def test_a_link_whose_session_ended_unpaid_can_still_be_paid(merchant: Merchant) -> None:
    link, session = begun(merchant)
    operations.expire_hosted_session(session=session)
    page = f"/govpay/pay/{link.public_id}/done/"
    text = browse(page).content.decode()
    assert "not paid yet" in text
    assert f"/govpay/pay/{link.public_id}/" in text
    assert "done.js" not in text
    assert browse(f"{page}?format=json").json() == {"state": "unpaid"}


@pytest.mark.parametrize("status", [410, 404, 401, 403])
@pytest.mark.parametrize("synced", [True, False])
def test_a_paid_session_that_is_not_shown_any_more_is_not_paid_again(
    merchant: Merchant, status: int, synced: bool
) -> None:
    """Its delivery was lost, and the platform refuses to show it like one that has expired."""
    link, session = begun(merchant)
    merchant.sandbox.confirm_session(session.uid)
    if synced:
        assert pull("payments", merchant.account.uid).state == "succeeded"
    merchant.sandbox.fault(SESSION, status=status)
    HostedSession.objects.update(expires_at=timezone.now() - LONG_AGO)
    cache.clear()
    answer = browse(f"/govpay/pay/{link.public_id}/", follow=True)
    assert "It is paid" in answer.content.decode()
    assert opened(merchant) == 1
    link.refresh_from_db()
    assert link.state == "paid"


@pytest.mark.parametrize("status", [401, 403])
def test_a_session_whose_credential_is_refused_holds_up_no_other(merchant: Merchant, status: int) -> None:
    first, second = sorted([session_of(merchant), session_of(merchant)], key=lambda row: row.uid)
    merchant.sandbox.confirm_session(second.uid)
    merchant.sandbox.fault(f"GET /v1/hosted-sessions/{first.uid}", status=status)
    run = pull("sessions", merchant.account.uid)
    second.refresh_from_db()
    assert second.status == "completed"
    assert [row["uid"] for row in run.rejected] == [first.uid]


def test_a_lean_answer_empties_nothing(merchant: Merchant) -> None:
    session = session_of(merchant, layout="hosted", description="Water", metadata={"a": "b"})
    body = json.dumps({"session_id": session.uid, "status": "active"})
    merchant.sandbox.fault(SESSION, status=200, body=body)
    assert pull("sessions", merchant.account.uid).state == "succeeded"
    again = HostedSession.objects.get()
    for name in ("amount", "currency", "scope", "layout", "expires_at", "status"):
        assert getattr(again, name) == getattr(session, name), name
    assert again.raw["description"] == "Water"


@pytest.mark.parametrize("paid", [True, False])
def test_a_session_by_itself_that_ended_unheard(merchant: Merchant, paid: bool) -> None:
    session = session_of(merchant)
    if paid:
        merchant.sandbox.confirm_session(session.uid)
    else:
        merchant.sandbox.advance(3600)
    HostedSession.objects.update(expires_at=timezone.now() - LONG_AGO)
    answer = browse(f"/govpay/pay/{session.public_id}/")
    assert answer.status_code == (302 if paid else 410)


@pytest.mark.parametrize("page", ["", "done/"])
def test_no_text_of_the_address_breaks_the_page(merchant: Merchant, page: str) -> None:
    for strange in ("a%00b", "%F0%9F%92%B3", "..%2f..", "%27%22%3E%3Cscript%3E"):
        assert browse(f"/govpay/pay/{strange}/{page}").status_code == 404


def test_a_credential_that_no_key_opens(merchant: Merchant) -> None:
    session = session_of(merchant)
    HostedSession.objects.update(credential=Sealed("gAAAAA-not-of-any-key"), hosted_url=None)
    assert browse(f"/govpay/pay/{session.public_id}/").status_code == 503


def test_no_credential_is_logged(merchant: Merchant, caplog: Any) -> None:
    caplog.set_level(1)
    link, session = begun(merchant)
    sealed: Any = session.credential
    secret = sealed.reveal()
    browse(f"/govpay/pay/{link.public_id}/done/")
    pull("sessions", merchant.account.uid)
    sessions.read_session(session)
    operations.expire_hosted_session(session=session)
    assert "_secret_" in secret
    assert secret.partition("_secret_")[2] not in caplog.text


@pytest.mark.parametrize("status", ["active", "processing"])
def test_while_a_session_may_have_been_paid_no_page_says_that_nothing_was_charged(
    merchant: Merchant, status: str
) -> None:
    link, session = begun(merchant)
    merchant.sandbox.confirm_session(session.uid)
    HostedSession.objects.update(status=status, expires_at=timezone.now() - LONG_AGO)
    merchant.sandbox.fault(SESSION, status=503)
    cache.clear()
    answer = browse(f"/govpay/pay/{link.public_id}/")
    assert answer.status_code == 503
    assert "If you have paid already, you do not need to do anything." in answer.content.decode()
    for page in ("", "done/"):
        assert "Nothing was charged" not in browse(f"/govpay/pay/{link.public_id}/{page}").content.decode()
    by_session = browse(f"/govpay/pay/{session.public_id}/done/").content.decode()
    assert "Nothing was charged" not in by_session


def test_a_page_that_was_never_open_says_that_nothing_was_charged(merchant: Merchant) -> None:
    link = link_of(merchant)
    merchant.sandbox.fault("POST /v1/hosted-sessions", status=503)
    answer = browse(f"/govpay/pay/{link.public_id}/")
    assert (answer.status_code, "Nothing was charged" in answer.content.decode()) == (503, True)


def lines(html: str) -> dict[str, str]:
    """The lines of the done page: term and text."""
    return dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", html))


def test_the_done_page_shows_what_was_charged(merchant: Merchant) -> None:
    link, session = begun(merchant)
    made = merchant.sandbox.confirm_session(session.uid)
    page = f"/govpay/pay/{link.public_id}/done/"
    known = lines(browse(page).content.decode())
    assert known["Amount, without any fee"] == format_money(link.amount, link.currency)
    assert "Total" not in known, "the payment is not known here yet, and a fee is never computed"
    merchant.sync("payments")
    payment = Payment.objects.get(uid=made["payment_uid"])
    assert payment.processing_fee_amount
    for address in (page, f"/govpay/pay/{session.public_id}/done/"):
        known = lines(browse(address).content.decode())
        assert known["Amount"] == format_money(payment.base_amount, "USD")
        assert known["Convenience fee"] == format_money(payment.processing_fee_amount, "USD")
        assert known["Total"] == format_money(payment.total_amount, "USD") == format_money(made["total_amount"], "USD")
    Payment.objects.update(tax_amount=3)
    assert lines(browse(page).content.decode())["Tax"] == "$0.03"

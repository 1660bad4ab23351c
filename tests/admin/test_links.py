"""Payment links and sessions in the admin: create, hand out, cancel and end them."""

from __future__ import annotations

import datetime as dt
import re
import sys
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from govpay import operations
from govpay.checks import check_extras
from govpay.models import Customer, HostedSession, Payment, PaymentLink
from tests.operations.merchant import Merchant

pytestmark = pytest.mark.django_db(transaction=True)

CREATE = "admin:govpay_paymentlink_create"


@pytest.fixture
def merchant(sandbox: Any, settings: Any) -> Merchant:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://testserver"]}
    return Merchant(sandbox)


def given(merchant: Merchant, **more: Any) -> dict[str, Any]:
    return {"account": merchant.account.uid, "amount": "12.34", "currency": "USD", "days": "7", **more}


def key(client: Client) -> str:
    found = re.search(r'name="key" value="([^"]+)"', client.get(reverse(CREATE)).content.decode())
    assert found
    return found[1]


def ask(client: Client, data: dict[str, Any]) -> Any:
    return client.post(reverse(CREATE), {"key": key(client), **data}, secure=True)


def page(link: PaymentLink) -> str:
    return reverse("admin:govpay_paymentlink_change", args=[link.pk])


def test_a_cashier_makes_a_link_and_hands_it_out(merchant: Merchant, browse: Any, cashier: Any) -> None:
    client = browse(cashier)
    assert reverse(CREATE) in client.get(reverse("admin:govpay_paymentlink_changelist")).content.decode()
    assert client.get(reverse(CREATE)).status_code == 200
    answer = ask(client, given(merchant, reference_id="INV-7", description="Water <b>bill</b>"))
    (link,) = PaymentLink.objects.all()
    assert (answer.status_code, answer.headers["Location"]) == (302, page(link))
    assert (link.amount, link.currency, link.reference_id, link.state) == (1234, "USD", "INV-7", "open")
    assert link.created_by == cashier
    assert abs(link.expires_at - timezone.now() - dt.timedelta(days=7)) < dt.timedelta(minutes=1)
    text = client.get(page(link)).content.decode()
    assert f"http://testserver/govpay/pay/{link.public_id}/" in text
    assert 'src="data:image/svg+xml' in text
    assert "<b>bill" not in text


def test_a_payer_is_found_by_uid_or_reference(merchant: Merchant, browse: Any, cashier: Any) -> None:
    Customer.objects.create(uid="cus_1", account_id=merchant.account.uid, reference_id="C-9")
    Customer.objects.create(uid="cus_2", account_id="acc_other", reference_id="C-10")
    client = browse(cashier)
    for payer in ("cus_1", "C-9"):
        ask(client, given(merchant, payer=payer))
    assert set(PaymentLink.objects.values_list("customer_id", flat=True)) == {"cus_1"}
    assert "no such customer" in ask(client, given(merchant, payer="cus_2")).content.decode()
    assert PaymentLink.objects.count() == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", "0"),
        ("amount", "-5"),
        ("amount", "12.345"),
        ("amount", "abc"),
        ("amount", ""),
        ("currency", "XXQ"),
        ("days", "0"),
        ("days", "9999"),
        ("account", "acc_nobody"),
        ("reference_id", "x" * 256),
    ],
)
def test_what_cannot_be_asked_for(merchant: Merchant, browse: Any, cashier: Any, name: str, value: str) -> None:
    answer = ask(browse(cashier), given(merchant, **{name: value}))
    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert not PaymentLink.objects.exists()


def test_without_the_extra_for_qr_codes_the_address_alone_is_handed_out(
    merchant: Merchant, browse: Any, cashier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = browse(cashier)
    ask(client, given(merchant))
    link = PaymentLink.objects.get()
    monkeypatch.setitem(sys.modules, "segno", None)
    text = client.get(page(link)).content.decode()
    assert f"http://testserver/govpay/pay/{link.public_id}/" in text
    assert "<img" not in text
    assert [each.id for each in check_extras()] == ["govpay.I002"]


def test_the_same_form_sent_twice_is_one_link(merchant: Merchant, browse: Any, cashier: Any) -> None:
    client = browse(cashier)
    form = given(merchant, key=key(client))
    first, second = ask(client, form), ask(client, form)
    (link,) = PaymentLink.objects.all()
    assert first.headers["Location"] == second.headers["Location"] == page(link)
    assert len(link.public_id) == 24
    assert form["key"] not in link.public_id
    ask(client, {**form, "amount": "15.00"})  # typed anew after "Back"
    ask(client, given(merchant))
    assert PaymentLink.objects.count() == 3


def test_a_form_of_somebody_else_makes_nothing(merchant: Merchant, browse: Any, cashier: Any, finance: Any) -> None:
    other = key(browse(finance))
    for wrong in ("", "x", other):
        assert "errornote" in ask(browse(cashier), given(merchant, key=wrong)).content.decode()
    assert not PaymentLink.objects.exists()


def test_a_link_whose_page_could_not_be_opened_is_not_made(
    merchant: Merchant, browse: Any, cashier: Any, settings: Any
) -> None:
    client = browse(cashier)
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://elsewhere.example"]}
    text = ask(client, given(merchant)).content.decode()
    assert "CHECKOUT_ORIGINS" in text
    assert "Nothing was made" in text
    assert not PaymentLink.objects.exists()
    settings.DEBUG = True
    assert ask(client, given(merchant)).status_code == 302


def test_cancel(merchant: Merchant, browse: Any, cashier: Any) -> None:
    link = operations.create_payment_link(account=merchant.account, amount=500)
    address = "https://testserver/"
    operations.open_session(link, success_url=address, cancel_url=address)
    client = browse(cashier)
    cancel = reverse("admin:govpay_paymentlink_cancel", args=[link.pk])
    assert cancel in client.get(page(link)).content.decode()
    asked = client.get(cancel)
    assert "Nobody can pay with it any more" in asked.content.decode()
    link.refresh_from_db()
    assert (link.state, HostedSession.objects.get().status) == ("open", "active")
    assert client.put(cancel).status_code == 405
    assert client.post(cancel).status_code == 302
    link.refresh_from_db()
    assert link.state == "cancelled"
    assert HostedSession.objects.get().status == "expired"
    text = client.get(page(link)).content.decode()
    assert "data:image/svg" not in text
    assert cancel not in text
    assert "Its state: Cancelled" in client.post(cancel, follow=True).content.decode()


def test_a_session_is_ended_by_hand(merchant: Merchant, browse: Any, cashier: Any) -> None:
    link = operations.create_payment_link(account=merchant.account, amount=500)
    session = operations.open_session(link, success_url="https://testserver/", cancel_url="https://testserver/")
    assert session is not None
    client = browse(cashier)
    expire = reverse("admin:govpay_hostedsession_expire", args=[session.pk])
    assert expire in client.get(reverse("admin:govpay_hostedsession_change", args=[session.pk])).content.decode()
    assert "Nobody can use its page any more" in client.get(expire).content.decode()
    session.refresh_from_db()
    assert session.status == "active"
    assert client.post(expire).status_code == 302
    session.refresh_from_db()
    assert (session.status, session.credential) == ("expired", None)


def test_without_the_permission_nothing_can_be_done(merchant: Merchant, browse: Any, support: Any) -> None:
    link = operations.create_payment_link(account=merchant.account, amount=500)
    client = browse(support)
    for name, pk in (
        (CREATE, None),
        ("admin:govpay_paymentlink_cancel", link.pk),
        ("admin:govpay_hostedsession_expire", 1),
    ):
        url = reverse(name, args=[pk] if pk else [])
        assert client.get(url).status_code == 403
        assert client.post(url, given(merchant)).status_code == 403
    assert reverse(CREATE) not in client.get(reverse("admin:govpay_paymentlink_changelist")).content.decode()
    link.refresh_from_db()
    assert link.state == "open"
    assert PaymentLink.objects.count() == 1


def test_a_form_from_elsewhere(merchant: Merchant, cashier: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cashier)
    assert client.post(reverse(CREATE), given(merchant)).status_code == 403
    assert not PaymentLink.objects.exists()


def test_credentials_are_shown_nowhere(merchant: Merchant, browse: Any, cashier: Any) -> None:
    link = operations.create_payment_link(account=merchant.account, amount=500)
    session: Any = operations.open_session(link, success_url="https://testserver/", cancel_url="https://testserver/")
    secrets = (session.credential.reveal(), session.hosted_url.reveal())
    client = browse(cashier)
    for url in (
        page(link),
        reverse("admin:govpay_hostedsession_change", args=[session.pk]),
        reverse("admin:govpay_hostedsession_changelist"),
    ):
        text = client.get(url).content.decode()
        assert not [secret for secret in secrets if secret in text]


@pytest.fixture
def paid(merchant: Merchant) -> PaymentLink:
    """A link with the reference INV-7 that was paid. The platform calls the payment by its session."""
    link = operations.create_payment_link(account=merchant.account, amount=500, reference_id="INV-7")
    session = operations.open_session(link, success_url="https://testserver/", cancel_url="https://testserver/")
    assert session is not None
    merchant.add("captured", session_id=session.uid, reference_id=session.uid)
    merchant.add("captured", reference_id="OTHER-1")
    return link


def test_a_payment_by_a_link_is_known_by_the_links_reference(paid: PaymentLink, browse: Any, support: Any) -> None:
    client, listed = browse(support), reverse("admin:govpay_payment_changelist")
    lead = f'<a href="{page(paid)}">INV-7</a>'
    payment = Payment.objects.get(reference_id=paid.session_id)
    own = reverse("admin:govpay_payment_change", args=[payment.pk])
    assert client.get(listed).content.decode().count(lead) == 1
    assert f'{own}">INV-7</a>' in client.get(listed).content.decode()
    assert lead in client.get(own).content.decode()
    assert "<h2>INV-7</h2>" in client.get(own).content.decode()
    found = client.get(listed, {"q": "INV-7"}).content.decode()
    assert f'href="{own}' in found
    assert "OTHER-1" not in found
    assert "OTHER-1" in client.get(listed, {"q": "OTHER-1"}).content.decode()
    assert lead not in client.get(listed, {"q": "INV-8"}).content.decode()


def test_a_link_of_another_account_names_no_payment(paid: PaymentLink, browse: Any, support: Any) -> None:
    PaymentLink.objects.update(account_id="acc_other")
    assert "INV-7" not in browse(support).get(reverse("admin:govpay_payment_changelist")).content.decode()

"""Saved methods in the admin: remove one, set the default, open and close the wallet."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.urls import reverse

from govpay.models import HostedSession, Operation, SavedPaymentMethod
from tests.operations.merchant import Merchant

LOCKED = '{"code": "conflict", "message": "Used by autopay."}'

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def merchant(sandbox: Any, settings: Any) -> Merchant:
    settings.GOVPAY = {**settings.GOVPAY, "COMPONENT_SCRIPT_URL": f"{sandbox.address.api_url}/component/govifi.js"}
    return Merchant(sandbox)


def at(name: str, row: Any) -> str:
    return reverse(f"admin:govpay_{name}", args=[row.pk])


def key_in(html: str) -> str:
    found = re.search(r'name="key" value="([^"]+)"', html)
    assert found
    return found[1]


def test_finance_removes_a_method_once_and_its_history_stays(merchant: Merchant, browse: Any, finance: Any) -> None:
    method = merchant.saved_method()
    client = browse(finance)
    address = at("savedpaymentmethod_remove", method)
    assert address in client.get(at("savedpaymentmethod_change", method)).content.decode()
    key = key_in(client.get(address).content.decode())
    assert SavedPaymentMethod.objects.get(pk=method.pk).deleted_at is None
    for _ in range(2):
        assert client.post(address, {"key": key}).status_code == 302
    method.refresh_from_db()
    assert method.deleted_at is not None
    assert Operation.objects.filter(action="remove_method", state="succeeded", actor=finance).count() == 1
    deletes = [each for each in merchant.sandbox.requests() if each["method"] == "DELETE"]
    assert len(deletes) == 1
    html = client.get(at("savedpaymentmethod_change", method)).content.decode()
    assert address not in html, "what is gone cannot be removed"


def test_default_is_chosen(merchant: Merchant, browse: Any, finance: Any) -> None:
    method = merchant.saved_method()
    assert method.customer is not None
    other = merchant.sandbox.add_method(method.customer_id, "credit")["saved_payment_method_uid"]
    merchant.sync("customers", "methods")
    later = SavedPaymentMethod.objects.get(uid=other)
    answer = browse(finance).post(at("savedpaymentmethod_default", later), follow=True)
    assert "default now" in answer.content.decode()
    later.refresh_from_db()
    method.refresh_from_db()
    assert (later.is_default, method.is_default) == (True, False)


def test_only_with_the_permission_on_every_address(merchant: Merchant, browse: Any, cashier: Any, support: Any) -> None:
    method = merchant.saved_method()
    places = [at("savedpaymentmethod_remove", method), at("savedpaymentmethod_default", method)]
    places.append(at("customer_wallet", method.customer))
    for user in (cashier, support):
        for place in places:
            assert browse(user).get(place).status_code == 403
            assert browse(user).post(place).status_code == 403
    assert not Operation.objects.exists()


def test_a_forged_or_borrowed_key_removes_nothing(
    merchant: Merchant, browse: Any, finance: Any, make_staff: Any
) -> None:
    method = merchant.saved_method()
    address = at("savedpaymentmethod_remove", method)
    borrowed = key_in(browse(make_staff("Finance", name="other")).get(address).content.decode())
    for key in ("", "forged", borrowed):
        assert browse(finance).post(address, {"key": key}).status_code == 400
    method.refresh_from_db()
    assert method.deleted_at is None


def test_a_refusal_is_told_in_the_platforms_words(merchant: Merchant, browse: Any, finance: Any) -> None:
    method = merchant.saved_method()
    address = at("savedpaymentmethod_remove", method)
    key = key_in(browse(finance).get(address).content.decode())
    merchant.sandbox.fault("DELETE /api/customers/{uid}/payment-methods/{method}", status=409, body=LOCKED)
    html = browse(finance).post(address, {"key": key}, follow=True).content.decode()
    assert "Used by autopay" in html
    method.refresh_from_db()
    assert method.deleted_at is None


def test_the_wallet_is_opened_shown_and_closed(merchant: Merchant, browse: Any, finance: Any) -> None:
    method = merchant.saved_method()
    client = browse(finance)
    address = at("customer_wallet", method.customer)
    answer = client.post(address)
    session = HostedSession.objects.get()
    assert answer.headers["Location"] == f"{address}?session={session.uid}"
    shown = client.get(answer.headers["Location"])
    html = shown.content.decode()
    assert f'<govifi-wallet session-id="{session.uid}"' in html
    policy = shown.headers["Content-Security-Policy"]
    assert f"script-src 'self' {merchant.sandbox.address.api_url}" in policy
    assert "unsafe" not in policy
    assert "<script>" not in html
    # Methods that were added there are stored here as soon as the wallet is closed.
    added = merchant.sandbox.add_method(method.customer_id, "credit")["saved_payment_method_uid"]
    assert client.post(address, {"session": session.uid}).status_code == 302
    assert SavedPaymentMethod.objects.filter(uid=added, deleted_at=None).exists()
    session.refresh_from_db()
    assert (session.status, session.credential) == ("expired", None)
    assert client.get(f"{address}?session={session.uid}").status_code == 302


def test_a_session_of_somebody_else_is_not_shown(merchant: Merchant, browse: Any, finance: Any) -> None:
    one, other = merchant.saved_method(), merchant.saved_method()
    client = browse(finance)
    client.post(at("customer_wallet", one.customer))
    session = HostedSession.objects.get()
    for place in (
        f"{at('customer_wallet', other.customer)}?session={session.uid}",
        at("customer_wallet", one.customer),
    ):
        answer = client.get(place)
        assert answer.status_code == 302
        assert "govifi-wallet" not in answer.content.decode()


def test_without_a_component_nothing_is_opened(merchant: Merchant, settings: Any, browse: Any, finance: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "COMPONENT_SCRIPT_URL": ""}
    method = merchant.saved_method()
    html = browse(finance).post(at("customer_wallet", method.customer), follow=True).content.decode()
    assert "COMPONENT_SCRIPT_URL is not set" in html
    assert not HostedSession.objects.exists()

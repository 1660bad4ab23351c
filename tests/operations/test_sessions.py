"""Hosted sessions: refusals, stored values, and how they end."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.db import connection

from govpay import operations
from govpay.exceptions import OperationRefused, OutcomeUnknown
from govpay.models import Customer, HostedSession, Operation
from govpay.sync import mapping
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_documents
from tests.operations.merchant import Merchant

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESSES = {"success_url": "https://city.example/paid?s={CHECKOUT_SESSION_ID}", "cancel_url": "https://city.example/"}


@pytest.fixture(autouse=True)
def _origins(settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://city.example"]}


@pytest.fixture
def merchant(sandbox: Any) -> Merchant:
    return Merchant(sandbox)


def make(merchant: Merchant, **given: Any) -> HostedSession:
    return operations.create_hosted_session(**{"account": merchant.account, "amount": 5000, **ADDRESSES, **given})


def customer_of(merchant: Merchant) -> Customer:
    document = merchant.sandbox.add_customer(merchant.account.uid)
    extra = {"account_id": merchant.account.uid}
    in_transaction(lambda: save_documents(mapping.CUSTOMER, [document], extra=extra))
    return Customer.objects.get(uid=document["uid"])


def test_a_session_with_every_option(merchant: Merchant) -> None:
    customer = customer_of(merchant)
    session = make(
        merchant,
        currency="USD",
        description="Water bill",
        line_items=[{"description": "Water", "amount": 5000, "quantity": 1, "metadata": {"meter": "7"}}],
        customer=customer,
        customer_email="payer@example.com",
        layout="hosted",
        allowed_methods=["card", "ach"],
        setup_future_usage="on_session",
        expires_in_seconds=1800,
        branding={"accent_color": "#1a2b3c", "merchant_display_name": "City", "logo_url": "https://city.example/l.png"},
        required_avs_fields=["cardholder", "zip"],
        metadata={"order": "42"},
        fraud_signals={"ip_address": "192.0.2.1", "email": "payer@example.com"},
    )
    assert (session.status, session.amount, session.currency, session.layout) == ("active", 5000, "USD", "hosted")
    assert (session.account_id, session.customer_id, session.scope) == (merchant.account.uid, customer.uid, "payment")
    assert session.metadata == {"order": "42"}
    assert session.expires_at is not None
    assert session.credential.reveal().startswith("cs_")
    assert "#cs=" in session.hosted_url.reveal()
    (operation,) = Operation.objects.all()
    assert (operation.action, operation.state, operation.session_id) == ("create_session", "succeeded", session.uid)
    assert operation.amount == 5000


def test_its_credential_lies_nowhere_in_plain_text(merchant: Merchant) -> None:
    session = make(merchant)
    secrets = {session.credential.reveal(), session.hosted_url.reveal()}
    with connection.cursor() as cursor:
        for table in ("govpay_hostedsession", "govpay_operation"):
            cursor.execute(f"SELECT * FROM {table}")
            text = json.dumps(cursor.fetchall(), default=str)
            assert not [secret for secret in secrets if secret in text]


REFUSED = [
    ({"amount": 0}, "amount"),
    ({"amount": 12.5}, "amount"),
    ({"amount": "100"}, "amount"),
    ({"amount": True}, "amount"),
    ({"currency": "XXQ"}, "currency"),
    ({"success_url": "http://city.example/"}, "success_url"),
    ({"success_url": "https://city.example.evil/"}, "success_url"),
    ({"success_url": "https://city.example@evil/"}, "success_url"),
    ({"success_url": None}, "success_url"),
    ({"cancel_url": "javascript:alert(1)"}, "cancel_url"),
    ({"cancel_url": "https://elsewhere.example/"}, "cancel_url"),
    ({"layout": "popup"}, "layout"),
    ({"allowed_methods": ["cash"]}, "allowed_methods"),
    ({"allowed_methods": "card"}, "allowed_methods"),
    ({"setup_future_usage": "always"}, "setup_future_usage"),
    ({"expires_in_seconds": 0}, "expires_in_seconds"),
    ({"branding": {"accent_color": "red"}}, "accent_color"),
    ({"branding": {"color": "#ffffff"}}, "branding"),
    ({"line_items": [{"description": "x"}]}, "line_items[0]"),
    ({"line_items": [{"description": "x", "amount": 1.5}]}, "line_items[0]"),
    ({"line_items": {"description": "x"}}, "line_items"),
    ({"customer_email": "nobody"}, "customer_email"),
    ({"metadata": []}, "metadata"),
    ({"fraud_signals": {"shoe_size": 44}}, "fraud_signals"),
    ({"required_avs_fields": "zip"}, "required_avs_fields"),
    ({"required_avs_fields": ["zip", 5]}, "required_avs_fields"),
    ({"required_avs_fields": [["zip"]]}, "required_avs_fields"),
    ({"allowed_methods": 5}, "allowed_methods"),
    ({"allowed_methods": [["card"]]}, "allowed_methods"),
    ({"allowed_methods": []}, "allowed_methods"),
    ({"success_url": "https://[::1"}, "success_url"),
    ({"currency": ["USD"]}, "currency"),
    ({"customer": "cus_1"}, "customer"),
    ({"metadata": {"a": object()}}, "metadata"),
    ({"metadata": {"a": [{"b": float("nan")}]}}, "metadata"),
    ({"metadata": {1: "a"}}, "metadata"),
    ({"metadata": {"a": {1: "a"}}}, "metadata"),
    ({"metadata": {"a": "x\x00"}}, "metadata"),
    ({"line_items": [{"description": "x", "amount": 1, "metadata": {"a": object()}}]}, "line_items[0]: metadata"),
    ({"line_items": [{"description": "x", "amount": 1, "quantity": 0}]}, "line_items[0]: quantity"),
    ({"line_items": [{"description": "x", "amount": 1, "quantity": -2}]}, "line_items[0]: quantity"),
    ({"expires_in_seconds": -1}, "expires_in_seconds must be one second"),
    ({"expires_in_seconds": "60"}, "expires_in_seconds"),
    ({"fraud_signals": {"request_timestamp": "now"}}, "fraud_signals: request_timestamp"),
]


@pytest.mark.parametrize(("given", "name"), REFUSED)
def test_every_refused_option_names_itself(merchant: Merchant, given: dict[str, Any], name: str) -> None:
    with pytest.raises(OperationRefused) as refused:
        make(merchant, **given)
    assert name in str(refused.value)
    assert "cents" not in str(refused.value) or "amount" in str(refused.value)
    assert not Operation.objects.exists()
    assert not [call for call in merchant.sandbox.requests() if call["method"] == "POST" and "/v1/" in call["path"]]


def test_in_debug_any_origin_will_do(merchant: Merchant, settings: Any) -> None:
    settings.DEBUG = True
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": []}
    assert (
        make(merchant, success_url="http://127.0.0.1:8000/ok", cancel_url="http://127.0.0.1:8000/").status == "active"
    )


def test_a_customer_of_another_account(merchant: Merchant) -> None:
    stranger = Customer.objects.create(uid="cus_other", account_id="acc_other")
    with pytest.raises(OperationRefused, match="another payment account"):
        make(merchant, customer=stranger)


def test_the_same_key_is_the_same_session(merchant: Merchant) -> None:
    key = uuid.uuid4()
    assert make(merchant, key=key).uid == make(merchant, key=key).uid
    assert HostedSession.objects.count() == 1
    with pytest.raises(OperationRefused):
        make(merchant, key=key, amount=1)


def test_a_lost_answer_is_told_and_never_sent_again(merchant: Merchant) -> None:
    merchant.sandbox.fault("POST /v1/hosted-sessions", close="after", times=1)
    with pytest.raises(OutcomeUnknown):
        make(merchant)
    operations.reconcile()
    posts = [call for call in merchant.sandbox.requests() if call["path"] == "/v1/hosted-sessions"]
    assert len(posts) == 1
    assert not HostedSession.objects.exists()


def test_update(merchant: Merchant) -> None:
    session = make(merchant)
    changed = operations.update_hosted_session(session=session, amount=7000)
    assert (changed.uid, changed.amount, changed.status) == (session.uid, 7000, "active")
    assert changed.credential is not None
    with pytest.raises(OperationRefused, match="amount"):
        operations.update_hosted_session(session=session)
    with pytest.raises(OperationRefused, match="amount"):
        operations.update_hosted_session(session=session, amount=-1)


def test_an_update_whose_answer_was_lost_is_read_back(merchant: Merchant) -> None:
    session = make(merchant)
    merchant.sandbox.fault("PATCH /v1/hosted-sessions/{id}", close="after", times=1)
    with pytest.raises(OutcomeUnknown):
        operations.update_hosted_session(session=session, amount=7000)
    assert operations.reconcile().succeeded == 1
    session.refresh_from_db()
    assert session.amount == 7000


@pytest.mark.parametrize("close", ["", "after"])
def test_expire_wipes_the_credential(merchant: Merchant, close: str) -> None:
    session = make(merchant)
    if close:
        merchant.sandbox.fault("POST /v1/hosted-sessions/{id}/expire", close=close, times=1)
        with pytest.raises(OutcomeUnknown):
            operations.expire_hosted_session(session=session)
        assert operations.reconcile().succeeded == 1
    else:
        assert operations.expire_hosted_session(session=session).status == "expired"
    session.refresh_from_db()
    assert (session.status, session.credential, session.hosted_url) == ("expired", None, None)
    assert session.amount == 5000
    for action in (operations.expire_hosted_session, lambda **a: operations.update_hosted_session(amount=1, **a)):
        with pytest.raises(OperationRefused, match="Expired"):
            action(session=session)


WALLET_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"method_badges": 5}, "method_badges"),
    ({"method_badges": [5]}, "method_badges[0]"),
    ({"method_badges": []}, "method_badges"),
    ({"method_badges": [{"label": "x", "color": "red", "payment_method_uids": ["spm_1"]}]}, "method_badges[0]: color"),
    ({"method_badges": [{"label": "x", "color": "#00aa00", "payment_method_uids": [5]}]}, "payment_method_uids"),
    ({"locked_payment_methods": [None]}, "locked_payment_methods"),
    ({"locked_payment_methods": [{"payment_method_uid": 5, "reason": "x"}]}, "locked_payment_methods[0]"),
    ({"expires_in_seconds": 0}, "expires_in_seconds must be one second"),
]


@pytest.mark.parametrize(("given", "name"), WALLET_REFUSED)
def test_every_refused_option_of_a_wallet_names_itself(merchant: Merchant, given: dict[str, Any], name: str) -> None:
    with pytest.raises(OperationRefused) as refused:
        operations.create_wallet_session(customer=customer_of(merchant), **given)
    assert name in str(refused.value)
    assert not Operation.objects.exists()


def test_metadata_as_json_has_it(merchant: Merchant) -> None:
    metadata = {"a": {"b": [1, 2.5, None, True]}, "text": "two\nlines"}
    assert make(merchant, metadata=metadata, line_items=({"description": "x", "amount": 1},)).metadata == metadata


def test_wallet_session(merchant: Merchant) -> None:
    customer = customer_of(merchant)
    method = merchant.sandbox.add_method(customer.uid)["saved_payment_method_uid"]
    session = operations.create_wallet_session(
        customer=customer,
        method_badges=[{"label": "Autopay", "color": "#00aa00", "payment_method_uids": [method]}],
        locked_payment_methods=[{"payment_method_uid": method, "reason": "Autopay uses it"}],
    )
    assert (session.scope, session.customer_id, session.amount) == ("wallet", customer.uid, None)
    assert session.credential is not None
    with pytest.raises(OperationRefused, match="method_badges"):
        operations.create_wallet_session(customer=customer, method_badges=[{"label": "x"}])
    with pytest.raises(OperationRefused, match="locked_payment_methods"):
        operations.create_wallet_session(customer=customer, locked_payment_methods=[{"uid": "x"}])

"""The client against the sandbox. Both were written from the vendor's documents and must agree."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from govpay.client import Config, Endpoints, PaymentResource, Query, SavedMethodResource, field
from govpay.client.factory import connect
from govpay.client.shapes import CapturePayment, RefundPayment, ValidatePayment, payment_method_from_dict
from govpay.client.tenant_shapes import (
    CheckoutConfig,
    CreateClient,
    CreateCustomer,
    CreateHostedSession,
    CreatePaymentAccount,
    DefaultPaymentMethod,
    ImportedMethod,
    ImportPaymentMethods,
    SavePaymentMethod,
    SetSubscriptions,
    Subscription,
    UpdateHostedSession,
)
from govpay.exceptions import AuthenticationError, Conflict, Gone, InvalidRequest, NotFound, PaymentDeclined
from govpay.sandbox import Sandbox
from tests.client.test_shapes import CARD, SESSION


def key() -> dict[str, str]:
    return {"idempotency_key": str(uuid.uuid4())}


def client_of(address: Any, **changed: Any) -> Endpoints:
    settings = {
        "client_id": address.client_id,
        "client_secret": address.client_secret,
        "token_url": address.token_url,
        "scope": "com.govineer.payments/admin",
    }
    return connect(Config(api_url=address.api_url, backoff=0.01), **{**settings, **changed})


@pytest.fixture(scope="module", params=["array", "odata"])
def address(request: pytest.FixtureRequest) -> Iterator[Any]:
    with Sandbox(envelope=request.param) as platform, platform.serve(port=0) as where:
        yield where


@pytest.fixture(scope="module")
def endpoints(address: Any) -> Endpoints:
    return client_of(address)


@pytest.fixture(scope="module")
def account(endpoints: Endpoints) -> str:
    owner = endpoints.create_client(CreateClient(name=f"City {uuid.uuid4()}", customer_id="city"), **key())
    body = CreatePaymentAccount(
        client_id=owner.uid, name="Utilities", processor="zift", external_account_id="1", external_merchant_id="2",
        active=True, enable_ach=True, enable_credit_card=True, minimum_payment_amount=0.0,
        maximum_payment_amount=999999.99,
    )  # fmt: skip
    made = endpoints.create_payment_account(body, **key())
    found = endpoints.get_payment_account(made.uid)
    assert (found.client_id, found.maximum_payment_amount) == (owner.uid, 99999999)
    assert endpoints.update_payment_account(made.uid, body, **key()).uid == made.uid
    endpoints.set_checkout_config(made.uid, CheckoutConfig(allowed_origins=["https://pay.example.gov"]), **key())
    return made.uid


def validated(
    endpoints: Endpoints, account: str, amount: int = 5000, method: Any = None
) -> tuple[PaymentResource, Any]:
    shape = ValidatePayment(
        base_amount=amount, tax_amount=0, currency="USD", reference_id=f"R-{uuid.uuid4()}",
        payment_method=method or payment_method_from_dict(CARD),
    )  # fmt: skip
    return endpoints.validate_payment(account, shape, **key()), shape


def capture_of(payment: PaymentResource, shape: ValidatePayment) -> CapturePayment:
    assert payment.processing_fee_amount is not None
    assert payment.total_amount is not None
    return CapturePayment(
        base_amount=shape.base_amount, tax_amount=shape.tax_amount, currency=shape.currency,
        processing_fee_amount=payment.processing_fee_amount, total_amount=payment.total_amount,
        reference_id=shape.reference_id, payment_method=shape.payment_method,
    )  # fmt: skip


def test_a_payment_from_quote_to_refund(endpoints: Endpoints, account: str) -> None:
    payment, shape = validated(endpoints, account)
    body = capture_of(payment, shape)
    captured = endpoints.capture_payment(account, payment.uid, body, **key())
    assert (captured.uid, captured.status, captured.total_amount) == (payment.uid, "captured", payment.total_amount)
    with pytest.raises(Conflict):
        endpoints.capture_payment(account, payment.uid, body, **key())
    refund = RefundPayment(amount=1200, reason="Twice", reference_id=f"rf-{uuid.uuid4()}")
    made = endpoints.refund_payment(account, payment.uid, refund, **key())
    assert (made.amount, made.payment_uid, made.reference_id) == (1200, payment.uid, refund.reference_id)
    with pytest.raises(Conflict):
        endpoints.refund_payment(account, payment.uid, refund, **key())
    with pytest.raises(InvalidRequest):
        too_much = RefundPayment(amount=10**9, reference_id=f"rf-{uuid.uuid4()}")
        endpoints.refund_payment(account, payment.uid, too_much, **key())
    read = endpoints.get_payment(account, payment.uid)
    assert (read.refunded_amount, read.last4, read.method_type) == (1200, "1111", "credit")
    assert endpoints.get_transaction(account, made.uid).amount == 1200
    query = Query(filter=field("reference_id").eq(refund.reference_id), top=1)
    assert [row["uid"] for row in endpoints.list_transactions(account, query).items] == [made.uid]


def test_a_changed_capture_is_refused_and_a_payment_can_be_voided(endpoints: Endpoints, account: str) -> None:
    payment, shape = validated(endpoints, account)
    changed = ValidatePayment(
        base_amount=shape.base_amount, tax_amount=1, currency="USD", reference_id=shape.reference_id,
        payment_method=shape.payment_method,
    )  # fmt: skip
    with pytest.raises(InvalidRequest):
        endpoints.capture_payment(account, payment.uid, capture_of(payment, changed), **key())
    assert endpoints.void_payment(account, payment.uid, **key()).status == "voided"


def test_a_card_that_declines(endpoints: Endpoints, account: str) -> None:
    card = {**CARD, "credit": {**CARD["credit"], "last4": "0002", "bin": "400000"}}
    payment, shape = validated(endpoints, account, method=payment_method_from_dict(card))
    with pytest.raises(PaymentDeclined) as caught:
        endpoints.capture_payment(account, payment.uid, capture_of(payment, shape), **key())
    assert (caught.value.status, caught.value.code) == (402, "card_declined")
    assert caught.value.request_id


def test_a_wallet(endpoints: Endpoints, account: str) -> None:
    body = CreateCustomer(reference_id=f"C-{uuid.uuid4()}", name="Ann O'Brien", email="ann@example.com")
    customer = endpoints.create_customer(account, body, **key())
    with pytest.raises(Conflict):
        endpoints.create_customer(account, body, **key())
    query = Query(filter=field("reference_id").eq(body.reference_id) & field("name").eq("Ann O'Brien"), top=1)
    assert [row["uid"] for row in endpoints.list_customers(account, query).items] == [customer.uid]
    card = {**CARD, "credit": {**CARD["credit"], "card_brand": "VISA"}}
    method = payment_method_from_dict(card, saving=True)
    saved = endpoints.save_payment_method(account, customer.uid, SavePaymentMethod(payment_method=method), **key())
    listed = endpoints.list_saved_payment_methods(account, customer.uid)
    [view] = [SavedMethodResource(row) for row in listed.items]
    assert (view.uid, view.last4, view.brand, view.exp_month) == (saved.uid, "1111", "VISA", 12)
    default = DefaultPaymentMethod(saved_payment_method_uid=saved.uid)
    endpoints.set_default_payment_method(account, customer.uid, default, **key())
    assert endpoints.get_customer(account, customer.uid).default_payment_method_uid == saved.uid
    wallet = {"payment_method_type": "wallet_credit", "wallet": {"saved_payment_method_uid": saved.uid}}
    payment, shape = validated(endpoints, account, method=payment_method_from_dict(wallet))
    assert endpoints.capture_payment(account, payment.uid, capture_of(payment, shape), **key()).status == "captured"
    assert endpoints.get_payment(account, payment.uid).saved_payment_method_uid == saved.uid
    assert body.reference_id
    rows = [ImportedMethod(customer_reference_id=body.reference_id, payment_method=method)]
    imported = endpoints.import_payment_methods(account, ImportPaymentMethods(payment_methods=rows), **key())
    assert len(imported["results"]) == 1
    endpoints.remove_payment_method(account, customer.uid, saved.uid, **key())
    assert saved.uid not in [row["saved_payment_method_uid"] for row in
                             endpoints.list_saved_payment_methods(account, customer.uid).items]  # fmt: skip


@pytest.mark.parametrize("order", ["updated_at", "uid", "skip"])
def test_every_payment_comes_once_in_every_order(order: Any, endpoints: Endpoints, account: str) -> None:
    made = {validated(endpoints, account)[0].uid for _ in range(7)}
    found = [row["uid"] for page in endpoints.walk("list_payments", account, order, 3) for row in page.items]
    assert len(found) == len(set(found))
    assert made <= set(found)
    pages = list(endpoints.walk("list_payments", account, order, 3))
    rest = endpoints.walk("list_payments", account, order, 3, pages[0].position)
    assert [row["uid"] for page in rest for row in page.items] == found[3:]


def test_lists_without_an_account_and_lists_that_are_not_paged(endpoints: Endpoints, account: str) -> None:
    assert account in [row["uid"] for page in endpoints.walk("list_payment_accounts") for row in page.items]
    assert list(endpoints.walk("list_clients", order="updated_at"))
    body = SetSubscriptions(subscriptions=[Subscription(event_type="payment.refunded", enabled=True)])
    endpoints.set_subscriptions(account, body, **key())
    rows = endpoints.list_subscriptions(account).items
    assert {"event_type": "payment.refunded", "enabled": True}.items() <= next(
        row for row in rows if row["event_type"] == "payment.refunded"
    ).items()
    assert "payment.refunded" in [item["event_type"] for item in endpoints.list_event_types(account)]
    assert endpoints.get_webhook_secret(account)
    assert endpoints.list_terminals(account).items == ()


def test_a_hosted_session(endpoints: Endpoints, account: str) -> None:
    session = endpoints.create_hosted_session(account, CreateHostedSession(**SESSION), **key())
    assert session.client_secret
    read = endpoints.get_hosted_session(session.session_id, session.client_secret)
    assert (read.status, read.amount, read.currency) == ("active", 100, "USD")
    body = UpdateHostedSession(amount=250)
    assert endpoints.update_hosted_session(account, session.session_id, body, **key()).amount == 250
    endpoints.expire_hosted_session(account, session.session_id, **key())
    with pytest.raises(Gone):
        endpoints.get_hosted_session(session.session_id, session.client_secret)


def test_what_the_platform_refuses(endpoints: Endpoints, account: str, address: Any) -> None:
    with pytest.raises(NotFound):
        endpoints.get_payment(account, "pay_unknown")
    with pytest.raises(NotFound):
        endpoints.void_payment(account, "pay_unknown", **key())
    with pytest.raises((AuthenticationError, NotFound)):
        endpoints.list_payments("no-such-account")
    with pytest.raises(AuthenticationError, match=r'GOVPAY\["CLIENT_SECRET"\] is wrong'):
        client_of(address, client_secret="wrong").list_clients()

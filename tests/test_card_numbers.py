"""A card number typed into any text field is stored in no table and no log."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from govpay import operations
from govpay.client import tenant_shapes
from govpay.exceptions import OperationRefused
from govpay.models import HostedSession, Payment
from tests.events import deliver, envelope, known_account
from tests.operations.merchant import Merchant, card

pytestmark = pytest.mark.django_db(transaction=True)

#: One of each brand, as people write them.
NUMBERS = ("4111111111111111", "5555 5555 5555 4444", "3714-496353-98431", "6011 0009 9100 1201")
DIGITS = [re.sub("[^0-9]", "", number) for number in NUMBERS]


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """All that any logger of the process is told, in full."""
    lines: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(logging.Formatter().format(record) + repr(record.args))

    ear, root = Ear(level=1), logging.getLogger()
    before = root.level
    root.addHandler(ear)
    root.setLevel(1)
    yield lines
    root.setLevel(before)
    root.removeHandler(ear)


def stored() -> Iterator[tuple[str, str]]:
    """(table, text of a row) of all that the database holds, staff's sessions included."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                yield table, repr(row)


def with_a_number(text: str) -> bool:
    bare = re.sub(r"[ \-]", "", text)
    return any(digits in bare for digits in DIGITS)


def tries(merchant: Merchant, number: str) -> list[Callable[[], Any]]:
    """Host code that passes a card number where it can pass a text."""
    payment, method = merchant.captured(), merchant.saved_method()
    assert method.customer is not None
    here = {"account": merchant.account, "amount": 500}
    back = {"success_url": "https://testserver/a", "cancel_url": "https://testserver/b"}
    customer = method.customer
    return [
        lambda: operations.quote_payment(
            account=merchant.account, base_amount=500, payment_method=card(holder_name=number), description="x"
        ),
        lambda: operations.quote_payment(
            account=merchant.account, base_amount=500, payment_method=card(fingerprint=number)
        ),
        lambda: operations.quote_payment(
            account=merchant.account, base_amount=500, payment_method=card(), description=f"card {number}"
        ),
        lambda: operations.refund_payment(payment=payment, amount=100, reason=f"was {number}, sorry"),
        lambda: operations.create_payment_link(**here, reference_id=number),
        lambda: operations.create_payment_link(**here, description=f"{number} 12/40 123"),
        lambda: operations.create_customer(account=merchant.account, reference_id=number),
        lambda: operations.create_customer(account=merchant.account, reference_id="C-1", name=number),
        lambda: operations.save_payment_method(customer=customer, payment_method=card(fingerprint=number)),
        lambda: operations.create_hosted_session(**here, **back, description=number),
        lambda: operations.create_hosted_session(**here, **back, metadata={"note": [number]}),
        lambda: operations.create_hosted_session(**here, **back, fraud_signals={"user_agent": number}),
        lambda: operations.create_hosted_session(**here, **back, branding={"merchant_display_name": number}),
        lambda: operations.create_hosted_session(**here, **{**back, "success_url": f"https://testserver/?c={number}"}),
        lambda: operations.create_hosted_session(**here, **{**back, "cancel_url": f"https://{number}.example/"}),
        lambda: operations.create_hosted_session(**here, **back, required_avs_fields=[number]),
        lambda: operations.create_hosted_session(
            **here, **back, line_items=[tenant_shapes.LineItem(description=number, amount=500)]
        ),
        lambda: operations.create_wallet_session(customer=customer, method_badges=[{"label": number}]),
        lambda: operations.create_wallet_session(
            customer=customer, locked_payment_methods=[{"payment_method_uid": method.uid, "reason": number}]
        ),
        lambda: operations.import_payment_methods(
            account=merchant.account, rows=[{"customer_reference_id": number, "payment_method": card()}]
        ),
    ]


@pytest.mark.parametrize("number", NUMBERS)
def test_host_code_passes_one(sandbox: Any, settings: Any, number: str, heard: list[str]) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://testserver"]}
    merchant = Merchant(sandbox)
    *_others, last = attempts = tries(merchant, number)
    for attempt in attempts:
        sent = len(merchant.sandbox.requests())
        if attempt is last:  # the bulk import refuses row by row
            assert [bool(row.error) for row in attempt()] == [True]
        else:
            with pytest.raises(OperationRefused) as refused:
                attempt()
            assert not with_a_number(f"{refused.value!r} {refused.value}")
        writes = [each for each in merchant.sandbox.requests()[sent:] if each["method"] != "GET"]
        assert not writes
    nowhere(heard)


@pytest.mark.parametrize("number", NUMBERS)
def test_staff_type_one(
    sandbox: Any, browse: Any, make_staff: Any, settings: Any, number: str, heard: list[str]
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://testserver"]}
    merchant = Merchant(sandbox)
    client = browse(make_staff("Finance"))
    payment, method = merchant.captured(), merchant.saved_method()
    assert method.customer is not None
    for name in ("payment", "customer", "paymentlink", "operation", "transaction", "webhookevent"):
        client.get(reverse(f"admin:govpay_{name}_changelist"), {"q": number})
    refund = f"{reverse('admin:govpay_payment_refund')}?ids={payment.pk}"
    key = re.search(r'name="key" value="([^"]+)"', client.get(refund).content.decode())
    assert key
    client.post(refund, {"key": key[1], "amount": "1.00", "reason": number})
    create = reverse("admin:govpay_paymentlink_create")
    key = re.search(r'name="key" value="([^"]+)"', client.get(create).content.decode())
    assert key
    link = {"key": key[1], "account": merchant.account.uid, "amount": "5.00", "currency": "USD", "days": "7"}
    for field in ("reference_id", "description", "payer", "amount"):
        assert client.post(create, {**link, field: number}, secure=True).status_code == 200
    charge = f"{reverse('admin:govpay_customer_charge')}?customer={method.customer.pk}"
    key = re.search(r'name="key" value="([^"]+)"', client.get(charge).content.decode())
    assert key
    fields = {"key": key[1], "method": str(method.pk), "amount": "5.00", "currency": "USD"}
    for field in ("reference_id", "description", "amount"):
        client.post(charge, {**fields, field: number})
    assert not [each for each in merchant.posts() if each["path"].endswith(("refund", "/api/payments"))]
    nowhere(heard)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_delivery_brings_one(client: Any, number: str, heard: list[str]) -> None:
    uid = known_account()
    for data in ({"note": number}, {number: 1}, {"deep": [{"text": f"card {number}!"}]}):
        assert deliver(uid, envelope("payment.completed", data=data)).status_code == 200
    nowhere(heard)


def test_payers_pay_with_them(sandbox: Any, settings: Any, heard: list[str]) -> None:
    """A whole life of payments by card: sessions, webhooks' news, sync, refunds."""
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://testserver"]}
    merchant = Merchant(sandbox)
    for number in ("4111111111111111", "5555555555554444"):
        session = operations.create_hosted_session(
            account=merchant.account, amount=700, success_url="https://testserver/a", cancel_url="https://testserver/b"
        )
        merchant.sandbox.confirm_session(session.uid, number)
    merchant.sync("customers", "methods", "payments", "transactions", "sessions")
    for payment in Payment.objects.with_pending_refunds().filter(status="captured"):
        operations.refund_payment(payment=payment, amount=100)
    assert HostedSession.objects.filter(status="completed").count() == 2
    nowhere(heard)


def nowhere(heard: list[str]) -> None:
    found = [table for table, text in stored() if with_a_number(text)]
    assert not found
    assert not [line for line in heard if with_a_number(line)]

"""The bundled sandbox sends nothing that the contract does not know: the doctor must not warn of our own platform."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from govpay import operations
from govpay.doctor import contract as doctor_contract
from govpay.doctor.findings import CheckContext
from govpay.models import ContractNotice, HostedSession, Payment, SavedPaymentMethod
from govpay.models.choices import PaymentStatus
from govpay.sync import contract, sessions
from govpay.sync.pull import GLOBAL, SCOPED, pull
from govpay.sync.transactions import in_transaction
from tests.operations.merchant import Merchant, bank_account, card

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def merchant(sandbox: Any, settings: Any) -> Iterator[Merchant]:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://pay.example.org"]}
    contract.forget()
    yield Merchant(sandbox)
    contract.forget()


def session(merchant: Merchant, **given: Any) -> HostedSession:
    return operations.create_hosted_session(
        account=merchant.account,
        amount=500,
        success_url="https://pay.example.org/done",
        cancel_url="https://pay.example.org/back",
        **given,
    )


def payments(merchant: Merchant) -> None:
    """Each action on payments by card, by bank account and by a saved method."""
    for method in (card(), bank_account()):
        payment = merchant.quoted(method=method)
        operations.capture_payment(payment=payment)
        payment.refresh_from_db()
        operations.refund_payment(payment=payment, amount=5, reason="Storm")
    for kind in ("credit", "ach"):
        saved = merchant.saved_method(kind)
        quoted = operations.quote_payment(account=merchant.account, base_amount=500, saved_method=saved)
        operations.void_payment(payment=quoted)
        operations.set_default_payment_method(method=saved)


def statuses(merchant: Merchant) -> None:
    for status in PaymentStatus.values:
        merchant.add(status)


def wallets(merchant: Merchant) -> None:
    customer = operations.create_customer(
        account=merchant.account, reference_id="C-1", name="Pat", email="p@example.org"
    )
    saved = operations.save_payment_method(customer=customer, payment_method=card(card_brand="visa"))
    operations.remove_payment_method(method=saved)
    operations.create_wallet_session(customer=customer)


def hosted(merchant: Merchant) -> None:
    """A session with every documented option, read again, changed, paid and ended."""
    saved = merchant.saved_method()
    row = session(
        merchant,
        customer=saved.customer,
        description="Water",
        customer_email="p@example.org",
        line_items=[{"description": "Water", "amount": 500, "quantity": 1, "metadata": {"a": "b"}}],
        layout="hosted",
        allowed_methods=["card", "ach"],
        setup_future_usage="on_session",
        branding={"logo_url": "https://x.org/l.png", "accent_color": "#112233", "merchant_display_name": "City"},
        required_avs_fields=["cardholder", "zip"],
        metadata={"order": "17"},
        fraud_signals={"account_type": "challenge_email", "ip_address": "10.0.0.1"},
        expires_in_seconds=1800,
    )
    operations.update_hosted_session(session=row, amount=600)
    document = sessions.read_session(row)
    in_transaction(lambda: sessions.save_session(row.uid, document, extra={"account_id": row.account_id}))
    operations.expire_hosted_session(session=row)
    for method in ("card", "ach"):
        merchant.sandbox.confirm_session(session(merchant, customer=saved.customer).uid, method=method)


def accounts(merchant: Merchant) -> None:
    operations.set_checkout_config(account=merchant.account, display_name="City", page_message="<b>Hello</b>")
    operations.update_payment_account(account=merchant.account, name="Water")
    operations.set_webhook_subscriptions(account=merchant.account, enabled=["payment.completed"])


@pytest.mark.parametrize("use", [payments, statuses, wallets, hosted, accounts], ids=lambda each: each.__name__)
def test_the_doctor_finds_nothing_unknown_in_the_sandbox(merchant: Merchant, use: Callable[[Merchant], None]) -> None:
    use(merchant)
    for name in GLOBAL:
        pull(name, None, full=True)
    for name in SCOPED:
        assert pull(name, merchant.account.uid, full=True).state in ("succeeded", "unproved")
    assert Payment.objects.exists() or SavedPaymentMethod.objects.exists() or use is accounts or use is wallets
    assert not list(ContractNotice.objects.values_list("kind", "name", "value"))
    assert [finding.level.value for finding in doctor_contract.check_contract(CheckContext())] == ["ok"]

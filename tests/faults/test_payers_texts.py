"""R13: a payer's text that no column takes. The row is kept and marked, so that no money is hidden."""

from __future__ import annotations

from typing import Any

import pytest

from govpay import operations
from govpay.doctor.contract import check_contract
from govpay.doctor.findings import CheckContext
from govpay.models import (
    Client,
    Customer,
    Payment,
    PaymentAccount,
    SavedPaymentMethod,
    Terminal,
    Transaction,
    WebhookSubscription,
)
from govpay.models.base import Mirror
from govpay.tasks import process_event
from tests.events import event_for
from tests.operations.merchant import Merchant
from tests.reading import counts, read

pytestmark = pytest.mark.django_db(transaction=True)

#: What a payer or a bank may send, as JSON.
TEXTS = {"NUL": r'"a\u0000b"', "half a pair": r'"a\ud83d b"', "long": f'"{"x" * 12_000}"'}


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None) -> Merchant:
    return Merchant(sandbox)


KINDS: dict[str, tuple[type[Mirror], str, str]] = {
    "clients": (Client, "/api/clients", "name"),
    "accounts": (PaymentAccount, "/api/paymentaccounts", "name"),
    "customers": (Customer, "/api/customers", "name"),
    "payments": (Payment, "/api/payments", "reference_id"),
    "transactions": (Transaction, "/api/transactions", "reason"),
    "terminals": (Terminal, "/api/terminals", "name"),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("name", KINDS)
def test_a_row_with_an_odd_text_is_kept(merchant: Merchant, name: str, text: str) -> None:
    """R13: in every list."""
    model, path, column = KINDS[name]
    account = merchant.account.uid
    merchant.sandbox.refund(merchant.sandbox.add_payment(account, "captured")["uid"], 100, "RF-1", "Goodwill")
    merchant.sandbox.add_customer(account)
    merchant.sandbox.add_terminal(account)
    model._default_manager.all().delete()
    merchant.sandbox.fault(f"GET {path}", alter=f"{column}:{text}")
    run = read(name, None if name in ("clients", "accounts") else account)
    assert "rejected_count" not in counts(run)
    rows = [row for row in model._default_manager.all() if row.raw.get(column)]
    assert rows
    for row in rows:
        assert row.mended == column
        assert getattr(row, column) in ("a\ufffdb", "a\ufffd b", row.raw[column], row.raw[column][:255])


def test_saved_methods_and_subscriptions_are_kept(merchant: Merchant) -> None:
    """R13: the two lists that are not paged."""
    method = merchant.saved_method()
    merchant.sandbox.fault("GET /api/customers/{uid}/payment-methods", alter="is_default:7")
    merchant.sandbox.fault("GET /api/webhooks/subscriptions", status=200, body='[{"event_type": "x", "enabled": "no"}]')
    Customer.objects.update(methods_stale=True)
    assert not read("methods", merchant.account.uid).rejected_count
    assert not read("subscriptions", merchant.account.uid).rejected_count
    assert SavedPaymentMethod.objects.get(uid=method.uid).mended == "is_default"
    assert WebhookSubscription.objects.get().mended == "enabled"


@pytest.mark.parametrize("column", ["created_at", "updated_at", "captured_at"])
def test_a_payment_with_an_odd_date_is_kept(merchant: Merchant, column: str) -> None:
    """R13: the date is null and stays in the document as it came."""
    merchant.sandbox.add_payment(merchant.account.uid, "captured")
    merchant.sandbox.fault("GET /api/payments", alter=f"{column}:31.12.2026")
    run = read("payments", merchant.account.uid)
    assert (run.created, run.rejected_count) == (1, 0)
    row = Payment.objects.get()
    assert (row.mended, row.raw[column]) == (column, "31.12.2026")


@pytest.mark.parametrize("wrong", ['status:"a\\u0000b"', "total_amount:12.5", "currency:7", 'uid:"a\\u0000b"'])
def test_identity_amounts_currency_and_status_reject_a_row(merchant: Merchant, wrong: str) -> None:
    """R13: a row that would show wrong money is reported instead."""
    merchant.sandbox.add_payment(merchant.account.uid, "captured")
    merchant.sandbox.fault("GET /api/payments", alter=wrong)
    run = read("payments", merchant.account.uid)
    assert run.rejected[0]["error"].startswith(wrong.partition(":")[0])
    assert not Payment.objects.exists()


def test_a_read_for_a_webhook_and_our_own_action_keep_the_row(merchant: Merchant) -> None:
    """R13: every way in is the same."""
    payment = merchant.captured()
    merchant.sandbox.fault("GET /api/payments/{uid}", alter=f"reference_id:{TEXTS['NUL']}")
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", alter=f"reason:{TEXTS['NUL']}")
    merchant.sandbox.touch("payment", payment.uid, status="captured")
    event = event_for(merchant.account.uid, "payment.completed", payment_uid=payment.uid)
    process_event(event.pk)
    payment.refresh_from_db()
    assert (payment.reference_id, payment.mended) == ("a\ufffdb", "reference_id")
    operations.refund_payment(payment=payment, amount=2_100, reason="Goodwill")
    assert Transaction.objects.get(type="refund").mended == "reason"


def test_a_row_that_comes_right_is_no_longer_marked(merchant: Merchant) -> None:
    """R13: the mark says what the stored document holds."""
    merchant.sandbox.add_payment(merchant.account.uid, "captured")
    merchant.sandbox.fault("GET /api/payments", alter=f"reference_id:{TEXTS['NUL']}")
    read("payments", merchant.account.uid)
    [found] = check_contract(CheckContext())
    assert "Values that no column takes (reference_id, GET /api/payments), 1 times" in found.what
    merchant.sandbox.clear_faults()
    read("payments", merchant.account.uid)
    assert Payment.objects.get().mended == ""

"""R10: the platform is restored from a backup. Its older content is stored, and nobody overlooks it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from govpay import operations
from govpay.doctor.contract import check_contract
from govpay.doctor.findings import CheckContext
from govpay.models import ContractNotice, Operation, Payment, SavedPaymentMethod, Transaction
from govpay.models.base import Mirror
from govpay.review.items import ended_item
from govpay.sync.lists import CLIENTS, CUSTOMERS, PAYMENT_ACCOUNTS, PAYMENTS, TERMINALS, TRANSACTIONS, Listing
from govpay.tasks import process_event
from tests.events import event_for
from tests.operations.merchant import Merchant, card
from tests.reading import agree, counts, read

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None) -> Merchant:
    return Merchant(sandbox)


def wait(model: type[Mirror], seconds: float = 900) -> None:
    """As if the first read of an older document had been so long ago."""
    model._default_manager.update(older_seen_at=F("older_seen_at") - dt.timedelta(seconds=seconds))


def make(sandbox: Any, account: str, kind: str) -> str:
    if kind == "transaction":
        return str(sandbox.refund(sandbox.add_payment(account, "captured")["uid"], 100, "RF-1")["uid"])
    if kind in ("client", "account"):
        return str(getattr(sandbox, f"add_{kind}")()["uid"])
    given = ("captured",) if kind == "payment" else ()
    return str(getattr(sandbox, f"add_{kind}")(account, *given)["uid"])


@pytest.mark.parametrize(
    ("kind", "name", "listing"),
    [
        ("client", "clients", CLIENTS),
        ("account", "accounts", PAYMENT_ACCOUNTS),
        ("payment", "payments", PAYMENTS),
        ("transaction", "transactions", TRANSACTIONS),
        ("customer", "customers", CUSTOMERS),
        ("terminal", "terminals", TERMINALS),
    ],
)
def test_older_content_in_two_reads_is_stored_and_reported(
    sandbox: Any, kind: str, name: str, listing: Listing
) -> None:
    """R10: two full passes, ``ABSENT_AFTER`` apart, bring every row back to what the platform has."""
    model = listing.mapper.model
    account = str(sandbox.add_account()["uid"])
    uid = make(sandbox, account, kind)
    backup = sandbox.back_up()
    sandbox.touch(kind, uid, name="later", status="failed")
    where = None if kind in ("client", "account") else account
    read(name, where)
    sandbox.restore(backup)
    for _ in range(2):
        assert read(name, where, full=True).updated == 0, "the first read is only noted, however often"
        wait(model, 890)
    wait(model, 20)
    assert read(name, where, full=True).updated == 1
    assert agree(sandbox, kind, model)
    notice = ContractNotice.objects.get(value="restored")
    assert (notice.kind, notice.count) == (model._meta.model_name, 1)
    assert any("Older content than before" in found.what for found in check_contract(CheckContext()))


def test_saved_methods_are_brought_back_too(merchant: Merchant) -> None:
    """R10: their lists are read for each customer."""
    method = merchant.saved_method()
    backup = merchant.sandbox.back_up()
    merchant.sandbox.touch("method", method.uid, is_default=True)
    read("methods", merchant.account.uid, full=True)
    method.refresh_from_db()
    assert method.is_default
    merchant.sandbox.restore(backup)
    read("methods", merchant.account.uid, full=True)
    wait(type(method))
    read("methods", merchant.account.uid, full=True)
    method.refresh_from_db()
    assert not method.is_default


def voided_then_restored(merchant: Merchant) -> Payment:
    """A payment that is voided here; the platform is back to its capture."""
    payment = merchant.captured()
    backup = merchant.sandbox.back_up()
    merchant.sandbox.touch("payment", payment.uid, status="voided")
    read("payments", merchant.account.uid)
    merchant.sandbox.restore(backup)
    return payment


def tell(merchant: Merchant, payment: Payment) -> str:
    """A webhook: the payment is read by itself. Returns the status here."""
    process_event(event_for(merchant.account.uid, "payment.completed", payment_uid=payment.uid).pk)
    payment.refresh_from_db()
    return payment.status


def test_reads_of_one_object_count_as_well(merchant: Merchant) -> None:
    """R10: one read by a pass and one for a webhook."""
    payment = voided_then_restored(merchant)
    read("payments", merchant.account.uid, full=True)
    wait(Payment)
    assert tell(merchant, payment) == "captured"


def test_a_replica_that_lags_does_not_win(merchant: Merchant) -> None:
    """W4: the newer document is read in between, so the older one is only late."""
    payment = merchant.captured()
    merchant.sandbox.advance(60)
    merchant.sandbox.touch("payment", payment.uid, status="voided")
    read("payments", merchant.account.uid)
    for _ in range(3):
        merchant.sandbox.fault("GET /api/payments/{uid}", lag=30, times=1)
        assert tell(merchant, payment) == "voided"
        assert payment.older_seen_at is not None
        wait(Payment)
        assert tell(merchant, payment) == "voided"
        assert payment.older_seen_at is None


def test_two_different_older_documents_do_not_win(merchant: Merchant) -> None:
    """W4: a replica that catches up shows one state after the other."""
    payment = merchant.captured()
    for status in ("partially_refunded", "refunded"):
        merchant.sandbox.advance(60)
        merchant.sandbox.touch("payment", payment.uid, status=status)
    read("payments", merchant.account.uid)
    for lag in (90, 30):
        merchant.sandbox.fault("GET /api/payments/{uid}", lag=lag, times=1)
        assert tell(merchant, payment) == "refunded"
        wait(Payment)


def test_a_write_in_between_begins_the_time_again(merchant: Merchant) -> None:
    """R10: the row was written since, so the platform has moved on."""
    payment = voided_then_restored(merchant)
    read("payments", merchant.account.uid, full=True)
    wait(Payment)
    document = merchant.sandbox.get("payment", payment.uid)
    merchant.sandbox.touch("payment", payment.uid, status="refunded")
    assert tell(merchant, payment) == "refunded"
    assert payment.older_seen_at is None
    store = merchant.sandbox.platform.store
    row = store.get("payment", payment.uid)
    row.doc = document
    store.put(row)
    assert tell(merchant, payment) == "refunded"


def test_operations_whose_effect_vanished_are_review_items(merchant: Merchant) -> None:
    """R10: a capture whose payment is validated again, and a refund whose transaction is gone."""
    quoted, captured = merchant.quoted(), merchant.captured()
    backup = merchant.sandbox.back_up()
    operations.capture_payment(payment=quoted)
    operations.refund_payment(payment=captured, amount=2_100)
    merchant.sync()
    merchant.sandbox.restore(backup)
    for _ in range(2):
        for name in ("payments", "transactions"):
            read(name, merchant.account.uid, full=True)
        wait(Payment)
    assert agree(merchant.sandbox, "payment", Payment)
    assert agree(merchant.sandbox, "transaction", Transaction)
    flagged = Operation.objects.filter(attention="diverged").order_by("action")
    assert [row.action for row in flagged] == ["capture", "refund"]


def test_wallet_operations_whose_effect_vanished_are_review_items(merchant: Merchant) -> None:
    """R10: a customer that was created is gone, and a saved method that was removed is there again."""
    method = merchant.saved_method()
    backup = merchant.sandbox.back_up()
    operations.create_customer(account=merchant.account, reference_id="lost")
    operations.remove_payment_method(method=method)
    operations.save_payment_method(customer=method.customer, payment_method=card())
    Operation.objects.update(finished_at=timezone.now() - dt.timedelta(seconds=901))
    merchant.sandbox.restore(backup)
    for name in ("customers", "methods"):
        read(name, merchant.account.uid, full=True)
    flagged = Operation.objects.filter(attention="diverged").order_by("action")
    assert [row.action for row in flagged] == ["create_customer", "remove_method"]
    assert [ended_item(row).known for row in flagged] == [
        "It succeeded, and the platform no longer has the customer.",
        "It succeeded, and the platform has the saved payment method again.",
    ]


def test_wallet_that_lags_or_is_changed_by_its_payer_is_no_review_item(merchant: Merchant) -> None:
    """A list may show a removed method for a while, and a payer may remove a method that was saved here."""
    method = merchant.saved_method()
    saved = operations.save_payment_method(customer=method.customer, payment_method=card())
    backup = merchant.sandbox.back_up()
    operations.remove_payment_method(method=method)
    merchant.sandbox.restore(backup)
    merchant.sandbox.remove("method", saved.uid)
    read("methods", merchant.account.uid, full=True)
    rows = {row.uid: row.deleted_at for row in SavedPaymentMethod.objects.all()}
    assert rows[method.uid] is None
    assert rows[saved.uid] is not None
    assert not Operation.objects.exclude(attention="").exists()


def test_the_first_read_is_noted_without_a_write_of_the_document(merchant: Merchant) -> None:
    """R10: nothing of the row's content changes, and no signal is sent."""
    payment = voided_then_restored(merchant)
    before = Payment.objects.filter(uid=payment.uid).values("raw", "digest", "synced_at", "status").get()
    assert counts(read("payments", merchant.account.uid, full=True)) == {"unchanged": 1}
    assert Payment.objects.filter(uid=payment.uid).values("raw", "digest", "synced_at", "status").get() == before
    payment.refresh_from_db()
    assert payment.older_seen_at is not None
    assert payment.older_seen_at <= timezone.now()

"""R9: the platform's clock was ahead for a moment. No row stays frozen, and no change is missed."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.utils import timezone

from govpay import operations
from govpay.doctor.contract import check_contract
from govpay.doctor.findings import CheckContext
from govpay.models import ContractNotice, Payment, SyncRun, Transaction
from govpay.sync import clocks
from govpay.sync.lists import CUSTOMERS, PAYMENTS, TERMINALS, TRANSACTIONS, Listing
from govpay.sync.pull import pull
from govpay.tasks import process_event
from tests.events import event_for
from tests.operations.merchant import Merchant
from tests.reading import agree, cursor_of, read

pytestmark = pytest.mark.django_db(transaction=True)

#: Seconds by which the platform's clock is wrong.
WRONG = 600.0
ROWS = 45


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None) -> Merchant:
    return Merchant(sandbox)


def stamp(payment: Payment) -> dt.datetime:
    payment.refresh_from_db()
    assert payment.remote_updated_at is not None
    return payment.remote_updated_at


def store_a_stamp_of_the_future(merchant: Merchant, status: str = "captured") -> Payment:
    """A payment that was last changed while the platform's clock was ten minutes ahead."""
    payment = merchant.captured() if status == "captured" else merchant.quoted()
    merchant.sandbox.set_clock(WRONG)
    merchant.sandbox.touch("payment", payment.uid, decline_code="stamped")
    read("payments", merchant.account.uid)
    assert stamp(payment) > timezone.now()
    merchant.sandbox.set_clock(0)
    return payment


@pytest.mark.parametrize("status", ["captured", "validated"])
def test_answer_to_our_own_action_wins(merchant: Merchant, status: str) -> None:
    """R9: the answer to a refund or a capture is stored although the row has a later stamp."""
    payment = store_a_stamp_of_the_future(merchant, status)
    if status == "captured":
        operations.refund_payment(payment=payment, amount=2_100)
    else:
        operations.capture_payment(payment=payment)
    payment.refresh_from_db()
    there = merchant.sandbox.get("payment", payment.uid)
    assert (payment.refunded_amount, payment.status) == (there["refunded_amount"], there["status"])
    assert stamp(payment) <= timezone.now()


def test_a_read_for_a_webhook_wins(merchant: Merchant) -> None:
    """R9: the payment is read by itself."""
    payment = store_a_stamp_of_the_future(merchant)
    merchant.sandbox.touch("payment", payment.uid, status="voided")
    process_event(event_for(merchant.account.uid, "payment.completed", payment_uid=payment.uid).pk)
    payment.refresh_from_db()
    assert payment.status == "voided"


def make(sandbox: Any, account: str, kind: str) -> str:
    if kind == "transaction":
        return str(sandbox.refund(sandbox.add_payment(account, "captured")["uid"], 100, "RF-1")["uid"])
    given = ("captured",) if kind == "payment" else ()
    return str(getattr(sandbox, f"add_{kind}")(account, *given)["uid"])


@pytest.mark.parametrize("full", [True, False], ids=["full", "incremental"])
@pytest.mark.parametrize(
    ("kind", "name", "listing"),
    [
        ("payment", "payments", PAYMENTS),
        ("transaction", "transactions", TRANSACTIONS),
        ("customer", "customers", CUSTOMERS),
        ("terminal", "terminals", TERMINALS),
    ],
)
def test_the_next_pass_brings_every_row_up_to_date(
    sandbox: Any, kind: str, name: str, listing: Listing, full: bool
) -> None:
    """R9: a full pass stores the listed row. An incremental pass reads such a row by itself first."""
    account = str(sandbox.add_account()["uid"])
    uid = make(sandbox, account, kind)
    sandbox.set_clock(WRONG)
    sandbox.touch(kind, uid, updated="ahead")
    read(name, account)
    sandbox.set_clock(0)
    sandbox.touch(kind, uid, updated="right")
    read(name, account, full=full)
    assert agree(sandbox, kind, listing.mapper.model)


def test_incremental_passes_miss_no_change(merchant: Merchant) -> None:
    """R9: a stamp of the future does not move the watermark behind later changes."""
    uids = merchant.sandbox.add_payments(merchant.account.uid, ROWS)
    read("payments", merchant.account.uid)
    merchant.sandbox.set_clock(WRONG)
    merchant.sandbox.add_payments(merchant.account.uid, 10)
    read("payments", merchant.account.uid)
    merchant.sandbox.set_clock(0)
    for uid in uids:
        merchant.sandbox.touch("payment", uid, status="voided")
    read("payments", merchant.account.uid)
    assert Payment.objects.filter(status="voided").count() == ROWS
    assert agree(merchant.sandbox, "payment", Payment)


def watermark(merchant: Merchant) -> dt.datetime:
    return dt.datetime.fromisoformat(cursor_of("payments", merchant.account.uid).watermark["updated_at"])


def test_a_pass_that_is_killed_leaves_no_watermark_of_the_future(merchant: Merchant) -> None:
    """R9: each page is committed with a watermark that is not ahead."""
    merchant.captured()
    read("payments", merchant.account.uid)
    merchant.sandbox.set_clock(WRONG)
    merchant.sandbox.add_payments(merchant.account.uid, 80)

    def stop(run: SyncRun) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("payments", merchant.account.uid, progress=stop)
    assert watermark(merchant) < timezone.now()


@pytest.mark.parametrize("full", [True, False])
def test_a_watermark_of_the_future_is_pulled_back(merchant: Merchant, full: bool) -> None:
    """R9: by a pass that finds no row, and by a full pass."""
    read("payments", merchant.account.uid)
    cursor = cursor_of("payments", merchant.account.uid)
    future = (timezone.now() + dt.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    cursor.watermark = {"order": "updated_at", "updated_at": future, "uid": "pay_z", "skip": 0}
    cursor.save()
    read("payments", merchant.account.uid, full=full)
    assert watermark(merchant) < timezone.now()
    merchant.sandbox.add_payment(merchant.account.uid)
    assert read("payments", merchant.account.uid).created == 1


def test_the_date_of_the_answers_bounds_the_watermark_too(merchant: Merchant) -> None:
    """R9: our own clock may be the one that is ahead."""
    merchant.sandbox.set_clock(-WRONG)
    merchant.captured()
    read("payments", merchant.account.uid)
    cursor = cursor_of("payments", merchant.account.uid)
    late = (timezone.now() - dt.timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    cursor.watermark = {"order": "updated_at", "updated_at": late, "uid": "pay_z", "skip": 0}
    cursor.save()
    read("payments", merchant.account.uid)
    assert watermark(merchant) < timezone.now() - dt.timedelta(seconds=WRONG)


def test_a_list_that_lags_does_not_replace_a_stamp_of_the_future(merchant: Merchant) -> None:
    """W4, R9: the page shows the payment as it was before; its own read shows it as it is."""
    payment = store_a_stamp_of_the_future(merchant)
    document = merchant.sandbox.get("payment", payment.uid)
    earlier = {**document, "decline_code": "before", "updated_at": timezone.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    merchant.sandbox.fault("GET /api/payments", body=json.dumps([earlier]), status=200, times=1)
    run = read("payments", merchant.account.uid)
    payment.refresh_from_db()
    assert payment.raw == document
    assert run.updated == 0


def test_a_list_that_is_read_for_a_webhook_does_not_replace_a_stamp_of_the_future(merchant: Merchant) -> None:
    """W4, R9: the event names no transaction, so the list of the payment's transactions is read."""
    payment = merchant.captured()
    uid = merchant.sandbox.refund(payment.uid, 100, "RF-1")["uid"]
    merchant.sandbox.set_clock(WRONG)
    merchant.sandbox.touch("transaction", uid, reason="stamped")
    read("transactions", merchant.account.uid)
    merchant.sandbox.set_clock(0)
    document = merchant.sandbox.get("transaction", uid)
    earlier = {**document, "reason": "before", "updated_at": timezone.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    merchant.sandbox.fault("GET /api/transactions", body=json.dumps([earlier]), status=200, times=1)
    event = event_for(merchant.account.uid, "payment.refunded", payment_uid=payment.uid)
    process_event(event.pk)
    event.refresh_from_db()
    assert event.state == "processed"
    assert Transaction.objects.get(uid=uid).raw == document


def test_a_row_that_was_stamped_rightly_is_not_replaced_by_an_older_one(merchant: Merchant) -> None:
    """W4: whatever our own clock and the ``Date`` of the answers say."""
    payment = merchant.captured()
    document = merchant.sandbox.get("payment", payment.uid)
    merchant.sandbox.touch("payment", payment.uid, status="voided")
    for skew in (-300, 0, 300):
        read("payments", merchant.account.uid)
        merchant.sandbox.fault(f"GET /api/payments/{payment.uid}", skew=skew, body=json.dumps(document))
        process_event(event_for(merchant.account.uid, "payment.completed", payment_uid=payment.uid).pk)
        merchant.sandbox.clear_faults()
        payment.refresh_from_db()
        assert payment.status == "voided", skew


def test_wrong_stamps_are_counted_and_shown(merchant: Merchant) -> None:
    """R9: in the contract notices and by the doctor."""
    store_a_stamp_of_the_future(merchant)
    notice = ContractNotice.objects.get(name="updated_at")
    assert (notice.kind, notice.value, notice.count) == ("payment", "ahead", 1)
    [found] = check_contract(CheckContext())
    assert "Times in the future (updated_at, GET /api/payments)" in found.what


def test_small_differences_of_two_clocks_say_nothing(merchant: Merchant) -> None:
    read("terminals", merchant.account.uid)  # its answer has a Date
    now = timezone.now()
    assert not clocks.was_ahead(now + clocks.PRECISION, now)
    assert clocks.was_ahead(now + 2 * clocks.PRECISION, now)
    assert not clocks.was_ahead(None, now)


def test_transactions_of_refunds_are_never_lost(merchant: Merchant) -> None:
    """R9: a refund that was made while the platform's clock was ahead, and settled later."""
    payment = merchant.bank_payment()
    merchant.sandbox.set_clock(WRONG)
    operations.refund_payment(payment=payment, amount=2_100)
    merchant.sandbox.set_clock(0)
    merchant.sandbox.settle()
    merchant.sync()
    assert Transaction.objects.get(type="refund").status == "succeeded"
    payment.refresh_from_db()
    assert payment.refunded_amount == 2_100

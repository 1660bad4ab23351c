"""Movements: which rows of the mirror count, when, and with which sign."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Any

import pytest

from govpay.models import Payment, SyncCursor
from govpay.reports import movements
from tests.reports.rows import EVER, NOON, account, all_of, payment, sums, totals_agree, transaction

pytestmark = pytest.mark.django_db

LATER = NOON + dt.timedelta(days=2)


@pytest.fixture(autouse=True)
def one_account() -> Any:
    return account()


def test_capture_has_four_amounts_and_the_day_of_its_zone() -> None:
    row = payment(dt.datetime(2026, 6, 11, 3, tzinfo=dt.UTC))  # nine in the evening of the tenth
    [found] = all_of()
    assert (found.kind, found.key, found.day) == ("capture", f"capture:{row.uid}", dt.date(2026, 6, 10))
    assert (found.amount, found.base, found.tax, found.fee) == (1000, 900, 60, 40)
    assert (found.currency, found.method, found.brand) == ("USD", "credit", "visa")
    assert not found.pending
    assert not found.estimated
    assert found["amount"] == found.amount
    with pytest.raises(KeyError):
        found["no such"]


@pytest.mark.parametrize("status", ["validated", "failed", "expired", "", "voided", "brand_new"])
def test_payment_that_was_never_captured_does_not_count(status: str) -> None:
    row = payment(None, status=status)
    transaction(row, "void")
    transaction(row, "capture", status="failed")
    assert all_of() == []


@pytest.mark.parametrize("status", ["captured", "voided", "refunded", "charged_back", "returned", "brand_new"])
def test_capture_without_its_moment(status: str) -> None:
    """The capture transaction gives the moment; without one, a status that implies a capture counts on creation."""
    row = payment(None, status=status, remote_created_at=NOON)
    if status not in ("voided", "brand_new"):
        [found] = all_of()
        assert (found.kind, found.moment, found.estimated) == ("capture", NOON, True)
    transaction(row, "capture", at=LATER)
    [found] = all_of()
    assert (found.kind, found.moment, found.estimated) == ("capture", LATER, False)


def test_void_takes_back_all_parts() -> None:
    row = payment(status="voided")
    transaction(row, "void", at=LATER)
    transaction(row, "void", status="failed")
    captured, voided = all_of()
    assert (voided.kind, voided.moment) == ("void", LATER)
    assert (voided.amount, voided.base, voided.tax, voided.fee) == (-1000, -900, -60, -40)
    assert captured.amount + voided.amount == 0


@pytest.mark.parametrize(
    ("kind", "status", "amount", "pending"),
    [
        ("refund", "succeeded", -300, False),
        ("refund", "pending", -300, True),
        ("refund", "", -300, True),
        ("refund", "failed", 0, False),
        ("chargeback", "succeeded", -300, False),
        ("chargeback", "pending", -300, False),
        ("chargeback", "failed", 0, False),
        ("ach_return", "pending", -300, False),
        ("ach_return", "failed", 0, False),
        ("chargeback_reversal", "succeeded", 300, False),
        ("chargeback_reversal", "failed", 0, False),
        ("brand_new", "succeeded", 0, False),
    ],
)
def test_other_movements(kind: str, status: str, amount: int, pending: bool) -> None:
    row = transaction(payment(), kind, 300, LATER, status=status)
    found = [each for each in all_of() if each.kind != "capture"]
    assert [each.amount for each in found] == ([amount] if amount else [])
    for each in found:
        assert (each.kind, each.key, each.transaction_uid) == (kind, f"{kind}:{row.uid}", row.uid)
        assert (each.pending, each.moment, each.method, each.brand) == (pending, LATER, "credit", "visa")
        assert each.base == each.tax == each.fee == 0


def test_columns_that_the_platform_did_not_send() -> None:
    """No date: the time at which the row came. No currency: the payment's. No amount: nothing."""
    row = payment(currency="CAD")
    transaction(row, "refund", 100, None, currency="", synced_at=LATER)
    transaction(row, "refund", 50, None, synced_at=LATER)
    transaction(row, "refund", 30, LATER, currency="")
    transaction(row, "refund", None, LATER)
    found = [each for each in all_of() if each.kind == "refund"]
    assert sorted((each.amount, each.currency, each.estimated) for each in found) == [
        (-100, "CAD", True),
        (-50, "CAD", True),
        (-30, "CAD", False),
        (0, "CAD", False),
    ]
    assert {each.moment for each in found} == {LATER}
    totals_agree(*EVER)


def test_rows_that_are_gone_and_rows_without_their_payment_still_count() -> None:
    row = payment(deleted_at=LATER)
    transaction(row, "refund", 100, deleted_at=LATER)
    Payment.objects.create(uid="pay_x", account_id="acc_1")
    transaction(Payment(uid="never_came", account_id="acc_1", currency="USD"), "refund", 70)
    assert sums(all_of()) == {"capture": 1000, "refund": -170}
    totals_agree(*EVER)


def test_where_transactions_are_not_offered() -> None:
    """The payment alone tells of its void and its refunds."""
    SyncCursor.objects.create(account_id="acc_1", resource="transactions", not_offered_at=NOON)
    account("acc_2")
    for uid in ("acc_1", "acc_2"):
        payment(account_id=uid, status="voided", remote_updated_at=LATER)
        row = payment(account_id=uid, status="partially_refunded", refunded_amount=300, remote_updated_at=LATER)
    known = payment(status="partially_refunded", refunded_amount=300, remote_updated_at=LATER)
    transaction(known, "refund", 100)
    found = [each for each in all_of() if each.account_uid == "acc_1"]
    assert sorted((each.kind, each.amount, each.estimated) for each in found) == [
        *[("capture", 1000, False)] * 3,
        ("refund", -300, True),
        ("refund", -200, True),
        ("refund", -100, False),
        ("void", -1000, True),
    ]
    assert {each.moment for each in found if each.estimated} == {LATER}
    assert {each.kind for each in all_of() if each.account_uid == row.account_id} == {"capture"}
    totals_agree(*EVER)


def test_order_and_chunks(monkeypatch: Any) -> None:
    """By account, then moment; the same rows however few one statement reads."""
    account("acc_2")
    for number in range(7):
        for uid in ("acc_2", "acc_1"):
            moment = NOON + dt.timedelta(hours=number // 3)
            transaction(payment(moment, account_id=uid), "refund", 10, moment)
    whole = all_of()
    assert len(whole) == 28
    assert [(each.account_uid, each.moment) for each in whole] == sorted(
        (each.account_uid, each.moment) for each in whole
    )
    monkeypatch.setattr(sys.modules["govpay.reports.movements"], "CHUNK", 2)
    assert all_of() == whole


def test_only_the_days_that_were_asked_for(one_account: Any) -> None:
    day = dt.date(2026, 6, 10)
    for hours in (-13, -12, 0, 11, 12):
        payment(NOON + dt.timedelta(hours=hours))
    found = list(movements([one_account], day, day))
    assert [each.moment for each in found] == [NOON + dt.timedelta(hours=hours) for hours in (-12, 0, 11)]
    assert {each.day for each in found} == {day}
    assert list(movements([one_account], day, day - dt.timedelta(days=1))) == []

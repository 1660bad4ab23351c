"""Exceptions: the rows that somebody must check, and no others."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from govpay.models import Payment, SyncCursor
from govpay.reports import list_exceptions
from tests.reports.rows import NOON, account, payment, transaction

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def one() -> Any:
    return account()


def found(*accounts: Any) -> list[tuple[str, str, str]]:
    return sorted((str(each.kind), each.payment_uid, each.transaction_uid) for each in list_exceptions(accounts))


def test_rows_that_agree_are_not_listed(one: Any) -> None:
    row = payment(status="partially_refunded", refunded_amount=300)
    transaction(row, "capture")
    transaction(row, "refund", 300)
    transaction(row, "refund", 100, status="pending")
    transaction(row, "refund", 100, status="failed")
    payment(refunded_amount=None)
    transaction(payment(status="voided"), "void")
    transaction(payment(None, status="voided"), "void")
    transaction(payment(None, status="failed"), "capture", status="failed")
    transaction(payment(status="charged_back"), "chargeback", status="pending")
    transaction(payment(status="returned"), "ach_return")
    payment(None, status="validated", total_amount=None, currency="")
    transaction(payment(), "refund", None, status="failed")
    assert found(one) == []


@pytest.mark.parametrize(
    ("kind", "columns", "moved"),
    [
        ("unknown_type", {}, {"kind": "brand_new"}),
        ("unknown_status", {"refunded_amount": 0}, {"kind": "refund", "status": "brand_new"}),
        ("no_amount", {}, {"kind": "chargeback", "amount": None}),
        ("no_amount", {}, {"kind": "void", "amount": None}),
    ],
)
def test_transactions_that_must_be_checked(one: Any, kind: str, columns: Any, moved: Any) -> None:
    row = payment(**columns)
    made = transaction(row, **moved)
    assert found(one) == [(kind, row.uid, made.uid)]
    [each] = list_exceptions([one])
    assert (each.account_uid, each.day) == ("acc_1", dt.date(2026, 6, 10))


@pytest.mark.parametrize(
    ("kind", "columns", "moved"),
    [
        ("refunds_differ", {"refunded_amount": 300}, None),
        ("refunds_differ", {"refunded_amount": 300}, {"kind": "refund", "amount": 200}),
        ("refunds_differ", {"refunded_amount": 300}, {"kind": "refund", "amount": 300, "status": "pending"}),
        ("refunds_differ", {"refunded_amount": 0}, {"kind": "refund", "amount": 200}),
        ("not_captured", {"status": "failed"}, None),
        ("not_captured", {"status": "validated", "captured_at": None}, {"kind": "capture"}),
        ("no_loss", {"status": "charged_back"}, {"kind": "ach_return"}),
        ("no_loss", {"status": "returned"}, {"kind": "ach_return", "status": "failed"}),
        ("no_amount", {"total_amount": None}, None),
        ("no_amount", {"currency": ""}, None),
    ],
)
def test_payments_that_must_be_checked(one: Any, kind: str, columns: Any, moved: Any) -> None:
    row = payment(**columns)
    if moved:
        transaction(row, **moved)
    assert found(one) == [(kind, row.uid, "")]


def test_transaction_before_its_payment(one: Any) -> None:
    made = transaction(Payment(uid="not_here", account_id="acc_1", currency="USD"), "refund", at=None)
    assert found(one) == [("no_payment", "not_here", made.uid)]
    assert [each.day for each in list_exceptions([one])] == [None]


def test_refunds_are_not_compared_where_transactions_are_not_offered(one: Any) -> None:
    SyncCursor.objects.create(account_id="acc_1", resource="transactions", not_offered_at=NOON)
    payment(refunded_amount=300)
    assert found(one) == []


def test_exceptions_of_other_accounts_are_not_listed(one: Any) -> None:
    other = account("acc_2")
    row = payment(account_id="acc_2", refunded_amount=300)
    transaction(payment(account_id="acc_2"), "brand_new")
    assert found(one) == []
    assert len(found(other)) == 2
    assert found(other)[0][1] == row.uid

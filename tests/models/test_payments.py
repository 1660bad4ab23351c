"""The rules of payments that need only the stored row."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from govpay.models import Payment, Transaction


def payment(**columns: Any) -> Payment:
    given = {
        "uid": "pay_1",
        "account_id": "acc_1",
        "status": "captured",
        "base_amount": 1000,
        "processing_fee_amount": 50,
        "total_amount": 1050,
        "currency": "USD",
        "method_type": "wallet_credit",
        "remote_created_at": timezone.now(),
        **columns,
    }
    return Payment.objects.create(**given)


def annotated(**columns: Any) -> Payment:
    return Payment.objects.with_pending_refunds().get(pk=payment(**columns).pk)


def refund(amount: int, status: str, **columns: Any) -> None:
    Transaction.objects.create(
        uid=f"trx_{Transaction.objects.count()}",
        payment_id="pay_1",
        type="refund",
        status=status,
        amount=amount,
        **columns,
    )


@pytest.mark.django_db
def test_pending_refunds_reserve_theirs() -> None:
    refund(300, "pending")
    refund(100, "pending")
    refund(500, "failed")
    refund(200, "succeeded")
    row = annotated(refunded_amount=200, status="partially_refunded")
    assert row.refundable_amount == 1050 - 200 - 400
    assert row.why_not_refundable() == ""


@pytest.mark.django_db
@pytest.mark.parametrize(
    "columns",
    [{"status": "validated"}, {"status": "charged_back"}, {"status": "brand_new"}, {"status": "refunded"}]
    + [{"refunded_amount": 1050}, {"total_amount": None}, {"deleted_at": timezone.now()}],
)
def test_what_cannot_be_refunded_says_why(columns: dict[str, Any]) -> None:
    assert annotated(**columns).why_not_refundable()


@pytest.mark.django_db
def test_a_refund_of_unknown_status_is_not_subtracted_twice() -> None:
    refund(400, "completed")
    assert annotated(refunded_amount=400, status="partially_refunded").refundable_amount == 650


@pytest.mark.django_db
def test_a_refund_of_unknown_status_that_the_sum_leaves_out_counts() -> None:
    refund(400, "processing")
    assert annotated(refunded_amount=0).refundable_amount == 650


@pytest.mark.django_db
def test_the_remainder_needs_its_annotation() -> None:
    with pytest.raises(AttributeError, match="with_pending_refunds"):
        _ = payment().refundable_amount


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("columns", "open_"),
    [
        ({}, True),
        ({"method_type": "credit"}, True),
        ({"method_type": "credit", "remote_created_at": timezone.now() - dt.timedelta(minutes=16)}, False),
        ({"remote_created_at": timezone.now() - dt.timedelta(hours=23)}, True),
        ({"remote_created_at": timezone.now() - dt.timedelta(hours=25)}, False),
        ({"status": "captured"}, False),
        ({"processing_fee_amount": None}, False),
        ({"currency": ""}, False),
    ],
)
def test_what_can_be_captured(columns: dict[str, Any], open_: bool) -> None:
    row = payment(**{"status": "validated", **columns})
    assert (row.why_not_capturable(has_method=True) == "") is open_
    assert row.why_not_capturable(has_method=False)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("columns", "open_"),
    [
        ({"status": "validated"}, True),
        ({"captured_at": timezone.now()}, True),
        ({"captured_at": timezone.now() - dt.timedelta(days=1)}, False),
        ({"captured_at": None}, False),
        ({"captured_at": timezone.now(), "refunded_amount": 1}, False),
        ({"status": "refunded"}, False),
    ],
)
def test_what_can_be_voided(columns: dict[str, Any], open_: bool) -> None:
    assert (annotated(**columns).why_not_voidable() == "") is open_


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("zone", "last", "name"),
    [
        ("UTC", "2026-06-11T23:59:59Z", "UTC"),
        ("America/Denver", "2026-06-11T05:59:59Z", "America/Denver"),
        ("Mountain Standard Time", "2026-06-11T05:59:59Z", "America/Denver"),
        ("Asia/Tokyo", "2026-06-11T14:59:59Z", "Asia/Tokyo"),
        ("Mars", "2026-06-11T23:59:59Z", "UTC"),
    ],
)
def test_the_day_of_a_void_is_of_the_zone_in_the_settings(settings: Any, zone: str, last: str, name: str) -> None:
    """03:00 UTC is still the evening of the tenth in Denver, and noon of the eleventh in Tokyo."""
    settings.GOVPAY = {**settings.GOVPAY, "VOID_DAY_ZONE": zone}
    row = annotated(captured_at=dt.datetime(2026, 6, 11, 3, tzinfo=dt.UTC))
    end = dt.datetime.fromisoformat(last)
    with time_machine.travel(end, tick=False):
        assert row.why_not_voidable() == ""
    with time_machine.travel(end + dt.timedelta(seconds=1), tick=False):
        assert f"({name})" in row.why_not_voidable()


@pytest.mark.django_db
def test_a_missing_relative_is_no_error() -> None:
    row = payment(customer_id="cus_never_seen")
    assert row.customer_id == "cus_never_seen"
    assert Payment.objects.select_related("customer", "account").get(pk=row.pk).customer is None

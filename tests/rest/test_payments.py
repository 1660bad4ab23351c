"""Payments over REST: read, quote, capture, refund and void, checked in the sandbox's ledger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.utils import timezone

from govpay import operations
from govpay.exceptions import OperationRefused
from govpay.models import Operation, Payment
from tests.operations.merchant import Merchant, bank_account, card, only
from tests.rest.conftest import Program, address, problem

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_payment_is_quoted_captured_and_refunded(finance_program: Program, merchant: Merchant) -> None:
    quote = finance_program.act(
        "payments/quote",
        {"account": merchant.account.uid, "base_amount": 12_345, "reference_id": "INV-1", "payment_method": card()},
    )
    assert quote.status_code == 201, quote.content
    payment = quote.json()
    assert payment["status"] == "validated"
    assert payment["total_amount"] == 12_345 + payment["processing_fee_amount"]
    assert payment["currency"] == "USD"
    assert quote["Location"].endswith(f"/govpay/api/v1/payments/{payment['uid']}")
    operation = only(action="quote")
    assert quote["Operation-Id"] == str(operation.key)
    assert operation.actor == finance_program.user

    captured = finance_program.act(f"payments/{payment['uid']}/capture", {"total_amount": payment["total_amount"]})
    assert captured.status_code == 200, captured.content
    assert captured.json()["status"] == "captured"

    refund = finance_program.act(
        f"payments/{payment['uid']}/refund", {"amount": 500, "currency": "USD", "reason": "Overpaid"}
    )
    assert refund.status_code == 201, refund.content
    assert (refund.json()["type"], refund.json()["amount"]) == ("refund", 500)

    row = Payment.objects.get(uid=payment["uid"])
    assert merchant.moved("refund", row) == 500
    found = finance_program.get(f"payments/{row.uid}").json()
    assert found["refundable_amount"] == payment["total_amount"] - 500
    assert found["transactions"][0]["type"] == "refund"
    assert {each["action"] for each in found["operations"]} == {"quote", "capture", "refund"}
    assert {each["actor"] for each in found["operations"]} == {"finance"}
    assert found["events"] == []
    assert Operation.objects.filter(state="succeeded").count() == 3


def test_a_payment_is_voided(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.quoted()
    answer = finance_program.act(f"payments/{payment.uid}/void")
    assert answer.status_code == 200, answer.content
    assert answer.json()["status"] == "voided"
    problem(finance_program.act(f"payments/{payment.uid}/void"), 422, "refused")


def test_the_hosts_transactions_and_middleware_do_not_matter(
    finance_program: Program, merchant: Merchant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    payment = merchant.quoted()
    assert finance_program.act(f"payments/{payment.uid}/capture").status_code == 200
    assert Program().client.get("/govpay/api/schema/").status_code == 200
    problem(Program().get("payments"), 401, "not-signed-in")


def test_a_total_that_was_not_expected_is_not_taken(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.quoted()
    problem(finance_program.act(f"payments/{payment.uid}/capture", {"total_amount": 1}), 422, "refused")
    found = problem(finance_program.act(f"payments/{payment.uid}/capture", {"currency": "CAD"}), 400, "invalid")
    assert found["errors"][0]["field"] == "currency"
    assert not merchant.posts("capture")


def test_a_bank_account_is_taken_with_its_owners_word_alone(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.quoted(method=bank_account(), actor=finance_program.user)
    found = problem(finance_program.act(f"payments/{payment.uid}/capture"), 400, "invalid")
    assert found["errors"][0]["field"] == "authorization"
    consent = {"sec_code": "tel", "text": "I authorize the City.", "accepted_at": "2026-03-01T12:00:00+01:00"}
    for name, value in (("sec_code", "xyz"), ("accepted_at", "yesterday"), ("accepted_at", "2026-03-01T12:00:00")):
        answer = finance_program.act(f"payments/{payment.uid}/capture", {"authorization": {**consent, name: value}})
        assert problem(answer, 400, "invalid")["errors"][0]["field"] == f"authorization.{name}"
    assert not merchant.posts("capture")
    answer = finance_program.act(f"payments/{payment.uid}/capture", {"authorization": consent}, key="c")
    assert answer.status_code == 200, answer.content
    row = only(action="capture")
    assert (row.sec_code, row.authorization_text, row.actor) == ("tel", "I authorize the City.", finance_program.user)
    assert (
        finance_program.act(f"payments/{payment.uid}/capture", {"authorization": consent}, key="c").json()
        == answer.json()
    )


def test_nobody_has_agreed_in_the_future(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.quoted(method=bank_account(), actor=finance_program.user)
    consent = {"sec_code": "tel", "text": "I authorize the City."}
    for ahead, status in ((dt.timedelta(days=1), 400), (dt.timedelta(minutes=11), 400), (dt.timedelta(minutes=5), 200)):
        given = {**consent, "accepted_at": (timezone.now() + ahead).isoformat()}
        answer = finance_program.act(f"payments/{payment.uid}/capture", {"authorization": given}, key=f"{ahead}")
        assert answer.status_code == status, answer.content
        if status == 400:
            assert problem(answer, 400, "invalid")["errors"][0]["field"] == "authorization.accepted_at"
            assert not merchant.posts("capture")
    naive = operations.Authorization("tel", "I authorize the City.", dt.datetime(2026, 3, 1))
    with pytest.raises(OperationRefused, match="time zone"):
        operations.capture_payment(payment=payment, authorization=naive)


def test_who_may_charge_captures_own_quotes_of_saved_methods_alone(
    make_staff: Callable[..., Any], program: Callable[[Any], Program], finance_program: Program, merchant: Merchant
) -> None:
    clerk = make_staff(name="clerk")
    clerk.user_permissions.add(Permission.objects.get(codename="charge_customer"))
    asking, method = program(clerk), merchant.saved_method()
    body = {"account": merchant.account.uid, "base_amount": 900, "saved_method": method.uid}
    own = asking.act("payments/quote", body).json()["uid"]
    other = finance_program.act("payments/quote", body).json()["uid"]
    for uid in (other, merchant.quoted(actor=clerk).uid):
        problem(asking.act(f"payments/{uid}/capture"), 403, "forbidden")
    assert asking.act(f"payments/{own}/capture").status_code == 200


def test_a_fee_preview_of_the_admin_is_captured_by_nobody(
    make_staff: Callable[..., Any], program: Callable[[Any], Program], finance_program: Program, merchant: Merchant
) -> None:
    clerk = make_staff(name="clerk")
    clerk.user_permissions.add(Permission.objects.get(codename="charge_customer"))
    own = program(clerk)
    quote = {
        "account": merchant.account,
        "base_amount": 900,
        "saved_method": merchant.saved_method(),
        "fee_preview": True,
    }
    for maker, asking in ((clerk, finance_program), (clerk, own), (finance_program.user, finance_program)):
        preview = operations.quote_payment(actor=maker, **quote)
        found = problem(asking.act(f"payments/{preview.uid}/capture"), 422, "refused")
        assert "Only its fee was shown" in found["detail"]
        assert (
            asking is not finance_program
            or finance_program.get(f"payments/{preview.uid}").json()["status"] == "validated"
        )
    problem(own.act(f"payments/{preview.uid}/capture"), 403, "forbidden")
    assert not merchant.posts("/capture")
    assert not Operation.objects.exclude(action="quote").exists()
    assert merchant.ledger() == []


def test_a_charge_that_may_be_the_repetition_of_another_waits(
    finance_program: Program, merchant: Merchant, impatient: None
) -> None:
    body = {"account": merchant.account.uid, "base_amount": 900, "saved_method": merchant.saved_method().uid}
    first, second = (finance_program.act("payments/quote", body).json()["uid"] for _ in range(2))
    merchant.sandbox.fault("POST /api/payments/{uid}/capture", times=1, close="after")
    assert finance_program.act(f"payments/{first}/capture").status_code == 202
    found = problem(finance_program.act(f"payments/{second}/capture"), 422, "refused")
    assert "may have been taken" in found["detail"]
    assert "nothing is sent again automatically" in found["detail"], "as the admin says it"
    merchant.reconcile_all()
    assert finance_program.act(f"payments/{second}/capture").status_code == 200
    assert len(merchant.posts("capture")) == 2


def test_an_action_without_a_body_needs_no_media_type(finance_program: Program, merchant: Merchant) -> None:
    path = address(f"payments/{merchant.quoted().uid}/void")
    answer = finance_program.client.generic("POST", path, b"", content_type="", headers={"Idempotency-Key": "v"})
    assert (answer.status_code, answer.json()["status"]) == (200, "voided")

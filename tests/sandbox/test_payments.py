"""Validate, capture, void."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from govpay.sandbox import Sandbox

from .conftest import Caller, bank, capture_body, card, validation, wallet

Doc = dict[str, Any]


def validate(call: Caller, **more: Any) -> Doc:
    answer = call("POST", "/api/payments", validation(**more))
    assert answer.status_code == 201, answer.text
    return answer.json()


def capture(call: Caller, payment: Doc, method: Doc | None = None) -> Any:
    return call("POST", f"/api/payments/{payment['uid']}/capture", capture_body(payment, method or card()))


def test_validation_quotes_the_fee_and_captures_nothing(sandbox: Sandbox, call: Caller) -> None:
    payment = validate(call)
    assert payment["uid"].startswith("pay_")
    assert (payment["processing_fee_amount"], payment["total_amount"]) == (423, 14_650)
    assert payment["status"] == "validated"
    assert set(payment) == {
        "uid", "reference_id", "customer_uid", "base_amount", "tax_amount", "processing_fee_amount",
        "total_amount", "refunded_amount", "currency", "status", "payment_method", "session_id", "decline_code",
        "created_at", "captured_at", "updated_at",
    }  # fmt: skip
    assert "fingerprint" not in payment["payment_method"]["credit"]
    assert call.get(f"/api/payments/{payment['uid']}") == payment
    assert call.get("/api/payments") == [payment]
    assert call.get("/api/transactions") == []
    assert sandbox.ledger() == []


def test_fees_differ_by_instrument(call: Caller) -> None:
    amex = validate(call, base_amount=9_000, tax_amount=1_000, payment_method=card(bin="371449"))
    assert amex["total_amount"] == 10_000 + amex["processing_fee_amount"]
    visa = validate(call, base_amount=10_000)
    ach = validate(call, base_amount=10_000, payment_method=bank())
    assert (amex["processing_fee_amount"], visa["processing_fee_amount"], ach["processing_fee_amount"]) == (
        355,
        306,
        150,
    )


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"base_amount": None}, 400),
        ({"base_amount": "100"}, 400),
        ({"base_amount": 100.0}, 400),
        ({"base_amount": True}, 400),
        ({"amount": 5}, 400),
        ({"processing_fee_amount": 5}, 400),
        ({"tax_amount": None}, 400),
        ({"payment_method": card(card_brand="VISA")}, 400),
        ({"payment_method": card(cvv="1")}, 400),
        ({"payment_method": "card"}, 400),
        ({"payment_method": {"payment_method_type": "ach", "credit": card()["credit"]}}, 400),
        ({"base_amount": 0}, 422),
        ({"base_amount": -5}, 422),
        ({"tax_amount": -5}, 422),
        ({"base_amount": 10**30}, 422),
        ({"currency": "EUR"}, 422),
        ({"currency": "usd"}, 422),
        ({"reference_id": ""}, 422),
        ({"payment_method": {"payment_method_type": "paypal", "paypal": {}}}, 422),
        ({"payment_method": wallet({"payment_method_type": "credit", "saved_payment_method_uid": "x"})}, 422),
    ],
)
def test_wrong_validation_is_refused(call: Caller, change: Doc, status: int) -> None:
    call.refused(status, "POST", "/api/payments", validation(**change), code="validation_error")
    assert call.get("/api/payments") == []


@pytest.mark.parametrize("name", ["base_amount", "currency", "reference_id", "payment_method"])
def test_validation_needs(call: Caller, name: str) -> None:
    body = validation()
    del body[name]
    call.refused(400, "POST", "/api/payments", body)


def test_limits_of_the_account_apply_to_base_plus_tax(sandbox: Sandbox) -> None:
    account = sandbox.add_account(minimum_payment_amount=10.0, maximum_payment_amount=20.29)
    assert sandbox.address
    call = Caller(sandbox.address, account["uid"])
    for base, tax, status in ((999, 0, 422), (999, 1, 201), (2_000, 29, 201), (2_000, 30, 422)):
        body = validation(base_amount=base, tax_amount=tax)
        assert call("POST", "/api/payments", body).status_code == status, (base, tax)


def test_accounts_that_do_not_take_it(sandbox: Sandbox, call: Caller) -> None:
    cards_only = sandbox.add_account(enable_ach=False)["uid"]
    call.refused(422, "POST", "/api/payments", validation(payment_method=bank()), account=cards_only)
    banks_only = sandbox.add_account(enable_credit_card=False)["uid"]
    call.refused(422, "POST", "/api/payments", validation(), account=banks_only)
    closed = sandbox.add_account(active=False)["uid"]
    call.refused(422, "POST", "/api/payments", validation(), account=closed)
    assert call.get("/api/payments", account=closed) == []


def test_capture_repeats_the_validation_and_happens_once(sandbox: Sandbox, call: Caller) -> None:
    payment = validate(call)
    answer = capture(call, payment)
    assert answer.status_code == 200
    captured = answer.json()
    assert captured["status"] == "captured"
    assert captured["captured_at"]
    assert captured["updated_at"] > payment["updated_at"]
    (transaction,) = call.get("/api/transactions")
    assert set(transaction) == {
        "uid", "payment_uid", "type", "amount", "currency", "status", "reference_id", "processor_transaction_id",
        "reason", "reason_code", "created_at", "updated_at",
    }  # fmt: skip
    assert (transaction["type"], transaction["status"], transaction["amount"]) == ("capture", "succeeded", 14_650)
    assert call.get(f"/api/transactions/{transaction['uid']}") == transaction
    again = capture(call, payment)
    assert (again.status_code, again.json()["code"]) == (409, "already_captured")
    (effect,) = sandbox.ledger()
    assert (effect["kind"], effect["payment_uid"], effect["amount"]) == ("capture", payment["uid"], 14_650)


@pytest.mark.parametrize(
    "change",
    [
        {"base_amount": 14_226},
        {"tax_amount": 1},
        {"processing_fee_amount": 422},
        {"total_amount": 14_651},
        {"currency": "EUR"},
        {"reference_id": "UB-2"},
        {"payment_method": card("1112")},
        {"payment_method": card(fingerprint="tok_other")},
        {"payment_method": card(exp_year=2041)},
        {"payment_method": bank()},
    ],
    ids=str,
)
def test_any_difference_from_the_validation_is_422(sandbox: Sandbox, call: Caller, change: Doc) -> None:
    payment = validate(call)
    body = {**capture_body(payment, card()), **change}
    call.refused(422, "POST", f"/api/payments/{payment['uid']}/capture", body, code="validation_error")
    assert call.get(f"/api/payments/{payment['uid']}") == payment
    assert sandbox.ledger() == []
    assert capture(call, payment).status_code == 200


def test_the_sanitized_echo_is_not_the_original_method(call: Caller) -> None:
    payment = validate(call)
    body = capture_body(payment, payment["payment_method"])
    call.refused(400, "POST", f"/api/payments/{payment['uid']}/capture", body)
    left_out = card()
    del left_out["credit"]["holder_name"]
    call.refused(422, "POST", f"/api/payments/{payment['uid']}/capture", capture_body(payment, left_out))


def test_capture_body_is_complete_and_nothing_more(call: Caller) -> None:
    payment = validate(call)
    path, body = f"/api/payments/{payment['uid']}/capture", capture_body(payment, card())
    for name in body:
        call.refused(400, "POST", path, {key: value for key, value in body.items() if key != name})
        call.refused(400, "POST", path, {**body, name: None})
    call.refused(400, "POST", path, {**body, "amount": 1})
    call.refused(400, "POST", path, data=b"")
    call.refused(404, "POST", "/api/payments/pay_nope/capture", body)


@pytest.mark.parametrize(
    ("method", "code"),
    [
        (card("0002"), "card_declined"),
        (card("9995"), "insufficient_funds"),
        (card("0127"), "incorrect_cvc"),
        (card("0119"), "processing_error"),
        (card(exp_year=2020), "expired_card"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_decline_is_402_and_final(sandbox: Sandbox, call: Caller, method: Doc, code: str) -> None:
    payment = validate(call, payment_method=method)
    path, body = f"/api/payments/{payment['uid']}/capture", capture_body(payment, method)
    error = call.refused(402, "POST", path, body, code=code)
    assert error["recoverable"] is True
    after = call.get(f"/api/payments/{payment['uid']}")
    assert (after["status"], after["decline_code"], after["captured_at"]) == ("failed", code, None)
    assert after["updated_at"] > payment["updated_at"]
    call.refused(409, "POST", path, body)
    assert sandbox.ledger() == []


def test_wallet_payment(sandbox: Sandbox, call: Caller, customer: Doc) -> None:
    saved = sandbox.add_method(customer["uid"])
    body = validation(payment_method=wallet(saved))
    del body["tax_amount"]  # As in the vendor's wallet sample.
    payment = call("POST", "/api/payments", body).json()
    assert payment["customer_uid"] == customer["uid"]
    assert payment["payment_method"] == wallet(saved)
    assert capture(call, payment, wallet(saved)).status_code == 200


def test_wallet_method_must_be_of_this_account_and_kind(sandbox: Sandbox, call: Caller, customer: Doc) -> None:
    saved = sandbox.add_method(customer["uid"], kind="ach")
    wrong = {**wallet(saved), "payment_method_type": "wallet_credit"}
    call.refused(422, "POST", "/api/payments", validation(payment_method=wrong))
    other = sandbox.add_account()["uid"]
    call.refused(422, "POST", "/api/payments", validation(payment_method=wallet(saved)), account=other)
    payment = validate(call, payment_method=wallet(saved))
    assert payment["processing_fee_amount"] == 150
    sandbox.remove("method", saved["saved_payment_method_uid"])
    assert capture(call, payment, wallet(saved)).status_code == 422


@pytest.mark.parametrize(("kind", "seconds"), [("token", 15 * 60), ("wallet", 24 * 3600)])
def test_validation_lapses(sandbox: Sandbox, call: Caller, customer: Doc, kind: str, seconds: int) -> None:
    method = card() if kind == "token" else wallet(sandbox.add_method(customer["uid"]))
    early, late = validate(call, payment_method=method), validate(call, payment_method=method)
    sandbox.advance(seconds - 30)
    call.token = call.fetch_token().json()["access_token"]
    assert capture(call, early, method).status_code == 200
    sandbox.advance(60)
    answer = capture(call, late, method)
    assert (answer.status_code, answer.json()["code"]) == (410, "expired")
    assert call.get(f"/api/payments/{late['uid']}")["status"] == "expired"
    assert call.get("/api/payments?$filter=status eq 'expired'")[0]["uid"] == late["uid"]
    call.refused(410, "POST", f"/api/payments/{late['uid']}/void")


def test_other_accounts_payments_are_not_there(sandbox: Sandbox, call: Caller) -> None:
    payment = validate(call)
    other = sandbox.add_account()["uid"]
    path = f"/api/payments/{payment['uid']}"
    call.refused(404, "GET", path, account=other, code="not_found")
    call.refused(404, "POST", f"{path}/capture", capture_body(payment, card()), account=other)
    call.refused(404, "POST", f"{path}/void", account=other)
    call.refused(404, "POST", f"{path}/refund", {"amount": 1, "reference_id": "r"}, account=other)
    assert call.get("/api/payments", account=other) == []


@pytest.fixture
def at_noon(sandbox: Sandbox, call: Caller) -> None:
    """The platform's clock at noon UTC, so that minutes later is the same day."""
    now = datetime.now(UTC)
    noon = now.replace(hour=12, minute=0, second=0) + timedelta(days=1)
    sandbox.advance((noon - now).total_seconds())
    call.token = call.fetch_token().json()["access_token"]


@pytest.mark.usefixtures("at_noon")
def test_void_before_and_after_capture_on_the_same_day(sandbox: Sandbox, call: Caller) -> None:
    early, late = validate(call), validate(call)
    assert call("POST", f"/api/payments/{early['uid']}/void").json()["status"] == "voided"
    capture(call, late)
    answer = call("POST", f"/api/payments/{late['uid']}/void", {})
    assert (answer.status_code, answer.json()["status"]) == (200, "voided")
    assert [effect["kind"] for effect in sandbox.ledger()] == ["void", "capture", "void"]
    for payment in (early, late):
        call.refused(409, "POST", f"/api/payments/{payment['uid']}/void", code="conflict")
        assert capture(call, payment).status_code == 409


@pytest.mark.usefixtures("at_noon")
def test_void_is_refused_the_next_day_and_after_a_refund(sandbox: Sandbox, call: Caller) -> None:
    refunded, old, banked = validate(call), validate(call), validate(call, payment_method=bank())
    capture(call, refunded)
    capture(call, old)
    capture(call, banked, bank())
    call("POST", f"/api/payments/{refunded['uid']}/refund", {"amount": 1, "reference_id": "r1"})
    call("POST", f"/api/payments/{banked['uid']}/refund", {"amount": 1, "reference_id": "r2"})
    call.refused(409, "POST", f"/api/payments/{refunded['uid']}/void")
    call.refused(409, "POST", f"/api/payments/{banked['uid']}/void")
    sandbox.advance(12 * 3600 + 5)
    call.token = call.fetch_token().json()["access_token"]
    call.refused(409, "POST", f"/api/payments/{old['uid']}/void")
    call.refused(400, "POST", f"/api/payments/{old['uid']}/void", {"reason": "x"})


def test_every_write_accepts_an_idempotency_key_and_does_not_honour_it(sandbox: Sandbox, call: Caller) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = call("POST", "/api/payments", validation(), headers=headers).json()
    second = call("POST", "/api/payments", validation(), headers=headers).json()
    assert first["uid"] != second["uid"]
    assert sandbox.requests()[-1]["idempotency_key"] == "k-1"

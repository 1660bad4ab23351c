"""Hosted sessions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from govpay.sandbox import Sandbox

from .conftest import Caller

Doc = dict[str, Any]
PATH = "/v1/hosted-sessions"


def session_body(**more: Any) -> Doc:
    return {
        "amount": 14_227,
        "currency": "USD",
        "success_url": "https://city.example/done?s={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://city.example/cancelled",
        **more,
    }


EVERYTHING = {
    "description": "Water bill",
    "line_items": [{"description": "Water", "amount": 14_227, "quantity": 1, "metadata": {"a": "b"}}],
    "customer_email": "pat@example.org",
    "layout": "hosted",
    "allowed_methods": ["card", "ach", "apple_pay", "paypal"],
    "setup_future_usage": "off_session",
    "scope": "payment",
    "expires_in_seconds": 900,
    "branding": {"logo_url": "https://x.example/l.png", "accent_color": "#12abEF", "merchant_display_name": "City"},
    "required_avs_fields": ["cardholder", "zip"],
    "metadata": {"invoice": "7", "nested": {"x": 1}},
    "fraud_signals": {
        "ip_address": "192.0.2.1",
        "user_agent": "x",
        "email": "pat@example.org",
        "phone": "1",
        "account_type": "guest",
        "request_timestamp": 1_780_000_000,
        "is_authorized": True,
        "is_admin": False,
    },
}


def create(call: Caller, **more: Any) -> Doc:
    answer = call("POST", PATH, session_body(**more))
    assert answer.status_code == 201, answer.text
    return answer.json()


def read(call: Caller, made: Doc, **more: Any) -> Any:
    return call("GET", f"{PATH}/{made['session_id']}", token=made["client_secret"], account=None, **more)


def test_create_and_read_with_its_own_credential(call: Caller) -> None:
    made = create(call, **EVERYTHING)
    assert set(made) == {"session_id", "client_secret", "expires_at", "hosted_url"}
    assert re.fullmatch(r"cs_[A-Za-z0-9]+", made["session_id"])
    assert made["client_secret"].startswith(made["session_id"] + "_secret_")
    assert made["hosted_url"].endswith("#cs=" + made["client_secret"])
    answer = read(call, made)
    assert answer.status_code == 200
    config = answer.json()
    for name in ("description", "line_items", "customer_email", "layout", "branding", "required_avs_fields"):
        assert config[name] == EVERYTHING[name]
    assert (config["status"], config["scope"], config["amount"], config["currency"]) == (
        "active", "payment", 14_227, "USD",
    )  # fmt: skip
    assert config["challenge"] is None
    assert "saved_methods" not in config
    assert "client_secret" not in answer.text
    assert "metadata" not in config


@pytest.mark.parametrize("name", ["amount", "currency", "success_url", "cancel_url"])
def test_create_needs(call: Caller, name: str) -> None:
    body = session_body()
    del body[name]
    call.refused(400, "POST", PATH, body)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"amount": "5"}, 400),
        ({"amount": 1.5}, 400),
        ({"description": None}, 400),
        ({"colour": "red"}, 400),
        ({"branding": {"accent": "#ffffff"}}, 400),
        ({"line_items": [{"description": "x"}]}, 400),
        ({"line_items": [{"description": "x", "amount": 1, "sku": "1"}]}, 400),
        ({"fraud_signals": {"is_admin": "no"}}, 400),
        ({"allowed_methods": "card"}, 400),
        ({"metadata": []}, 400),
        ({"amount": 0}, 422),
        ({"amount": -1}, 422),
        ({"currency": "EUR"}, 422),
        ({"success_url": "/done"}, 422),
        ({"layout": "popup"}, 422),
        ({"allowed_methods": ["cash"]}, 422),
        ({"scope": "admin"}, 422),
        ({"setup_future_usage": "always"}, 422),
        ({"customer_email": "nonsense"}, 422),
        ({"branding": {"accent_color": "red"}}, 422),
        ({"expires_in_seconds": 0}, 422),
        ({"customer_id": "cus_nope"}, 422),
    ],
    ids=str,
)
def test_wrong_session_is_refused(call: Caller, change: Doc, status: int) -> None:
    call.refused(status, "POST", PATH, session_body(**change), code="validation_error")


def test_wallet_session_needs_a_customer_only(sandbox: Sandbox, call: Caller, customer: Doc) -> None:
    method = sandbox.add_method(customer["uid"], default=True)
    uid = method["saved_payment_method_uid"]
    for extra in ({}, {"amount": 0, "currency": "USD"}):
        body = {
            "scope": "wallet",
            "customer_id": customer["uid"],
            "method_badges": [{"label": "Autopay", "color": "#00ff00", "payment_method_uids": [uid]}],
            "locked_payment_methods": [{"payment_method_uid": uid, "reason": "Autopay"}],
            **extra,
        }
        answer = call("POST", PATH, body)
        assert answer.status_code == 201, answer.text
    config = read(call, answer.json()).json()
    assert config["scope"] == "wallet"
    assert config["saved_methods"] == [
        {
            "id": uid, "type": "card", "brand": "visa", "last4": "1111", "exp_month": 12, "exp_year": 2040,
            "holder_name": "Pat Example", "is_default": True,
        }
    ]  # fmt: skip
    call.refused(400, "POST", PATH, {"scope": "wallet"})
    call.refused(422, "POST", PATH, {"scope": "wallet", "customer_id": "cus_nope"})


def test_credentials_do_not_replace_each_other(call: Caller) -> None:
    made, other = create(call), create(call)
    path = f"{PATH}/{made['session_id']}"
    call.refused(401, "GET", path, token=None)
    call.refused(401, "GET", path, token=made["client_secret"] + "0")
    call.refused(403, "GET", path, code="insufficient_scope")
    call.refused(403, "GET", path, token=other["client_secret"], code="insufficient_scope")
    call.refused(404, "GET", f"{PATH}/cs_nope", token=made["client_secret"])
    call.refused(403, "GET", "/api/payments", token=made["client_secret"], code="insufficient_scope")
    call.refused(403, "POST", f"{path}/expire", token=made["client_secret"], code="insufficient_scope")


def test_browsers_come_from_registered_origins(call: Caller) -> None:
    made = create(call)
    assert read(call, made, headers={"Origin": "https://evil.example"}).json()["code"] == "origin_not_allowed"
    config = f"/api/paymentaccounts/{call.account_uid}/checkout-config"
    call("PUT", config, {"allowed_origins": ["https://pay.example"]})
    assert read(call, made, headers={"Origin": "https://pay.example"}).status_code == 200
    assert read(call, made, headers={"Origin": "https://evil.example"}).status_code == 403


def test_update_amount_and_items_only(sandbox: Sandbox, call: Caller) -> None:
    made = create(call)
    path = f"{PATH}/{made['session_id']}"
    config = call("PATCH", path, {"amount": 500, "line_items": [{"description": "x", "amount": 500}]})
    assert config.status_code == 200
    assert config.json()["amount"] == 500
    assert config.json()["line_items"] == [{"quantity": 1, "description": "x", "amount": 500}]
    call.refused(400, "PATCH", path, {"description": "x"})
    call.refused(400, "PATCH", path, {"amount": None})
    call.refused(422, "PATCH", path, {"amount": 0})
    call.refused(400, "PATCH", path, {"amount": 5}, account=None)
    other = sandbox.add_account()["uid"]
    call.refused(404, "PATCH", path, {"amount": 5}, account=other)
    call.refused(404, "POST", f"{path}/expire", account=other)


def test_expire(call: Caller) -> None:
    made = create(call)
    path = f"{PATH}/{made['session_id']}"
    for _ in range(2):
        answer = call("POST", f"{path}/expire")
        assert (answer.status_code, answer.content) == (204, b"")
    assert (read(call, made).status_code, read(call, made).json()["code"]) == (410, "session_expired")
    call.refused(410, "PATCH", path, {"amount": 5}, code="session_expired")


def test_session_runs_out(sandbox: Sandbox, call: Caller) -> None:
    default, short = create(call), create(call, expires_in_seconds=60)
    sandbox.advance(61)
    assert read(call, short).status_code == 410
    assert read(call, default).status_code == 200
    session = sandbox.get("session", short["session_id"])
    assert session is not None
    assert session["status"] == "expired"
    sandbox.advance(1_800)
    assert read(call, default).status_code == 410


def test_completed_session_is_final(sandbox: Sandbox, call: Caller) -> None:
    made = create(call)
    sandbox.touch("session", made["session_id"], status="completed")
    path = f"{PATH}/{made['session_id']}"
    assert read(call, made).json()["status"] == "completed"
    call.refused(409, "PATCH", path, {"amount": 5}, code="already_confirmed")
    call.refused(409, "POST", f"{path}/expire", code="already_confirmed")
    sandbox.advance(3_000)
    assert read(call, made).json()["status"] == "completed"

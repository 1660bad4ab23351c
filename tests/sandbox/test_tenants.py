"""Clients and payment accounts."""

from __future__ import annotations

from typing import Any

import pytest

from govpay.sandbox import Sandbox

from .conftest import Caller

CLIENT = {"customer_id": "city", "name": "City", "timezone": "Mountain Standard Time", "subdomain": "city"}


def account_body(client_uid: str, **more: Any) -> dict[str, Any]:
    return {
        "client_id": client_uid,
        "name": "Utilities",
        "processor": "zift",
        "external_account_id": "1",
        "external_merchant_id": "2",
        "active": True,
        "enable_ach": True,
        "enable_credit_card": True,
        "minimum_payment_amount": 0.0,
        "maximum_payment_amount": 999999.99,
        "callback_url": "https://city.example/hook",
        "webhook_enabled": True,
        **more,
    }


def test_client_is_created_found_and_read(call: Caller) -> None:
    made = call("POST", "/api/clients", CLIENT, account=None)
    assert made.status_code == 201
    doc = made.json()
    assert {**doc, **CLIENT} == doc
    assert call.get("/api/clients?$filter=name eq 'City'&$top=1", account=None) == [doc]
    assert call.get(f"/api/clients/{doc['uid']}", account=None) == doc
    call.refused(404, "GET", "/api/clients/nope", code="not_found")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"name": None}, 400),
        ({"name": 5}, 400),
        ({"name": "x", "colour": "red"}, 400),
        ({"name": "x", "subdomain": None}, 400),
        ([], 400),
        ("text", 400),
        ({"name": ""}, 422),
        ({"name": "  "}, 422),
    ],
)
def test_wrong_client_is_refused(call: Caller, body: Any, status: int) -> None:
    call.refused(status, "POST", "/api/clients", body, code="validation_error")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"name": NaN}',
        b'{"name": "a", "name": "b"}',
        b'{"name": "\\ud800"}',
        b'{"name": 1e999}',
        b"\xff",
        b"[" * 99_999,
    ],
)
def test_what_is_not_json_is_400(call: Caller, data: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    call.refused(400, "POST", "/api/clients", data=data, headers=headers)


def test_another_content_type_is_400(call: Caller) -> None:
    call.refused(400, "POST", "/api/clients", data='{"name": "x"}', headers={"Content-Type": "text/plain"})


def test_account_is_created_read_and_replaced(call: Caller) -> None:
    client = call("POST", "/api/clients", CLIENT).json()
    made = call("POST", "/api/paymentaccounts", account_body(client["uid"]), account=None)
    assert made.status_code == 201
    doc = made.json()
    assert {**doc, **account_body(client["uid"])} == doc
    path = f"/api/paymentaccounts/{doc['uid']}"
    assert call.get(path, account=None) == doc
    query = "$filter=external_account_id eq '1' and external_merchant_id eq '2'"
    assert call.get(f"/api/paymentaccounts?{query}", account=None) == [doc]
    changed = call("PUT", path, {"client_id": client["uid"], "name": "Water", "processor": "zift"}).json()
    assert changed["name"] == "Water"
    assert changed["callback_url"] is None
    assert changed["updated_at"] > doc["updated_at"]
    assert changed["created_at"] == doc["created_at"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"client_id": "nope"}, 422),
        ({"active": 1}, 400),
        ({"active": "yes"}, 400),
        ({"minimum_payment_amount": "5"}, 400),
        ({"minimum_payment_amount": True}, 400),
        ({"minimum_payment_amount": -1}, 422),
        ({"minimum_payment_amount": 10, "maximum_payment_amount": 5}, 422),
        ({"callback_url": "http://city.example/hook"}, 422),
        ({"callback_url": "nonsense"}, 422),
        ({"api_key": "x"}, 400),
        ({"name": None}, 400),
    ],
)
def test_wrong_account_is_refused(call: Caller, change: dict[str, Any], status: int) -> None:
    client = call("POST", "/api/clients", CLIENT).json()
    call.refused(status, "POST", "/api/paymentaccounts", account_body(client["uid"], **change))


def test_account_needs_client_name_and_processor(call: Caller) -> None:
    client = call("POST", "/api/clients", CLIENT).json()
    for name in ("client_id", "name", "processor"):
        body = account_body(client["uid"])
        del body[name]
        call.refused(400, "POST", "/api/paymentaccounts", body)


def test_checkout_config(call: Caller) -> None:
    path = f"/api/paymentaccounts/{call.account_uid}/checkout-config"
    answer = call("PUT", path, {"allowed_origins": ["https://pay.example"]}, account=None)
    assert answer.status_code == 200
    assert answer.json()["allowed_origins"] == ["https://pay.example"]
    assert call("PUT", path, {"accent_color": "#12abEF"}).json()["allowed_origins"] == ["https://pay.example"]
    assert call.get(f"/api/paymentaccounts/{call.account_uid}")["allowed_origins"] == ["https://pay.example"]
    for origin in ("https://pay.example/path", "pay.example", "ftp://pay.example", "https://pay.example/"):
        call.refused(422, "PUT", path, {"allowed_origins": [origin]})
    call.refused(400, "PUT", path, {"allowed_origins": "https://pay.example"})
    call.refused(400, "PUT", path, {"origins": []})
    call.refused(404, "PUT", "/api/paymentaccounts/nope/checkout-config", {"allowed_origins": []})


def test_client_config_is_anonymous_and_rate_limited(sandbox: Sandbox, call: Caller) -> None:
    path = f"/api/paymentaccounts/{call.account_uid}/client-config"
    config = call.get(path, token=None, account=None)
    assert config["processor"] == "zift"
    assert config["supported_methods"] == ["credit", "ach"]
    assert set(config["config"]) == {"account_id", "api_key", "temporary_password", "expiration_date"}
    call.refused(404, "GET", "/api/paymentaccounts/nope/client-config", token=None)
    answers = [call("GET", path, token=None) for _ in range(60)]
    assert answers[-1].status_code == 429
    assert answers[-1].json()["code"] == "rate_limited"
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_account_scoped_routes_want_a_known_account_header(call: Caller) -> None:
    routes = ("customers", "payments", "transactions", "terminals", "webhooks/subscriptions", "webhooks/secret")
    for route in routes:
        call.refused(400, "GET", f"/api/{route}", account=None, code="validation_error")
        call.refused(403, "GET", f"/api/{route}", account="nope", code="insufficient_scope")


def test_unknown_routes_and_methods(call: Caller) -> None:
    call.refused(404, "GET", "/api/invoices", code="not_found")
    call.refused(404, "GET", "/api/clients/", code="not_found")
    answer = call("DELETE", "/api/clients")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]

"""Customers and saved payment methods."""

from __future__ import annotations

from typing import Any

import pytest

from govpay.sandbox import Sandbox

from .conftest import Caller, bank, card

Doc = dict[str, Any]


def saved_card(**more: Any) -> Doc:
    return {"payment_method": card(card_brand="VISA", **more)}


def test_customer_is_created_once_per_reference(sandbox: Sandbox, call: Caller) -> None:
    body = {"reference_id": "R'1", "name": "Pat", "email": "pat@example.org"}
    made = call("POST", "/api/customers", body)
    assert made.status_code == 201
    doc = made.json()
    assert doc["uid"].startswith("cus_")
    assert {**doc, **body, "default_payment_method_uid": None} == doc
    call.refused(409, "POST", "/api/customers", body, code="conflict")
    assert call.get("/api/customers?$filter=reference_id eq 'R''1'") == [doc]
    assert call.get(f"/api/customers/{doc['uid']}") == doc
    other = sandbox.add_account()["uid"]
    assert call("POST", "/api/customers", body, account=other).status_code == 201
    call.refused(404, "GET", f"/api/customers/{doc['uid']}", account=other)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "Pat"}, 400),
        ({"reference_id": None}, 400),
        ({"reference_id": 7}, 400),
        ({"reference_id": "x", "phone": "1"}, 400),
        ({"reference_id": "x", "email": None}, 400),
        ({"reference_id": ""}, 422),
        ({"reference_id": "x", "email": "nonsense"}, 422),
    ],
)
def test_wrong_customer_is_refused(call: Caller, body: Doc, status: int) -> None:
    call.refused(status, "POST", "/api/customers", body)


def test_saved_card(call: Caller, customer: Doc) -> None:
    path = f"/api/customers/{customer['uid']}/payment-methods"
    made = call("POST", path, saved_card())
    assert made.status_code == 201
    answer = made.json()
    uid = answer["saved_payment_method_uid"]
    assert uid.startswith("spm_")
    token = answer["payment_method"]["credit"]["fingerprint"]
    assert token != "tok_sample"
    (item,) = call.get(path)
    assert item["saved_payment_method_uid"] == uid
    assert item["payment_method_type"] == "credit"
    assert item["credit"] == {
        "last4": "1111", "exp_month": 12, "exp_year": 2040, "card_brand": "VISA", "holder_name": "Pat Example",
    }  # fmt: skip
    assert item["is_default"] is False
    assert token not in str(item)
    assert call.get(f"/api/customers/{customer['uid']}")["updated_at"] > customer["updated_at"]


def test_saved_bank_account(call: Caller, customer: Doc) -> None:
    path = f"/api/customers/{customer['uid']}/payment-methods"
    assert call("POST", path, {"payment_method": bank()}).status_code == 201
    (item,) = call.get(path)
    assert item["ach"] == {name: value for name, value in bank()["ach"].items() if name != "fingerprint"}


@pytest.mark.parametrize(
    ("method", "status"),
    [
        (None, 400),
        ({}, 400),
        ({"payment_method_type": "credit"}, 400),
        ({"payment_method_type": 1, "credit": {}}, 400),
        ({**card(), "ach": bank()["ach"]}, 400),
        (card(cvv="123"), 400),
        (card(fingerprint=None), 400),
        (card(exp_month="12"), 400),
        (card(exp_month=12.0), 400),
        ({"payment_method_type": "credit", "credit": {"last4": "1111"}}, 400),
        ({"payment_method_type": "cash", "cash": {}}, 422),
        ({"payment_method_type": "wallet_credit", "wallet": {"saved_payment_method_uid": "x"}}, 422),
        (card(exp_month=13), 422),
        (card("111"), 422),
        (card("11111"), 422),
        (card(fingerprint="4111 1111 1111 1111"), 422),
        (card(bin="41"), 422),
        (bank(routing_number="123"), 422),
        (bank(account_type="gold"), 422),
    ],
)
def test_wrong_method_is_refused(call: Caller, customer: Doc, method: Any, status: int) -> None:
    path = f"/api/customers/{customer['uid']}/payment-methods"
    call.refused(status, "POST", path, {"payment_method": method}, code="validation_error")
    assert call.get(path) == []


def test_default_and_removal(sandbox: Sandbox, call: Caller, customer: Doc) -> None:
    path = f"/api/customers/{customer['uid']}"
    uids = [call("POST", f"{path}/payment-methods", saved_card()).json()["saved_payment_method_uid"] for _ in "ab"]
    answer = call("PUT", f"{path}/default-payment-method", {"saved_payment_method_uid": uids[1]})
    assert answer.status_code == 200
    assert answer.json()["default_payment_method_uid"] == uids[1]
    assert [item["is_default"] for item in call.get(f"{path}/payment-methods")] == [False, True]
    call.refused(422, "PUT", f"{path}/default-payment-method", {"saved_payment_method_uid": "nope"})
    call.refused(400, "PUT", f"{path}/default-payment-method", {"uid": uids[0]})
    removed = call("DELETE", f"{path}/payment-methods/{uids[1]}")
    assert (removed.status_code, removed.text) == (204, "")
    call.refused(404, "DELETE", f"{path}/payment-methods/{uids[1]}")
    assert call.get(path)["default_payment_method_uid"] is None
    stranger = sandbox.add_customer(call.account_uid)["uid"]
    call.refused(404, "DELETE", f"/api/customers/{stranger}/payment-methods/{uids[0]}")
    call.refused(422, "PUT", f"/api/customers/{stranger}/default-payment-method", {"saved_payment_method_uid": uids[0]})


def test_import_reports_each_row(call: Caller, customer: Doc) -> None:
    rows = [
        {"customer_reference_id": "CUST-1", **saved_card()},
        {"customer_reference_id": "unknown", **saved_card()},
        {"customer_reference_id": "CUST-1", **saved_card(exp_month=13)},
        {"customer_reference_id": "CUST-1", "payment_method": bank()},
    ]
    answer = call("POST", "/api/saved-payment-methods/import", {"payment_methods": rows})
    assert answer.status_code == 200
    body = answer.json()
    assert body["imported"] == 2
    assert [result["index"] for result in body["results"]] == [0, 1, 2, 3]
    assert ["error" in result for result in body["results"]] == [False, True, True, False]
    assert len(call.get(f"/api/customers/{customer['uid']}/payment-methods")) == 2


def test_import_refuses_wrong_shapes_as_a_whole(call: Caller, customer: Doc) -> None:
    path, row = "/api/saved-payment-methods/import", {"customer_reference_id": "CUST-1", **saved_card()}
    call.refused(400, "POST", path, {"payment_methods": [row, {**row, "extra": 1}]})
    call.refused(400, "POST", path, {"methods": [row]})
    call.refused(422, "POST", path, {"payment_methods": []})
    call.refused(422, "POST", path, {"payment_methods": [row] * 501})
    assert call.get(f"/api/customers/{customer['uid']}/payment-methods") == []
    assert call("POST", path, {"payment_methods": [row] * 500}).json()["imported"] == 500

"""Paying a session: quote, confirm, declines, idempotency, duplicates, saving."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from govpay.sandbox import Sandbox
from govpay.sandbox.api.fees import DECLINING_CARDS
from govpay.sandbox.errors import Refusal

from .conftest import Caller
from .payers import Payer

Doc = dict[str, Any]
DECLINES = {code: f"400000000000{digits}" for digits, code in DECLINING_CARDS.items()}


@pytest.fixture
def payer(sandbox: Sandbox, call: Caller) -> Payer:
    return Payer(call, sandbox.add_session(call.account_uid, metadata={"invoice": "7"}))


def open_for(sandbox: Sandbox, call: Caller, customer: Doc, **more: Any) -> Payer:
    """A session of a known customer."""
    return Payer(call, sandbox.add_session(call.account_uid, customer_id=customer["uid"], **more))


def events(sandbox: Sandbox) -> list[tuple[str, Doc]]:
    return [(made["event_type"], made["payload"]["data"]) for made in sandbox.deliveries()]


def test_the_quoted_fee_is_charged(sandbox: Sandbox, payer: Payer) -> None:
    body = payer.card_body()
    quote = payer("POST", "/quote-fee", {**body, "card_type": "visa"})
    assert quote.status_code == 200
    # The vendor's sample: 14227 and 423 give 14650.
    assert quote.json() == {
        "amount": 14_227, "convenience_fee": 423, "total_amount": 14_650, "method": "card", "last4": "1111",
        "card_type": "visa",
    }  # fmt: skip
    assert sandbox.ledger() == []
    answer = payer.pay(body)
    assert answer.status_code == 200
    paid = answer.json()
    assert set(paid) == {
        "session_id", "status", "payment_uid", "transaction_id", "method", "last4", "card_type", "total_amount",
    }  # fmt: skip
    assert (paid["status"], paid["total_amount"], paid["method"]) == ("completed", 14_650, "card")
    (effect,) = sandbox.ledger()
    assert (effect["kind"], effect["amount"], effect["payment_uid"]) == ("capture", 14_650, paid["payment_uid"])
    payment = sandbox.get("payment", paid["payment_uid"])
    assert payment is not None
    assert (payment["status"], payment["session_id"], payment["base_amount"]) == ("captured", payer.uid, 14_227)
    assert "fingerprint" not in str(payment)
    assert payer("GET", "").json()["status"] == "completed"
    assert sandbox.session(payer.uid)["payment_uid"] == paid["payment_uid"]


def test_completion_is_told_as_in_the_vendors_sample(sandbox: Sandbox, call: Caller) -> None:
    sandbox.subscribe(call.account_uid, "http://127.0.0.1:9/hook")
    payer = Payer(call, sandbox.add_session(call.account_uid, metadata={"invoice": "7"}))
    paid = payer.pay().json()
    told = dict(events(sandbox))
    assert told["checkout_session.completed"] == {
        "session_id": payer.uid,
        "status": "completed",
        "amount": 14_227,
        "payment": {
            "transaction_id": paid["transaction_id"], "total_amount": 14_650, "method": "card", "last4": "1111",
        },
        "metadata": {"invoice": "7"},
    }  # fmt: skip
    assert told["payment.completed"]["payment_uid"] == paid["payment_uid"]


def test_ach_is_charged_and_its_authorization_kept(sandbox: Sandbox, payer: Payer) -> None:
    mandate = {"sec_code": "web", "accepted_at": "2026-11-20T10:00:00Z"}
    body = payer.bank_body(ach_authorization=mandate)
    assert payer("POST", "/quote-fee", payer.bank_body()).json()["convenience_fee"] == 150
    paid = payer.pay(body).json()
    assert (paid["method"], paid["last4"], paid["total_amount"]) == ("ach", "9992", 14_377)
    assert "card_type" not in paid
    assert sandbox.session(payer.uid)["ach_authorization"] == mandate


@pytest.mark.parametrize("code", sorted(DECLINES))
def test_a_decline_leaves_the_session_open_for_another_card(sandbox: Sandbox, payer: Payer, code: str) -> None:
    error = payer.refused(402, "POST", "/confirm", payer.card_body(DECLINES[code]), code=code)
    assert error["recoverable"] is True
    assert payer("GET", "").json()["status"] == "active"
    (failed,) = sandbox.all("payment")
    assert (failed["status"], failed["decline_code"], failed["session_id"]) == ("failed", code, payer.uid)
    assert sandbox.ledger() == []
    assert payer.pay(payer.card_body("5555 5555 5555 4444")).status_code == 200
    assert len(sandbox.ledger()) == 1


def test_the_same_key_gets_the_first_result(sandbox: Sandbox, payer: Payer) -> None:
    body = payer.card_body()
    first = payer.pay(body, key="k1")
    assert payer.pay(body, key="k1").json() == first.json()
    # The vendor does not document another body with the same key: the key decides.
    assert payer.pay({"processor_token": "tok_x", "method": "ach"}, key="k1").json() == first.json()
    payer.refused(409, "POST", "/confirm", body, code="already_confirmed")
    payer.refused(409, "POST", "/confirm", body, code="already_confirmed", headers={"Idempotency-Key": "k2"})
    assert len(sandbox.ledger()) == 1


def test_a_declined_key_stays_declined(sandbox: Sandbox, payer: Payer) -> None:
    declined = payer.pay(payer.card_body(DECLINES["card_declined"]), key="k1")
    again = payer.pay(key="k1")
    assert (declined.status_code, again.status_code, again.json()["code"]) == (402, 402, "card_declined")
    assert payer.pay(key="k2").status_code == 200
    assert len(sandbox.ledger()) == 1


def test_a_refused_request_is_no_result(payer: Payer) -> None:
    key = {"headers": {"Idempotency-Key": "k1"}}
    payer.refused(422, "POST", "/confirm", payer.card_body(save_method=True), **key)
    assert payer.pay(key="k1").status_code == 200


def test_ten_confirms_at_once_charge_once(sandbox: Sandbox, call: Caller, payer: Payer) -> None:
    body = payer.card_body()

    def pay(number: int) -> int:
        own = Caller(call.address, call.account_uid)
        made = Payer(own, {"session_id": payer.uid, "client_secret": payer.secret})
        status: int = made.pay(body, key=f"k{number % 2}").status_code
        own.close()
        return status

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(pay, range(10)))
    assert statuses == [200] * 5 + [409] * 5
    assert len(sandbox.ledger()) == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"colour": "red"}, 400),
        ({"processor_token": None}, 400),
        ({"save_method": "yes"}, 400),
        ({"billing_details": {"fax": "1"}}, 400),
        ({"payment_method": {"card": {"last4": "1111"}}}, 400),
        ({"challenge_response": {"code": "1"}}, 400),
        ({"ach_authorization": {"sec_code": "web"}}, 400),
        ({"processor_token": "tok_elsewhere", "payment_method": {}}, 400),
        ({"method": "cash"}, 422),
        ({"method": "paypal"}, 422),
        ({"method": "apple_pay"}, 422),
        ({"method": "ach"}, 422),
        ({"processor_token": ""}, 422),
        ({"processor_token": "4111111111111111"}, 422),
        ({"processor_token": "ptk_unknown"}, 422),
        ({"processor_token": "spm_unknown"}, 422),
        ({"save_method": True}, 422),
        ({"payment_method": {"card": {"last4": "9999", "exp_month": 12, "exp_year": 2040}}}, 422),
        ({"challenge_response": {"type": "carrier_pigeon"}}, 422),
        ({"ach_authorization": {"sec_code": "web", "accepted_at": "2026-11-20T10:00:00Z"}}, 422),
    ],
    ids=str,
)
def test_wrong_confirm_is_refused(sandbox: Sandbox, payer: Payer, change: Doc, status: int) -> None:
    payer.refused(status, "POST", "/confirm", {**payer.card_body(), **change}, code="validation_error")
    assert sandbox.all("payment") == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"colour": "red"}, 400),
        ({"card_type": None}, 400),
        ({"method": "paypal"}, 422),
        ({"card_type": "amex"}, 422),
        ({"method": "apple_pay"}, 422),
        ({"processor_token": "ptk_unknown"}, 422),
    ],
    ids=str,
)
def test_wrong_quote_is_refused(payer: Payer, change: Doc, status: int) -> None:
    payer.refused(status, "POST", "/quote-fee", {**payer.card_body(), "card_type": "visa", **change})


def test_a_quote_needs_what_its_method_needs(payer: Payer) -> None:
    payer.refused(400, "POST", "/quote-fee", payer.card_body())
    payer.refused(400, "POST", "/quote-fee", {"method": "ach"})


def test_apple_pay_is_estimated_and_taken_where_allowed(sandbox: Sandbox, call: Caller) -> None:
    payer = Payer(call, sandbox.add_session(call.account_uid, allowed_methods=["apple_pay"]))
    assert payer("POST", "/quote-fee", {"method": "apple_pay", "card_type": "visa"}).json()["convenience_fee"] == 423
    payer.refused(400, "POST", "/quote-fee", {"method": "apple_pay", "processor_token": "tok_x"})
    payer.refused(422, "POST", "/confirm", payer.card_body())
    assert payer.pay({"method": "apple_pay", "processor_token": "tok_device"}).json()["method"] == "apple_pay"


def test_a_foreign_token_comes_with_its_details(payer: Payer) -> None:
    details = {"card": {"last4": "4444", "exp_month": 1, "exp_year": 2041, "bin": "555555", "card_brand": "mastercard"}}
    paid = payer.pay({"processor_token": "tok_elsewhere", "method": "card", "payment_method": details}).json()
    assert (paid["last4"], paid["card_type"]) == ("4444", "mastercard")


def test_tokens_end_after_fifteen_minutes_and_belong_to_one_session(
    sandbox: Sandbox, call: Caller, payer: Payer
) -> None:
    body = payer.card_body()
    other = Payer(call, sandbox.add_session(call.account_uid))
    other.refused(422, "POST", "/confirm", body)
    sandbox.advance(15 * 60)
    payer.refused(422, "POST", "/confirm", body)
    assert payer.pay().status_code == 200


def test_numbers_are_not_kept(sandbox: Sandbox, payer: Payer) -> None:
    answer = payer.token("5555 5555 5555 4444")
    assert answer.status_code == 201
    assert answer.json()["payment_method"]["card"] == {
        "last4": "4444", "exp_month": 12, "exp_year": 2040, "bin": "555555", "card_brand": "mastercard",
    }  # fmt: skip
    row = sandbox.platform.store.get("session", payer.uid)
    assert row is not None
    for text in (str(row), str(sandbox.requests()), answer.text):
        assert "5555555555554444" not in text.replace(" ", "")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"card": {"number": "4111111111111111"}}, 400),
        ({"card": {"number": "4111111111111112", "exp_month": 1, "exp_year": 2040, "cvv": "123"}}, 422),
        ({"card": {"number": "4111111111111111", "exp_month": 13, "exp_year": 2040, "cvv": "123"}}, 422),
        ({"card": {"number": "4111111111111111", "exp_month": 1, "exp_year": 2040, "cvv": "12"}}, 422),
        ({"ach": {"routing_number": "12", "account_number": "4099999992", "account_type": "checking"}}, 422),
    ],
    ids=str,
)
def test_wrong_instrument_gets_no_token(call: Caller, payer: Payer, body: Doc, status: int) -> None:
    error = call.refused(status, "POST", f"/component/tokens/{payer.uid}", body, token=payer.secret, account=None)
    assert "411111111111111" not in error["message"]


def test_an_expired_session_takes_nothing(sandbox: Sandbox, payer: Payer) -> None:
    body = payer.card_body()
    sandbox.advance(1_801)
    for path, sent in (("/confirm", body), ("/quote-fee", {**body, "card_type": "visa"}), ("/challenge/send", None)):
        payer.refused(410, "POST", path, sent, code="session_expired")
    assert payer.token().status_code == 410
    assert sandbox.ledger() == []


def test_limits_and_switches_of_the_account(sandbox: Sandbox, call: Caller) -> None:
    account = sandbox.add_account(maximum_payment_amount=50.0, enable_ach=False)["uid"]
    payer = Payer(call, sandbox.add_session(account, amount=5_001))
    payer.refused(422, "POST", "/confirm", payer.card_body())
    payer = Payer(call, sandbox.add_session(account, amount=5_000))
    assert payer("GET", "").json()["allowed_methods"] == ["card"]
    payer.refused(422, "POST", "/confirm", payer.bank_body())
    sandbox.touch("account", account, active=False)
    payer.refused(422, "POST", "/confirm", payer.card_body())
    sandbox.touch("account", account, active=True)
    assert payer.pay().status_code == 200


def test_required_fields_are_required_of_new_cards(sandbox: Sandbox, call: Caller, customer: Doc) -> None:
    payer = open_for(sandbox, call, customer, required_avs_fields=["cardholder", "zip"])
    payer.refused(422, "POST", "/confirm", payer.card_body(billing_details={"cardholder": "Pat", "zip": " "}))
    saved = sandbox.add_method(customer["uid"])["saved_payment_method_uid"]
    assert payer.pay({"processor_token": saved, "method": "card"}).status_code == 200


def test_a_card_is_saved_and_used_again(sandbox: Sandbox, call: Caller, customer: Doc) -> None:
    payer = open_for(sandbox, call, customer, setup_future_usage="off_session")
    details = {"cardholder": "Pat Example"}
    paid = payer.pay(payer.card_body(save_method=True, billing_details=details)).json()
    (method,) = sandbox.methods(customer["uid"])
    assert paid["saved_method_id"] == method["saved_payment_method_uid"]
    assert (method["credit"]["last4"], method["credit"]["holder_name"]) == ("1111", "Pat Example")
    later = open_for(sandbox, call, customer, amount=900)
    (shown,) = later("GET", "").json()["saved_methods"]
    body = {"processor_token": shown["id"], "method": "card"}
    assert later("POST", "/quote-fee", {**body, "card_type": shown["brand"]}).json()["last4"] == "1111"
    answer = later.pay(body).json()
    payment = sandbox.get("payment", answer["payment_uid"])
    assert payment is not None
    assert payment["customer_uid"] == customer["uid"]
    assert payment["payment_method"]["payment_method_type"] == "wallet_credit"


def test_saving_needs_future_usage_and_a_customer(sandbox: Sandbox, call: Caller, customer: Doc) -> None:
    for given in ({"setup_future_usage": "off", "customer_id": customer["uid"]}, {"setup_future_usage": "on_session"}):
        payer = Payer(call, sandbox.add_session(call.account_uid, **given))
        payer.refused(422, "POST", "/confirm", payer.card_body(save_method=True))
    declined = open_for(sandbox, call, customer, setup_future_usage="on_session")
    declined.refused(402, "POST", "/confirm", declined.card_body(DECLINES["card_declined"], save_method=True))
    assert sandbox.methods(customer["uid"]) == []


def test_another_customers_method_is_unknown(sandbox: Sandbox, call: Caller, customer: Doc) -> None:
    stranger = sandbox.add_customer(call.account_uid)["uid"]
    uid = sandbox.add_method(stranger)["saved_payment_method_uid"]
    payer = open_for(sandbox, call, customer)
    payer.refused(422, "POST", "/confirm", {"processor_token": uid, "method": "card"})


def test_duplicate_guard(sandbox: Sandbox, call: Caller, customer: Doc) -> None:
    def again(**more: Any) -> Payer:
        return open_for(sandbox, call, customer, **more)

    assert again().pay().status_code == 200
    second = again()
    error = second.refused(409, "POST", "/confirm", second.card_body(), code="duplicate_payment")
    assert error["recoverable"] is True
    assert len(sandbox.ledger()) == 1
    # Another amount, another card, another payer.
    assert again(amount=100).pay().status_code == 200
    assert again().pay(second_card := None).status_code == 409, second_card
    other = again()
    assert other.pay(other.card_body("5555555555554444")).status_code == 200
    stranger = sandbox.add_customer(call.account_uid)
    assert open_for(sandbox, call, stranger).pay().status_code == 200
    assert second.pay(second.card_body(duplicate_acknowledged=True)).status_code == 200
    late = again()
    sandbox.advance(301)
    assert late.pay().status_code == 200


def test_python_pays_like_a_payer(sandbox: Sandbox, account: Doc, customer: Doc) -> None:
    made = sandbox.add_session(account["uid"], customer_id=customer["uid"], setup_future_usage="on_session")
    with pytest.raises(Refusal) as refused:
        sandbox.confirm_session(made["session_id"], "4000 0000 0000 0002")
    assert (refused.value.status, refused.value.code) == (402, "card_declined")
    paid = sandbox.confirm_session(made["session_id"], key="k", save_method=True)
    assert paid == sandbox.confirm_session(made["session_id"], key="k")
    second = sandbox.add_session(account["uid"], amount=5)
    assert sandbox.confirm_session(second["session_id"], method="ach")["last4"] == "9992"
    third = sandbox.add_session(account["uid"])["session_id"]
    assert sandbox.expire_session(third)["status"] == "expired"
    assert sandbox.session(third)["status"] == "expired"
    assert sandbox.session(third)["payment_uid"] is None

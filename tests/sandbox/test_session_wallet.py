"""A wallet session's routes, challenges, scopes, and what browsers may call."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from govpay.sandbox import Sandbox
from govpay.sandbox.browser.challenges import CAPTCHA_TOKEN, CODE

from .conftest import Caller
from .payers import Payer

Doc = dict[str, Any]
PAY = "https://pay.example"
EVIL = "https://evil.example"


@pytest.fixture
def saved(sandbox: Sandbox, customer: Doc) -> list[str]:
    made = (
        sandbox.add_method(customer["uid"], default=True),
        sandbox.add_method(customer["uid"], "ach"),
    )
    return [method["saved_payment_method_uid"] for method in made]


@pytest.fixture
def wallet(sandbox: Sandbox, call: Caller, customer: Doc, saved: list[str]) -> Payer:
    badge = {"label": "Autopay", "color": "#00ff00", "payment_method_uids": saved[:1]}
    lock = {"payment_method_uid": saved[0], "reason": "Autopay uses it"}
    given: Doc = {"scope": "wallet", "customer_id": customer["uid"]}
    made = sandbox.add_session(call.account_uid, method_badges=[badge], locked_payment_methods=[lock], **given)
    return Payer(call, made)


@pytest.fixture
def payer(sandbox: Sandbox, call: Caller) -> Payer:
    return Payer(call, sandbox.add_session(call.account_uid))


def test_list_shows_badges_and_locks(wallet: Payer, saved: list[str]) -> None:
    answer = wallet("GET", "/payment-methods")
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"methods", "allowed_methods"}
    assert body["allowed_methods"] == ["card", "ach"]
    card, bank = body["methods"]
    assert (card["id"], card["type"], card["is_default"]) == (saved[0], "card", True)
    assert card["badges"] == [{"label": "Autopay", "color": "#00ff00"}]
    assert (card["locked"], card["lock_reason"]) == (True, "Autopay uses it")
    assert (bank["type"], bank["last4"]) == ("ach", "9992")
    assert "locked" not in bank
    assert "badges" not in bank


def test_add_a_method(sandbox: Sandbox, wallet: Payer, customer: Doc) -> None:
    answer = wallet("POST", "/payment-methods", wallet.card_body("5555555555554444"))
    assert answer.status_code == 201
    made = answer.json()
    assert (made["brand"], made["last4"], made["is_default"]) == ("mastercard", "4444", False)
    assert made["id"] in [method["saved_payment_method_uid"] for method in sandbox.methods(customer["uid"])]
    assert wallet("POST", "/payment-methods", wallet.bank_body()).status_code == 201
    wallet.refused(400, "POST", "/payment-methods", wallet.card_body(nickname="x"))
    wallet.refused(400, "POST", "/payment-methods", {"method": "card", "processor_token": "tok_x"})
    wallet.refused(422, "POST", "/payment-methods", wallet.card_body(method="paypal"))
    wallet.refused(422, "POST", "/payment-methods", {"method": "card", "processor_token": made["id"]})
    assert len(sandbox.methods(customer["uid"])) == 4


def test_remove_and_prefer(sandbox: Sandbox, wallet: Payer, customer: Doc, saved: list[str]) -> None:
    error = wallet.refused(409, "DELETE", f"/payment-methods/{saved[0]}", code="conflict")
    assert "Autopay uses it" in error["message"]
    answer = wallet("PUT", "/default-payment-method", {"saved_payment_method_uid": saved[1]})
    assert (answer.status_code, answer.json()["is_default"]) == (200, True)
    assert [method["is_default"] for method in wallet("GET", "/payment-methods").json()["methods"]] == [False, True]
    wallet.refused(422, "PUT", "/default-payment-method", {"saved_payment_method_uid": "spm_nope"})
    wallet.refused(400, "PUT", "/default-payment-method", {"id": saved[1]})
    assert wallet("DELETE", f"/payment-methods/{saved[1]}").status_code == 204
    wallet.refused(404, "DELETE", f"/payment-methods/{saved[1]}")
    stored = sandbox.get("customer", customer["uid"])
    assert stored is not None
    assert stored["default_payment_method_uid"] is None
    stranger = sandbox.add_customer(wallet.call.account_uid)
    other = sandbox.add_method(stranger["uid"])["saved_payment_method_uid"]
    wallet.refused(404, "DELETE", f"/payment-methods/{other}")
    wallet.refused(422, "PUT", "/default-payment-method", {"saved_payment_method_uid": other})


def test_scopes_keep_to_their_own_routes(wallet: Payer, payer: Payer, saved: list[str]) -> None:
    code = "insufficient_scope"
    wallet.refused(403, "POST", "/confirm", {"processor_token": saved[0], "method": "card"}, code=code)
    wallet.refused(403, "POST", "/quote-fee", {"method": "ach", "processor_token": saved[1]}, code=code)
    wallet.refused(403, "POST", "/challenge/send", code=code)
    payer.refused(403, "GET", "/payment-methods", code=code)
    payer.refused(403, "POST", "/payment-methods", payer.card_body(), code=code)
    payer.refused(403, "DELETE", f"/payment-methods/{saved[1]}", code=code)
    payer.refused(403, "PUT", "/default-payment-method", {"saved_payment_method_uid": saved[1]}, code=code)
    # The server's token is not the payer's credential either.
    payer.refused(403, "POST", "/confirm", payer.card_body(), code=code, token="")


def test_an_expired_wallet_is_closed(sandbox: Sandbox, wallet: Payer, saved: list[str]) -> None:
    sandbox.expire_session(wallet.uid)
    wallet.refused(410, "GET", "/payment-methods", code="session_expired")
    wallet.refused(410, "DELETE", f"/payment-methods/{saved[1]}", code="session_expired")


def test_code_challenge(sandbox: Sandbox, call: Caller) -> None:
    signals = {"account_type": "challenge_sms", "phone": "555-0142"}
    payer = Payer(call, sandbox.add_session(call.account_uid, fraud_signals=signals))
    assert payer("GET", "").json()["challenge"] == {"type": "sms", "delivery_hint": "--0142", "code_sent": False}
    body = payer.card_body()
    assert payer.refused(403, "POST", "/confirm", body, code="challenge_required")["recoverable"] is True
    right = {**body, "challenge_response": {"type": "sms", "code": CODE}}
    payer.refused(403, "POST", "/confirm", right, code="challenge_failed")
    for _ in range(2):
        sent = payer("POST", "/challenge/send")
        assert (sent.status_code, sent.json()["code_sent"]) == (200, True)
    wrong = {**body, "challenge_response": {"type": "sms", "code": "000000"}}
    payer.refused(403, "POST", "/confirm", wrong, code="challenge_failed")
    assert sandbox.all("payment") == []
    assert payer.pay(right).status_code == 200
    assert payer("GET", "").json()["challenge"] is None


def test_guessing_and_sending_are_limited(sandbox: Sandbox, payer: Payer) -> None:
    payer.refused(422, "POST", "/challenge/send", code="validation_error")
    sandbox.challenge_session(payer.uid, "email")
    for _ in range(5):
        assert payer("POST", "/challenge/send").status_code == 200
        sandbox.advance(31)
    payer.refused(429, "POST", "/challenge/send", code="rate_limited")
    body = {**payer.card_body(), "challenge_response": {"type": "email", "code": "1"}}
    for _ in range(5):
        payer.refused(403, "POST", "/confirm", body, code="challenge_failed")
    body["challenge_response"]["code"] = CODE
    payer.refused(429, "POST", "/confirm", body, code="rate_limited")


def test_captcha_challenge(sandbox: Sandbox, payer: Payer) -> None:
    sandbox.challenge_session(payer.uid, "turnstile")
    sent = payer("POST", "/challenge/send").json()
    assert sent == {"type": "turnstile", "site_key": "sandbox-turnstile", "code_sent": False}
    body = payer.card_body()
    for response in ({"type": "hcaptcha", "token": CAPTCHA_TOKEN}, {"type": "turnstile", "code": CAPTCHA_TOKEN}):
        payer.refused(403, "POST", "/confirm", {**body, "challenge_response": response}, code="challenge_failed")
    body["challenge_response"] = {"type": "turnstile", "token": CAPTCHA_TOKEN}
    assert payer.pay(body).status_code == 200


@pytest.fixture
def registered(call: Caller) -> str:
    call("PUT", f"/api/paymentaccounts/{call.account_uid}/checkout-config", {"allowed_origins": [PAY]})
    return PAY


def test_registered_origins_may_call_and_read(call: Caller, payer: Payer, registered: str) -> None:
    body = payer.card_body()
    own = call.address.api_url
    for origin in (registered, own):
        answer = payer("GET", "", headers={"Origin": origin})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, origin)
        assert answer.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in answer.headers
    answer = payer("POST", "/confirm", {**body, "method": "cash"}, headers={"Origin": registered})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (422, registered)
    for path, sent in (("", None), ("/confirm", body), ("/quote-fee", body), ("/challenge/send", None)):
        method = "POST" if path else "GET"
        answer = payer(method, path, sent, headers={"Origin": EVIL})
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert payer("GET", "", headers={"Origin": "null"}).status_code == 403
    assert "Access-Control-Allow-Origin" not in payer("GET", "").headers


@pytest.mark.parametrize("path", ["/v1/hosted-sessions/{}", "/v1/hosted-sessions/{}/confirm", "/component/tokens/{}"])
def test_preflight(call: Caller, payer: Payer, registered: str, path: str) -> None:
    url = call.address.api_url + path.format(payer.uid)
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    answer = requests.options(url, headers={"Origin": registered, **ask}, timeout=5)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == registered
    assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]
    assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
    refused = requests.options(url, headers={"Origin": EVIL, **ask}, timeout=5)
    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize("path", ["/api/payments", "/v1/hosted-sessions", "/v1/hosted-sessions/cs_0/confirm"])
def test_no_preflight_for_server_routes_and_strangers(call: Caller, registered: str, path: str) -> None:
    headers = {"Origin": registered, "Access-Control-Request-Method": "POST"}
    answer = requests.options(call.address.api_url + path, headers=headers, timeout=5)
    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_each_credential_has_its_own_rate_limit() -> None:
    with Sandbox(session_rate=3) as sandbox, sandbox.serve() as address:
        account = sandbox.add_account()["uid"]
        caller = Caller(address, account)
        first, second = (Payer(caller, sandbox.add_session(account)) for _ in "ab")
        assert [first("GET", "").status_code for _ in range(3)] == [200] * 3
        error = first("GET", "")
        assert (error.status_code, error.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(error.headers["Retry-After"]) <= 60
        assert second("GET", "").status_code == 200
        caller.close()

"""Lag: a read shows an earlier state while other routes are up to date."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from govpay.sandbox import Sandbox

from .conftest import Caller
from .payers import Payer

Doc = dict[str, Any]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Its tokens outlast the hours by which its clock is moved on."""
    with Sandbox(token_lifetime=1_000_000) as platform, platform.serve():
        yield platform


@pytest.fixture
def paid(sandbox: Sandbox, account: Doc) -> Doc:
    """A payment that was captured an hour ago."""
    payment = sandbox.add_payment(account["uid"], status="captured")
    sandbox.advance(3600)
    return payment


def types(call: Caller) -> list[str]:
    return sorted(row["type"] for row in call.get("/api/transactions"))


def test_list_lags_while_the_object_is_fresh(sandbox: Sandbox, call: Caller, paid: Doc) -> None:
    sandbox.fault("GET /api/transactions", lag=120)
    sandbox.refund(paid["uid"], 100, "r1")
    assert types(call) == ["capture"]
    assert call.get("/api/transactions?$filter=reference_id eq 'r1'") == []
    assert call.get(f"/api/payments/{paid['uid']}")["refunded_amount"] == 100
    assert call.get("/api/payments")[0]["refunded_amount"] == 100
    sandbox.advance(60)
    assert types(call) == ["capture"]
    sandbox.advance(61)
    assert types(call) == ["capture", "refund"]


def test_list_is_empty_for_two_minutes(sandbox: Sandbox, call: Caller, account: Doc) -> None:
    payment = sandbox.add_payment(account["uid"], status="captured")
    sandbox.fault("GET /api/transactions", lag=120)
    sandbox.refund(payment["uid"], 100, "r1")
    assert types(call) == []
    sandbox.advance(60)
    assert types(call) == []
    sandbox.advance(61)
    assert types(call) == ["capture", "refund"]


def test_object_lags_while_lists_are_fresh(sandbox: Sandbox, call: Caller, paid: Doc) -> None:
    sandbox.fault("GET /api/payments/{uid}", lag=600)
    for number in range(3):
        sandbox.refund(paid["uid"], 100, f"r{number}")
        sandbox.advance(250)
    assert call.get(f"/api/payments/{paid['uid']}")["refunded_amount"] == 100
    assert call.get("/api/payments")[0]["refunded_amount"] == 300
    assert types(call) == ["capture", "refund", "refund", "refund"]
    sandbox.clear_faults()
    assert call.get(f"/api/payments/{paid['uid']}")["refunded_amount"] == 300


def test_every_version_is_shown_in_its_time(sandbox: Sandbox, call: Caller, paid: Doc) -> None:
    versions = [paid]
    for number in range(3):
        sandbox.refund(paid["uid"], 100, f"r{number}")
        versions.append(sandbox.get("payment", paid["uid"]))  # type: ignore[arg-type]
        sandbox.advance(600)
    for lag, version in ((300, 3), (900, 2), (1500, 1), (2100, 0)):
        sandbox.fault("GET /api/payments*", lag=lag, times=2)
        assert call.get(f"/api/payments/{paid['uid']}") == versions[version]
        assert call.get("/api/payments") == [versions[version]]
    sandbox.fault("GET /api/payments*", lag=72_000, times=2)
    call.refused(404, "GET", f"/api/payments/{paid['uid']}")
    assert call.get("/api/payments") == []


def test_lagging_list_filters_orders_counts_and_pages_what_it_shows() -> None:
    with Sandbox(envelope="odata") as sandbox, sandbox.serve() as address:
        account = sandbox.add_account()["uid"]
        call = Caller(address, account)
        old = [sandbox.add_payment(account, status="captured", base_amount=1_000 * n)["uid"] for n in (1, 2, 3)]
        sandbox.advance(600)
        sandbox.touch("payment", old[0], status="returned")
        sandbox.remove("payment", old[1])
        sandbox.add_payment(account, status="captured")
        sandbox.fault("GET /api/payments", lag=60)
        page = call.get("/api/payments?$filter=status eq 'captured'&$orderby=base_amount desc&$top=2&$count=true")
        assert [row["uid"] for row in page["value"]] == [old[2], old[1]]
        assert page["@odata.count"] == 3
        following = call.get(page["@odata.nextLink"].removeprefix(address.api_url))
        assert [row["uid"] for row in following["value"]] == [old[0]]
        sandbox.clear_faults()
        assert call.get("/api/payments?$filter=status eq 'captured'&$count=true")["@odata.count"] == 2
        call.close()


def test_saved_methods_lag(sandbox: Sandbox, call: Caller, customer: Doc) -> None:
    path = f"/api/customers/{customer['uid']}/payment-methods"
    first = sandbox.add_method(customer["uid"])["saved_payment_method_uid"]
    sandbox.advance(600)
    second = sandbox.add_method(customer["uid"], default=True)["saved_payment_method_uid"]
    call("DELETE", f"{path}/{first}")
    sandbox.fault("GET /api/customers/*", lag=60)
    assert [row["saved_payment_method_uid"] for row in call.get(path)] == [first]
    assert call.get(f"/api/customers/{customer['uid']}")["default_payment_method_uid"] is None
    sandbox.clear_faults()
    assert [row["saved_payment_method_uid"] for row in call.get(path)] == [second]


def test_sessions_subscriptions_and_secrets_lag(sandbox: Sandbox, call: Caller) -> None:
    payer = Payer(call, sandbox.add_session(call.account_uid))
    secret = sandbox.webhook_secret(call.account_uid)
    sandbox.advance(600)
    payer.pay()
    sandbox.subscribe(call.account_uid, "http://127.0.0.1:9/", ["payment.completed"])
    sandbox.rotate_secret(call.account_uid)
    new = sandbox.add_session(call.account_uid)
    sandbox.fault("GET *", lag=60)
    assert payer("GET", "").json()["status"] == "active"
    assert Payer(call, new)("GET", "").status_code == 404
    assert call.get("/api/webhooks/subscriptions") == {"subscriptions": []}
    assert call.get("/api/webhooks/secret") == {"secret": secret}
    sandbox.clear_faults()
    assert payer("GET", "").json()["status"] == "completed"
    assert len(call.get("/api/webhooks/subscriptions")["subscriptions"]) == 1


def test_writes_do_not_lag_and_new_accounts_may_call(sandbox: Sandbox, call: Caller) -> None:
    payment = sandbox.add_payment(call.account_uid, status="captured")
    sandbox.fault("* /api/*", lag=60)
    body = {"amount": 100, "reference_id": "r1"}
    assert call("POST", f"/api/payments/{payment['uid']}/refund", body).status_code == 201
    assert call.get("/api/payments") == [], "the account is as new as the payment"
    assert len(sandbox.ledger()) == 2


def test_many_payments_at_once_lag_too(sandbox: Sandbox, call: Caller, paid: Doc) -> None:
    sandbox.add_payments(call.account_uid, 5)
    sandbox.fault("GET *", lag=60)
    assert [row["uid"] for row in call.get("/api/payments")] == [paid["uid"]]
    assert types(call) == ["capture"]
    sandbox.advance(61)
    assert len(call.get("/api/payments")) == len(call.get("/api/transactions")) == 6

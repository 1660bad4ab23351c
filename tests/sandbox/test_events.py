"""Webhook configuration and terminals."""

from __future__ import annotations

from govpay.sandbox import Sandbox

from .conftest import Caller

PATH = "/api/webhooks/subscriptions"


def test_subscriptions_merge_by_event_type(sandbox: Sandbox, call: Caller) -> None:
    assert call.get(PATH) == {"subscriptions": []}
    call("PUT", PATH, {"subscriptions": [{"event_type": "payment.refunded", "enabled": True}]})
    answer = call("PUT", PATH, {"subscriptions": [{"event_type": "payment.failed", "enabled": False}]})
    assert answer.status_code == 200
    wanted = {
        "subscriptions": [
            {"event_type": "payment.failed", "enabled": False},
            {"event_type": "payment.refunded", "enabled": True},
        ]
    }
    assert answer.json() == wanted == call.get(PATH)
    assert call.get(PATH, account=sandbox.add_account()["uid"]) == {"subscriptions": []}


def test_wrong_subscriptions_are_refused(call: Caller) -> None:
    call.refused(400, "PUT", PATH, {})
    call.refused(400, "PUT", PATH, {"subscriptions": [{"event_type": "payment.failed"}]})
    call.refused(400, "PUT", PATH, {"subscriptions": [{"event_type": "payment.failed", "enabled": "yes"}]})
    call.refused(400, "PUT", PATH, {"subscriptions": [{"event_type": "payment.failed", "enabled": None}]})
    call.refused(400, "PUT", PATH, {"subscriptions": [None]})
    call.refused(422, "PUT", PATH, {"subscriptions": [{"event_type": "payment.eaten", "enabled": True}]})
    assert call.get(PATH) == {"subscriptions": []}


def test_secret_is_the_accounts_own(sandbox: Sandbox, call: Caller) -> None:
    secret = call.get("/api/webhooks/secret")
    assert set(secret) == {"secret"}
    assert secret == call.get("/api/webhooks/secret")
    assert secret != call.get("/api/webhooks/secret", account=sandbox.add_account()["uid"])


def test_catalogue_holds_every_event_of_the_vendors_pages(call: Caller) -> None:
    types = {item["event_type"] for item in call.get("/api/webhooks/types")}
    assert types >= {
        "checkout_session.completed", "checkout_session.expired", "payment.completed", "payment.failed",
        "payment.refunded", "provider.chargeback", "provider.nsf", "provider.noc", "provider.reversal",
        "provider.bankbillpay", "ivr.completed",
    }  # fmt: skip


def test_terminals_are_read_only(sandbox: Sandbox, call: Caller) -> None:
    terminal = sandbox.add_terminal(call.account_uid, name="Front desk", model="Lane 3000")
    assert set(terminal) == {
        "uid", "name", "serial_number", "model", "status", "payment_account_uid", "created_at", "updated_at",
    }  # fmt: skip
    assert call.get("/api/terminals") == [terminal]
    assert call.get(f"/api/terminals/{terminal['uid']}") == terminal
    call.refused(404, "GET", f"/api/terminals/{terminal['uid']}", account=sandbox.add_account()["uid"])
    assert call("POST", "/api/terminals", {}).status_code == 405

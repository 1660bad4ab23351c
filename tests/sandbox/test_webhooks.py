"""Every event with one real receiver: which account gets it, and its content."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from govpay.sandbox import Sandbox

from .conftest import Caller, bank, capture_body, card, validation
from .receiver import Receiver, receiving

Doc = dict[str, Any]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def heard(sandbox: Sandbox, account: Doc, receiver: Receiver) -> Receiver:
    """A receiver that has subscribed to all."""
    sandbox.subscribe(account["uid"], receiver.url)
    return receiver


def paid(call: Caller, method: Doc) -> Doc:
    payment = call("POST", "/api/payments", validation(payment_method=method)).json()
    answer = call("POST", f"/api/payments/{payment['uid']}/capture", capture_body(payment, method))
    return dict(answer.json()) if answer.status_code == 200 else payment


def test_a_capture_by_the_api_is_told_as_the_vendors_pages_have_it(
    sandbox: Sandbox, call: Caller, heard: Receiver
) -> None:
    before = int(time.time())
    payment = paid(call, card())
    post = heard.only()
    assert post.path == "/hooks"
    assert post.headers["Content-Type"] == "application/json"
    assert post.is_signed_with(sandbox.webhook_secret(call.account_uid))
    assert post.is_signed_with(call.get("/api/webhooks/secret")["secret"])
    event = post.event
    assert set(event) == {"webhook_id", "event_type", "timestamp", "data"}
    assert event["webhook_id"].startswith("evt_")
    assert event["event_type"] == "payment.completed"
    assert type(event["timestamp"]) is int
    assert before <= event["timestamp"] <= time.time()
    assert event["data"] == {
        "payment_uid": payment["uid"],
        **{
            name: payment[name]
            for name in (
                "base_amount", "tax_amount", "processing_fee_amount", "total_amount", "currency", "reference_id",
            )
        },
        "status": "captured",
    }  # fmt: skip
    assert sandbox.wait_for_webhooks()
    assert sandbox.deliveries() == [
        {
            "webhook_id": event["webhook_id"],
            "event_type": "payment.completed",
            "account_uid": call.account_uid,
            "payload": event,
            "attempts": 1,
            "status": 200,
            "done": True,
        }
    ]


def test_a_decline_is_told(call: Caller, heard: Receiver) -> None:
    payment = paid(call, card("0002"))
    post = heard.only()
    assert post.event["event_type"] == "payment.failed"
    assert post.data["payment_uid"] == payment["uid"]
    assert (post.data["status"], post.data["decline_code"]) == ("failed", "card_declined")


def test_a_card_refund_is_told_at_once(call: Caller, heard: Receiver) -> None:
    payment = paid(call, card())
    body = {"amount": 500, "reference_id": "RF-1"}
    refund = call("POST", f"/api/payments/{payment['uid']}/refund", body).json()
    post = heard.wait(2)[1]
    assert post.event["event_type"] == "payment.refunded"
    assert post.data == {
        "payment_uid": payment["uid"],
        "transaction_uid": refund["uid"],
        "amount": 500,
        "status": "succeeded",
        "reference_id": "RF-1",
    }


def test_a_bank_refund_is_told_when_it_settles_however_it_ends(sandbox: Sandbox, call: Caller, heard: Receiver) -> None:
    payment = paid(call, bank())
    for number in (1, 2):
        call("POST", f"/api/payments/{payment['uid']}/refund", {"amount": 500, "reference_id": f"RF-{number}"})
    assert sandbox.wait_for_webhooks()
    assert heard.types() == ["payment.completed"]
    sandbox.settle(fail=["RF-2"])
    told = [post.data for post in heard.wait(3)[1:]]
    assert [(data["reference_id"], data["status"]) for data in told] == [("RF-1", "succeeded"), ("RF-2", "failed")]


def test_a_settled_refund_is_told_though_nobody_asks(receiver: Receiver) -> None:
    with Sandbox(settle_after=0.3) as sandbox, sandbox.serve():
        account = sandbox.add_account()["uid"]
        sandbox.subscribe(account, receiver.url, ["payment.refunded"])
        payment = sandbox.add_payment(account, "captured", payment_method=bank())
        sandbox.refund(payment["uid"], 100, "RF-1")
        assert receiver.only().data["status"] == "succeeded"


def test_a_session_that_runs_out_is_told_though_nobody_asks(call: Caller, heard: Receiver) -> None:
    body = {
        "amount": 100, "currency": "USD", "success_url": "https://a.example/", "cancel_url": "https://a.example/",
        "expires_in_seconds": 1, "metadata": {"invoice": "7"},
    }  # fmt: skip
    session = call("POST", "/v1/hosted-sessions", body).json()
    post = heard.only()
    assert post.event["event_type"] == "checkout_session.expired"
    assert post.data == {
        "session_id": session["session_id"],
        "status": "expired",
        "amount": 100,
        "metadata": {"invoice": "7"},
    }


def test_disputes_and_returns_are_told(sandbox: Sandbox, account: Doc, heard: Receiver) -> None:
    disputed = sandbox.add_payment(account["uid"], "captured")["uid"]
    chargeback = sandbox.charge_back(disputed, "4853")
    reversal = sandbox.reverse_chargeback(disputed)
    returned = sandbox.add_payment(account["uid"], "captured", payment_method=bank())["uid"]
    bounced = sandbox.return_payment(returned, "R01")
    heard.wait(5)
    told = [(post.event["event_type"], post.data) for post in heard.posts if post.event["event_type"][:4] == "prov"]
    for (event_type, data), wanted, row in zip(
        told,
        ("provider.chargeback", "provider.reversal", "provider.nsf"),
        (chargeback, reversal, bounced),
        strict=True,
    ):
        assert event_type == wanted
        assert data == {
            "payment_uid": row["payment_uid"],
            "transaction_uid": row["uid"],
            "amount": row["amount"],
            "reason_code": row["reason_code"],
        }


def test_a_network_update_is_told_and_touches_the_customer(sandbox: Sandbox, customer: Doc, heard: Receiver) -> None:
    method = sandbox.add_method(customer["uid"])
    uid = method["saved_payment_method_uid"]
    before = sandbox.get("customer", customer["uid"])
    after = sandbox.update_method(uid, exp_year=2044, last4="9876")
    assert (after["credit"]["exp_year"], after["credit"]["last4"]) == (2044, "9876")
    post = heard.only()
    assert post.event["event_type"] == "provider.noc"
    assert post.data == {
        "saved_payment_method_uid": uid,
        "customer_uid": customer["uid"],
        "exp_year": 2044,
        "last4": "9876",
    }
    now = sandbox.get("customer", customer["uid"])
    assert before
    assert now
    assert now["updated_at"] > before["updated_at"]
    for wrong in ({}, {"fingerprint": "x"}, {"colour": "red"}):
        with pytest.raises(ValueError, match="exp_month"):
            sandbox.update_method(uid, **wrong)


@pytest.mark.parametrize(
    ("event_type", "kind"), [("provider.bankbillpay", "ach"), ("ivr.completed", "credit")]
)  # fmt: skip
def test_payments_made_elsewhere_are_told_once(
    sandbox: Sandbox, account: Doc, heard: Receiver, event_type: str, kind: str
) -> None:
    payment = sandbox.pay_elsewhere(account["uid"], event_type, base_amount=1234, reference_id="BBP-1")
    assert (payment["status"], payment["payment_method"]["payment_method_type"]) == ("captured", kind)
    assert sandbox.wait_for_webhooks()
    post = heard.only()
    assert post.event["event_type"] == event_type
    assert (post.data["payment_uid"], post.data["reference_id"]) == (payment["uid"], "BBP-1")
    with pytest.raises(ValueError, match=r"ivr\.completed"):
        sandbox.pay_elsewhere(account["uid"], "payment.completed")


def test_a_completed_session_is_told_as_in_the_vendors_sample(sandbox: Sandbox, account: Doc, heard: Receiver) -> None:
    from govpay.sandbox.api import payments, sessions

    platform = sandbox.platform
    with platform.store.transaction():
        session = sessions.make_session(platform, account["uid"], {"amount": 14_227, "metadata": {"invoice": "A-1"}})
        payment = payments.make_payment(platform, account["uid"], card(), base_amount=14_227, reference_id="A-1")
        payments.capture(platform, payment)
        (capture,) = payments.transactions_of(platform, payment)
        sessions.complete(platform, session, payment, capture)
    post = heard.wait(2)[1]
    assert post.event["event_type"] == "checkout_session.completed"
    assert post.data == {
        "session_id": session.uid,
        "status": "completed",
        "amount": 14_227,
        "payment": {
            "transaction_id": capture.doc["processor_transaction_id"],
            "total_amount": payment.doc["total_amount"],
            "method": "card",
            "last4": "1111",
        },
        "metadata": {"invoice": "A-1"},
    }


def test_an_expired_session_is_told_once(sandbox: Sandbox, call: Caller, heard: Receiver) -> None:
    body = {"amount": 100, "currency": "USD", "success_url": "https://a.example/", "cancel_url": "https://a.example/"}
    session = call("POST", "/v1/hosted-sessions", body).json()
    for _ in range(2):
        assert call("POST", f"/v1/hosted-sessions/{session['session_id']}/expire").status_code == 204
    assert sandbox.wait_for_webhooks()
    assert heard.only().data["status"] == "expired"


def test_nothing_is_written_without_address_switch_and_subscription(
    sandbox: Sandbox, call: Caller, receiver: Receiver
) -> None:
    uid = call.account_uid
    sandbox.add_payment(uid, "captured")
    sandbox.subscribe(uid, receiver.url, ["payment.refunded"])
    sandbox.add_payment(uid, "captured")
    sandbox.add_payment(uid, "refunded")
    sandbox.subscribe(uid, receiver.url)
    call("PUT", "/api/webhooks/subscriptions", {"subscriptions": [{"event_type": "payment.failed", "enabled": False}]})
    sandbox.add_payment(uid, "failed")
    assert sandbox.wait_for_webhooks()
    sandbox.touch("account", uid, webhook_enabled=False)
    sandbox.add_payment(uid, "captured")
    sandbox.touch("account", uid, webhook_enabled=True, callback_url=None)
    sandbox.add_payment(uid, "captured")
    assert [row["event_type"] for row in sandbox.deliveries()] == ["payment.refunded"]
    assert sandbox.wait_for_webhooks()
    assert receiver.types() == ["payment.refunded"]
    with pytest.raises(ValueError, match=r"payment\.eaten"):
        sandbox.subscribe(uid, receiver.url, ["payment.eaten"])


def test_an_action_that_is_refused_reveals_nothing(sandbox: Sandbox, call: Caller, heard: Receiver) -> None:
    payment = paid(call, card())
    call.refused(422, "POST", f"/api/payments/{payment['uid']}/refund", {"amount": 10**7, "reference_id": "RF-1"})
    call.refused(409, "POST", f"/api/payments/{payment['uid']}/capture", capture_body(payment, card()))
    assert sandbox.wait_for_webhooks()
    assert heard.types() == ["payment.completed"]


def test_any_event_can_be_sent(sandbox: Sandbox, account: Doc, receiver: Receiver) -> None:
    uid = account["uid"]
    with pytest.raises(ValueError, match="callback_url"):
        sandbox.send_webhook(uid, "payment.completed", {})
    with pytest.raises(KeyError):
        sandbox.send_webhook("account_none", "payment.completed", {})
    sandbox.subscribe(uid, receiver.url, [])
    odd = {"é": "½", "half": "\ud800", "big": 2**70}
    sent = sandbox.send_webhook(uid, "payment.melted", odd, webhook_id="evt_mine", timestamp=1_700_000_000)
    post = receiver.only()
    assert post.event == sent["payload"]
    assert post.event == {
        "webhook_id": "evt_mine", "event_type": "payment.melted", "timestamp": 1_700_000_000, "data": odd,
    }  # fmt: skip
    assert post.is_signed_with(sandbox.webhook_secret(uid))


def test_what_happens_elsewhere_can_be_played_with_by_any_program(
    sandbox: Sandbox, call: Caller, customer: Doc, receiver: Receiver
) -> None:
    uid = call.account_uid

    def control(path: str, body: Any, status: int = 201) -> Any:
        answer = call("POST", f"/_sandbox/{path}", body, token=None, account=None)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    subscribed = control("webhooks", {"account": uid, "callback_url": receiver.url}, 200)
    assert (subscribed["callback_url"], subscribed["webhook_enabled"]) == (receiver.url, True)
    payment = sandbox.add_payment(uid, "captured")["uid"]
    by_bank = sandbox.add_payment(uid, "captured", payment_method=bank())["uid"]
    method = sandbox.add_method(customer["uid"])["saved_payment_method_uid"]
    assert control("chargeback", {"payment": payment, "reason_code": "10.4"})["reason_code"] == "10.4"
    assert control("reversal", {"payment": payment})["type"] == "chargeback_reversal"
    assert control("return", {"payment": by_bank})["type"] == "ach_return"
    assert control("update-method", {"method": method, "exp_year": 2045})["credit"]["exp_year"] == 2045
    assert control("pay-elsewhere", {"account": uid, "event_type": "ivr.completed"})["status"] == "captured"
    control("send-webhook", {"account": uid, "event_type": "payment.odd", "data": {"a": 1}, "webhook_id": "evt_x"})
    assert [post.event["event_type"] for post in receiver.wait(8)][2:] == [
        "provider.chargeback", "provider.reversal", "provider.nsf", "provider.noc", "ivr.completed", "payment.odd",
    ]  # fmt: skip
    listed = call.get("/_sandbox/deliveries", params={"account": uid})
    assert listed[-1]["webhook_id"] == "evt_x"
    assert call.get("/_sandbox/deliveries", params={"account": "other"}) == []
    secret = control("rotate-secret", {"account": uid}, 200)["secret"]
    assert secret == sandbox.webhook_secret(uid)
    assert secret != subscribed.get("secret")
    for path, body, status in (
        ("webhooks", {"account": "none", "callback_url": receiver.url}, 404),
        ("webhooks", {"account": uid, "callback_url": receiver.url, "event_types": ["nope"]}, 400),
        ("webhooks", {"account": uid, "callback_url": receiver.url, "event_types": "all"}, 400),
        ("webhooks", {"account": uid}, 400),
        ("rotate-secret", {"account": "none"}, 404),
        ("send-webhook", {"account": uid, "event_type": "a", "data": []}, 400),
        ("send-webhook", {"account": uid, "event_type": "a", "timestamp": "now"}, 400),
        ("chargeback", {"payment": "pay_none"}, 404),
        ("chargeback", {"payment": payment, "colour": "red"}, 400),
        ("reversal", {"payment": payment}, 409),
        ("return", {"payment": payment}, 409),
        ("update-method", {"method": method}, 400),
        ("pay-elsewhere", {"account": uid, "event_type": "payment.completed"}, 400),
    ):
        control(path, body, status)
    for path in ("webhooks", "chargeback", "rotate-secret", "send-webhook", "webhook-faults"):
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            assert call("POST", f"/_sandbox/{path}", {}, headers=headers).status_code == 403


def test_a_base_is_followed_by_accounts_without_an_address(sandbox: Sandbox, account: Doc, receiver: Receiver) -> None:
    own = sandbox.add_account(callback_url="https://own.example/hooks")["uid"]
    uid = account["uid"]
    assert sandbox.follow_base(receiver.url + "/") == [uid]
    after = sandbox.get("account", uid)
    assert after
    assert (after["callback_url"], after["webhook_enabled"]) == (f"{receiver.url}/{uid}/", True)
    assert after["updated_at"] > account["updated_at"]
    sandbox.add_payment(uid, "captured")
    assert receiver.only().path == f"/hooks/{uid}/"

    assert sandbox.follow_base(receiver.url) == []
    assert sandbox.get("account", uid) == after
    # Another port: the address changes, the subscriptions stay.
    with sandbox.platform.store.transaction():
        row = sandbox.platform.store.get("account", uid)
        assert row
        row.private["subscriptions"]["payment.failed"] = False
        sandbox.platform.store.put(row)
    assert sandbox.follow_base("http://127.0.0.1:1/hooks") == [uid]
    moved = sandbox.get("account", uid)
    assert moved
    assert moved["callback_url"] == f"http://127.0.0.1:1/hooks/{uid}/"
    sandbox.add_payment(uid, "failed")
    assert len(sandbox.deliveries()) == 1
    # One that was set by hand stays.
    sandbox.subscribe(uid, receiver.url)
    assert sandbox.follow_base("http://127.0.0.1:2/hooks") == []
    untouched = sandbox.get("account", own)
    assert untouched
    assert (untouched["callback_url"], untouched["webhook_enabled"]) == ("https://own.example/hooks", False)

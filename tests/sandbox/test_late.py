"""Late requests: received now, and carried out by the platform some time later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from govpay.sandbox import Sandbox

from .conftest import Caller, bank, capture_body, card, validation
from .payers import Payer

Doc = dict[str, Any]
REFUND = "POST /api/payments/{uid}/refund"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Its tokens outlast the hours by which its clock is moved on."""
    with Sandbox(token_lifetime=1_000_000) as platform, platform.serve():
        yield platform


@pytest.fixture
def paid(sandbox: Sandbox, account: Doc) -> Doc:
    return sandbox.add_payment(account["uid"], status="captured")


def send(call: Caller, payment: Doc, action: str, body: Doc | None = None) -> requests.Response | None:
    """The answer; None when the connection was dropped."""
    try:
        return call("POST", f"/api/payments/{payment['uid']}/{action}", body)
    except requests.ConnectionError:
        return None


def ask(amount: int = 100, reference: str = "r1") -> Doc:
    return {"amount": amount, "reference_id": reference}


def outcomes(sandbox: Sandbox) -> list[tuple[int | None, str | None]]:
    return [(late["status"], late["code"]) for late in sandbox.late_requests()]


def kinds(sandbox: Sandbox) -> list[str]:
    return [effect["kind"] for effect in sandbox.ledger()]


def test_refund_is_carried_out_later_and_once(sandbox: Sandbox, call: Caller, paid: Doc) -> None:
    sandbox.fault(REFUND, act_after=3600, times=1)
    assert send(call, paid, "refund", ask()) is None
    assert sandbox.requests()[-1]["status"] is None
    sandbox.advance(3500)
    assert outcomes(sandbox) == [(None, None)]
    assert kinds(sandbox) == ["capture"]
    assert call.get(f"/api/payments/{paid['uid']}") == paid
    sandbox.advance(200)
    assert call.get(f"/api/payments/{paid['uid']}")["refunded_amount"] == 100
    sandbox.advance(86_400)
    assert outcomes(sandbox) == [(201, None)]
    assert kinds(sandbox) == ["capture", "refund"]
    (row,) = call.get("/api/transactions?$filter=type eq 'refund'")
    assert (row["amount"], row["reference_id"], row["status"]) == (100, "r1", "succeeded")
    assert row["created_at"] == row["updated_at"] < sandbox.platform.clock.text()


@pytest.mark.parametrize(
    ("options", "status", "body"),
    [
        ({"close": "before"}, None, b""),
        ({"close": "after"}, None, b""),
        ({"status": 202}, 202, b""),
        ({"status": 202, "body": '{"status": "accepted"}'}, 202, b'{"status": "accepted"}'),
        ({"status": 504, "body": "timeout"}, 504, b"timeout"),
        ({"body": "{}", "status": 201}, 201, b"{}"),
    ],
)
def test_any_answer_can_be_given_meanwhile(
    sandbox: Sandbox, call: Caller, paid: Doc, options: Doc, status: int | None, body: bytes
) -> None:
    sandbox.fault(REFUND, act_after=100, times=1, **options)
    answer = send(call, paid, "refund", ask())
    assert (answer.status_code, answer.content) == (status, body) if answer is not None else status is None
    assert kinds(sandbox) == ["capture"]
    sandbox.advance(100)
    assert kinds(sandbox) == ["capture", "refund"]


def test_repeated_reference_is_refused_when_its_turn_comes(sandbox: Sandbox, call: Caller, paid: Doc) -> None:
    """A10 holds at the moment of the act, whichever of the two comes first."""
    sandbox.fault(REFUND, act_after=600, times=1)
    send(call, paid, "refund", ask())
    answer = send(call, paid, "refund", ask())
    assert answer is not None
    assert answer.status_code == 201, "the first one was not carried out yet"
    sandbox.advance(600)
    assert outcomes(sandbox) == [(409, "duplicate_refund")]
    assert kinds(sandbox) == ["capture", "refund"]
    assert sandbox.get("payment", paid["uid"])["refunded_amount"] == 100  # type: ignore[index]


def test_late_ones_come_in_the_order_of_their_instants(sandbox: Sandbox, call: Caller, paid: Doc) -> None:
    for seconds, amount in ((300, 10_000), (200, 5_000), (100, 200)):
        sandbox.fault(REFUND, act_after=seconds, times=1)
        send(call, paid, "refund", ask(amount, f"r{amount}"))
    sandbox.advance(3600)
    assert [effect["amount"] for effect in sandbox.ledger()[1:]] == [200, 5_000]
    assert outcomes(sandbox) == [(422, "validation_error"), (201, None), (201, None)]


def test_bank_refund_settles_after_its_late_beginning(sandbox: Sandbox, call: Caller, account: Doc) -> None:
    payment = sandbox.add_payment(account["uid"], status="captured", payment_method=bank())
    sandbox.fault(REFUND, act_after=100, times=1)
    send(call, payment, "refund", ask())
    sandbox.advance(130)
    assert kinds(sandbox) == ["capture", "refund"]
    sandbox.advance(31)
    assert kinds(sandbox) == ["capture", "refund", "refund_settled"]


def test_second_capture_is_a_conflict_when_its_turn_comes(sandbox: Sandbox, call: Caller) -> None:
    payment = call("POST", "/api/payments", validation()).json()
    body = capture_body(payment, card())
    for _ in range(2):
        sandbox.fault("POST /api/payments/{uid}/capture", act_after=60, times=1)
        assert send(call, payment, "capture", body) is None
    assert kinds(sandbox) == []
    sandbox.advance(60)
    assert outcomes(sandbox) == [(200, None), (409, "already_captured")]
    assert kinds(sandbox) == ["capture"]


@pytest.mark.parametrize(("seconds", "status", "entries"), [(800, "captured", 1), (1000, "expired", 0)])
def test_late_capture_and_the_end_of_the_validation(
    sandbox: Sandbox, call: Caller, seconds: int, status: str, entries: int
) -> None:
    """A validation expires after 15 minutes, whenever it is read."""
    payment = call("POST", "/api/payments", validation()).json()
    sandbox.fault("POST /api/payments/{uid}/capture", act_after=seconds, times=1)
    send(call, payment, "capture", capture_body(payment, card()))
    sandbox.advance(7200)
    assert call.get(f"/api/payments/{payment['uid']}")["status"] == status
    assert len(sandbox.ledger()) == entries
    assert outcomes(sandbox) == [(200, None) if entries else (410, "expired")]


def test_late_decline_keeps_its_changes(sandbox: Sandbox, call: Caller) -> None:
    payment = call("POST", "/api/payments", validation(payment_method=card("0002"))).json()
    sandbox.fault("POST /api/payments/{uid}/capture", act_after=60, times=1)
    send(call, payment, "capture", capture_body(payment, card("0002")))
    sandbox.advance(60)
    assert outcomes(sandbox)[0][0] == 402
    assert call.get(f"/api/payments/{payment['uid']}")["status"] == "failed"


def test_other_writes_can_be_late(sandbox: Sandbox, call: Caller, customer: Doc, paid: Doc) -> None:
    saved = sandbox.add_method(customer["uid"])["saved_payment_method_uid"]
    payer = Payer(call, sandbox.add_session(call.account_uid))
    paying = payer.card_body()
    sandbox.fault("* /*", act_after=60)
    writes: list[tuple[str, str, Doc | None, Doc]] = [
        ("POST", "/api/payments", validation(), {}),
        ("POST", f"/api/payments/{paid['uid']}/void", None, {}),
        ("POST", f"/api/customers/{customer['uid']}/payment-methods", {"payment_method": card()}, {}),
        ("DELETE", f"/api/customers/{customer['uid']}/payment-methods/{saved}", None, {}),
        ("POST", "/api/clients", {"name": "City"}, {"account": None}),
        ("PUT", "/api/webhooks/subscriptions", {"subscriptions": []}, {}),
        ("POST", f"/v1/hosted-sessions/{payer.uid}/confirm", paying, {"token": payer.secret, "account": None}),
    ]
    before = sandbox.stats()
    for method, path, body, more in writes:
        with pytest.raises(requests.ConnectionError):
            call(method, path, body, **more)
    assert len(call.get("/api/payments")) == 1, "reads are not late"
    assert {**sandbox.stats(), "now": 0, "requests": 0} == {**before, "now": 0, "requests": 0}
    sandbox.advance(60)
    assert outcomes(sandbox) == [(status, None) for status in (201, 200, 201, 204, 201, 200, 200)]
    assert kinds(sandbox) == ["capture", "void", "capture"]
    assert [row["saved_payment_method_uid"] for row in sandbox.methods(customer["uid"])] != [saved]


def test_what_is_turned_away_is_never_carried_out(sandbox: Sandbox, call: Caller, paid: Doc) -> None:
    """Credential, account and JSON are checked at once; a token may end while the request waits."""
    sandbox.fault(REFUND, act_after=60, status=202)
    path = f"/api/payments/{paid['uid']}/refund"
    call.refused(401, "POST", path, ask(), token="nobody's")
    call.refused(400, "POST", path, ask(), account=None)
    assert call("POST", path, data="{", headers={"Content-Type": "application/json"}).status_code == 400
    assert sandbox.late_requests() == []
    assert call("POST", path, ask()).status_code == 202
    sandbox.revoke_tokens()
    sandbox.advance(60)
    assert kinds(sandbox) == ["capture", "refund"]


def test_late_request_survives_a_restart_without_its_credential(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite3"
    with Sandbox(state=file) as sandbox, sandbox.serve() as address:
        account = sandbox.add_account()["uid"]
        paid = sandbox.add_payment(account, status="captured")
        call = Caller(address, account)
        sandbox.fault(REFUND, act_after=600)
        send(call, paid, "refund", ask())
        assert call.token not in str(sandbox.platform.store.execute("SELECT * FROM late_requests"))
    with Sandbox(state=file) as sandbox:
        assert kinds(sandbox) == ["capture"]
        sandbox.advance(600)
        assert kinds(sandbox) == ["capture", "refund"]
    with Sandbox(state=file) as sandbox:
        sandbox.advance(6000)
        assert kinds(sandbox) == ["capture", "refund"]


def test_late_request_sends_a_webhook(sandbox: Sandbox, call: Caller, paid: Doc) -> None:
    sandbox.hold_webhooks()
    sandbox.subscribe(call.account_uid, "http://127.0.0.1:9/")
    sandbox.fault(REFUND, act_after=60, times=1)
    send(call, paid, "refund", ask())
    assert sandbox.deliveries() == []
    sandbox.advance(60)
    (told,) = sandbox.deliveries()
    assert (told["event_type"], told["payload"]["data"]["reference_id"]) == ("payment.refunded", "r1")


def test_late_requests_over_the_control_surface(sandbox: Sandbox, call: Caller, paid: Doc) -> None:
    def control(method: str, path: str, body: Any = None) -> Any:
        return call(method, f"/_sandbox/{path}", body, token=None, account=None).json()

    control("POST", "faults", {"spec": f"{REFUND} act_after=60 times=1"})
    send(call, paid, "refund", ask())
    (waiting,) = control("GET", "late-requests")
    assert (waiting["method"], waiting["path"], waiting["status"]) == (
        "POST", f"/api/payments/{paid['uid']}/refund", None,
    )  # fmt: skip
    control("POST", "advance", {"seconds": 60})
    assert [effect["kind"] for effect in control("GET", "ledger")] == ["capture", "refund"]
    assert [late["status"] for late in control("GET", "late-requests")] == [201]

"""The fault switchboard; network faults are checked through a raw socket."""

from __future__ import annotations

import re
import socket
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from govpay.sandbox import Sandbox
from govpay.sandbox.control.faults import OPTIONS, fault_from, parse_fault
from govpay.sandbox.control.spoiling import UNKNOWN_PROPERTY, UNKNOWN_VALUE, Spoiling
from tests.patience import Clock

from .conftest import Caller, stand_still, validation

Doc = dict[str, Any]
HOSTS = Path(__file__).resolve().parents[2] / "docs" / "hosts.md"


def raw(call: Caller, method: str, path: str, body: bytes = b"") -> bytes:
    """Everything the server sends until it closes the connection (or falls silent)."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {call.token}\r\n"
        f"X-Payment-Account-Uid: {call.account_uid}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", call.address.port), timeout=5) as connection:
        connection.sendall(head.encode() + body)
        data = b""
        while piece := connection.recv(65536):
            data += piece
        return data


def test_status_hits_as_often_as_told(sandbox: Sandbox, call: Caller) -> None:
    sandbox.fault("GET /api/payments", status=500, times=2)
    answers = [call("GET", path).status_code for path in ("/api/payments", "/api/customers", "/api/payments")]
    assert answers == [500, 200, 500]
    assert call("GET", "/api/payments").status_code == 200
    assert [record["status"] for record in sandbox.requests() if record["path"] == "/api/payments"] == [500, 500, 200]


def test_skip_lets_the_first_ones_pass(sandbox: Sandbox, call: Caller) -> None:
    sandbox.fault("* /api/*", status=503, times=1, skip=2)
    assert [call("GET", "/api/payments").status_code for _ in range(4)] == [200, 200, 503, 200]


def test_until_cleared(sandbox: Sandbox, call: Caller) -> None:
    sandbox.fault("GET *", status=502)
    assert {call("GET", "/api/clients").status_code for _ in range(5)} == {502}
    sandbox.clear_faults()
    call.get("/api/clients")


def test_rate_limit_carries_its_wait_and_body(sandbox: Sandbox, call: Caller) -> None:
    sandbox.fault("GET /api/payments", status=429, retry_after=7)
    answer = call("GET", "/api/payments")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["code"] == "rate_limited"
    sandbox.clear_faults()
    sandbox.fault("GET /api/payments", status=503, body="upstream", headers={"Content-Type": "text/plain"})
    answer = call("GET", "/api/payments")
    assert (answer.text, answer.headers["Content-Type"]) == ("upstream", "text/plain")


def test_redirect(sandbox: Sandbox, call: Caller) -> None:
    sandbox.fault("GET /api/payments", status=302, headers={"Location": "https://evil.example/"})
    answer = call("GET", "/api/payments", allow_redirects=False)
    assert answer.headers["Location"] == "https://evil.example/"


def test_delay(sandbox: Sandbox, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("govpay.sandbox.app.time", clock := Clock())
    sandbox.fault("GET /api/payments", delay=0.3, times=1)
    call.get("/api/payments")
    assert clock.sleeps == [0.3]


@pytest.mark.parametrize(("close", "acted"), [("before", 0), ("after", 1)])
def test_close_drops_the_connection_without_an_answer(sandbox: Sandbox, call: Caller, close: str, acted: int) -> None:
    sandbox.fault("POST /api/payments", close=close, times=2)
    assert raw(call, "POST", "/api/payments", b"{}") == b""
    with pytest.raises(requests.ConnectionError):
        call("POST", "/api/payments", validation())
    assert len(sandbox.all("payment")) == acted
    assert sandbox.requests()[-1]["status"] is None
    assert call("POST", "/api/payments", validation()).status_code == 201


@pytest.mark.parametrize(("close", "acted"), [("before", 0), ("after", 1)])
def test_close_around_a_refund(sandbox: Sandbox, call: Caller, close: str, acted: int) -> None:
    payment = sandbox.add_payment(call.account_uid, status="captured")
    sandbox.fault("POST /api/payments/{uid}/refund", close=close, times=1)
    with pytest.raises(requests.ConnectionError):
        call("POST", f"/api/payments/{payment['uid']}/refund", {"amount": 100, "reference_id": "r"})
    assert len(sandbox.ledger()) == 1 + acted


def test_status_with_and_without_acting(sandbox: Sandbox, call: Caller) -> None:
    sandbox.fault("POST /api/payments", status=500, times=1)
    assert call("POST", "/api/payments", validation()).status_code == 500
    assert sandbox.all("payment") == []
    sandbox.fault("POST /api/payments", status=500, times=1, act=True)
    assert call("POST", "/api/payments", validation()).status_code == 500
    assert len(sandbox.all("payment")) == 1


def test_truncated_answer_stops_half_way_and_closes(sandbox: Sandbox, call: Caller) -> None:
    sandbox.fault("GET /api/webhooks/types", truncate=True)
    head, _, body = raw(call, "GET", "/api/webhooks/types").partition(b"\r\n\r\n")
    length = int(next(line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"Content-Length")))
    assert head.startswith(b"HTTP/1.1 200")
    assert 0 < len(body) == length // 2
    with pytest.raises(requests.exceptions.RequestException):
        call("GET", "/api/webhooks/types")


def test_html_and_bad_json(sandbox: Sandbox, call: Caller) -> None:
    sandbox.fault("GET /api/webhooks/types", html=True, times=1)
    answer = call("GET", "/api/webhooks/types")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!doctype html>")
    sandbox.fault("GET /api/webhooks/types", badjson=True, times=1)
    answer = call("GET", "/api/webhooks/types")
    assert answer.status_code == 200
    with pytest.raises(ValueError):
        answer.json()


def test_drip_is_slow_but_complete(sandbox: Sandbox, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("govpay.sandbox.server.time", clock := Clock())
    sandbox.fault("GET /api/payments", drip=0.05, times=1)
    assert call.get("/api/payments") == []
    assert clock.sleeps == [0.05] * len("[]")


def test_token_endpoint_can_fail_too(sandbox: Sandbox, call: Caller) -> None:
    sandbox.fault("POST /oauth2/token", body='{"access_token": "x", "token_type": "mac"}', times=1)
    assert call.fetch_token().json()["token_type"] == "mac"
    sandbox.fault("POST /oauth2/token", status=503, times=1)
    assert call.fetch_token().status_code == 503
    assert sandbox.token_requests == 3


def test_retry_after_as_a_date_is_the_platforms(sandbox: Sandbox, call: Caller) -> None:
    stand_still(sandbox)
    sandbox.advance(3600)
    sandbox.fault("GET /api/payments", status=429, retry_at=90)
    headers = call("GET", "/api/payments").headers
    wait = parsedate_to_datetime(headers["Retry-After"]) - parsedate_to_datetime(headers["Date"])
    assert wait.total_seconds() == 90


def test_redirect_carries_nothing_out(sandbox: Sandbox, call: Caller) -> None:
    sandbox.fault("POST /api/payments redirect=https://evil.example/ times=1")
    answer = call("POST", "/api/payments", validation(), allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, "https://evil.example/")
    assert sandbox.all("payment") == []


@pytest.mark.parametrize(("length", "received"), [(-3, -3), (7, 0)])
def test_wrong_content_length(sandbox: Sandbox, call: Caller, length: int, received: int) -> None:
    true = len(call("GET", "/api/webhooks/types").content)
    sandbox.fault("GET /api/webhooks/types", length=length, times=2)
    head, _, body = raw(call, "GET", "/api/webhooks/types").partition(b"\r\n\r\n")
    assert f"Content-Length: {true + length}\r\n".encode() in head + b"\r\n"
    assert len(body) == true, "all is sent, whatever was promised"
    try:
        assert len(call("GET", "/api/webhooks/types").content) == true + received
    except requests.exceptions.RequestException:
        assert length > 0


def test_token_revoked_between_two_pages(sandbox: Sandbox, call: Caller) -> None:
    sandbox.add_payments(call.account_uid, 4)
    sandbox.fault("GET /api/payments", revoke=True, skip=1, times=1)
    answers = [call("GET", f"/api/payments?$top=2&$skip={start}").status_code for start in (0, 2)]
    assert answers == [200, 401]
    call.token = call.fetch_token().json()["access_token"]
    assert len(call.get("/api/payments?$top=2&$skip=2")) == 2


def test_object_is_gone_when_it_is_asked_for(sandbox: Sandbox, call: Caller) -> None:
    payment = sandbox.add_payment(call.account_uid, status="captured")
    other = sandbox.add_payment(call.account_uid)
    sandbox.fault("POST /api/payments/{uid}/refund", gone=True, times=1)
    refund = {"amount": 100, "reference_id": "r"}
    assert call("POST", f"/api/payments/{payment['uid']}/refund", refund).status_code == 404
    assert [left["uid"] for left in sandbox.all("payment")] == [other["uid"]]
    assert call("GET", f"/api/payments/{payment['uid']}").status_code == 404


def test_rows_move_while_pages_are_read(sandbox: Sandbox, call: Caller) -> None:
    sandbox.add_payments(call.account_uid, 6)
    path = "/api/payments?$orderby=updated_at,uid&$top=2&$skip="
    sandbox.fault("GET /api/payments", shift=2, skip=1, times=1)
    pages = [[row["uid"] for row in call.get(f"{path}{start}")] for start in (0, 2, 4)]
    seen = [uid for page in pages for uid in page]
    assert pages[2] == pages[0], "the first two have gone to the end"
    assert len(set(seen)) == 4, "and two were passed over"
    sandbox.fault("GET /api/paymentaccounts", shift=1, times=1)
    before = sandbox.all("account")[0]["updated_at"]
    call.get("/api/paymentaccounts")
    assert sandbox.all("account")[0]["updated_at"] > before


def test_page_is_capped_and_its_rows_come_again(sandbox: Sandbox, call: Caller) -> None:
    sandbox.add_payments(call.account_uid, 6)
    sandbox.fault("GET /api/payments", page_cap=2, times=1)
    assert len(call.get("/api/payments?$top=5")) == 2
    assert len(call.get("/api/payments?$top=5")) == 5
    sandbox.fault("GET /api/payments", duplicate=1, times=3)
    pages = [[row["uid"] for row in call.get(f"/api/payments?$top=2&$skip={start}")] for start in (0, 2, 4)]
    assert [len(page) for page in pages] == [2, 3, 3]
    assert [pages[1][0], pages[2][0]] == [pages[0][-1], pages[1][-1]]
    assert len({uid for page in pages for uid in page}) == 6


def test_link_to_the_next_page_names_another_address() -> None:
    with Sandbox(envelope="odata", page_cap=2) as platform, platform.serve() as address:
        account = platform.add_account()["uid"]
        platform.add_payments(account, 3)
        call = Caller(address, account)
        true = call.get("/api/payments?$top=3")["@odata.nextLink"]
        platform.fault("GET /api/payments", next_link="https://internal:8443/x{path}?a=1&{query}")
        page = call.get("/api/payments?$top=3")
        assert page["@odata.nextLink"] == true.replace(address.api_url, "https://internal:8443/x").replace("?", "?a=1&")
        assert len(page["value"]) == 2
        last = call.get("/api/payments?" + true.partition("?")[2])
        assert "@odata.nextLink" not in last, "the last page has no link to change"
        call.close()


@pytest.mark.parametrize("envelope", ["array", "odata", "items"])
def test_properties_and_values_that_nobody_documented(envelope: str) -> None:
    with Sandbox(envelope=envelope) as platform, platform.serve() as address:
        account = platform.add_account()["uid"]
        payment = platform.add_payment(account)
        call = Caller(address, account)
        spec = "extra strange=status,currency null=tax_amount,total_amount leave_out=reference_id times=2"
        platform.fault(f"GET /api/payments* {spec}")
        listed = call.get("/api/payments")
        (row,) = listed if envelope == "array" else listed["value" if envelope == "odata" else "items"]
        for found in (row, call.get(f"/api/payments/{payment['uid']}")):
            assert (found["status"], found["currency"], found["uid"]) == (UNKNOWN_VALUE,) * 2 + (payment["uid"],)
            assert (found["tax_amount"], found["total_amount"]) == (None, None)
            assert "reference_id" not in found
            assert set(found) - set(payment) == set(UNKNOWN_PROPERTY)
        assert call.get(f"/api/payments/{payment['uid']}") == payment, "only what was answered was spoilt"
        call.close()


def test_errors_and_what_is_no_json_are_not_spoilt(sandbox: Sandbox, call: Caller) -> None:
    sandbox.fault("GET *", extra=True, strange="code")
    answer = call("GET", "/api/payments/pay_none")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert Spoiling(extra=True).of("no json") == "no json"


REFUND = {"amount": 100, "reference_id": "r"}


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("acts", [True, False])
def test_success_without_content(sandbox: Sandbox, call: Caller, status: int, acts: bool) -> None:
    payment = sandbox.add_payment(call.account_uid, status="captured")
    sandbox.fault("POST /api/payments/{uid}/refund", status=status, act=acts, body="", times=1)
    answer = call("POST", f"/api/payments/{payment['uid']}/refund", REFUND)
    assert (answer.status_code, answer.content) == (status, b"")
    assert len(sandbox.ledger()) == 1 + acts
    assert sandbox.get("payment", payment["uid"])["refunded_amount"] == 100 * acts  # type: ignore[index]


def test_accepted_with_the_real_answer_with_none_and_with_another(sandbox: Sandbox, call: Caller) -> None:
    path = f"/api/payments/{sandbox.add_payment(call.account_uid, status='captured')['uid']}/refund"
    sandbox.fault("POST /api/payments/{uid}/refund", status=202, act=True, times=1)
    answer = call("POST", path, REFUND)
    (stored,) = [row for row in sandbox.all("transaction") if row["type"] == "refund"]
    assert (answer.status_code, answer.json()) == (202, stored)
    assert len(sandbox.ledger()) == 2
    sandbox.fault("POST /api/payments/{uid}/refund", status=202, times=1)
    answer = call("POST", path, {**REFUND, "reference_id": "r2"})
    assert (answer.status_code, answer.content) == (202, b"")
    assert len(sandbox.ledger()) == 2, "nothing was done"
    sandbox.fault("POST /api/payments/{uid}/refund", body="{}", times=1)
    answer = call("POST", path, {**REFUND, "reference_id": "r3"})
    assert (answer.status_code, answer.json()) == (201, {})
    assert len(sandbox.ledger()) == 3


def test_answer_differs_from_what_happened(sandbox: Sandbox, call: Caller) -> None:
    payment = sandbox.add_payment(call.account_uid, status="captured")
    spec = "alter=amount:123,currency:EUR,type:void,uid:trx_other,payment_uid:pay_other,reason:null,none:1 times=1"
    sandbox.fault(f"POST /api/payments/{{uid}}/refund {spec} leave_out=status")
    told = call("POST", f"/api/payments/{payment['uid']}/refund", REFUND).json()
    wrong = {"amount": 123, "currency": "EUR", "type": "void", "uid": "trx_other", "payment_uid": "pay_other"}
    (stored,) = [row for row in sandbox.all("transaction") if row["type"] == "refund"]
    assert told == {**{name: value for name, value in stored.items() if name != "status"}, **wrong}
    assert (stored["amount"], stored["currency"], stored["status"]) == (100, "USD", "succeeded")
    assert call.get(f"/api/transactions/{stored['uid']}") == stored
    sandbox.fault("GET /api/transactions", alter="amount:5", times=1)
    assert {row["amount"] for row in call.get("/api/transactions")} == {5}


def test_date_is_off(sandbox: Sandbox, call: Caller) -> None:
    stand_still(sandbox)
    sandbox.fault("GET /api/payments", skew=-300, times=1)
    dates = [parsedate_to_datetime(call("GET", "/api/payments").headers["Date"]) for _ in range(2)]
    assert (dates[1] - dates[0]).total_seconds() == 300


def test_clock_is_set_wrong_and_right_again(sandbox: Sandbox, call: Caller, account: dict[str, Any]) -> None:
    """Stamps and `Date` follow it, also back."""
    stand_still(sandbox)
    stamps, dates = [], []
    for seconds in (0, 600, 0):
        call("POST", "/_sandbox/clock", {"seconds": seconds}, token=None)
        stamps.append(datetime.fromisoformat(sandbox.add_payment(account["uid"])["updated_at"]))
        dates.append(parsedate_to_datetime(call("GET", "/api/payments").headers["Date"]))
    assert [(moment - dates[0]).total_seconds() for moment in dates] == [0, 600, 0]
    assert stamps[0] < stamps[1] > stamps[2]


def test_every_option_is_switched_by_text_as_by_name() -> None:
    """The same fault, given either way; one that is new has to be given here, in ``--help`` and in the docs."""
    given: dict[str, Any] = {
        "times": 2, "skip": 1, "delay": 0.5, "revoke": True, "gone": True, "shift": 3, "page_cap": 4, "status": 429,
        "retry_after": "3", "retry_at": 2.5, "redirect": "http://127.0.0.1/", "body": "x",
        "headers": {"A": "b", "C": "d"}, "html": True, "badjson": True,
        "extra": True, "strange": "status", "null": "a,b", "leave_out": "c",
        "duplicate": 2, "close": "after", "truncate": True, "length": -3, "drip": 0.1, "skew": -300.0, "act": True,
        "act_after": 90.0, "lag": 120.0, "alter": "amount:1,status:failed", "account": "acc_2", "no_options": True,
        "next_link": "http://internal:8080{path}?{query}",
    }  # fmt: skip
    assert set(given) == set(OPTIONS)
    for left_out in ("act", "act_after"):  # one excludes the other
        chosen = {name: value for name, value in given.items() if name != left_out}
        words = [f"{name}={value}" for name, value in chosen.items() if name != "headers"]
        spec = " ".join(["GET /x", *words, "'headers=A: b'", "'headers=C: d'"])
        assert parse_fault(spec).described() == fault_from("GET /x", chosen).described()
    listed = re.findall(r"`([a-z_]+)[=`]", re.search(r"\| option \|.*?\n\n", HOSTS.read_text(), re.DOTALL)[0])  # type: ignore[index]
    told = re.findall(r"\w+", HOSTS.read_text()[HOSTS.read_text().index("| option |") :])
    assert set(listed) <= set(OPTIONS)
    assert set(OPTIONS) <= set(told)


def test_spec_strings() -> None:
    fault = parse_fault("POST /api/payments/{uid}/refund status=429 retry_after=3 times=2 skip=1 delay=0.5 act=1")
    assert (fault.status, fault.retry_after, fault.times, fault.skip, fault.delay, fault.act) == (
        429, "3", 2, 1, 0.5, True,
    )  # fmt: skip
    assert fault.matches("POST", "/api/payments/pay_1/refund")
    assert not fault.matches("POST", "/api/payments/pay_1/x/refund")
    assert parse_fault("GET /x truncate").truncate
    for wrong in (
        "GET",
        "GET payments status=500",
        "GET /x status=abc",
        "GET /x colour=red",
        "GET /x close=never",
        "GET /x lag=-1",
        "POST /x act_after=-1",
        "POST /x act_after=1 act=yes",
        "POST /x alter=amount",
        "'",
    ):
        with pytest.raises(ValueError):
            parse_fault(wrong)


def test_control_routes_need_no_token(sandbox: Sandbox, call: Caller) -> None:
    def control(method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        return call(method, f"/_sandbox/{path}", body, token=None, account=None, **more)

    assert control("POST", "faults", {"spec": "GET /api/payments status=500 times=1"}).status_code == 201
    assert control("POST", "faults", {"route": "GET /api/customers", "status": 503}).status_code == 201
    assert [fault["status"] for fault in control("GET", "faults").json()] == [500, 503]
    assert call("GET", "/api/payments").status_code == 500
    assert control("DELETE", "faults").status_code == 204
    call.get("/api/customers")
    payment = sandbox.add_payment(call.account_uid, status="captured")
    (effect,) = control("GET", "ledger").json()
    assert (effect["kind"], effect["payment_uid"]) == ("capture", payment["uid"])
    assert control("GET", "requests").json()[-1]["path"] == "/api/customers"
    assert control("GET", "stats").json()["payments"] == 1
    assert control("POST", "settle").json() == {"settled": []}
    assert control("POST", "advance", {"seconds": 5}).status_code == 200
    assert control("POST", "revoke").json() == {"revoked": 1}
    for path, body in (("faults", {"spec": "x"}), ("faults", {"route": "GET /x", "colour": 1}), ("advance", {})):
        assert control("POST", path, body).status_code == 400
    assert control("POST", "revoke", headers={"Origin": "https://evil.example"}).status_code == 403
    assert control("POST", "revoke", headers={"Host": "evil.example"}).status_code == 403
    assert all(not record["path"].startswith("/_sandbox") for record in sandbox.requests())

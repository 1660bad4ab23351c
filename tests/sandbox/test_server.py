"""The HTTP server itself."""

from __future__ import annotations

import http.client
import socket
import threading
from email.utils import parsedate_to_datetime

import pytest

from govpay.sandbox import PortBusy, Sandbox
from tests.patience import Held, wait_until

from .conftest import FORM, Caller, stand_still, validation


def test_one_connection_serves_many_requests(sandbox: Sandbox, call: Caller) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", call.address.port, timeout=5)
    headers = {"Authorization": f"Bearer {call.token}", "X-Payment-Account-Uid": call.account_uid}
    local = None
    for method, path, body in (
        ("GET", "/api/payments", None),
        ("POST", "/api/payments", b'{"unknown": "' + b"x" * 100_000 + b'"}'),
        ("POST", "/nowhere", b"x" * 50_000),
        ("DELETE", "/api/customers/a/payment-methods/b", None),
        ("HEAD", "/api/clients", None),
        ("GET", "/api/clients", None),
    ):
        connection.request(method, path, body, {**headers, "Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        assert answer.headers["Connection"] == "keep-alive"
        assert answer.headers["Date"]
        assert method == "HEAD" or len(data) == int(answer.headers["Content-Length"])
        assert connection.sock is not None
        local = local or connection.sock.getsockname()
        assert connection.sock.getsockname() == local
    connection.close()


def test_chunked_bodies_are_read(call: Caller) -> None:
    data = (piece for piece in (b'{"reference_id"', b': "c1"}'))
    answer = call("POST", "/api/customers", data=data, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201


def test_enormous_bodies_are_refused_unread(call: Caller) -> None:
    with socket.create_connection(("127.0.0.1", call.address.port), timeout=5) as connection:
        connection.sendall(b"POST /api/clients HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_date_follows_the_platforms_clock(sandbox: Sandbox, call: Caller) -> None:
    stand_still(sandbox)
    before = parsedate_to_datetime(call("GET", "/api/clients").headers["Date"])
    sandbox.advance(300)
    after = parsedate_to_datetime(call("GET", "/api/clients").headers["Date"])
    assert (after - before).total_seconds() == 300


def test_every_answer_has_a_request_id_of_its_own(call: Caller) -> None:
    ids = [call("GET", path).headers["X-Request-Id"] for path in ("/api/clients", "/api/clients", "/nope")]
    assert len(set(ids)) == 3
    assert call.fetch_token().headers["X-Request-Id"]


def test_requests_are_remembered(sandbox: Sandbox, call: Caller) -> None:
    call("GET", "/api/payments?$top=5")
    token, listing = sandbox.requests()
    assert (token["method"], token["path"], token["status"]) == ("POST", "/oauth2/token", 200)
    assert (listing["query"], listing["account"], listing["status"]) == ("$top=5", call.account_uid, 200)
    assert call.token not in str(sandbox.requests())
    assert sandbox.token_requests == 1


def test_it_listens_on_loopback_only(call: Caller, sandbox: Sandbox) -> None:
    assert sandbox._server is not None
    assert sandbox._server.socket.getsockname()[0] == "127.0.0.1"


def test_busy_port_is_named(call: Caller) -> None:
    port = call.address.port
    with Sandbox() as other, pytest.raises(PortBusy, match=str(port)):
        other.start(port)


def test_stopping_closes_open_connections_and_frees_the_port() -> None:
    with Sandbox() as sandbox:
        with sandbox.serve() as address:
            idle = socket.create_connection(("127.0.0.1", address.port), timeout=5)
            caller = Caller(address)
            caller.get("/api/clients")
        assert idle.recv(1) == b""
        idle.close()
        with sandbox.serve(address.port) as again:
            assert again.port == address.port
            # The token outlives the listener, as the state does.
            assert caller.get("/api/clients") == []


def test_slow_requests_do_not_hold_up_others(sandbox: Sandbox, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("govpay.sandbox.app.time", held := Held())
    fault = sandbox.fault("GET /api/customers", delay=1.0, times=1)
    slow = threading.Thread(target=call, args=("GET", "/api/customers"))
    slow.start()
    wait_until(lambda: fault.hits)
    Caller(call.address, call.account_uid).get("/api/payments")
    assert slow.is_alive()
    held.release()
    slow.join()


def test_fifty_threads_at_once(sandbox: Sandbox, call: Caller) -> None:
    statuses = []

    def go() -> None:
        caller = Caller(call.address, call.account_uid)
        statuses.append(caller("POST", "/api/payments", validation()).status_code)
        caller.close()

    threads = [threading.Thread(target=go) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * 50
    stamps = [row["updated_at"] for row in sandbox.all("payment")]
    assert len(set(stamps)) == 50
    assert sandbox.token_requests == 51


def test_form_is_drained_even_when_refused(call: Caller) -> None:
    for _ in range(3):
        assert call.session.post(call.address.token_url, data={**FORM, "pad": "x" * 10_000}).status_code == 401
    assert call.get("/api/clients")

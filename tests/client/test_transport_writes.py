"""Writes over HTTP: sent at most once; an unclear outcome is neither a success nor a failure (A25)."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from govpay.client import Request
from govpay.exceptions import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    ConfigurationError,
    Conflict,
    Gone,
    GovPayError,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    PaymentDeclined,
    RateLimited,
)
from tests.client.servers import FixedToken, Handler, Reply, body, drip, hang, raw, reply, reset
from tests.patience import SILENCE, without_hanging

GOOD = {"uid": "pay_1", "status": "captured"}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def write(**more: Any) -> Request:
    return Request(
        **{
            "operation": "capture_payment",
            "method": "POST",
            "path": "/api/payments/pay_1/capture",
            "json": {"base_amount": 100},
            "account_uid": "acc_1",
            "idempotency_key": "key-1",
            **more,
        }
    )


def test_a_write_sends_body_account_and_key(serve: Any, transport_to: Any) -> None:
    server = serve(reply(GOOD, 201, X_Request_Id="req_1"))
    answer = transport_to(server).send(write())
    assert (answer.document, answer.status, answer.request_id) == (GOOD, 201, "req_1")
    [seen] = server.seen
    assert (seen.method, seen.json) == ("POST", {"base_amount": 100})
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["idempotency-key"] == "key-1"
    assert seen.headers["x-payment-account-uid"] == "acc_1"


def test_a_write_without_a_body_sends_none(serve: Any, transport_to: Any) -> None:
    server = serve(reply(GOOD))
    transport_to(server).send(write(json=None))
    [seen] = server.seen
    assert (seen.body, seen.headers["content-length"], "content-type" in seen.headers) == (b"", "0", False)


def test_every_write_has_a_connection_of_its_own(serve: Any, transport_to: Any) -> None:
    server = serve(reply(GOOD))
    transport = transport_to(server)
    read = Request(operation="r", method="GET", path="/x", safe=True)
    for request in (read, write(), write(), read):
        transport.send(request)
    first, one, two, last = [seen.port for seen in server.seen]
    assert first == last
    assert len({first, one, two}) == 3


LOST: dict[str, Reply] = {
    "reset": reset(),
    "closed without a word": raw(b""),
    "half a head": raw(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "not HTTP": raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "truncated": raw(HEAD + b"Content-Length: 500\r\n\r\n{}"),
    "truncated chunks": raw(HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"uid\r\n'),
    "silence": hang(),
    "drip": drip(HEAD + b"X: " + b"x" * 1000, 0.05),
    "half a JSON": body(b'{"uid": "pay'),
    "HTML with 200": body(b"<html>Welcome</html>"),
    "empty": body(b""),
    "204": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "NaN": body(b'{"uid": NaN}'),
    "too large": body(b"[" + b" " * 70_000 + b"]"),
    "half of a gzip": body(gzip.compress(b"{}")[:-5], Content_Encoding="gzip"),
    **{str(status): reply(None, status) for status in (500, 501, 502, 503, 504, 408)},
    **{str(status): reply(None, status, Location="/elsewhere") for status in (301, 302, 303, 307, 308)},
    **{str(status): reply({"message": "?"}, status) for status in (406, 413, 418, 425, 451)},
    "206": reply(GOOD, 206),
}


@pytest.mark.parametrize("name", LOST)
def test_a_write_that_left_and_got_no_usable_answer_is_unknown_and_sent_once(
    name: str, serve: Any, transport_to: Any
) -> None:
    server = serve(LOST[name], reply(GOOD))
    limits = {"read_timeout": 1.0, "call_timeout": 2.0} if name in ("silence", "drip") else {}
    transport = transport_to(server, max_body=65_536, max_retries=5, **limits)
    with pytest.raises(OutcomeUnknown) as caught:
        transport.send(write())
    time.sleep(0.05)
    assert server.count == 1
    assert caught.value.operation_key == "key-1"
    assert not isinstance(caught.value, APIError)
    assert "not repeated" in str(caught.value)


def test_a_success_that_fails_its_check_is_unknown(serve: Any, transport_to: Any) -> None:
    def check(document: Any) -> None:
        raise ValueError("the answer has no uid")

    server = serve(reply({"other": 1}, X_Request_Id="req_2"))
    with pytest.raises(OutcomeUnknown, match="no uid") as caught:
        transport_to(server).send(write(check=check))
    assert (caught.value.status, caught.value.request_id, server.count) == (200, "req_2", 1)


def test_an_unknown_outcome_keeps_what_the_platform_said_about_itself(serve: Any, transport_to: Any) -> None:
    server = serve(reply({"code": "processing_error", "message": "x", "request_id": "req_3"}, 500))
    with pytest.raises(OutcomeUnknown) as caught:
        transport_to(server).send(write())
    error = caught.value
    assert (error.status, error.code, error.request_id) == (500, "processing_error", "req_3")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest), (402, PaymentDeclined), (403, AuthenticationError), (404, NotFound),
        (405, NotFound), (409, Conflict), (410, Gone), (422, InvalidRequest), (429, RateLimited),
    ],
)  # fmt: skip
def test_a_documented_refusal_is_a_plain_failure(
    status: int, kind: type[APIError], serve: Any, transport_to: Any
) -> None:
    server = serve(reply({"code": "c", "message": "The words"}, status, Retry_After="0"))
    with pytest.raises(GovPayError) as caught:
        transport_to(server).send(write())
    assert type(caught.value) is kind
    assert str(caught.value) == "The words"
    assert server.count == 1


def test_a_decline_with_a_broken_body_is_still_a_decline(serve: Any, transport_to: Any) -> None:
    server = serve(raw(b"HTTP/1.1 402 Payment Required\r\nContent-Length: 50\r\n\r\n{"))
    with pytest.raises(PaymentDeclined):
        transport_to(server).send(write())


def test_a_refused_token_is_replaced_and_the_write_sent_again_once(serve: Any, transport_to: Any) -> None:
    server = serve(reply({"code": "unauthorized"}, 401), reply(GOOD))
    assert transport_to(server).send(write()).document == GOOD
    assert [seen.headers["authorization"][-1] for seen in server.seen] == ["1", "2"]
    assert [seen.headers["idempotency-key"] for seen in server.seen] == ["key-1", "key-1"]

    server = serve(reply({"code": "unauthorized"}, 401))
    auth = FixedToken()
    with pytest.raises(AuthenticationError):
        transport_to(server, auth=auth).send(write())
    assert (server.count, auth.refusals[-1]) == (2, ("token-number-2", True))


def test_a_write_whose_connection_is_refused_never_left(transport_to: Any, unused_port: int) -> None:
    transport = transport_to(f"http://127.0.0.1:{unused_port}", max_retries=2)
    with pytest.raises(APIConnectionError, match="Nothing was sent: the connection was refused"):
        transport.send(write())


def test_a_write_that_never_left_is_repeated(serve: Any, transport_to: Any, unused_port: int) -> None:
    """The server comes up between the attempts."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", unused_port))
        transport = transport_to(f"http://127.0.0.1:{unused_port}", max_retries=200, backoff=0.02)
        received: list[bytes] = []

        def answer() -> None:
            time.sleep(0.2)
            listener.listen()
            sock, _ = listener.accept()
            with sock:
                received.append(sock.recv(65536))
                sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"uid":"pay_1"}')

        thread = threading.Thread(target=answer)
        thread.start()
        assert transport.send(write()).document == {"uid": "pay_1"}
        thread.join()
    assert len(received) == 1


def test_a_write_that_cannot_connect_in_time_never_left(transport_to: Any) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # the backlog is full: the next handshake gets no answer
            filler.setblocking(False)
            filler.connect_ex(address)
        time.sleep(0.05)
        transport = transport_to(f"http://127.0.0.1:{address[1]}", connect_timeout=0.2, max_retries=1)
        with without_hanging(), pytest.raises(APIConnectionError, match="Nothing was sent: no connection in time"):
            transport.send(write())
        for filler in fillers:
            filler.close()


def test_a_resolver_that_hangs_costs_no_more_than_the_deadline(
    transport_to: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: release.wait(SILENCE) and [])
    with without_hanging(), pytest.raises(APIConnectionError, match="Nothing was sent: no connection in time"):
        transport_to("https://api.example", connect_timeout=0.2, max_retries=1).send(write())
    release.set()


def test_without_a_token_nothing_is_sent(serve: Any, transport_to: Any) -> None:
    class None_(FixedToken):
        def token(self, patience: float | None = None) -> str:
            raise APIConnectionError("No access token: refused.")

    server = serve(reply(GOOD))
    with pytest.raises(APIConnectionError, match="No access token"):
        transport_to(server, auth=None_()).send(write())
    assert server.count == 0


@pytest.mark.parametrize("name", ["account_uid", "idempotency_key"])
@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a b", "é", "\x00", "x" * 9000])
def test_a_value_that_no_header_can_hold_is_refused_before_any_http(
    name: str, value: str, serve: Any, transport_to: Any
) -> None:
    server = serve(reply(GOOD))
    with pytest.raises(ConfigurationError):
        transport_to(server).send(write(**{name: value}))
    assert server.count == 0


def test_where_no_answer_is_documented_an_empty_one_will_do(serve: Any, transport_to: Any) -> None:
    server = serve(body(b""), raw(b"HTTP/1.1 204 No Content\r\n\r\n"), reply({"any": "thing"}))
    transport = transport_to(server)
    found = [transport.send(write(empty_ok=True)).document for _ in range(3)]
    assert found == [None, None, {"any": "thing"}]


@pytest.mark.parametrize(
    "act",
    [raw(b"HTTP/1.1 200 OK\r\n\r\n"), raw(b"HTTP/1.1 200 OK\r\nContent-Ty"), body(b"<html>Login</html>")],
    ids=["no length", "half a head", "HTML"],
)
def test_but_not_one_that_was_cut_short_or_is_a_page(act: Reply, serve: Any, transport_to: Any) -> None:
    with pytest.raises(OutcomeUnknown):
        transport_to(serve(act)).send(write(empty_ok=True))


class SoftLimit(Exception):
    """As a task queue raises it into whatever is running."""


def interrupted(kind: type[BaseException]) -> Any:
    def handle(signum: int, frame: Any) -> None:
        raise kind

    return handle


@pytest.fixture
def alarm() -> Iterator[Callable[[type[BaseException]], Reply]]:
    """``alarm(SoftLimit)``: raises it in the client once the request has come; then nothing follows."""
    before = signal.getsignal(signal.SIGALRM)

    def interrupting(kind: type[BaseException]) -> Reply:
        signal.signal(signal.SIGALRM, interrupted(kind))

        def act(handler: Handler) -> None:
            os.kill(os.getpid(), signal.SIGALRM)
            hang()(handler)

        return act

    yield interrupting
    signal.signal(signal.SIGALRM, before)


def test_a_write_interrupted_by_a_time_limit_is_unknown(serve: Any, transport_to: Any, alarm: Any) -> None:
    server = serve(alarm(SoftLimit), reply(GOOD))
    transport = transport_to(server)
    with pytest.raises(OutcomeUnknown, match="was interrupted"):
        transport.send(write())
    assert server.count == 1


def test_a_read_interrupted_by_a_time_limit_is_interrupted(serve: Any, transport_to: Any, alarm: Any) -> None:
    server = serve(reply(GOOD), alarm(SoftLimit), reply({"uid": "next"}))
    transport = transport_to(server)
    read = Request(operation="r", method="GET", path="/x", safe=True)
    transport.send(read)
    with pytest.raises(SoftLimit):
        transport.send(read)
    assert transport.send(read).document == {"uid": "next"}  # and not what the broken connection still owes


@pytest.mark.parametrize("safe", [True, False])
def test_what_must_end_the_process_passes(safe: bool, serve: Any, transport_to: Any, alarm: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        transport_to(serve(alarm(KeyboardInterrupt))).send(write(safe=safe))

"""Reads over HTTP under every network fault (faults R1-R4, R8, T5, T6)."""

from __future__ import annotations

import gzip
import json
import logging
import os
import threading
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from govpay.client import Pause, Request
from govpay.exceptions import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    ConfigurationError,
    Conflict,
    Gone,
    GovPayError,
    InvalidAnswer,
    InvalidRequest,
    NotFound,
    PaymentDeclined,
    RateLimited,
    ServerError,
)
from tests.client.conftest import quick
from tests.client.servers import FixedToken, Reply, body, drip, end, hang, later, raw, reply, reset
from tests.patience import HANG, SILENCE, Clock, without_hanging

GOOD = {"uid": "pay_1"}


def read(**more: Any) -> Request:
    return Request(**{"operation": "get_payment", "method": "GET", "path": "/api/payments/pay_1", "safe": True, **more})


def test_a_read_sends_what_is_documented_and_gives_the_document(serve: Any, transport_to: Any) -> None:
    server = serve(reply(GOOD, X_Request_Id="req_7"))
    answer = transport_to(server).send(read(account_uid="acc_1", query="$top=1"))
    assert (answer.document, answer.status, answer.request_id) == (GOOD, 200, "req_7")
    [seen] = server.seen
    assert (seen.method, seen.path, seen.query, seen.body) == ("GET", "/api/payments/pay_1", {"$top": "1"}, b"")
    assert seen.headers["authorization"] == "Bearer token-number-1"
    assert seen.headers["x-payment-account-uid"] == "acc_1"
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["user-agent"].startswith("django-govpay/")
    assert "cookie" not in seen.headers
    assert "content-type" not in seen.headers


def test_reads_share_one_connection_and_no_cookie_is_kept(serve: Any, transport_to: Any) -> None:
    server = serve(reply(GOOD, Set_Cookie="a=b; Path=/"))
    transport = transport_to(server)
    for _ in range(5):
        transport.send(read())
    assert len({seen.port for seen in server.seen}) == 1
    assert all("cookie" not in seen.headers for seen in server.seen)


def test_each_thread_has_its_own_connection(serve: Any, transport_to: Any) -> None:
    server = serve(later(reply(GOOD), 0.05))
    transport = transport_to(server)

    def work() -> None:
        for _ in range(2):
            transport.send(read())
        transport.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.count == 6
    assert len({seen.port for seen in server.seen}) == 3


def test_a_forked_child_does_not_speak_on_its_parents_connection(serve: Any, transport_to: Any) -> None:
    server = serve(reply(GOOD))
    transport = transport_to(server)
    transport.send(read())
    pid = os.fork()
    if pid == 0:
        try:
            transport.send(read())
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    transport.send(read())
    first, child, again = [seen.port for seen in server.seen]
    assert first == again != child


def test_gzip_is_offered_and_understood(serve: Any, transport_to: Any) -> None:
    packed = gzip.compress(json.dumps(GOOD).encode())
    server = serve(body(packed, Content_Encoding="gzip"))
    assert transport_to(server).send(read()).document == GOOD
    assert server.seen[0].headers["accept-encoding"] == "gzip"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

BROKEN: dict[str, tuple[Reply, type[APIError]]] = {
    "reset": (reset(), APIConnectionError),
    "closed without a word": (raw(b""), APIConnectionError),
    "half a head": (raw(b"HTTP/1.1 200 OK\r\nContent-Ty"), InvalidAnswer),
    "not HTTP": (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), APIConnectionError),
    "truncated": (raw(HEAD + b"Content-Length: 500\r\n\r\n" + b'{"uid": "pay_1"}'), APIConnectionError),
    "truncated chunks": (raw(HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"uid\r\n'), APIConnectionError),
    "reset in the body": (raw(HEAD + b"Content-Length: 500\r\n\r\n{", reset=True), APIConnectionError),
    "half a JSON": (body(b'{"uid": "pay'), InvalidAnswer),
    "HTML with 200": (body(b"<html><body>Welcome</body></html>", Content_Type="text/html"), InvalidAnswer),
    "empty": (body(b""), InvalidAnswer),
    "204": (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), InvalidAnswer),
    "length too short": (body(b'{"uid": "pay_1"}', Content_Length="9"), InvalidAnswer),
    "NaN": (body(b'{"uid": "pay_1", "amount": NaN}'), InvalidAnswer),
    "Infinity by exponent": (body(b'{"uid": "pay_1", "amount": 1e999}'), InvalidAnswer),
    "not UTF-8": (body(b'{"uid": "\xff\xfe"}'), InvalidAnswer),
    "nested for ever": (body(b"[" * 200_000), InvalidAnswer),
    "a number of 5000 digits": (body(b"[" + b"9" * 5000 + b"]"), InvalidAnswer),
    "half of a gzip": (body(gzip.compress(b'{"uid": "pay_1"}')[:-5], Content_Encoding="gzip"), InvalidAnswer),
    "gzip that is none": (body(b"{}", Content_Encoding="gzip"), InvalidAnswer),
    "an encoding not asked for": (body(b"{}", Content_Encoding="br"), InvalidAnswer),
    "too large": (body(b"[" + b" " * 70_000 + b"]"), InvalidAnswer),
    "a gzip bomb": (body(gzip.compress(b"[" + b" " * 10_000_000 + b"]"), Content_Encoding="gzip"), InvalidAnswer),
    "a partial content": (reply(GOOD, 206), APIError),
    "500": (reply({"code": "x", "message": "broken"}, 500), ServerError),
    "502": (body(b"<html>Bad Gateway</html>", 502), ServerError),
    "503": (reply(None, 503), ServerError),
    "504": (reply(None, 504), ServerError),
    "408": (reply(None, 408), ServerError),
}

FINAL = {"a partial content"}


@pytest.mark.parametrize("name", sorted(BROKEN.keys() - FINAL))
def test_a_read_survives_one_fault(name: str, serve: Any, transport_to: Any) -> None:
    fault, _ = BROKEN[name]
    server = serve(reply(GOOD), fault, reply(GOOD))
    transport = transport_to(server, max_body=65_536)
    assert transport.send(read()).document == GOOD
    assert transport.send(read()).document == GOOD
    assert server.count == 3


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_for_good_stops_after_the_retries_and_names_itself(name: str, serve: Any, transport_to: Any) -> None:
    fault, kind = BROKEN[name]
    server = serve(fault)
    with pytest.raises(kind) as caught:
        transport_to(server, max_body=65_536, max_retries=2).send(read())
    assert type(caught.value) is kind
    assert server.count == (1 if name in FINAL else 3)
    assert str(caught.value).startswith("The platform")
    assert "get_payment" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_repeated_when_no_retries_are_wanted(serve: Any, transport_to: Any) -> None:
    server = serve(reset())
    with pytest.raises(APIConnectionError):
        transport_to(server, max_retries=0).send(read())
    assert server.count == 1


def test_a_refused_connection_is_repeated_and_then_named(transport_to: Any, unused_port: int) -> None:
    transport = transport_to(f"http://127.0.0.1:{unused_port}", max_retries=1)
    with pytest.raises(APIConnectionError, match="refused"):
        transport.send(read())


def test_a_name_that_does_not_resolve_is_named(transport_to: Any) -> None:
    transport = transport_to("https://no-such-host.invalid", max_retries=0)
    with pytest.raises(APIConnectionError, match=r"host name could not be resolved|no connection in time"):
        transport.send(read())


def test_a_check_that_fails_is_repeated_like_a_broken_transfer(serve: Any, transport_to: Any) -> None:
    def check(document: Any) -> None:
        if document != GOOD:
            raise ValueError("the answer has no uid")

    server = serve(reply({"other": 1}), reply(GOOD))
    assert transport_to(server).send(read(check=check)).document == GOOD
    server = serve(reply({"other": 1}, X_Request_Id="req_9"))
    with pytest.raises(
        InvalidAnswer, match=r"^The platform's answer cannot be used: the answer has no uid\.$"
    ) as caught:
        transport_to(server, max_retries=1).send(read(check=check))
    assert (caught.value.request_id, server.count) == ("req_9", 2)
    assert caught.value.record.endswith(".\nRequest ID: req_9")


# -- deadlines (faults R4) ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        drip(HEAD + b"X-Drip: " + b"x" * 10_000, 0.05),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 500, 0.01),
        drip(HEAD + b"Content-Length: 10000\r\n\r\n[" + b" " * 10_000, 0.05),
        hang(),
    ],
    ids=["head", "hundred-continue", "body", "silence"],
)
def test_no_call_outlives_its_deadline(act: Reply, serve: Any, transport_to: Any) -> None:
    """R4: it ends by itself, whatever hangs."""
    server = serve(act)
    transport = transport_to(server, call_timeout=0.4, read_timeout=0.3)
    with without_hanging(), pytest.raises(APIConnectionError, match="in time"):
        transport.send(read())


def test_a_stall_is_cut_at_the_read_timeout_and_repeated(serve: Any, transport_to: Any) -> None:
    server = serve(hang(), reply(GOOD))
    with without_hanging():
        assert transport_to(server, read_timeout=0.5, call_timeout=2 * HANG).send(read()).document == GOOD


def test_retries_end_with_the_calls_deadline(serve: Any, transport_to: Any, clock: Clock) -> None:
    server = serve(reply(None, 503))
    with pytest.raises(ServerError):
        transport_to(server, call_timeout=20.0, max_retries=100, backoff=1.0).send(read())
    assert 2 <= server.count == len(clock.sleeps) + 1 < 100
    assert sum(clock.sleeps) < 20


def test_the_time_spent_on_a_token_counts(serve: Any, transport_to: Any, clock: Clock) -> None:
    class Slow(FixedToken):
        def token(self, patience: float | None = None) -> str:
            assert patience == pytest.approx(2 * SILENCE)
            clock.pass_on(patience - 0.2)
            return "slow"

    server = serve(hang())
    transport = transport_to(server, auth=Slow(), call_timeout=2 * SILENCE, read_timeout=SILENCE, max_retries=0)
    with without_hanging(), pytest.raises(APIConnectionError, match="in time"):
        transport.send(read())


# -- 429 (faults R1) ---------------------------------------------------------------------------------------


def test_a_pause_in_seconds_is_kept(serve: Any, transport_to: Any, clock: Clock) -> None:
    server = serve(reply({"code": "rate_limited"}, 429, Retry_After="0.4"), reply(GOOD))
    assert transport_to(server).send(read()).document == GOOD
    assert server.count == 2
    assert sum(clock.sleeps) >= 0.4


def test_a_pause_until_a_date_is_measured_by_the_servers_clock(serve: Any, transport_to: Any, clock: Clock) -> None:
    now = clock.time() + 3600  # the server's clock is an hour ahead

    def busy(handler: Any) -> None:
        handler.send_response_only(429)
        handler.send_header("Date", formatdate(now, usegmt=True))
        handler.send_header("Retry-After", formatdate(now + 1, usegmt=True))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server = serve(busy, reply(GOOD))
    assert transport_to(server).send(read()).document == GOOD
    assert server.count == 2
    assert 1.0 <= sum(clock.sleeps) < 2.0


@pytest.mark.parametrize("given", [None, "soon", "-5", "nan"])
def test_without_a_usable_wait_the_backoff_serves(given: str | None, serve: Any, transport_to: Any) -> None:
    server = serve(reply(None, 429, **({"Retry_After": given} if given else {})), reply(GOOD))
    assert transport_to(server).send(read()).document == GOOD


def test_a_wait_that_does_not_fit_is_the_callers(serve: Any, transport_to: Any, clock: Clock) -> None:
    server = serve(reply({"code": "rate_limited", "message": "Slow down"}, 429, Retry_After="120"))
    with pytest.raises(RateLimited, match="Slow down") as caught:
        transport_to(server, call_timeout=119.0).send(read())
    assert clock.sleeps == []
    assert (caught.value.retry_after, caught.value.status, server.count) == (120.0, 429, 1)


def test_a_pause_holds_for_every_call_of_the_process(serve: Any, transport_to: Any, clock: Clock) -> None:
    server = serve(reply(None, 429, Retry_After="0.4"), reply(GOOD))
    pause = Pause()
    one, other = transport_to(server, pause=pause, max_retries=0), transport_to(server, pause=pause)
    with pytest.raises(RateLimited):
        one.send(read())
    assert other.send(read()).document == GOOD
    assert server.count == 2
    assert sum(clock.sleeps) == pytest.approx(0.4)


def test_a_pause_longer_than_the_call_sends_nothing(serve: Any, transport_to: Any, clock: Clock) -> None:
    server = serve(reply(GOOD))
    pause = Pause()
    pause.hold(100, read().pause_scope)
    with pytest.raises(RateLimited) as caught:
        transport_to(server, pause=pause, call_timeout=99.0).send(read())
    assert caught.value.retry_after == pytest.approx(100)
    assert server.count == 0


# -- 401 and 403 (faults T5, T6) ---------------------------------------------------------------------------


def test_a_refused_token_is_replaced_and_the_call_repeated_once(serve: Any, transport_to: Any) -> None:
    server = serve(reply({"code": "unauthorized"}, 401), reply(GOOD))
    auth = FixedToken()
    assert transport_to(server, auth=auth, max_retries=0).send(read()).document == GOOD
    assert [seen.headers["authorization"][-1] for seen in server.seen] == ["1", "2"]
    assert auth.refusals == [("token-number-1", False)]


def test_a_second_refusal_is_final(serve: Any, transport_to: Any) -> None:
    server = serve(reply({"code": "unauthorized", "message": "No."}, 401))
    auth = FixedToken()
    with pytest.raises(AuthenticationError, match="No"):
        transport_to(server, auth=auth).send(read())
    assert server.count == 2
    assert auth.refusals == [("token-number-1", False), ("token-number-2", True)]


def test_a_403_is_final_and_keeps_the_token(serve: Any, transport_to: Any) -> None:
    """T6: one request, no refresh."""
    server = serve(reply({"code": "insufficient_scope", "message": "Wrong scope"}, 403))
    auth = FixedToken()
    with pytest.raises(AuthenticationError, match="Wrong scope") as caught:
        transport_to(server, auth=auth).send(read())
    assert (server.count, auth.refusals, caught.value.status, caught.value.code) == (1, [], 403, "insufficient_scope")


def test_a_sessions_own_credential_goes_alone(serve: Any, transport_to: Any) -> None:
    server = serve(reply({"code": "unauthorized"}, 401))
    auth = FixedToken()
    with pytest.raises(AuthenticationError):
        transport_to(server, auth=auth).send(read(credential="session", bearer="cs_1_secret_x"))
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer cs_1_secret_x"]
    assert (auth.asked, auth.refusals) == (0, [])


@pytest.mark.parametrize("bearer", [None, "", "cs_1\r\nX-Evil: 1", "cs 1", "cs_é"])
def test_a_credential_that_no_header_can_hold_is_refused(bearer: Any, serve: Any, transport_to: Any) -> None:
    server = serve(reply(GOOD))
    with pytest.raises(ConfigurationError):
        transport_to(server).send(read(credential="session", bearer=bearer))
    assert server.count == 0


def test_a_call_without_credential_carries_none(serve: Any, transport_to: Any) -> None:
    server = serve(reply(GOOD))
    transport_to(server).send(read(credential="none"))
    assert "authorization" not in server.seen[0].headers


# -- refusals (A23, A24) -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest), (402, PaymentDeclined), (404, NotFound), (405, NotFound),
        (409, Conflict), (410, Gone), (422, InvalidRequest), (418, APIError), (501, ServerError),
    ],
)  # fmt: skip
def test_a_refusal_is_final_and_in_the_platforms_words(
    status: int, kind: type[APIError], serve: Any, transport_to: Any
) -> None:
    said = {"code": "some_code", "message": "The words", "recoverable": True, "request_id": "req_5"}
    server = serve(reply(said, status))
    with pytest.raises(GovPayError) as caught:
        transport_to(server).send(read())
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.request_id, error.recoverable) == (status, "some_code", "req_5", True)
    assert "The words" in str(error)
    assert "req_5" not in str(error)
    assert server.count == 1


def test_a_refusals_body_may_be_endless_or_broken(serve: Any, transport_to: Any) -> None:
    def endless(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            handler.wfile.write(b"2000\r\n" + b"x" * 8192 + b"\r\n")
        hang()(handler)

    server = serve(endless, raw(b"HTTP/1.1 404 Not Found\r\nContent-Length: 50\r\n\r\n{"), reply(GOOD))
    transport = transport_to(server)
    with pytest.raises(NotFound, match="xxx") as caught:  # what was read of it, without waiting for more
        transport.send(read())
    assert len(str(caught.value)) < 250
    with pytest.raises(NotFound, match="without a reason"):
        transport.send(read())
    assert transport.send(read()).document == GOOD


# -- where a token may go (faults R8) ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_error_and_nothing_follows_it(status: int, serve: Any, transport_to: Any) -> None:
    """R8: no token is sent on."""
    elsewhere = serve(reply(GOOD))
    server = serve(reply(None, status, Location=f"{elsewhere.url}/steal"))
    with pytest.raises(APIError, match=str(status)):
        transport_to(server).send(read())
    assert (server.count, elsewhere.count) == (1, 0)


def test_netrc_does_not_replace_the_token(
    serve: Any, transport_to: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(reply(GOOD))
    transport_to(server).send(read())
    assert server.seen[0].headers["authorization"] == "Bearer token-number-1"


def test_loopback_is_never_sent_through_a_proxy(serve: Any, transport_to: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = serve(reply({"uid": "from the proxy"})), serve(reply(GOOD))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    assert transport_to(server).send(read()).document == GOOD
    assert proxy.count == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://api.govifi.com", "http://192.168.1.5", "ftp://127.0.0.1", "api.govifi.com", "", "https://",
        "https://user:secret@api.govifi.com", "https://api.govifi.com?x=1", "https://api.govifi.com/#a",
        "https://api.govifi.com\\@evil.example", "https://api govifi.com", "http://127.0.0.1.evil.example",
        "https://api.govifi.com:port", None,
    ],
)  # fmt: skip
def test_an_address_to_which_no_token_may_go_is_refused(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r'GOVPAY\["API_URL"\]'):
        quick(url)


@pytest.mark.parametrize("url", ["http://localhost:1", "http://[::1]:1", "http://127.0.0.2", "https://api.govifi.com"])
def test_https_and_loopback_are_accepted(url: str) -> None:
    assert quick(url).api_url == url


@pytest.mark.parametrize(
    "changed",
    [{"connect_timeout": 0}, {"read_timeout": -1}, {"call_timeout": True}, {"max_retries": -1}, {"max_retries": 1.5}],
)
def test_times_that_cannot_work_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(changed)).upper()):
        quick("https://api.govifi.com", **changed)


# -- clock and log -----------------------------------------------------------------------------------------


def test_the_servers_clock_is_compared_with_ours(serve: Any, transport_to: Any, clock: Clock) -> None:
    """T8: the difference is noted, for the system check."""

    def ahead(handler: Any) -> None:
        handler.send_response_only(200)
        handler.send_header("Date", formatdate(clock.time() + 300, usegmt=True))
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    transport = transport_to(serve(ahead))
    assert transport.skew is None
    transport.send(read())
    assert transport.skew == pytest.approx(-300, abs=0.5), "the header has whole seconds"


def test_the_log_names_the_call_and_no_secret(serve: Any, transport_to: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="govpay.client")
    echo = {"code": "x", "message": "bad token token-number-1", "request_id": "req_3"}
    server = serve(reply(echo, 400), reset(), reply(GOOD, X_Request_Id="req_4"))
    transport = transport_to(server)
    path = "/v1/hosted-sessions/cs_abc_secret_canary"
    with pytest.raises(InvalidRequest) as caught:
        transport.send(read(path=path, query="$filter=name eq 'canary'"))
    transport.send(read(account_uid="acc_1", json={"fingerprint": "canary"}))
    text = caplog.text
    assert "canary" not in text
    assert "token-number-1" not in text
    assert "token-number-1" not in str(caught.value)
    assert "get_payment GET /v1/hosted-sessions/cs_*** -> 400 id=req_3" in text
    assert "attempt=1 (the connection broke)" in text
    assert "get_payment GET /api/payments/pay_1 -> 200 id=req_4" in text
    assert "attempt=2" in text


def test_an_idle_connection_that_was_closed_costs_no_wait(serve: Any, transport_to: Any, clock: Clock) -> None:
    def once(handler: Any) -> None:
        handler.answer(200, b"{}")
        end(handler)

    server = serve(once)
    transport = transport_to(server, backoff=5.0, call_timeout=20.0)
    for _ in range(5):
        transport.send(read())
    assert sum(clock.sleeps) == 0


def test_an_answer_left_on_a_connection_is_never_taken_for_the_next(serve: Any, transport_to: Any) -> None:
    two = b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"uid":1}' * 2
    stale = raw(two)

    def keep(handler: Any) -> None:
        handler.wfile.write(two)

    server = serve(keep, reply(GOOD), stale, reply(GOOD))
    transport = transport_to(server)
    assert transport.send(read()).document == {"uid": 1}
    time.sleep(0.05)
    assert transport.send(read()).document == GOOD

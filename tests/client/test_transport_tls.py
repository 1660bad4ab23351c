"""TLS: always verified before a token is sent (faults R8); deadlines hold during it (faults R4)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from govpay.client import Request
from govpay.exceptions import APIConnectionError, OutcomeUnknown
from tests.client.servers import drip, hang, reply
from tests.client.tls import Proxy, certificate
from tests.patience import SILENCE, without_hanging

READ = Request(operation="get_payment", method="GET", path="/api/payments/pay_1", safe=True)
WRITE = Request(operation="void_payment", method="POST", path="/api/payments/pay_1/void")


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    path, context = certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    return context


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    server = Proxy()
    yield server
    server.shutdown()
    server.server_close()


def test_a_verified_server_is_spoken_to(serve: Any, transport_to: Any, trusted: Any) -> None:
    server = serve(reply({"uid": "pay_1"}), tls=trusted)
    transport = transport_to(server)
    for _ in range(3):
        assert transport.send(READ).document == {"uid": "pay_1"}
    assert transport.send(WRITE).document == {"uid": "pay_1"}
    assert len({seen.port for seen in server.seen}) == 2


@pytest.mark.parametrize("request_", [READ, WRITE], ids=["read", "write"])
@pytest.mark.parametrize("fault", ["unknown issuer", "another host", "expired"])
def test_a_server_that_is_not_verified_gets_no_request(
    fault: str, request_: Request, serve: Any, transport_to: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R8: and so no token."""
    name = "pay.example" if fault == "another host" else "127.0.0.1"
    path, context = certificate(tmp_path, name, expired=fault == "expired")
    if fault != "unknown issuer":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    server = serve(reply({"uid": "pay_1"}), tls=context)
    with pytest.raises(APIConnectionError, match="Nothing was sent: the server's certificate is not valid"):
        transport_to(server, max_retries=1).send(request_)
    assert server.count == 0


def test_a_server_that_speaks_no_tls_gets_no_request(serve: Any, transport_to: Any) -> None:
    server = serve(reply({"uid": "pay_1"}))
    with pytest.raises(APIConnectionError, match="Nothing was sent: the secure connection failed"):
        transport_to(server.url.replace("http:", "https:"), max_retries=0).send(WRITE)
    assert server.count == 0


def test_a_handshake_that_hangs_never_left(transport_to: Any, serve: Any) -> None:
    class Mute:
        def wrap_socket(self, request: Any, server_side: bool) -> Any:
            time.sleep(SILENCE)
            raise OSError

    server = serve(reply({}), tls=Mute())
    with without_hanging(), pytest.raises(APIConnectionError, match="Nothing was sent: no connection in time"):
        transport_to(server, connect_timeout=0.3, max_retries=0).send(WRITE)


@pytest.mark.parametrize("act", [drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000, 0.05), hang()], ids=["drip", "hang"])
def test_the_deadline_holds_inside_tls(act: Any, serve: Any, transport_to: Any, trusted: Any) -> None:
    server = serve(act, tls=trusted)
    transport = transport_to(server, call_timeout=0.4, read_timeout=0.3)
    with without_hanging(), pytest.raises(APIConnectionError, match="in time"):
        transport.send(READ)
    with without_hanging(), pytest.raises(OutcomeUnknown, match="in time"):
        transport.send(WRITE)


def test_a_proxy_of_the_environment_tunnels(
    serve: Any, transport_to: Any, trusted: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    server = serve(reply({"uid": "pay_1"}), hang(), tls=trusted)
    transport = transport_to(server, read_timeout=1.0, max_retries=0)
    assert transport.send(READ).document == {"uid": "pay_1"}
    assert proxy.tunnels == [f"127.0.0.1:{server.server_port}"]
    with pytest.raises(OutcomeUnknown):
        transport.send(WRITE)
    assert len(proxy.tunnels) == 2


def test_a_proxy_that_is_down_means_that_nothing_was_sent(
    serve: Any, transport_to: Any, trusted: Any, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    server = serve(reply({}), tls=trusted)
    with pytest.raises(APIConnectionError, match="Nothing was sent"):
        transport_to(server, max_retries=0).send(WRITE)
    assert server.count == 0

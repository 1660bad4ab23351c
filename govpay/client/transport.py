"""The only entry point to the network: connections, deadlines, retries, and the classification of results."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from typing import Any, cast

import requests
import requests.utils
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from govpay.client import wire
from govpay.client.classify import Trouble, faulted, judged, log_attempt
from govpay.client.deadlines import current_deadline
from govpay.client.errors import decoded
from govpay.client.retry import MAX_PAUSE, Failure, backoff, may_repeat, parse_http_date
from govpay.client.stores import Credentials, Pause
from govpay.client.types import HEADER_SAFE, Config, RawAnswer, Request, Response, TokenGrant, WireFault
from govpay.exceptions import ConfigurationError, RateLimited
from govpay.security.tracebacks import scrub_traceback

ERROR_BODY = 64 * 1024  # maximum bytes that are read of an error answer
_PIECE = 64 * 1024
LEAST_TIME = 0.1  # minimum seconds for a retry; with less it would only time out


class _Watched:
    """Mixin for urllib3's connections: every read and write has a deadline, and ``wire.call`` records the progress."""

    def _new_conn(self: Any) -> socket.socket:
        wire.call.dialled = True
        try:
            return wire.connect(self._dns_host, self.port, self.timeout, self.socket_options, self.source_address)
        except socket.gaierror as error:
            wire.call.obstacle = "the host name could not be resolved"
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            wire.call.obstacle = "no connection in time"
            raise ConnectTimeoutError(self, "timed out") from error
        except OSError as error:
            wire.call.obstacle = "the connection was refused or is not possible"
            raise NewConnectionError(self, "failed") from error

    def connect(self: Any) -> None:
        cast(Any, super()).connect()
        setattr(self, "sock", wire.DeadlineSocket(self.sock))  # noqa: B010
        wire.call.connected = True


class _Connection(_Watched, urllib3.connection.HTTPConnection):
    pass


class _TLSConnection(_Watched, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """The pooled adapter of ``requests`` with our connections and without urllib3's own retries.

    The ``Session`` of ``requests`` is not used on purpose: it lets ``.netrc`` replace our header, keeps cookies, and
    reads the body of a redirect before it is followed. Proxies and the CA bundle of the environment are read as
    ``requests`` reads them.
    """

    def __init__(self, url: str) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        # A loopback address never uses a proxy: plain http to a proxy would show it the token.
        secure = url.startswith("https:")
        self.proxies: dict[str, str] = dict(requests.utils.get_environ_proxies(url)) if secure else {}
        self.verify: str | bool = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager


def _exchange(adapter: _Adapter, prepared: requests.PreparedRequest, config: Config, deadline: float) -> RawAnswer:
    """Send ``prepared`` once and read the answer, within ``deadline``. Raises ``WireFault``."""
    started = time.monotonic()
    wire.call.begin(deadline)
    response: requests.Response | None = None
    try:
        left = max(0.001, deadline - started)
        response = adapter.send(
            prepared,
            stream=True,
            timeout=(min(config.connect_timeout, left), min(config.read_timeout, left)),
            verify=adapter.verify,
            proxies=adapter.proxies,
        )
        headers = {name.lower(): value for name, value in response.headers.items()}
        body = _read_body(response, headers, config.max_body)
        return RawAnswer(status=response.status_code, headers=headers, body=body, seconds=time.monotonic() - started)
    except WireFault:
        raise
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        unsent = wire.call.dialled and not wire.call.connected
        raise WireFault(wire.why(error), unsent=unsent, stale=not wire.call.dialled) from error
    finally:
        wire.call.end()
        if response is not None:
            # This closes its connection too, unless the answer was read to its end and the connection was returned.
            response.close()


def _read_body(response: requests.Response, headers: dict[str, str], cap: int) -> bytes:
    """Return the decoded body. For an error status, only a part is read, and a broken body counts as empty."""
    success = 200 <= response.status_code < 300
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := response.raw.read1(_PIECE, decode_content=False):
            pieces.append(piece)
            size += len(piece)
            if not success and size > ERROR_BODY:
                response.raw.close()
                break
            if size > cap:
                raise WireFault(f"the answer is larger than {cap} bytes", answered=True)
        return decoded(b"".join(pieces), headers.get("content-encoding", ""), cap)
    except (WireFault, urllib3.exceptions.HTTPError, OSError):
        if success:
            raise
        return b""  # the status is enough


class Transport:
    """Sends requests to the platform and classifies the answers.

    ``auth`` supplies the access token. ``pause`` stores the pauses after a 429 (per process, or for all processes). It
    is safe to share between threads and after a fork, because each thread of each process has its own pooled
    connection. ``skew`` is our clock minus the server's at the last answer, in seconds (None before the first): faults
    T8.
    """

    def __init__(self, config: Config, auth: Credentials, *, pause: Pause | None = None) -> None:
        self.config = config
        self.auth = auth
        self.pause = pause or Pause()
        self.skew: float | None = None
        self._local = threading.local()

    @scrub_traceback
    def send(self, request: Request) -> Response:
        """Return the answer to ``request``, after as many attempts as ``retry`` allows within ``call_timeout``.

        A block of ``deadlines.time_limit`` may end a read earlier.

        Reads raise ``APIConnectionError``, ``ServerError`` or ``InvalidAnswer`` when the retries did not help. Writes
        are sent once. A write that may have been sent and got no usable answer raises ``OutcomeUnknown``;
        ``APIConnectionError`` means that nothing was sent. Both raise the refusals of A24 and, before anything is
        sent, the errors of the token endpoint. After a 401 the request is sent once more with another token (faults
        T5). After a 429 a read waits as requested, if that fits into the call (faults R1).
        """
        limit = self.config.call_timeout
        own = time.monotonic() + (limit if request.within is None else min(limit, request.within))
        deadline = min(own, current_deadline()) if request.safe else own
        attempt, renewed = 1, False
        while True:
            self._await_pause(request, deadline)
            token = self._token(request, own)  # a fetch that ends early would stop the acts of all processes
            outcome = self._attempt(request, token, deadline, attempt)
            if isinstance(outcome, Response):
                return outcome
            if outcome.status == 401 and request.credential == "admin":
                if self.auth.refused(token, again=renewed) and not renewed:
                    renewed = True
                    continue
                raise outcome.error
            wait = self._wait(request, outcome, attempt, deadline)
            if wait is None:
                raise outcome.error
            time.sleep(wait)
            attempt += 1

    def close(self) -> None:
        """Close this thread's pooled connection. The next read opens another."""
        adapter = self._local.__dict__.pop("adapter", None)
        if adapter is not None:
            adapter.close()

    def _await_pause(self, request: Request, deadline: float) -> None:
        if request.credential != "admin":
            return
        while (left := self.pause.left(request.pause_scope)) > 0:
            if time.monotonic() + left >= deadline:
                raise RateLimited(
                    f"{request.operation}: the platform requests a pause of {left:.0f} more seconds.",
                    status=429,
                    retry_after=left,
                )
            time.sleep(left)

    def _token(self, request: Request, deadline: float) -> str:
        if request.credential == "none":
            return ""
        if request.credential == "admin":
            return self.auth.token(max(0.001, deadline - time.monotonic()))
        if not request.bearer or not HEADER_SAFE.fullmatch(request.bearer):
            raise ConfigurationError(f"{request.operation} needs the session's own credential.")
        return request.bearer

    def _attempt(self, request: Request, token: str, deadline: float, attempt: int) -> Response | Trouble:
        """Send once, classify the result and log it. Each write uses a new connection.

        The server may close an idle pooled connection just when we write to it. Then it is unknown whether the server
        read the request. With a new connection this cannot happen.
        """
        prepared = self._prepared(request, token)
        adapter = self._pooled() if request.safe else _Adapter(prepared.url or "")
        started = time.monotonic()
        try:
            raw = _exchange(adapter, prepared, self.config, deadline)
        except WireFault as fault:
            self._discard(adapter)
            outcome: Response | Trouble = faulted(request, fault)
            log_attempt(request, outcome, time.monotonic() - started, attempt, fault.why)
            return outcome
        except BaseException as error:
            self._discard(adapter)
            if request.safe or not wire.call.connected or not isinstance(error, Exception):
                raise
            # Whatever the error is (for example a soft time limit of a task queue), the write was sent.
            fault = WireFault("reading the answer was interrupted")
            outcome = faulted(request, fault)
            log_attempt(request, outcome, time.monotonic() - started, attempt, type(error).__name__)
            return outcome
        if not request.safe:
            adapter.close()
        self._note_skew(raw)
        outcome = judged(request, raw, token)
        if isinstance(outcome, Trouble) and outcome.failure is Failure.LOST:
            self._discard(adapter)
        log_attempt(request, outcome, raw.seconds, attempt)
        return outcome

    def _prepared(self, request: Request, token: str) -> requests.PreparedRequest:
        url = self.config.api_url.rstrip("/") + request.path + (f"?{request.query}" if request.query else "")
        body = None
        if request.json is not None:
            body = json.dumps(request.json, allow_nan=False, separators=(",", ":")).encode()
        headers = request.headers(token, self.config.user_agent)
        return requests.Request(request.method, url, headers=headers, data=body).prepare()

    def _pooled(self) -> _Adapter:
        """Return this thread's adapter. After a fork it is new, because the parent still uses the old connection."""
        pid = os.getpid()
        if getattr(self._local, "pid", None) != pid:
            self._local.adapter, self._local.pid = _Adapter(self.config.api_url), pid
        adapter: _Adapter | None = getattr(self._local, "adapter", None)
        if adapter is None:
            adapter = self._local.adapter = _Adapter(self.config.api_url)
        return adapter

    def _discard(self, adapter: _Adapter) -> None:
        """Close a connection after an error and never reuse it: its next bytes may belong to the previous answer."""
        adapter.close()
        if getattr(self._local, "adapter", None) is adapter:
            self._local.adapter = None

    def _wait(self, request: Request, trouble: Trouble, attempt: int, deadline: float) -> float | None:
        """Return the seconds before the next attempt, or None when there is no next attempt."""
        wait = backoff(attempt, self.config.backoff)
        if trouble.retry_after is not None:
            wait += trouble.retry_after  # the jitter is added, so that processes do not retry together
        if trouble.failure is Failure.LIMITED and request.credential == "admin":
            seconds = trouble.retry_after if trouble.retry_after is not None else wait
            self.pause.hold(min(seconds, MAX_PAUSE), request.pause_scope)
        if not may_repeat(trouble.failure, safe=request.safe) or attempt > self.config.max_retries:
            return None
        if trouble.stale and attempt == 1:
            wait = 0.0
        # An attempt without time for an answer would only replace the platform's error with a timeout.
        return wait if time.monotonic() + wait + LEAST_TIME < deadline else None

    def _note_skew(self, raw: RawAnswer) -> None:
        date = parse_http_date(raw.headers.get("date"))
        if date is not None:
            # The header's time is rounded down to whole seconds, so half a second is added. It is compared with our
            # time at the middle of the exchange.
            self.skew = time.time() - raw.seconds / 2 - (date + 0.5)


@scrub_traceback
def fetch_token(config: Config, grant: TokenGrant, seconds: float) -> RawAnswer:
    """Send one token request (client credentials, RFC 6749 4.4.2; /platform/overview/), within ``seconds``.

    Does not retry and does not follow redirects. Raises ``WireFault``.
    """
    headers = grant.headers(config.user_agent)
    prepared = requests.Request("POST", grant.token_url, headers=headers, data=grant.form()).prepare()
    adapter = _Adapter(grant.token_url)
    try:
        return _exchange(adapter, prepared, config, time.monotonic() + seconds)
    finally:
        adapter.close()

"""The types of the transport: configuration, request, answer."""

from __future__ import annotations

import base64
import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import govpay
from govpay.exceptions import ConfigurationError

#: Valid values of a header: visible ASCII. Other characters could end the line and start another header.
HEADER_SAFE = re.compile(r"[\x21-\x7e]{1,8192}")


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is certainly this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_url(setting: str, url: str) -> str:
    """Return ``url`` if a token may be sent there: https, or http on loopback. Raises ``ConfigurationError``."""
    hint = f'GOVPAY["{setting}"] must be an https address such as https://api.govifi.com'
    if not isinstance(url, str) or any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
        raise ConfigurationError(f"{hint}.")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(f"{hint}.") from None
    if parts.scheme not in ("https", "http") or not host:
        raise ConfigurationError(f"{hint}.")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"{hint}; plain http is allowed on this machine (loopback) only.")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(f"{hint}, without a user, a query or a fragment.")
    return url


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of the connection to the platform. Times are seconds.

    ``call_timeout`` limits one call with all its attempts and pauses. ``max_retries`` counts the attempts after
    the first. ``backoff`` is the maximum of the first random wait. ``max_body`` is the maximum number of bytes of
    an answer, compressed or not. Raises ``ConfigurationError``.
    """

    api_url: str
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    call_timeout: float = 60.0
    max_retries: int = 3
    backoff: float = 0.5
    user_agent: str = f"django-govpay/{govpay.__version__}"
    max_body: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        checked_url("API_URL", self.api_url)
        for name in ("connect_timeout", "read_timeout", "call_timeout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ConfigurationError(f'GOVPAY["{name.upper()}"] must be a number of seconds above zero.')
        if isinstance(self.max_retries, bool) or not isinstance(self.max_retries, int) or self.max_retries < 0:
            raise ConfigurationError('GOVPAY["MAX_RETRIES"] must be a whole number, zero or more.')


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call. ``path`` and ``query`` are already percent-encoded.

    ``operation`` names it in errors and logs. ``safe`` marks a read, which may be retried.
    ``credential`` is ``admin`` (our token), ``session`` (``bearer`` is that session's secret) or ``none``.
    ``check`` gets the document of a success and raises ``ValueError`` when it is not as expected: a read is then
    retried like a broken transfer, and the outcome of a write is unknown. ``empty_ok`` accepts a success without
    a body.
    """

    operation: str
    method: str
    path: str
    query: str = ""
    account_uid: str | None = None
    json: Any = field(default=None, repr=False)
    safe: bool = False
    credential: Literal["admin", "session", "none"] = "admin"
    bearer: str | None = field(default=None, repr=False)
    idempotency_key: str = ""
    check: Callable[[Any], None] | None = None
    empty_ok: bool = False
    #: Timeout of this call in seconds, if it must be shorter than ``call_timeout``.
    within: float | None = None

    @property
    def pause_scope(self) -> str:
        """The scope of the pause after a 429: all calls of the same account and kind.

        Reads, writes and the look-up of the webhook secret are paused separately, so that a list that was read too
        fast stops neither a refund nor the verification of webhooks.
        """
        kind = "write" if not self.safe else "secret" if self.operation == "get_webhook_secret" else "read"
        return f"{self.account_uid or '-'} {kind}"

    def headers(self, token: str, user_agent: str) -> dict[str, str]:
        """Return the headers of one attempt. Raises ``ConfigurationError`` for a value that no header may have."""
        found = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": user_agent}
        if token:
            found["Authorization"] = f"Bearer {token}"
        if self.json is not None:
            found["Content-Type"] = "application/json"
        if self.account_uid is not None:
            found["X-Payment-Account-Uid"] = self.account_uid
        if self.idempotency_key:
            found["Idempotency-Key"] = self.idempotency_key
        for name in ("X-Payment-Account-Uid", "Idempotency-Key"):
            if name in found and not HEADER_SAFE.fullmatch(found[name]):
                raise ConfigurationError(f"{self.operation}: the value for {name} is not allowed in a header.")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A success. ``document`` is the parsed JSON (None without a body), ``date`` the server's clock (epoch)."""

    document: Any = field(repr=False)
    status: int
    request_id: str = ""
    date: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """One HTTP answer before it is classified. ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    seconds: float = 0.0


class WireFault(Exception):
    """One exchange got no usable answer. ``unsent``: it is certain that nothing was sent."""

    def __init__(self, why: str, *, unsent: bool = False, stale: bool = False, answered: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.unsent = unsent
        self.stale = stale  # the server had closed an idle pooled connection
        self.answered = answered  # an answer came back, but it is not valid HTTP or JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGrant:
    """The values of a token request. Raises ``ConfigurationError`` for values that cannot work."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str

    def __post_init__(self) -> None:
        checked_url("TOKEN_URL", self.token_url)
        for name in ("client_id", "client_secret", "scope"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ConfigurationError(f'GOVPAY["{name.upper()}"] is not set.')
        if ":" in self.client_id:
            raise ConfigurationError('GOVPAY["CLIENT_ID"] cannot hold a colon.')

    def headers(self, user_agent: str) -> dict[str, str]:
        """Return the headers, with id and secret in the Basic header.

        They are not url-encoded first, because the vendor documents plain ``base64(client_id:client_secret)``.
        """
        pair = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        return {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Authorization": f"Basic {pair}",
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": user_agent,
        }

    def form(self) -> bytes:
        return urlencode({"grant_type": "client_credentials", "scope": self.scope}).encode()

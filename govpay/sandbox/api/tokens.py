"""The identity provider: OAuth 2.0 client credentials and the valid access tokens."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from datetime import timedelta
from urllib.parse import parse_qs

from govpay.sandbox.answers import Answer
from govpay.sandbox.calls import ANYONE, Call, SandboxRoute
from govpay.sandbox.clock import iso
from govpay.sandbox.errors import Refusal
from govpay.sandbox.platform import Platform

SCOPE = "com.govineer.payments/admin"
_NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def issue_token(call: Call) -> Answer:
    """`POST /oauth2/token` [/platform/overview/]; errors in the style of RFC 6749 section 5.2."""
    platform = call.platform
    if not _is_our_client(platform, call.headers.get("authorization", "")):
        return _refused(401, "invalid_client", {"WWW-Authenticate": 'Basic realm="oauth2"'})
    if call.headers.get("content-type", "").split(";")[0].strip() != "application/x-www-form-urlencoded":
        return _refused(400, "invalid_request")
    try:
        form = parse_qs(call.data.decode("utf-8"), keep_blank_values=True)
    except ValueError:
        return _refused(400, "invalid_request")
    # A parameter must not be repeated. A parameter without a value counts as missing (RFC 6749, 3.2).
    if any(len(values) > 1 for values in form.values()) or not form.get("grant_type", [""])[0]:
        return _refused(400, "invalid_request")
    if form["grant_type"] != ["client_credentials"]:
        return _refused(400, "unsupported_grant_type")
    if form.get("scope") != [SCOPE]:
        return _refused(400, "invalid_scope")
    return Answer(
        200,
        {
            "access_token": new_token(platform),
            "expires_in": platform.settings.token_lifetime,
            "token_type": "Bearer",
        },
        headers=_NOT_STORED,
    )


def new_token(platform: Platform) -> str:
    """Store and return a random token in the form of a JWT. It is valid for `token_lifetime` seconds."""
    now = platform.clock.now()
    expires = now + timedelta(seconds=platform.settings.token_lifetime)
    claims = {
        "sub": platform.settings.client_id,
        "token_use": "access",
        "scope": SCOPE,
        "iat": int(now.timestamp()),
        "exp": int(expires.timestamp()),
        "jti": secrets.token_hex(16),
    }
    header = {"alg": "RS256", "typ": "JWT", "kid": "sandbox"}
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), secrets.token_bytes(128)]
    token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    platform.store.execute("INSERT INTO tokens VALUES (?, ?, ?, ?)", (token, SCOPE, iso(now), iso(expires)))
    return token


def is_valid(platform: Platform, token: str) -> bool:
    found = platform.store.execute("SELECT expires_at FROM tokens WHERE token = ?", (token,))
    return bool(found) and found[0][0] > platform.clock.text()


def revoke_all(platform: Platform) -> int:
    """Revoke every token. Returns how many there were."""
    with platform.store.transaction():
        count = int(platform.store.execute("SELECT count(*) FROM tokens")[0][0])
        platform.store.execute("DELETE FROM tokens")
    return count


def bearer(call: Call) -> str:
    """Return the bearer credential of the request. Raises a 401 `Refusal` if there is none."""
    kind, _, credential = call.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not credential.strip():
        raise unauthorized()
    return credential.strip()


def unauthorized() -> Refusal:
    return Refusal(
        401,
        "unauthorized",
        "The access token is missing, unknown or expired.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _is_our_client(platform: Platform, header: str) -> bool:
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return False
    try:
        given = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    settings = platform.settings
    return hmac.compare_digest(given, f"{settings.client_id}:{settings.client_secret}".encode())


def _refused(status: int, error: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, {"error": error}, headers={**_NOT_STORED, **(headers or {})})


ROUTES = [SandboxRoute("POST", "/oauth2/token", issue_token, ANYONE)]

"""Computes and verifies the signature of a webhook delivery (/guides/webhooks/)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Any

from govpay.client.errors import parse_json
from govpay.exceptions import SignatureError

#: Seconds for which a delivery is valid: four hours before or after (/guides/webhooks/, faults W1).
TOLERANCE = 240 * 60

_DIGEST = re.compile(r"[0-9a-f]{64}")


def compute(secret: str, timestamp: int, body: bytes) -> str:
    """Return the lower-case hex HMAC-SHA256 of ``timestamp.body``, keyed with the secret as a plain string."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def verify(
    header: str | None, body: bytes, secrets: Iterable[str], *, now: float, tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Return the parsed body of a delivery with a valid signature. Raises ``SignatureError`` with its ``reason``.

    ``header`` is ``X-Webhook-Signature``, with or without ``sha256=``. The signed time is the body's own
    ``timestamp`` (Unix seconds), so the body is parsed first. Every secret is compared in constant time
    (two are valid during a rotation: A18, faults W2). ``now`` and ``tolerance`` are seconds.
    """
    given = digest_of(header)
    payload = _delivery(body)
    timestamp: int = payload["timestamp"]
    valid = False
    for secret in secrets:
        valid |= hmac.compare_digest(compute(secret, timestamp, body), given)
    if not valid:
        raise SignatureError("The signature is wrong.")
    if abs(now - timestamp) > tolerance:
        raise SignatureError("The delivery is too old or from the future.", reason="stale")
    return payload


def digest_of(header: str | None) -> str:
    """Return the digest in ``X-Webhook-Signature``. Raises ``SignatureError`` when there is none."""
    given = (header or "").strip().removeprefix("sha256=")
    if not _DIGEST.fullmatch(given):
        raise SignatureError("The signature is missing or has an unknown form.")
    return given


def _delivery(body: bytes) -> dict[str, Any]:
    """Return the body as an object without repeated names and with a timestamp."""
    try:
        payload = parse_json(body, once=True)
    except ValueError:
        raise SignatureError("The body is not JSON, or has a property twice.", reason="body") from None
    timestamp = payload.get("timestamp") if isinstance(payload, dict) else None
    if isinstance(timestamp, bool) or not isinstance(timestamp, int) or not 0 <= timestamp < 2**53:
        raise SignatureError("The body has no timestamp.", reason="body")
    return dict(payload)

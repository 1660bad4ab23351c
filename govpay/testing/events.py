"""Webhook deliveries for tests, signed in the same way as the platform's."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from govpay.client import signature

#: The default signing secret of ``signed_event``.
SECRET = "whsec_testing"  # noqa: S105 - opens nothing


@dataclass(frozen=True)
class SignedEvent:
    """A delivery; ``client.post(url, event.body, content_type="application/json", headers=event.headers)`` sends it."""

    webhook_id: str
    event_type: str
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(repr=False)


def signed_event(
    event_type: str,
    data: dict[str, Any] | None = None,
    *,
    secret: str = SECRET,
    webhook_id: str | None = None,
    timestamp: int | None = None,
) -> SignedEvent:
    """Return a signed delivery of ``data`` (/guides/webhooks/). ``timestamp`` is in Unix seconds; default: now."""
    chosen = webhook_id or f"evt_{uuid.uuid4().hex}"
    moment = int(time.time()) if timestamp is None else timestamp
    envelope = {"webhook_id": chosen, "event_type": event_type, "timestamp": moment, "data": data or {}}
    body = json.dumps(envelope, separators=(",", ":")).encode()
    return SignedEvent(
        chosen, event_type, body, {"X-Webhook-Signature": f"sha256={signature.compute(secret, moment, body)}"}
    )

"""Deliveries for tests, signed by the vendor's sample and not by our own code."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from typing import Any

from django.test import Client

from govpay.models import PaymentAccount, WebhookEvent
from govpay.models.fields import Sealed
from govpay.sync.pull import pull

SECRET = "whsec_of_the_tests"


def sign(body: bytes, secret: str = SECRET, timestamp: int | None = None) -> str:
    """/guides/webhooks/: HMAC-SHA256 over the body's timestamp, a dot and the raw bytes."""
    moment = json.loads(body)["timestamp"] if timestamp is None else timestamp
    return hmac.new(secret.encode(), str(moment).encode() + b"." + body, hashlib.sha256).hexdigest()


def envelope(event_type: str = "payment.completed", /, *, age: float = 0, **given: Any) -> dict[str, Any]:
    """A delivery ``age`` seconds old; ``given`` replaces its properties."""
    moment = int(time.time() - age)
    made = {"webhook_id": f"evt_{uuid.uuid4().hex}", "event_type": event_type, "timestamp": moment, "data": {}}
    return {**made, **given}


def post(account: str, body: bytes, signature: str | None, *, client: Client | None = None, **extra: Any) -> Any:
    headers = {} if signature is None else {"X-Webhook-Signature": signature}
    options = {"content_type": "application/json", "headers": headers, **extra}
    return (client or Client()).post(f"/govpay/webhooks/{account}/", body, **options)


def deliver(account: str, payload: dict[str, Any], secret: str = SECRET, **extra: Any) -> Any:
    body = json.dumps(payload).encode()
    return post(account, body, sign(body, secret), **extra)


def known_account(uid: str = "acc_tests", secret: str | None = SECRET) -> str:
    """An account that is mirrored here, with its secret."""
    sealed = None if secret is None else Sealed.of(secret)
    return PaymentAccount.objects.create(uid=uid, name="Utilities", webhook_secret=sealed).uid


def account_on(sandbox: Any) -> str:
    """A new account of the platform that is mirrored here; its secret is still to be fetched."""
    uid = str(sandbox.add_account()["uid"])
    pull("clients")
    pull("accounts")
    return uid


def event_for(account: str, event_type: str, **data: Any) -> WebhookEvent:
    """A stored delivery, as if it had just been accepted."""
    payload = envelope(event_type, data=data)
    return WebhookEvent.objects.create(
        account_id=account, webhook_id=payload["webhook_id"], event_type=event_type, payload=payload
    )

"""Webhook configuration: the catalogue, an account's subscriptions, its signing secret."""

from __future__ import annotations

from .answers import Answer
from .calls import Call, Route
from .errors import invalid
from .shapes import check, flag, listed, shape, text

# The catalogue as far as it is shown [/guides/webhooks/, /platform/accounts/, /platform/wallets/].
EVENT_TYPES = {
    "checkout_session.completed": "Session confirmed, payment succeeded",
    "checkout_session.expired": "Session ran out or was expired",
    "payment.completed": "Payment captured",
    "payment.failed": "Payment declined",
    "payment.refunded": "Payment refunded",
    "provider.chargeback": "Cardholder dispute",
    "provider.nsf": "Bank payment returned for insufficient funds",
    "provider.noc": "Notification of change for a saved method",
    "provider.reversal": "Dispute reversed",
    "provider.bankbillpay": "Bank bill payment received",
    "ivr.completed": "Telephone payment completed",
}

SUBSCRIPTIONS = shape(
    subscriptions=listed(shape(event_type=text(required=True), enabled=flag(required=True)).part(), required=True)
)


def _subscriptions(call: Call) -> Answer:
    chosen = call.the_account.private["subscriptions"]
    return Answer(200, {"subscriptions": [{"event_type": name, "enabled": chosen[name]} for name in sorted(chosen)]})


def read_subscriptions(call: Call) -> Answer:
    """`GET /api/webhooks/subscriptions` (A20): what was ever chosen, not paged."""
    return _subscriptions(call)


def set_subscriptions(call: Call) -> Answer:
    """`PUT /api/webhooks/subscriptions` [/platform/accounts/]: merges by `event_type` (A20)."""
    chosen = check(call.body, SUBSCRIPTIONS)["subscriptions"]
    for index, item in enumerate(chosen):
        if item["event_type"] not in EVENT_TYPES:
            invalid(f"subscriptions[{index}].event_type is not in the catalogue.")
    account = call.the_account
    account.private["subscriptions"].update({item["event_type"]: item["enabled"] for item in chosen})
    call.platform.store.put(account)
    return _subscriptions(call)


def read_secret(call: Call) -> Answer:
    """`GET /api/webhooks/secret` [/guides/webhooks/], field name by A18."""
    return Answer(200, {"secret": call.the_account.private["webhook_secret"]}, headers={"Cache-Control": "no-store"})


def read_types(call: Call) -> Answer:
    """`GET /api/webhooks/types` [/platform/accounts/], form by A19, not paged."""
    return Answer(200, [{"event_type": name, "description": text} for name, text in EVENT_TYPES.items()])


ROUTES = [
    Route("GET", "/api/webhooks/subscriptions", read_subscriptions),
    Route("PUT", "/api/webhooks/subscriptions", set_subscriptions, json=True),
    Route("GET", "/api/webhooks/secret", read_secret),
    Route("GET", "/api/webhooks/types", read_types),
]

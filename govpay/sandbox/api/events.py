"""Webhook configuration: the catalogue of events, and an account's subscriptions and signing secret."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from urllib.parse import urlsplit

from govpay.sandbox.answers import Answer
from govpay.sandbox.calls import Call, SandboxRoute
from govpay.sandbox.errors import invalid
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc, check, flag, listed, shape, text
from govpay.sandbox.store import StoredRow
from govpay.sandbox.webhooks.outbox import Delivery, listens, queue

# The part of the catalogue that the vendor's pages show [/guides/webhooks/, /platform/accounts/, /platform/wallets/].
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
    """`GET /api/webhooks/subscriptions` (A20): every subscription that was ever set, not paged."""
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


def new_secret() -> str:
    return f"whsec_{secrets.token_hex(24)}"


def rotate_secret(platform: Platform, account: StoredRow) -> str:
    """Replace the signing secret. All later deliveries are signed with the new one, also retries."""
    account.private["webhook_secret"] = secret = new_secret()
    platform.store.put(account)
    return secret


def subscribe(
    platform: Platform, account: StoredRow, callback_url: str, event_types: Iterable[str] | None = None, base: str = ""
) -> StoredRow:
    """Deliver exactly `event_types` (None: all) to `callback_url`. Raises `ValueError` for an unknown type.

    `base`: the address was built from the option `--callback-base`.
    """
    wanted = set(EVENT_TYPES if event_types is None else event_types)
    if unknown := sorted(wanted - set(EVENT_TYPES)):
        raise ValueError(f"not in the catalogue of events: {', '.join(unknown)}")
    chosen = account.private["subscriptions"]
    account.private["subscriptions"] = {**dict.fromkeys(chosen, False), **dict.fromkeys(wanted, True)}
    account.private["callback_base"] = base
    account.doc.update(callback_url=callback_url, webhook_enabled=True, updated_at=platform.clock.stamp())
    return platform.store.put(account)


def send(
    platform: Platform,
    account_uid: str,
    event_type: str,
    data: Doc,
    webhook_id: str | None = None,
    timestamp: int | None = None,
) -> Delivery:
    """Queue any event. Raises `KeyError` for an unknown account, `ValueError` for an account without an address."""
    account = platform.store.get("account", account_uid)
    if account is None:
        raise KeyError(f"no account {account_uid}")
    if not listens(account):
        raise ValueError(f"account {account_uid} has no callback_url or has webhooks off")
    return queue(platform, account_uid, event_type, data, webhook_id, timestamp)


def follow_base(platform: Platform, base: str) -> list[str]:
    """Send the webhooks of all accounts without an address to `<base>/<account uid>/`. Returns their uids.

    An address that was built from an earlier base (a demo on another port) is replaced; the subscriptions stay.
    The site at the base is also registered as an origin of the payment form.
    """
    base, changed = base.rstrip("/"), []
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(base))
    with platform.store.transaction():
        for account in platform.store.find("account", "1"):
            address, before = account.doc["callback_url"], account.private.get("callback_base")
            wanted = f"{base}/{account.uid}/"
            if (not address or before) and origin not in account.doc["allowed_origins"]:
                account.doc["allowed_origins"] = [*account.doc["allowed_origins"], origin]
                platform.store.put(account)
            if not address:
                subscribe(platform, account, wanted, base=base)
            elif before and address == f"{before}/{account.uid}/" != wanted:
                account.private["callback_base"] = base
                account.doc.update(callback_url=wanted, updated_at=platform.clock.stamp())
                platform.store.put(account)
            else:
                continue
            changed.append(account.uid)
    return changed


def read_secret(call: Call) -> Answer:
    """`GET /api/webhooks/secret` [/guides/webhooks/]; the name of the property is by A18."""
    return Answer(200, {"secret": call.the_account.private["webhook_secret"]}, headers={"Cache-Control": "no-store"})


def read_types(call: Call) -> Answer:
    """`GET /api/webhooks/types` [/platform/accounts/]: all event types, not paged.

    The vendor does not document the answer's form. Here it is a list of objects with `event_type` and `description`
    (assumption A19).
    """
    return Answer(200, [{"event_type": name, "description": text} for name, text in EVENT_TYPES.items()])


ROUTES = [
    SandboxRoute("GET", "/api/webhooks/subscriptions", read_subscriptions),
    SandboxRoute("PUT", "/api/webhooks/subscriptions", set_subscriptions, json=True),
    SandboxRoute("GET", "/api/webhooks/secret", read_secret),
    SandboxRoute("GET", "/api/webhooks/types", read_types),
]

"""Clients and payment accounts: the routes that create, read and update them, and those for their configuration."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from govpay.sandbox.answers import Answer
from govpay.sandbox.api.events import new_secret
from govpay.sandbox.api.lists import list_page
from govpay.sandbox.calls import ADMIN, ANYONE, Call, SandboxRoute
from govpay.sandbox.clock import iso
from govpay.sandbox.errors import invalid, not_found
from govpay.sandbox.platform import Platform
from govpay.sandbox.rates import limit_rate
from govpay.sandbox.shapes import Doc, check, dollars, flag, is_uri, listed, shape, text
from govpay.sandbox.store import StoredRow

CLIENT = shape(
    customer_id=text(),
    name=text(required=True),
    timezone=text(),
    subdomain=text(),
)


def _is_callback(value: str, path: str) -> None:
    """Accept https URLs [/guides/webhooks/], and http URLs on loopback, to which the sandbox posts."""
    is_uri(value, path)
    parts = urlsplit(value)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        invalid(f"{path} must be an https address.")


ACCOUNT_BODY = shape(
    client_id=text(required=True),
    name=text(required=True),
    processor=text(required=True),
    external_account_id=text(),
    external_merchant_id=text(),
    active=flag(),
    enable_ach=flag(),
    enable_credit_card=flag(),
    minimum_payment_amount=dollars(),
    maximum_payment_amount=dollars(),
    callback_url=text(rule=_is_callback),
    webhook_enabled=flag(),
)

CHECKOUT_CONFIG = shape(
    allowed_origins=listed(text(pattern=r"https?://[^/\s?#@]+")),
    merchant_display_name=text(),
    logo_url=text(rule=is_uri),
    accent_color=text(pattern=r"#[0-9A-Fa-f]{6}"),
    page_message=text(),
)

# Defaults of an account's optional properties.
_ACCOUNT_DEFAULTS: Doc = {
    "external_account_id": None,
    "external_merchant_id": None,
    "active": True,
    "enable_ach": True,
    "enable_credit_card": True,
    "minimum_payment_amount": 0.0,
    "maximum_payment_amount": 999999.99,
    "callback_url": None,
    "webhook_enabled": False,
}

# Maximum calls of client-config a minute for each account. The vendor documents a limit [/platform/payments/]; the
# number is our choice.
CLIENT_CONFIG_RATE = 60


def make_client(platform: Platform, **given: Any) -> StoredRow:
    """Store a client. Tests and the demo city use this too."""
    at = platform.clock.stamp()
    doc = {
        "uid": platform.new_uid("client"),
        "customer_id": None,
        "name": "",
        "timezone": None,
        "subdomain": None,
        **given,
    }
    return platform.store.put(StoredRow("client", {**doc, "created_at": at, "updated_at": at}))


def make_account(platform: Platform, **given: Any) -> StoredRow:
    """Store a payment account. Its `private` data is returned only by their own routes."""
    at = platform.clock.stamp()
    doc = {"uid": platform.new_uid("account"), **_ACCOUNT_DEFAULTS, "allowed_origins": [], **given}
    private = {"webhook_secret": new_secret(), "subscriptions": {}, "checkout_config": {}}
    return platform.store.put(StoredRow("account", {**doc, "created_at": at, "updated_at": at}, private=private))


def create_client(call: Call) -> Answer:
    """`POST /api/clients` [/platform/accounts/]; `name` is required (A30)."""
    return Answer(201, make_client(call.platform, **check(call.body, CLIENT)).doc)


def create_account(call: Call) -> Answer:
    """`POST /api/paymentaccounts` [/platform/accounts/]; the required properties are by A30."""
    body = _account_body(call)
    return Answer(201, make_account(call.platform, **body).doc)


def update_account(call: Call, uid: str) -> Answer:
    """`PUT /api/paymentaccounts/{uid}` with the create body (A7): a missing property returns to its default."""
    row = the_account(call, uid)
    body = _account_body(call)
    row.doc.update({**_ACCOUNT_DEFAULTS, **body, "updated_at": call.platform.clock.stamp()})
    return Answer(200, call.platform.store.put(row).doc)


def _account_body(call: Call) -> Doc:
    body = check(call.body, ACCOUNT_BODY)
    if call.platform.store.get("client", body["client_id"]) is None:
        invalid("client_id names no client.")
    limits = {**_ACCOUNT_DEFAULTS, **body}
    if limits["minimum_payment_amount"] > limits["maximum_payment_amount"]:
        invalid("minimum_payment_amount must not exceed maximum_payment_amount.")
    return body


def the_account(call: Call, uid: str) -> StoredRow:
    return call.platform.store.get("account", uid) or not_found("payment account")


def read_client(call: Call, uid: str) -> Answer:
    return Answer(200, (call.platform.store.get("client", uid) or not_found("client")).doc)


def read_account(call: Call, uid: str) -> Answer:
    return Answer(200, the_account(call, uid).doc)


def list_clients(call: Call) -> Answer:
    return list_page(call, "client")


def list_accounts(call: Call) -> Answer:
    return list_page(call, "account")


def set_checkout_config(call: Call, uid: str) -> Answer:
    """`PUT …/checkout-config` [/getting-started/credentials/]: given properties are replaced, the others stay."""
    row = the_account(call, uid)
    body = check(call.body, CHECKOUT_CONFIG)
    row.private["checkout_config"].update(body)
    if "allowed_origins" in body:
        row.doc["allowed_origins"] = body["allowed_origins"]
    row.doc["updated_at"] = call.platform.clock.stamp()
    call.platform.store.put(row)
    return Answer(200, {"allowed_origins": row.doc["allowed_origins"], **row.private["checkout_config"]})


def read_client_config(call: Call, uid: str) -> Answer:
    """`GET …/client-config`: needs no credential, and is rate-limited [/platform/payments/]."""
    row = the_account(call, uid)
    limit_rate(call.platform.client_config_calls, uid, CLIENT_CONFIG_RATE)
    methods = [name for name, wanted in (("credit", "enable_credit_card"), ("ach", "enable_ach")) if row.doc[wanted]]
    # The processor's temporary password is valid for ten minutes (api-facts, section 7).
    expires = call.platform.clock.now() + timedelta(minutes=10)
    config = {
        "account_id": row.doc["external_account_id"] or uid,
        "api_key": f"sandbox_{uid}",
        "temporary_password": secrets.token_urlsafe(18),
        "expiration_date": iso(expires),
    }
    return Answer(200, {"processor": row.doc["processor"], "config": config, "supported_methods": methods})


ROUTES = [
    SandboxRoute("POST", "/api/clients", create_client, ADMIN, json=True),
    SandboxRoute("GET", "/api/clients", list_clients, ADMIN),
    SandboxRoute("GET", "/api/clients/<uid>", read_client, ADMIN),
    SandboxRoute("POST", "/api/paymentaccounts", create_account, ADMIN, json=True),
    SandboxRoute("GET", "/api/paymentaccounts", list_accounts, ADMIN),
    SandboxRoute("GET", "/api/paymentaccounts/<uid>", read_account, ADMIN),
    SandboxRoute("PUT", "/api/paymentaccounts/<uid>", update_account, ADMIN, json=True),
    SandboxRoute("PUT", "/api/paymentaccounts/<uid>/checkout-config", set_checkout_config, ADMIN, json=True),
    SandboxRoute("GET", "/api/paymentaccounts/<uid>/client-config", read_client_config, ANYONE),
]

"""Hosted sessions: create, check, end them; the routes that create and expire one."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from typing import Any

from govpay.sandbox.answers import Answer
from govpay.sandbox.calls import Call, SandboxRoute
from govpay.sandbox.clock import iso
from govpay.sandbox.errors import Refusal, conflict, invalid, malformed, not_found
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import (
    Doc,
    cents,
    check,
    flag,
    free_object,
    integer,
    is_currency,
    is_email,
    is_uri,
    listed,
    shape,
    text,
)
from govpay.sandbox.store import StoredRow
from govpay.sandbox.webhooks.outbox import enqueue

# The default lifetime [/guides/hosted-sessions/], and the longest lifetime, which is our choice.
DEFAULT_SECONDS = 1800
MAX_SESSION_SECONDS = 86_400

# [the challenge/send page]
CHALLENGES = ("hcaptcha", "turnstile", "sms", "email")

_COLOR = r"#[0-9A-Fa-f]{6}"

LINE_ITEMS = listed(
    shape(
        description=text(required=True),
        amount=integer(required=True),
        quantity=integer(low=1),
        metadata=free_object(),
    ).part()
)

# [/api/operations/v1hosted-sessions/]; the last two properties are from [/component/wallet/].
CREATE = shape(
    amount=cents(low=0),
    currency=text(rule=is_currency),
    description=text(empty=True),
    line_items=LINE_ITEMS,
    customer_id=text(),
    customer_email=text(rule=is_email),
    success_url=text(rule=is_uri),
    cancel_url=text(rule=is_uri),
    layout=text(choices=("hosted", "embedded")),
    allowed_methods=listed(text(choices=("card", "ach", "apple_pay", "paypal")), least=1),
    setup_future_usage=text(choices=("off", "on_session", "off_session")),
    scope=text(choices=("payment", "wallet")),
    expires_in_seconds=integer(low=1, high=MAX_SESSION_SECONDS),
    branding=shape(logo_url=text(rule=is_uri), accent_color=text(pattern=_COLOR), merchant_display_name=text()).part(),
    required_avs_fields=listed(text()),
    metadata=free_object(),
    fraud_signals=shape(
        ip_address=text(),
        user_agent=text(),
        email=text(),
        phone=text(),
        account_type=text(),
        request_timestamp=integer(),
        is_authorized=flag(),
        is_admin=flag(),
    ).part(),
    method_badges=listed(
        shape(label=text(required=True), color=text(pattern=_COLOR), payment_method_uids=listed(text())).part()
    ),
    locked_payment_methods=listed(shape(payment_method_uid=text(required=True), reason=text()).part()),
)
NOTHING = shape()

SERVED_FIELDS = (
    "description",
    "line_items",
    "customer_email",
    "layout",
    "allowed_methods",
    "setup_future_usage",
    "branding",
    "required_avs_fields",
)


def new_challenge(kind: str) -> Doc:
    """Return the challenge that the payer must pass, as `challenges` stores it."""
    return {"type": kind, "sent": 0, "tried": 0, "sent_at": None, "passed": False}


def make_session(platform: Platform, account_uid: str, body: Doc) -> StoredRow:
    """Store a session from a checked body. Its credential has the form that four of the vendor's pages show."""
    at = platform.clock.stamp()
    session_id = platform.new_uid("cs")
    lifetime = timedelta(seconds=body.get("expires_in_seconds", DEFAULT_SECONDS))
    expires = iso(platform.clock.now() + lifetime)
    doc = {
        "session_id": session_id,
        "status": "active",
        "scope": body.get("scope", "payment"),
        "amount": body.get("amount", 0),
        "currency": body.get("currency", "USD"),
        "expires_at": expires,
        "customer_id": body.get("customer_id"),
        "created_at": at,
        "updated_at": at,
        "layout": "embedded",
        "setup_future_usage": "off",
        **{name: body[name] for name in SERVED_FIELDS if name in body},
    }
    if "line_items" in doc:
        doc["line_items"] = [{"quantity": 1, **item} for item in doc["line_items"]]
    private: Doc = {"client_secret": f"{session_id}_secret_{secrets.token_hex(24)}", "request": body}
    wanted = body.get("fraud_signals", {}).get("account_type", "").removeprefix("challenge_")
    if wanted in CHALLENGES and body["fraud_signals"]["account_type"] != wanted:
        # The vendor does not document what triggers a challenge; this rule is ours.
        private["challenge"] = new_challenge(wanted)
    return platform.store.put(StoredRow("session", doc, account_uid, due_at=expires, private=private))


def session_for(platform: Platform, credential: str) -> StoredRow | None:
    """Return the session whose `client_secret` is `credential`, or None."""
    found = re.fullmatch(r"(cs_[A-Za-z0-9]+)_secret_[0-9a-f]+", credential)
    row = platform.store.get("session", found[1]) if found else None
    if row and secrets.compare_digest(row.private["client_secret"], credential):
        return row
    return None


def finish(platform: Platform, row: StoredRow, status: str, **changes: Any) -> StoredRow:
    """End the session as `completed` (see `complete`) or `expired`, which queues an event."""
    row.due_at = None
    row.doc.update({**changes, "status": status, "updated_at": platform.clock.stamp()})
    platform.store.put(row)
    if status == "expired":
        enqueue(platform, row.account_uid, "checkout_session.expired", _event_data(row))
    return row


def complete(
    platform: Platform, row: StoredRow, payment: StoredRow, transaction: StoredRow, method_name: str = ""
) -> StoredRow:
    """Complete the session with `payment`, captured by `transaction`, and queue the event as in the vendor's sample."""
    finish(platform, row, "completed")
    method = payment.doc["payment_method"]
    kind = method["payment_method_type"].removeprefix("wallet_")
    details = method.get(kind)
    if details is None:
        saved = platform.store.get("method", method["wallet"]["saved_payment_method_uid"])
        details = saved.doc[kind] if saved else {}
    paid = {
        "transaction_id": transaction.doc["processor_transaction_id"],
        "total_amount": payment.doc["total_amount"],
        "method": method_name or ("card" if kind == "credit" else kind),
        "last4": details.get("last4") or details.get("account_number_suffix"),
    }
    enqueue(platform, row.account_uid, "checkout_session.completed", {**_event_data(row), "payment": paid})
    return row


def _event_data(row: StoredRow) -> Doc:
    """Return the data of both events of a session [/guides/webhooks/]; that of the expired one is our assumption."""
    shown = {name: row.doc[name] for name in ("session_id", "status", "amount")}
    return {**shown, "metadata": row.private["request"].get("metadata", {})}


def allowed_methods(platform: Platform, row: StoredRow) -> list[str]:
    """Return the payment methods of the session that its account accepts."""
    account = platform.store.get("account", str(row.account_uid))
    takes = account.doc if account else {}
    switches = {"card": "enable_credit_card", "apple_pay": "enable_credit_card", "ach": "enable_ach"}
    wanted = row.doc.get("allowed_methods", ["card", "ach"])
    return [name for name in wanted if name not in switches or takes.get(switches[name])]


def check_scope(call: Call, scope: str) -> StoredRow:
    """Return the calling session. Raises a 403 `Refusal` if its scope is not `scope` [/api/, /component/wallet/]."""
    row = call.session or not_found("session")
    if row.doc["scope"] != scope:
        raise Refusal(403, "insufficient_scope", f"The credential's scope is {row.doc['scope']}, not {scope}.")
    return row


def refuse_expired(row: StoredRow) -> None:
    """Raise a 410 `Refusal` if the session has expired [/component/events/]."""
    if row.doc["status"] == "expired":
        raise Refusal(410, "session_expired", "The session has expired.", recoverable=False)


def check_open(call: Call, scope: str = "") -> StoredRow:
    """Return the calling session. Raises a `Refusal` if it is not active, or does not have that scope."""
    row = check_scope(call, scope) if scope else call.session or not_found("session")
    refuse_expired(row)
    if row.doc["status"] == "completed":
        conflict("The session is completed.", "already_confirmed")
    return row


def create_session(call: Call) -> Answer:
    """`POST /v1/hosted-sessions` [/api/operations/v1hosted-sessions/, /component/wallet/]."""
    body = call.body
    CREATE.check_type(body, "")
    wallet = body.get("scope") == "wallet"
    for name in ("customer_id",) if wallet else ("amount", "currency", "success_url", "cancel_url"):
        if name not in body:
            malformed(f"{name} is required.")
    check(body, CREATE)
    if not wallet and body["amount"] < 1:
        invalid("amount must be positive.")
    if not call.the_account.doc["active"]:
        invalid("The payment account is not active.")
    _check_references(call, body)
    row = make_session(call.platform, call.account_uid, body)
    secret = row.private["client_secret"]
    return Answer(
        201,
        {
            "session_id": row.uid,
            "client_secret": secret,
            "expires_at": row.doc["expires_at"],
            "hosted_url": f"{call.origin}/checkout/{row.uid}#cs={secret}",
        },
    )


def _check_references(call: Call, body: Doc) -> None:
    if "customer_id" in body and call.platform.store.get("customer", body["customer_id"], call.account_uid) is None:
        invalid("customer_id names no customer.")
    named = [uid for badge in body.get("method_badges", []) for uid in badge.get("payment_method_uids", [])]
    named += [lock["payment_method_uid"] for lock in body.get("locked_payment_methods", [])]
    for uid in named:
        if call.platform.store.get("method", uid, call.account_uid) is None:
            invalid("A payment method uid names no saved method.")


def the_session(call: Call, uid: str) -> StoredRow:
    return call.platform.store.get("session", uid, call.account_uid) or not_found("session")


def expire_session(call: Call, uid: str) -> Answer:
    """`POST …/expire`: without a body. On an expired session it changes nothing."""
    row = the_session(call, uid)
    if call.data:
        check(call.body, NOTHING)
    if row.doc["status"] == "completed":
        conflict("The session is completed.", "already_confirmed")
    if row.doc["status"] == "active":
        finish(call.platform, row, "expired")
    return Answer(204)


ROUTES = [
    SandboxRoute("POST", "/v1/hosted-sessions", create_session, json=True),
    SandboxRoute("POST", "/v1/hosted-sessions/<uid>/expire", expire_session),
]

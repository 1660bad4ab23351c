"""Actions of a payer, or of the server that opened the session, without a browser: for tests and demos."""

from __future__ import annotations

import secrets
from typing import Any

from govpay.sandbox.api.sessions import create_session, finish
from govpay.sandbox.browser import vault
from govpay.sandbox.browser.confirm import confirm
from govpay.sandbox.calls import Call
from govpay.sandbox.control.direct import the_row
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc
from govpay.sandbox.store import StoredRow

_DEFAULTS = {
    "amount": 14_227,
    "currency": "USD",
    "success_url": "https://pay.city.example/done",
    "cancel_url": "https://pay.city.example/cancelled",
}


def add_session(platform: Platform, account_uid: str, origin: str, given: Doc) -> Doc:
    """As `POST /v1/hosted-sessions` answers it; a payment session has an amount and addresses by default."""
    body = given if given.get("scope") == "wallet" else {**_DEFAULTS, **given}
    account = the_row(platform, "account", account_uid)
    call = Call(platform, "/v1/hosted-sessions", origin, {}, body=body, account=account)
    made: Doc = create_session(call).body
    return made


def confirm_session(platform: Platform, session_id: str, card: str, key: str, more: Doc) -> Doc:
    """Pay by `card`, or by the method of `processor_token`. Returns the response of confirm, or raises `Refusal`."""
    session = the_row(platform, "session", session_id)
    body = {"method": "card", **more}
    if "processor_token" not in body:
        body["processor_token"] = _token(platform, session, body["method"], card)
    call = Call(platform, "", "", {"idempotency-key": key} if key else {}, body=body, session=session)
    paid: Doc = confirm(call, session_id).body
    return paid


def _token(platform: Platform, session: StoredRow, method: str, card: str) -> str:
    if method in ("card", "ach"):
        ach = method == "ach"
        details = (
            vault.bank_details("021000021", "4099999992", "checking") if ach else vault.card_details(card, 12, 2040)
        )
        return vault.keep(platform, session, method, details)[0]
    return f"tok_{secrets.token_hex(12)}"


def expire_session(platform: Platform, session_id: str) -> Doc:
    """Expire the session now. Does nothing to a session that has ended."""
    session = the_row(platform, "session", session_id)
    if session.doc["status"] == "active":
        finish(platform, session, "expired")
    return session.doc


def session_seen(platform: Platform, session_id: str) -> Doc:
    """Return the document with the platform's private data: the request, the payment, the ACH authorization."""
    row = the_row(platform, "session", session_id)
    paid: dict[str, Any] = row.private.get("paid", {})
    known = {name: paid.get(name) for name in ("payment_uid", "ach_authorization")}
    return {**row.doc, **known, "request": row.private["request"]}

"""The routes that read the sanitized config of a session for the browser, and that update the session."""

from __future__ import annotations

from govpay.sandbox.answers import Answer
from govpay.sandbox.api.sessions import LINE_ITEMS, SERVED_FIELDS, allowed_methods, refuse_expired, the_session
from govpay.sandbox.api.wallets import methods_of
from govpay.sandbox.browser import challenges
from govpay.sandbox.calls import SESSION, Call, SandboxRoute
from govpay.sandbox.errors import conflict, not_found
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc, cents, check, shape
from govpay.sandbox.store import StoredRow

UPDATE = shape(amount=cents(), line_items=LINE_ITEMS)


def config(platform: Platform, row: StoredRow) -> Doc:
    """Return the session's config without secrets [/api/operations/v1hosted-sessionssessionid/get/]."""
    account = platform.store.get("account", str(row.account_uid))
    checkout = account.private["checkout_config"] if account else {}
    doc = row.doc
    shown = {name: doc[name] for name in ("session_id", "status", "scope", "amount", "currency", "expires_at")}
    shown.update({name: doc[name] for name in SERVED_FIELDS if name in doc})
    shown["allowed_methods"] = allowed_methods(platform, row)
    branding = {name: checkout[name] for name in ("logo_url", "accent_color") if name in checkout}
    # The session's branding overrides the account's defaults [/component/theming/].
    branding.update(doc.get("branding", {}))
    shown["branding"] = branding
    shown["merchant_display_name"] = branding.get("merchant_display_name") or checkout.get(
        "merchant_display_name", account.doc["name"] if account else ""
    )
    if "page_message" in checkout:
        shown["page_message"] = checkout["page_message"]
    if doc["customer_id"]:
        shown["saved_methods"] = _saved_methods(platform, str(doc["customer_id"]))
    return {**shown, "challenge": challenges.shown(row)}


def _saved_methods(platform: Platform, customer_uid: str) -> list[Doc]:
    customer = platform.store.get("customer", customer_uid)
    return [saved_method(row) for row in methods_of(platform, customer)] if customer else []


def saved_method(row: StoredRow) -> Doc:
    """Return a saved method for the browser, without the full number."""
    kind = row.doc["payment_method_type"]
    details = row.doc[kind]
    shown = {"id": row.uid, "is_default": row.doc["is_default"], "holder_name": details.get("holder_name")}
    if kind == "credit":
        shown.update(
            type="card",
            brand=details["card_brand"].lower(),
            last4=details["last4"],
            exp_month=details["exp_month"],
            exp_year=details["exp_year"],
        )
    else:
        shown.update(
            type="ach",
            last4=details["account_number_suffix"],
            bank_name=details.get("bank_name"),
            account_type=details["account_type"],
        )
    return {name: value for name, value in shown.items() if value is not None}


def read_session(call: Call, uid: str) -> Answer:
    """`GET /v1/hosted-sessions/{sessionId}`: 410 if the session has expired [/component/events/]."""
    row = call.session or not_found("session")
    refuse_expired(row)
    return Answer(200, config(call.platform, row))


def update_session(call: Call, uid: str) -> Answer:
    """`PATCH /v1/hosted-sessions/{sessionId}`: `amount` and `line_items` only; the answer is the config."""
    row = the_session(call, uid)
    body = check(call.body, UPDATE)
    refuse_expired(row)
    if row.doc["status"] == "completed":
        conflict("The session is completed.", "already_confirmed")
    if "line_items" in body:
        body["line_items"] = [{"quantity": 1, **item} for item in body["line_items"]]
    row.doc.update({**body, "updated_at": call.platform.clock.stamp()})
    return Answer(200, config(call.platform, call.platform.store.put(row)))


ROUTES = [
    SandboxRoute("GET", "/v1/hosted-sessions/<uid>", read_session, SESSION),
    SandboxRoute("PATCH", "/v1/hosted-sessions/<uid>", update_session, json=True),
]

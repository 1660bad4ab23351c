"""A wallet session's own routes: a payer lists, adds and removes saved methods, and sets the default (A32)."""

from __future__ import annotations

from govpay.sandbox.answers import Answer
from govpay.sandbox.api.sessions import allowed_methods, check_open
from govpay.sandbox.api.wallets import forget_method, make_method, methods_of, set_default
from govpay.sandbox.browser.instruments import BILLING, DETAILS, TOKEN, wire
from govpay.sandbox.browser.session_config import saved_method
from govpay.sandbox.calls import SESSION, Call, SandboxRoute
from govpay.sandbox.errors import conflict, invalid, not_found
from govpay.sandbox.shapes import Doc, check, shape, text
from govpay.sandbox.store import StoredRow

SAVE = shape(
    processor_token=TOKEN,
    method=text(required=True, choices=("card", "ach", "apple_pay", "paypal")),
    payment_method=DETAILS,
    billing_details=BILLING,
)
DEFAULT = shape(saved_payment_method_uid=text(required=True))


def _customer(call: Call, session: StoredRow) -> StoredRow:
    return call.platform.store.get("customer", session.doc["customer_id"], session.account_uid) or not_found("customer")


def _method(call: Call, session: StoredRow, uid: str) -> StoredRow | None:
    row = call.platform.store.get("method", uid, session.account_uid)
    return row if row and row.doc["customer_uid"] == session.doc["customer_id"] else None


def _lock_on(session: StoredRow, uid: str) -> Doc | None:
    locks = session.private["request"].get("locked_payment_methods", [])
    return next((lock for lock in locks if lock["payment_method_uid"] == uid), None)


def summary(session: StoredRow, row: StoredRow) -> Doc:
    """Return a `SavedMethodSummary`: the saved method as in the config, with the session's badges and lock.

    The names of the properties for badges and lock are our choice.
    """
    shown = saved_method(row)
    badges = [
        {name: badge[name] for name in ("label", "color") if name in badge}
        for badge in session.private["request"].get("method_badges", [])
        if row.uid in badge.get("payment_method_uids", [])
    ]
    lock = _lock_on(session, row.uid)
    if badges:
        shown["badges"] = badges
    if lock:
        shown.update(locked=True, lock_reason=lock.get("reason", ""))
    return shown


def list_own(call: Call, uid: str) -> Answer:
    """`GET …/payment-methods` [/component/wallet/]."""
    session = check_open(call, "wallet")
    rows = methods_of(call.platform, _customer(call, session))
    return Answer(
        200,
        {
            "methods": [summary(session, row) for row in rows],
            "allowed_methods": allowed_methods(call.platform, session),
        },
    )


def save_own(call: Call, uid: str) -> Answer:
    """`POST …/payment-methods` [/component/wallet/]; the body is by A32."""
    session = check_open(call, "wallet")
    body = check(call.body, SAVE)
    if body["method"] not in ("card", "ach") or body["method"] not in allowed_methods(call.platform, session):
        invalid("The session does not take this method.")
    method = wire(call.platform, session, body)
    if "wallet" in method:
        invalid("processor_token names a method that is saved already.")
    row = make_method(call.platform, _customer(call, session), method)
    return Answer(201, summary(session, row))


def remove_own(call: Call, uid: str, method_uid: str) -> Answer:
    """`DELETE …/payment-methods/{id}`: 409 if the method is locked."""
    session = check_open(call, "wallet")
    row = _method(call, session, method_uid) or not_found("saved payment method")
    lock = _lock_on(session, row.uid)
    if lock:
        conflict(f"The payment method cannot be removed: {lock.get('reason') or 'it is locked'}.")
    forget_method(call.platform, _customer(call, session), row.uid)
    return Answer(204)


def prefer_own(call: Call, uid: str) -> Answer:
    """`PUT …/default-payment-method`; the answer is the method."""
    session = check_open(call, "wallet")
    wanted = check(call.body, DEFAULT)["saved_payment_method_uid"]
    if _method(call, session, wanted) is None:
        invalid("saved_payment_method_uid names no method of this customer.")
    set_default(call.platform, _customer(call, session), wanted)
    row = _method(call, session, wanted)
    return Answer(200, summary(session, row) if row else None)


ROUTES = [
    SandboxRoute("GET", "/v1/hosted-sessions/<uid>/payment-methods", list_own, SESSION),
    SandboxRoute("POST", "/v1/hosted-sessions/<uid>/payment-methods", save_own, SESSION, json=True),
    SandboxRoute("DELETE", "/v1/hosted-sessions/<uid>/payment-methods/<method_uid>", remove_own, SESSION),
    SandboxRoute("PUT", "/v1/hosted-sessions/<uid>/default-payment-method", prefer_own, SESSION, json=True),
]

"""Customers and their saved payment methods."""

from __future__ import annotations

import secrets
from typing import Any

from govpay.sandbox.answers import Answer
from govpay.sandbox.api.lists import list_page, wrap
from govpay.sandbox.api.methods import SAVABLE, brand_of, payment_method
from govpay.sandbox.calls import Call, SandboxRoute
from govpay.sandbox.errors import conflict, invalid, not_found
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc, check, is_email, listed, shape, text, value_problem
from govpay.sandbox.store import StoredRow, dump
from govpay.sandbox.webhooks.outbox import enqueue

IMPORT_LIMIT = 500

CUSTOMER = shape(reference_id=text(required=True), name=text(), email=text(rule=is_email))
SAVE = shape(payment_method=payment_method(SAVABLE))
DEFAULT = shape(saved_payment_method_uid=text(required=True))
IMPORT_ROW = shape(customer_reference_id=text(required=True), payment_method=payment_method(SAVABLE))
IMPORT = shape(payment_methods=listed(IMPORT_ROW.part(), required=True))


def make_customer(platform: Platform, account_uid: str, **given: Any) -> StoredRow:
    at = platform.clock.stamp()
    doc = {
        "uid": platform.new_uid("cus"),
        "reference_id": "",
        "name": None,
        "email": None,
        "default_payment_method_uid": None,
        **given,
        "created_at": at,
        "updated_at": at,
    }
    return platform.store.put(StoredRow("customer", doc, account_uid))


def make_method(platform: Platform, customer: StoredRow, method: Doc) -> StoredRow:
    """Save `method` (the request's object) for a customer; its token becomes permanent [/platform/wallets/]."""
    at = platform.clock.stamp()
    kind = method["payment_method_type"]
    details = {**method[kind], "fingerprint": f"perm_{secrets.token_hex(12)}"}
    if kind == "credit":
        details["card_brand"] = brand_of(details).upper()
    shown = {name: value for name, value in details.items() if name not in ("fingerprint", "bin")}
    doc = {
        "saved_payment_method_uid": platform.new_uid("spm"),
        "customer_uid": customer.uid,
        "payment_method_type": kind,
        kind: shown,
        "is_default": False,
        "created_at": at,
        "updated_at": at,
    }
    row = platform.store.put(StoredRow("method", doc, customer.account_uid, private={kind: details}))
    touch_customer(platform, customer)
    return row


def update_method(platform: Platform, row: StoredRow, changes: Doc) -> StoredRow:
    """Apply a network update of a saved card or account, such as its expiry [/platform/wallets/] (A21)."""
    kind = row.doc["payment_method_type"]
    unknown = sorted(set(changes) - set(row.doc[kind]))
    if unknown or not changes:
        raise ValueError(f"changes of a saved {kind} must be among: {', '.join(sorted(row.doc[kind]))}")
    row.doc[kind].update(changes)
    row.private[kind].update(changes)
    row.doc["updated_at"] = platform.clock.stamp()
    platform.store.put(row)
    customer = platform.store.get("customer", row.doc["customer_uid"])
    if customer is not None:
        touch_customer(platform, customer)
    named = {"saved_payment_method_uid": row.uid, "customer_uid": row.doc["customer_uid"]}
    enqueue(platform, row.account_uid, "provider.noc", {**named, **changes})
    return row


def touch_customer(platform: Platform, customer: StoredRow, **changes: Any) -> None:
    """Move the customer's `updated_at` on, because a method changed (A14)."""
    customer.doc.update({**changes, "updated_at": platform.clock.stamp()})
    platform.store.put(customer)


def methods_of(platform: Platform, customer: StoredRow) -> list[StoredRow]:
    return platform.store.find(
        "method",
        "account_uid = ? AND customer_uid = ?",
        (customer.account_uid, customer.uid),
        "created_at, uid",
    )


def forget_method(platform: Platform, customer: StoredRow, uid: str) -> None:
    """Remove one of the customer's methods. If it was the default, the customer has none."""
    platform.store.delete("method", uid)
    left = customer.doc["default_payment_method_uid"]
    touch_customer(platform, customer, default_payment_method_uid=None if left == uid else left)


def set_default(platform: Platform, customer: StoredRow, uid: str | None) -> None:
    """Make `uid` the customer's only default; with None there is no default."""
    for row in methods_of(platform, customer):
        if row.doc["is_default"] != (row.uid == uid):
            row.doc.update(is_default=row.uid == uid, updated_at=platform.clock.stamp())
            platform.store.put(row)
    touch_customer(platform, customer, default_payment_method_uid=uid)


def create_customer(call: Call) -> Answer:
    """`POST /api/customers` [/platform/wallets/]: 409 if another customer has this `reference_id` (A13)."""
    body = check(call.body, CUSTOMER)
    if _by_reference(call, body["reference_id"]):
        conflict("A customer with this reference_id exists.")
    return Answer(201, make_customer(call.platform, call.account_uid, **body).doc)


def _by_reference(call: Call, reference_id: str) -> StoredRow | None:
    rows = call.platform.store.find(
        "customer", "account_uid = ? AND reference_id = ?", (call.account_uid, reference_id)
    )
    return rows[0] if rows else None


def the_customer(call: Call, uid: str) -> StoredRow:
    return call.platform.store.get("customer", uid, call.account_uid) or not_found("customer")


def read_customer(call: Call, uid: str) -> Answer:
    return Answer(200, the_customer(call, uid).doc)


def list_customers(call: Call) -> Answer:
    return list_page(call, "customer")


def list_methods(call: Call, uid: str) -> Answer:
    """Return all of a customer's methods, not paged (A14)."""
    return wrap(call, [dump(row.doc) for row in methods_of(call.platform, the_customer(call, uid))])


def save_method(call: Call, uid: str) -> Answer:
    """`POST …/payment-methods` [/platform/wallets/]: the answer contains the permanent token."""
    customer = the_customer(call, uid)
    method = check(call.body, SAVE)["payment_method"]
    row = make_method(call.platform, customer, method)
    kind = method["payment_method_type"]
    echo = {"payment_method_type": kind, kind: row.private[kind]}
    return Answer(201, {"saved_payment_method_uid": row.uid, "payment_method": echo})


def remove_method(call: Call, uid: str, method_uid: str) -> Answer:
    """`DELETE …/payment-methods/{savedPaymentMethodUid}` [/platform/wallets/]."""
    customer = the_customer(call, uid)
    row = call.platform.store.get("method", method_uid, call.account_uid)
    if row is None or row.doc["customer_uid"] != uid:
        not_found("saved payment method")
    forget_method(call.platform, customer, method_uid)
    return Answer(204)


def choose_default(call: Call, uid: str) -> Answer:
    """`PUT /api/customers/{uid}/default-payment-method`: make a saved method the default.

    The body, `saved_payment_method_uid`, is our assumption (A15). The answer is the customer.
    """
    customer = the_customer(call, uid)
    wanted = check(call.body, DEFAULT)["saved_payment_method_uid"]
    row = call.platform.store.get("method", wanted, call.account_uid)
    if row is None or row.doc["customer_uid"] != uid:
        invalid("saved_payment_method_uid names no method of this customer.")
    set_default(call.platform, customer, wanted)
    return Answer(200, customer.doc)


def import_methods(call: Call) -> Answer:
    """`POST /api/saved-payment-methods/import` (A16): a wrong shape refuses all rows, a wrong value only its row."""
    IMPORT.check_type(call.body, "")
    if not 1 <= len(call.body["payment_methods"]) <= IMPORT_LIMIT:
        invalid(f"payment_methods must have 1 to {IMPORT_LIMIT} entries.")
    results = [_import_row(call, index, row) for index, row in enumerate(call.body["payment_methods"])]
    imported = sum("error" not in result for result in results)
    return Answer(200, {"imported": imported, "results": results})


def _import_row(call: Call, index: int, row: Doc) -> Doc:
    problem = value_problem(row, IMPORT_ROW, f"payment_methods[{index}]")
    customer = None if problem else _by_reference(call, row["customer_reference_id"])
    if customer is None:
        message = problem or "customer_reference_id names no customer."
        return {"index": index, "error": {"code": "validation_error", "message": message}}
    return {
        "index": index,
        "saved_payment_method_uid": make_method(call.platform, customer, row["payment_method"]).uid,
    }


ROUTES = [
    SandboxRoute("POST", "/api/customers", create_customer, json=True),
    SandboxRoute("GET", "/api/customers", list_customers),
    SandboxRoute("GET", "/api/customers/<uid>", read_customer),
    SandboxRoute("GET", "/api/customers/<uid>/payment-methods", list_methods),
    SandboxRoute("POST", "/api/customers/<uid>/payment-methods", save_method, json=True),
    SandboxRoute("DELETE", "/api/customers/<uid>/payment-methods/<method_uid>", remove_method),
    SandboxRoute("PUT", "/api/customers/<uid>/default-payment-method", choose_default, json=True),
    SandboxRoute("POST", "/api/saved-payment-methods/import", import_methods, json=True),
]

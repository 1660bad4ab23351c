"""Creates and changes objects without a request, by the same rules as the routes."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from govpay.sandbox.api.payments import capture, expire, make_payment, void
from govpay.sandbox.api.refunds import charge_back, refund, return_payment
from govpay.sandbox.api.wallets import make_customer, make_method, set_default, touch_customer
from govpay.sandbox.clock import iso
from govpay.sandbox.errors import Refusal
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc
from govpay.sandbox.store import StoredRow

STATUSES = (
    "validated",
    "captured",
    "failed",
    "voided",
    "partially_refunded",
    "refunded",
    "charged_back",
    "returned",
    "expired",
)


# Event type of a payment made elsewhere, and its payment method.
ELSEWHERE = {"provider.bankbillpay": "ach", "ivr.completed": "credit"}


def the_row(platform: Platform, kind: str, uid: str) -> StoredRow:
    """Return the row. Raises KeyError if it does not exist."""
    row = platform.store.get(kind, uid)
    if row is None:
        raise KeyError(f"no {kind} {uid}")
    return row


def card(last4: str = "1111", **given: Any) -> Doc:
    """Return the `credit` object of a request: by default a token for a Visa that is not declined."""
    return {
        "fingerprint": f"tok_{secrets.token_hex(12)}",
        "last4": last4,
        "exp_month": 12,
        "exp_year": 2040,
        "bin": "411111",
        "holder_name": "Pat Example",
        **given,
    }


def bank_account(**given: Any) -> Doc:
    """Return the `ach` object of a request."""
    return {
        "routing_number": "021000021",
        "account_number_suffix": "9992",
        "account_type": "checking",
        "bank_name": "Example Bank",
        "holder_name": "Pat Example",
        "fingerprint": f"tok_{secrets.token_hex(12)}",
        **given,
    }


def add_customer(platform: Platform, account_uid: str, given: Doc) -> StoredRow:
    reference = given.get("reference_id") or f"CUST-{secrets.token_hex(6)}"
    return make_customer(platform, account_uid, **{"name": "Pat Example", **given, "reference_id": reference})


def add_method(platform: Platform, customer_uid: str, kind: str, default: bool, details: Doc) -> StoredRow:
    customer = the_row(platform, "customer", customer_uid)
    wire = card(**details) if kind == "credit" else bank_account(**details)
    row = make_method(platform, customer, {"payment_method_type": kind, kind: wire})
    if default:
        set_default(platform, customer, row.uid)
        row = the_row(platform, "method", row.uid)
    return row


def add_payment(
    platform: Platform,
    account_uid: str,
    status: str = "validated",
    *,
    method: str | None = None,
    payment_method: Doc | None = None,
    base_amount: int = 10_000,
    tax_amount: int = 0,
    currency: str = "USD",
    reference_id: str | None = None,
    session_id: str | None = None,
    created_at: str | datetime | None = None,
    event_type: str = "payment.completed",
    **overrides: Any,
) -> StoredRow:
    """Create a payment and bring it to `status` (A8). Amounts in cents.

    Drawn on the saved method `method`, or on `payment_method` (the wire's object), or on a card that suits
    `status`. `created_at` and `overrides` are written into the finished document unchecked;
    `event_type` is the event of its capture.
    """
    if status not in STATUSES:
        raise ValueError(f"status must be one of {', '.join(STATUSES)}")
    if payment_method is None:
        payment_method = _method_for(platform, status, method)
    row = make_payment(
        platform,
        account_uid,
        payment_method,
        base_amount=base_amount,
        tax_amount=tax_amount,
        currency=currency,
        reference_id=reference_id or f"REF-{secrets.token_hex(6)}",
        session_id=session_id,
    )
    _bring_to(platform, row, status, event_type)
    row = the_row(platform, "payment", row.uid)
    if created_at is not None:
        overrides["created_at"] = iso(created_at) if isinstance(created_at, datetime) else created_at
    if overrides:
        row.doc.update(overrides)
        platform.store.put(row)
    return row


def _method_for(platform: Platform, status: str, method: str | None) -> Doc:
    if method is not None:
        kind = the_row(platform, "method", method).doc["payment_method_type"]
        return {"payment_method_type": f"wallet_{kind}", "wallet": {"saved_payment_method_uid": method}}
    if status == "returned":
        return {"payment_method_type": "ach", "ach": bank_account()}
    return {"payment_method_type": "credit", "credit": card("0002" if status == "failed" else "1111")}


def _bring_to(platform: Platform, row: StoredRow, status: str, event_type: str) -> None:
    if status == "expired":
        expire(platform, row)
    if status in ("validated", "expired"):
        return
    try:
        capture(platform, row, event_type)
    except Refusal:
        return
    match status:
        case "voided":
            void(platform, row)
        case "charged_back":
            charge_back(platform, row)
        case "returned":
            return_payment(platform, row)
        case "refunded" | "partially_refunded":
            total = row.doc["total_amount"]
            refund(platform, row, total if status == "refunded" else total // 2, f"RF-{secrets.token_hex(6)}")


def pay_elsewhere(platform: Platform, account_uid: str, event_type: str, given: Doc) -> StoredRow:
    """Add a payment made through the payer's bank (`provider.bankbillpay`) or by telephone (`ivr.completed`)."""
    if event_type not in ELSEWHERE:
        raise ValueError(f"event_type must be one of {', '.join(ELSEWHERE)}")
    by_bank = {"payment_method": {"payment_method_type": "ach", "ach": bank_account()}}
    chosen = by_bank if ELSEWHERE[event_type] == "ach" and "method" not in given else {}
    return add_payment(platform, account_uid, "captured", **{**chosen, **given}, event_type=event_type)


def touch(platform: Platform, kind: str, uid: str, changes: Doc) -> StoredRow:
    """Write `changes` unchecked; `updated_at` moves on unless it is among them."""
    row = the_row(platform, kind, uid)
    row.doc.update({"updated_at": platform.clock.stamp(), **changes})
    if row.doc.get("status") not in ("validated", "pending", "active"):
        row.due_at = None
    platform.store.put(row)
    if kind == "method":
        touch_customer(platform, the_row(platform, "customer", row.doc["customer_uid"]))
    return row


def remove(platform: Platform, kind: str, uid: str) -> None:
    with platform.store.transaction():
        row = the_row(platform, kind, uid)
        platform.store.delete(kind, uid)
        customer = platform.store.get("customer", row.doc["customer_uid"]) if kind == "method" else None
        if customer is not None:
            left = customer.doc["default_payment_method_uid"]
            touch_customer(platform, customer, default_payment_method_uid=None if left == uid else left)

"""Payments and their transactions: the routes that validate, capture, void and read, and the rules for them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from govpay.sandbox.answers import Answer
from govpay.sandbox.api.fees import Instrument, check_limits, decline_code, decline_text, fee
from govpay.sandbox.api.lists import list_page
from govpay.sandbox.api.methods import PAYABLE, brand_of, payment_method, sanitized
from govpay.sandbox.calls import Call, SandboxRoute
from govpay.sandbox.clock import iso, parse
from govpay.sandbox.errors import Refusal, conflict, invalid, not_found
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc, cents, check, is_currency, shape, text
from govpay.sandbox.store import StoredRow
from govpay.sandbox.webhooks.outbox import enqueue

# The time in which a validated payment can be captured: with a token, and with a saved method (A9).
TOKEN_LIFETIME = timedelta(minutes=15)
WALLET_LIFETIME = timedelta(hours=24)

VALIDATE = shape(
    base_amount=cents(required=True),
    tax_amount=cents(low=0),
    currency=text(required=True, rule=is_currency),
    reference_id=text(required=True),
    payment_method=payment_method(PAYABLE),
)
_REPEATED = ("base_amount", "tax_amount", "processing_fee_amount", "total_amount", "currency", "reference_id")
CAPTURE = shape(
    base_amount=cents(required=True, low=0),
    tax_amount=cents(required=True, low=0),
    processing_fee_amount=cents(required=True, low=0),
    total_amount=cents(required=True, low=0),
    currency=text(required=True),
    reference_id=text(required=True),
    payment_method=payment_method(PAYABLE),
)
NOTHING = shape()

_CAPTURED_ONCE = ("captured", "partially_refunded", "refunded", "charged_back", "returned")


def instrument_for(platform: Platform, account_uid: str | None, method: Doc) -> Instrument:
    """Return the instrument of `method` (the request's object); 422 for a saved method of another account."""
    kind = method["payment_method_type"]
    if not kind.startswith("wallet_"):
        return _instrument(kind, method[kind], None)
    row = platform.store.get("method", method["wallet"]["saved_payment_method_uid"], account_uid)
    if row is None or "wallet_" + row.doc["payment_method_type"] != kind:
        invalid(f"saved_payment_method_uid names no method for {kind}.")
    kind = row.doc["payment_method_type"]
    return _instrument(kind, row.private[kind], row.doc["customer_uid"])


def _instrument(kind: str, details: Doc, customer_uid: str | None) -> Instrument:
    if kind == "ach":
        return Instrument("ach", "", details["account_number_suffix"], 0, 0, customer_uid)
    return Instrument(
        "credit", brand_of(details), details["last4"], details["exp_month"], details["exp_year"], customer_uid
    )


def make_payment(
    platform: Platform,
    account_uid: str,
    method: Doc,
    *,
    base_amount: int,
    tax_amount: int = 0,
    currency: str = "USD",
    reference_id: str,
    session_id: str | None = None,
) -> StoredRow:
    """Store a validated payment with the platform's fee. Amounts in cents. Nothing is captured."""
    instrument = instrument_for(platform, account_uid, method)
    charged = fee(base_amount + tax_amount, instrument)
    at = platform.clock.stamp()
    lifetime = WALLET_LIFETIME if "wallet" in method else TOKEN_LIFETIME
    doc = {
        "uid": platform.new_uid("pay"),
        "reference_id": reference_id,
        "customer_uid": instrument.customer_uid,
        "base_amount": base_amount,
        "tax_amount": tax_amount,
        "processing_fee_amount": charged,
        "total_amount": base_amount + tax_amount + charged,
        "refunded_amount": 0,
        "currency": currency,
        "status": "validated",
        "payment_method": sanitized(method),
        "session_id": session_id,
        "decline_code": None,
        "created_at": at,
        "captured_at": None,
        "updated_at": at,
    }
    return platform.store.put(
        StoredRow("payment", doc, account_uid, due_at=iso(parse(at) + lifetime), private={"payment_method": method})
    )


def change_payment(platform: Platform, row: StoredRow, **changes: Any) -> StoredRow:
    """Store new values; a payment that is no longer validated cannot expire, and its method is deleted."""
    row.doc.update({**changes, "updated_at": platform.clock.stamp()})
    if row.doc["status"] != "validated":
        row.due_at, row.private = None, {}
    return platform.store.put(row)


def add_transaction(
    platform: Platform,
    payment: StoredRow,
    kind: str,
    amount: int,
    *,
    status: str = "succeeded",
    reference_id: str | None = None,
    reason: str | None = None,
    reason_code: str | None = None,
    due_at: str | None = None,
) -> StoredRow:
    """Store a transaction of `amount` cents (A12) and enter it in the ledger."""
    at = platform.clock.stamp()
    doc = {
        "uid": platform.new_uid("trx"),
        "payment_uid": payment.uid,
        "type": kind,
        "amount": amount,
        "currency": payment.doc["currency"],
        "status": status,
        "reference_id": reference_id,
        "processor_transaction_id": platform.new_uid("txn"),
        "reason": reason,
        "reason_code": reason_code,
        "created_at": at,
        "updated_at": at,
    }
    row = platform.store.put(StoredRow("transaction", doc, payment.account_uid, due_at=due_at))
    enter_effect(platform, kind, row)
    return row


def enter_effect(platform: Platform, kind: str, transaction: StoredRow) -> None:
    """Add a ledger entry for one movement of money."""
    doc = transaction.doc
    platform.store.enter(
        [
            (
                kind,
                doc["payment_uid"],
                transaction.uid,
                transaction.account_uid,
                doc["amount"],
                doc["currency"],
                doc["reference_id"],
                doc["updated_at"],
            )
        ]
    )


def transactions_of(platform: Platform, payment: StoredRow) -> list[StoredRow]:
    return platform.store.find(
        "transaction",
        "account_uid = ? AND payment_uid = ?",
        (payment.account_uid, payment.uid),
        "created_at, uid",
    )


def capture(platform: Platform, payment: StoredRow, event_type: str = "payment.completed") -> StoredRow:
    """Capture a validated payment. If it is declined, it becomes `failed`, and a 402 `Refusal` is raised (A9).

    `event_type` is the event of a success.
    """
    method = payment.private["payment_method"]
    code = decline_code(instrument_for(platform, payment.account_uid, method), platform.clock.text())
    if code:
        change_payment(platform, payment, status="failed", decline_code=code)
        enqueue(platform, payment.account_uid, "payment.failed", event_data(payment, "decline_code"))
        raise Refusal(402, code, decline_text(code), recoverable=True, keep_changes=True)
    transaction = add_transaction(
        platform, payment, "capture", payment.doc["total_amount"], reference_id=payment.doc["reference_id"]
    )
    change_payment(platform, payment, status="captured", captured_at=transaction.doc["created_at"])
    enqueue(platform, payment.account_uid, event_type, event_data(payment))
    return payment


def event_data(payment: StoredRow, *more: str) -> Doc:
    """Return the data of a payment's event (A21)."""
    names = (*_REPEATED, "status", *more)
    return {"payment_uid": payment.uid, **{name: payment.doc[name] for name in names}}


def void(platform: Platform, payment: StoredRow) -> StoredRow:
    """Void before the capture, or on the UTC day of the capture if nothing was refunded (A11); else 409."""
    status = payment.doc["status"]
    if status not in ("validated", "captured"):
        conflict(f"A payment that is {status} cannot be voided.")
    refunds = [row for row in transactions_of(platform, payment) if row.doc["type"] == "refund"]
    if any(row.doc["status"] != "failed" for row in refunds):
        conflict("A payment with a refund cannot be voided.")
    if status == "captured" and payment.doc["captured_at"][:10] != platform.clock.text()[:10]:
        conflict("A payment can be voided on the day of its capture only.")
    add_transaction(platform, payment, "void", payment.doc["total_amount"], reference_id=payment.doc["reference_id"])
    return change_payment(platform, payment, status="voided")


def expire(platform: Platform, payment: StoredRow) -> StoredRow:
    """Expire the validation."""
    return change_payment(platform, payment, status="expired")


def the_payment(call: Call, uid: str) -> StoredRow:
    return call.platform.store.get("payment", uid, call.account_uid) or not_found("payment")


def validate_payment(call: Call) -> Answer:
    """`POST /api/payments` [/platform/payments/]: sets the fee and captures nothing. The answer is by A8."""
    body = check(call.body, VALIDATE)
    account = call.the_account.doc
    if not account["active"]:
        invalid("The payment account is not active.")
    kind = "enable_ach" if body["payment_method"]["payment_method_type"].endswith("ach") else "enable_credit_card"
    if not account[kind]:
        invalid("The payment account does not take this payment method.")
    check_limits(account, body["base_amount"] + body.get("tax_amount", 0))
    method = body.pop("payment_method")
    return Answer(201, make_payment(call.platform, call.account_uid, method, **body).doc)


def capture_payment(call: Call, uid: str) -> Answer:
    """`POST /api/payments/{uid}/capture`: the body must repeat the validation exactly [/platform/payments/] (A9)."""
    payment = the_payment(call, uid)
    CAPTURE.check_type(call.body, "")
    match payment.doc["status"]:
        case "validated":
            pass
        case "expired":
            raise Refusal(410, "expired", "The validation has expired.")
        case status if status in _CAPTURED_ONCE:
            conflict("The payment was captured before.", "already_captured")
        case status:
            conflict(f"A payment that is {status} cannot be captured.")
    body = check(call.body, CAPTURE)
    if not call.the_account.doc["active"]:
        invalid("The payment account is not active.")
    different = [name for name in _REPEATED if body[name] != payment.doc[name]]
    if body["payment_method"] != payment.private["payment_method"]:
        different.append("payment_method")
    if different:
        invalid(f"Different from the validation: {', '.join(different)}.")
    return Answer(200, capture(call.platform, payment).doc)


def void_payment(call: Call, uid: str) -> Answer:
    """`POST /api/payments/{uid}/void` (A11)."""
    payment = the_payment(call, uid)
    if call.data:
        check(call.body, NOTHING)
    if payment.doc["status"] == "expired":
        raise Refusal(410, "expired", "The validation has expired.")
    return Answer(200, void(call.platform, payment).doc)


def read_payment(call: Call, uid: str) -> Answer:
    return Answer(200, the_payment(call, uid).doc)


def list_payments(call: Call) -> Answer:
    return list_page(call, "payment")


def read_transaction(call: Call, uid: str) -> Answer:
    row = call.platform.store.get("transaction", uid, call.account_uid) or not_found("transaction")
    return Answer(200, row.doc)


def list_transactions(call: Call) -> Answer:
    return list_page(call, "transaction")


ROUTES = [
    SandboxRoute("POST", "/api/payments", validate_payment, json=True),
    SandboxRoute("GET", "/api/payments", list_payments),
    SandboxRoute("GET", "/api/payments/<uid>", read_payment),
    SandboxRoute("POST", "/api/payments/<uid>/capture", capture_payment, json=True),
    SandboxRoute("POST", "/api/payments/<uid>/void", void_payment),
    SandboxRoute("GET", "/api/transactions", list_transactions),
    SandboxRoute("GET", "/api/transactions/<uid>", read_transaction),
]

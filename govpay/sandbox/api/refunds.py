"""Refunds and their settlement, chargebacks and bank returns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from govpay.sandbox.answers import Answer
from govpay.sandbox.api.payments import add_transaction, change_payment, enter_effect, the_payment, transactions_of
from govpay.sandbox.calls import Call, SandboxRoute
from govpay.sandbox.clock import iso
from govpay.sandbox.errors import conflict, invalid
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import cents, check, shape, text
from govpay.sandbox.store import StoredRow
from govpay.sandbox.webhooks.outbox import enqueue

# The statuses of a payment that was captured and neither disputed nor returned.
_CAPTURED = ("captured", "partially_refunded", "refunded")

REFUND = shape(amount=cents(required=True), reason=text(empty=True), reference_id=text(required=True))


def refund(
    platform: Platform, payment: StoredRow, amount: int, reference_id: str, reason: str | None = None
) -> StoredRow:
    """Refund `amount` cents (A10). The refund of a bank payment is pending at first, a card's succeeds at once."""
    doc = payment.doc
    taken = platform.store.count(
        "transaction",
        "account_uid = ? AND reference_id = ? AND type = 'refund'",
        (payment.account_uid, reference_id),
    )
    if taken:
        conflict("A refund with this reference_id exists.", "duplicate_refund")
    if doc["status"] not in _CAPTURED:
        conflict(f"A payment that is {doc['status']} cannot be refunded.")
    reserved = sum(
        row.doc["amount"]
        for row in transactions_of(platform, payment)
        if row.doc["type"] == "refund" and row.doc["status"] != "failed"
    )
    if reserved + amount > doc["total_amount"]:
        invalid("The amount exceeds what is left to refund.")
    pending = doc["payment_method"]["payment_method_type"].endswith("ach")
    due = platform.clock.now() + timedelta(seconds=platform.settings.settle_after)
    transaction = add_transaction(
        platform,
        payment,
        "refund",
        amount,
        status="pending" if pending else "succeeded",
        reference_id=reference_id,
        reason=reason,
        due_at=iso(due) if pending else None,
    )
    if not pending:
        _book(platform, payment, amount)
        _enqueue_refund(platform, transaction)
    return transaction


def _enqueue_refund(platform: Platform, transaction: StoredRow) -> None:
    """Queue the event of a final refund; its `status` is the outcome (A21)."""
    names = ("payment_uid", "amount", "status", "reference_id")
    data = {"transaction_uid": transaction.uid, **{name: transaction.doc[name] for name in names}}
    enqueue(platform, transaction.account_uid, "payment.refunded", data)


def _enqueue_loss(platform: Platform, event_type: str, transaction: StoredRow) -> None:
    names = ("payment_uid", "amount", "reason_code")
    data = {"transaction_uid": transaction.uid, **{name: transaction.doc[name] for name in names}}
    enqueue(platform, transaction.account_uid, event_type, data)


def _book(platform: Platform, payment: StoredRow, amount: int) -> None:
    """Add a refund that succeeded to the payment's sum."""
    refunded = payment.doc["refunded_amount"] + amount
    # If a dispute came while the refund was pending, the payment keeps the dispute's status.
    status = payment.doc["status"]
    if status in _CAPTURED:
        status = _status_after(payment, refunded)
    change_payment(platform, payment, refunded_amount=refunded, status=status)


def _status_after(payment: StoredRow, refunded: int) -> str:
    """Return the status of a captured payment of which `refunded` cents were refunded."""
    if not refunded:
        return "captured"
    return "refunded" if refunded >= payment.doc["total_amount"] else "partially_refunded"


def settle(platform: Platform, transaction: StoredRow, *, succeeds: bool = True) -> None:
    """Make a pending refund final."""
    transaction.due_at = None
    transaction.doc.update(
        status="succeeded" if succeeds else "failed",
        updated_at=platform.clock.stamp(),
        reason_code=None if succeeds else "R03",
    )
    platform.store.put(transaction)
    enter_effect(platform, "refund_settled" if succeeds else "refund_failed", transaction)
    payment = platform.store.get("payment", transaction.doc["payment_uid"])
    if payment is None:
        return
    if succeeds:
        _book(platform, payment, transaction.doc["amount"])
    else:
        change_payment(platform, payment)
    _enqueue_refund(platform, transaction)


def settle_pending(platform: Platform, fail: Iterable[str] = ()) -> list[str]:
    """Settle every pending refund now, and return their uids. Those in `fail` (by uid or reference_id) fail."""
    failing = set(fail)
    with platform.store.transaction():
        pending = platform.store.find("transaction", "type = 'refund' AND status = 'pending'", (), "created_at, uid")
        for row in pending:
            settle(platform, row, succeeds=not failing & {row.uid, row.doc["reference_id"]})
    return [row.uid for row in pending]


def charge_back(
    platform: Platform, payment: StoredRow, reason_code: str = "4853", amount: int | None = None
) -> StoredRow:
    """Charge the payment back: `amount` cents, at most its total, also after refunds.

    Without `amount`: the amount that was not refunded, or the whole total if everything was refunded.
    """
    total = payment.doc["total_amount"]
    if payment.doc["status"] not in _CAPTURED:
        conflict("Only a captured payment can be charged back.")
    if amount is not None and (type(amount) is not int or not 1 <= amount <= total):
        raise ValueError("amount must be a number of cents, at least 1 and at most the payment's total")
    row = add_transaction(
        platform,
        payment,
        "chargeback",
        amount or total - payment.doc["refunded_amount"] or total,
        reason="Cardholder dispute",
        reason_code=reason_code,
    )
    change_payment(platform, payment, status="charged_back")
    _enqueue_loss(platform, "provider.chargeback", row)
    return row


def reverse_chargeback(platform: Platform, payment: StoredRow) -> StoredRow:
    """Reverse the chargeback: the merchant won the dispute and gets the money back."""
    lost = [row for row in transactions_of(platform, payment) if row.doc["type"] == "chargeback"]
    if payment.doc["status"] != "charged_back" or not lost:
        conflict("The payment is not charged back.")
    row = add_transaction(
        platform,
        payment,
        "chargeback_reversal",
        lost[-1].doc["amount"],
        reason="Dispute won",
        reason_code=lost[-1].doc["reason_code"],
    )
    change_payment(platform, payment, status=_status_after(payment, payment.doc["refunded_amount"]))
    _enqueue_loss(platform, "provider.reversal", row)
    return row


def return_payment(platform: Platform, payment: StoredRow, reason_code: str = "R01") -> StoredRow:
    """Return an ACH payment: the payer's bank takes back the whole total, also after refunds."""
    by_bank = payment.doc["payment_method"]["payment_method_type"].endswith("ach")
    if payment.doc["status"] not in _CAPTURED or not by_bank:
        conflict("Only a captured bank payment can be returned.")
    row = add_transaction(
        platform,
        payment,
        "ach_return",
        payment.doc["total_amount"],
        reason="Returned by the bank",
        reason_code=reason_code,
    )
    change_payment(platform, payment, status="returned")
    _enqueue_loss(platform, "provider.nsf", row)
    return row


def refund_payment(call: Call, uid: str) -> Answer:
    """`POST /api/payments/{uid}/refund` (A10); the answer is the transaction."""
    payment = the_payment(call, uid)
    body = check(call.body, REFUND)
    row = refund(call.platform, payment, body["amount"], body["reference_id"], body.get("reason"))
    return Answer(201, row.doc)


ROUTES = [SandboxRoute("POST", "/api/payments/<uid>/refund", refund_payment, json=True)]

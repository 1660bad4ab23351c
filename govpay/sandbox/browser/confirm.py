"""Paying a session: the routes that quote the fee and that confirm the payment, which charges the payer."""

from __future__ import annotations

from datetime import datetime, timedelta

from govpay.sandbox.answers import Answer
from govpay.sandbox.api.fees import Instrument, check_limits, fee
from govpay.sandbox.api.methods import is_token
from govpay.sandbox.api.payments import capture, instrument_for, make_payment, transactions_of
from govpay.sandbox.api.sessions import allowed_methods, check_open, check_scope, complete, refuse_expired
from govpay.sandbox.api.wallets import make_method
from govpay.sandbox.browser import challenges
from govpay.sandbox.browser.instruments import BILLING, DETAILS, TOKEN, wire
from govpay.sandbox.calls import SESSION, Call, SandboxRoute
from govpay.sandbox.clock import iso
from govpay.sandbox.errors import Refusal, conflict, invalid, malformed
from govpay.sandbox.platform import Platform
from govpay.sandbox.shapes import Doc, check, flag, shape, text
from govpay.sandbox.store import StoredRow

# A33.
DUPLICATE_WINDOW = timedelta(minutes=5)


def _is_moment(value: str, path: str) -> None:
    try:
        moment: datetime | None = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        invalid(f"{path} is not a date and time with its offset.")


QUOTE = shape(
    method=text(required=True, choices=("card", "ach", "apple_pay")),
    card_type=text(),
    processor_token=text(rule=is_token),
    payment_method=DETAILS,
)
CONFIRM = shape(
    processor_token=TOKEN,
    method=text(required=True, choices=("card", "ach", "apple_pay", "paypal")),
    save_method=flag(),
    billing_details=BILLING,
    challenge_response=challenges.RESPONSE,
    payment_method=DETAILS,
    ach_authorization=shape(
        sec_code=text(required=True, choices=("web", "tel", "ppd")), accepted_at=text(required=True, rule=_is_moment)
    ).part(),
    duplicate_acknowledged=flag(),
)


def quote_fee(call: Call, uid: str) -> Answer:
    """`POST …/quote-fee`: the fee and total that a confirm with the same token will charge. The answer is by A31."""
    session = check_open(call, "payment")
    body = check(call.body, QUOTE)
    _check_payable(call.platform, session, body["method"])
    if body["method"] == "apple_pay":
        if {"processor_token", "payment_method"} & set(body):
            malformed("processor_token and payment_method are left out for apple_pay.")
        brand = body.get("card_type", "visa").lower()
        instrument = Instrument("credit", brand, "", 0, 0, None)
    else:
        instrument = _quoted(call.platform, session, body)
    amount, charged = session.doc["amount"], fee(session.doc["amount"], instrument)
    answer = {
        "amount": amount,
        "convenience_fee": charged,
        "total_amount": amount + charged,
        "method": body["method"],
        "last4": instrument.last4,
        "card_type": instrument.brand,
    }
    return Answer(200, {name: value for name, value in answer.items() if value != ""})


def _quoted(platform: Platform, session: StoredRow, body: Doc) -> Instrument:
    for name in ("processor_token", *(("card_type",) if body["method"] == "card" else ())):
        if name not in body:
            malformed(f"{name} is required.")
    instrument = instrument_for(platform, session.account_uid, wire(platform, session, body))
    if body["method"] == "card" and body["card_type"].lower() != instrument.brand:
        invalid("card_type is not the card's.")
    return instrument


def _check_payable(platform: Platform, session: StoredRow, method: str) -> None:
    account = platform.store.get("account", str(session.account_uid))
    if account is None or not account.doc["active"]:
        invalid("The payment account is not active.")
    if method == "paypal" or method not in allowed_methods(platform, session):
        invalid("The session does not take this method.")
    check_limits(account.doc, session.doc["amount"])


def confirm(call: Call, uid: str) -> Answer:
    """`POST …/confirm`: works once. The same `Idempotency-Key` returns the first result and charges nothing."""
    platform, session = call.platform, check_scope(call, "payment")
    body = check(call.body, CONFIRM)
    refuse_expired(session)
    key = call.headers.get("idempotency-key", "")
    first = session.private.get("results", {}).get(key) if key else None
    if first:
        return _repeat(first)
    if session.doc["status"] == "completed":
        conflict("The session is completed.", "already_confirmed")
    _check_payable(platform, session, body["method"])
    _check_body(session, body)
    method = wire(platform, session, body)
    instrument = instrument_for(platform, session.account_uid, method)
    _check_saving(session, body, method)
    challenges.check_response(platform, session, body.get("challenge_response"))
    if not body.get("duplicate_acknowledged"):
        _check_duplicate(platform, session, body, instrument)
    return _charge(platform, session, body, method, key)


def _repeat(first: Doc) -> Answer:
    if first["status"] == 200:
        return Answer(200, first["body"])
    body = first["body"]
    raise Refusal(first["status"], body["code"], body["message"], recoverable=body["recoverable"])


def _check_body(session: StoredRow, body: Doc) -> None:
    """Check what the session requires of a new card or bank account."""
    given = body.get("billing_details", {})
    if not body["processor_token"].lower().startswith("spm_"):
        for name in session.doc.get("required_avs_fields", []):
            if not given.get(name, "").strip():
                invalid(f"billing_details.{name} is required by the session.")
    if "ach_authorization" in body and body["method"] != "ach":
        invalid("ach_authorization goes with method ach.")


def _check_saving(session: StoredRow, body: Doc, method: Doc) -> None:
    """Saving needs `setup_future_usage` [the operation page] and a customer."""
    if not body.get("save_method"):
        return
    if session.doc["setup_future_usage"] == "off":
        invalid("save_method needs the session's setup_future_usage.")
    if not session.doc["customer_id"]:
        invalid("save_method needs the session's customer_id.")
    if "wallet" in method or body["method"] == "apple_pay":
        invalid("save_method is for a new card or bank account.")


def payer_of(session: StoredRow, body: Doc) -> str:
    """Return the payer, as far as the session knows. Without customer and e-mail only the digits distinguish payers."""
    email = session.doc.get("customer_email") or body.get("billing_details", {}).get("email", "")
    return str(session.doc["customer_id"] or email.strip().lower())


def _check_duplicate(platform: Platform, session: StoredRow, body: Doc, instrument: Instrument) -> None:
    since = iso(platform.clock.now() - DUPLICATE_WINDOW)
    recent = platform.store.find(
        "session",
        "account_uid = ? AND status = 'completed' AND amount = ? AND updated_at > ?",
        (session.account_uid, session.doc["amount"], since),
    )
    wanted = (payer_of(session, body), instrument.last4)
    for row in recent:
        paid = row.private.get("paid")
        if paid and (paid["payer"], paid["last4"]) == wanted:
            text = "A payment of the same amount with the same method was made a moment ago."
            raise Refusal(409, "duplicate_payment", text, recoverable=True)


def _charge(platform: Platform, session: StoredRow, body: Doc, method: Doc, key: str) -> Answer:
    """Validate and capture in one; a decline is stored under its key, and the session stays active."""
    payment = make_payment(
        platform,
        str(session.account_uid),
        method,
        base_amount=session.doc["amount"],
        currency=session.doc["currency"],
        # The platform's own reference. A merchant can put its reference into the metadata.
        reference_id=session.uid,
        session_id=session.uid,
    )
    payment.doc["customer_uid"] = session.doc["customer_id"]
    instrument = instrument_for(platform, session.account_uid, method)
    try:
        capture(platform, payment)
    except Refusal as refusal:
        error = {"code": refusal.code, "message": refusal.message, "recoverable": refusal.recoverable}
        _remember(session, key, refusal.status, error)
        platform.store.put(session)
        raise
    saved = _save(platform, session, body, method)
    (transaction,) = transactions_of(platform, payment)
    answer = {
        "session_id": session.uid,
        "status": "completed",
        "payment_uid": payment.uid,
        "transaction_id": transaction.doc["processor_transaction_id"],
        "method": body["method"],
        "last4": instrument.last4,
        "card_type": instrument.brand,
        "total_amount": payment.doc["total_amount"],
        "saved_method_id": saved,
    }
    answer = {name: value for name, value in answer.items() if value not in ("", None)}
    session.private["paid"] = {
        "payment_uid": payment.uid,
        "payer": payer_of(session, body),
        "last4": instrument.last4,
        "ach_authorization": body.get("ach_authorization"),
    }
    _remember(session, key, 200, answer)
    complete(platform, session, payment, transaction, body["method"])
    return Answer(200, answer)


def _remember(session: StoredRow, key: str, status: int, body: Doc) -> None:
    if key:
        session.private.setdefault("results", {})[key] = {"status": status, "body": body}


def _save(platform: Platform, session: StoredRow, body: Doc, method: Doc) -> str | None:
    if not body.get("save_method"):
        return None
    customer = platform.store.get("customer", session.doc["customer_id"], session.account_uid)
    # The customer may have been removed since the session was created; the payment is valid all the same.
    return make_method(platform, customer, method).uid if customer else None


ROUTES = [
    SandboxRoute("POST", "/v1/hosted-sessions/<uid>/quote-fee", quote_fee, SESSION, json=True),
    SandboxRoute("POST", "/v1/hosted-sessions/<uid>/confirm", confirm, SESSION, json=True),
]

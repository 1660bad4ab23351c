"""Control routes under `/_sandbox/` for webhooks, and for events that happen outside the platform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from govpay.sandbox.answers import Answer
from govpay.sandbox.api import events, refunds, wallets
from govpay.sandbox.calls import ANYONE, Call, SandboxRoute
from govpay.sandbox.control import city, direct
from govpay.sandbox.control.routes import given_in
from govpay.sandbox.errors import Refusal, malformed
from govpay.sandbox.shapes import Doc
from govpay.sandbox.store import StoredRow
from govpay.sandbox.webhooks import outbox
from govpay.sandbox.webhooks.faults import WebhookFault, parse_webhook_fault


def _done(status: int, act: Callable[[], Any]) -> Answer:
    """Run it in one transaction; 404 for unknown objects, 400 for invalid values."""
    try:
        return Answer(status, act())
    except KeyError as error:
        raise Refusal(404, "not_found", f"{error.args[0]}.") from None
    except (ValueError, TypeError) as error:
        malformed(f"{error}.")


def _text(given: Doc, name: str) -> str:
    value = given.pop(name, None)
    if not isinstance(value, str) or not value:
        malformed(f"{name} must be a string.")
    return value


def list_deliveries(call: Call) -> Answer:
    """List all deliveries, or those of one account: `?account=<uid>`."""
    account = call.query.get("account", [None])[0]
    return Answer(200, [delivery.shown() for delivery in outbox.every(call.platform, account)])


def subscribe(call: Call) -> Answer:
    """Subscribe one account, or with `callback_base` all accounts without a callback URL.

    Body: `{"account", "callback_url", "event_types": […]}`, or `{"callback_base"}`.
    """
    given = given_in(call)
    if "callback_base" in given:
        base = _text(given, "callback_base")
        return _done(200, lambda: {"accounts": events.follow_base(call.platform, base)})
    account_uid, url = _text(given, "account"), _text(given, "callback_url")
    types = given.get("event_types")
    if types is not None and not (isinstance(types, list) and all(isinstance(name, str) for name in types)):
        malformed("event_types must be an array of strings.")

    def act() -> Doc:
        with call.platform.store.transaction():
            account = direct.the_row(call.platform, "account", account_uid)
            return events.subscribe(call.platform, account, url, types).doc

    return _done(200, act)


def rotate_secret(call: Call) -> Answer:
    """Make a new signing secret. Body: `{"account"}`; the answer has the new `secret`."""
    uid = _text(given_in(call), "account")

    def act() -> Doc:
        with call.platform.store.transaction():
            return {"secret": events.rotate_secret(call.platform, direct.the_row(call.platform, "account", uid))}

    return _done(200, act)


def send_webhook(call: Call) -> Answer:
    """Send any event. Body: `{"account", "event_type", "data": {…}}`; `webhook_id` and `timestamp` are optional."""
    given = given_in(call)
    account_uid, event_type, data = _text(given, "account"), _text(given, "event_type"), given.get("data", {})
    webhook_id, timestamp = given.get("webhook_id"), given.get("timestamp")
    if not isinstance(data, dict):
        malformed("data must be an object.")
    if webhook_id is not None and not isinstance(webhook_id, str):
        malformed("webhook_id must be a string.")
    if timestamp is not None and type(timestamp) is not int:
        malformed("timestamp must be a whole number of seconds.")
    return _done(
        201,
        lambda: events.send(call.platform, account_uid, event_type, data, webhook_id, timestamp).shown(),
    )


def add_fault(call: Call) -> Answer:
    """Add a fault. Body: `{"spec": "duplicate:0.2"}`, or `{"kind": "duplicate", "times": 3, "share": 0.2}`."""
    given = given_in(call)

    def act() -> Doc:
        fault = parse_webhook_fault(str(given["spec"])) if "spec" in given else WebhookFault(**given)
        return call.platform.webhook_faults.add(fault).described()

    return _done(201, act)


def clear_faults(call: Call) -> Answer:
    given_in(call)
    call.platform.webhook_faults.clear()
    return Answer(204)


def hold(call: Call) -> Answer:
    given_in(call)
    call.platform.webhook_faults.held = True
    return Answer(204)


def release(call: Call) -> Answer:
    """Send the webhooks that were held. Body: empty, or `{"shuffle": true, "seed": 7}`."""
    given = given_in(call)
    seed = given.get("seed", 0)
    if type(seed) is not int:
        malformed("seed must be a whole number.")
    if given.get("shuffle"):
        outbox.shuffle(call.platform, seed)
    call.platform.webhook_faults.held = False
    call.platform.wake()
    return Answer(204)


def _on(call: Call, kind: str, name: str, act: Callable[[StoredRow, Doc], StoredRow]) -> Answer:
    """Carry out an event on the object in the body; the other properties of the body are its arguments."""
    given = given_in(call)
    uid = _text(given, name)

    def run() -> Doc:
        with call.platform.store.transaction():
            return act(direct.the_row(call.platform, kind, uid), given).doc

    return _done(201, run)


def chargeback(call: Call) -> Answer:
    """Dispute a payment. Body: `{"payment", "reason_code", "amount"}` (cents); the answer is the transaction."""
    return _on(call, "payment", "payment", lambda row, given: refunds.charge_back(call.platform, row, **given))


def reversal(call: Call) -> Answer:
    """Reverse the chargeback of a payment. Body: `{"payment"}`."""
    return _on(call, "payment", "payment", lambda row, given: refunds.reverse_chargeback(call.platform, row, **given))


def bank_return(call: Call) -> Answer:
    """Return a captured bank payment. Body: `{"payment", "reason_code"}`."""
    return _on(call, "payment", "payment", lambda row, given: refunds.return_payment(call.platform, row, **given))


def update_method(call: Call) -> Answer:
    """Update a saved method as the card network does. Body: `{"method", "exp_year": 2044, …}`."""
    return _on(call, "method", "method", lambda row, given: wallets.update_method(call.platform, row, given))


def pay_elsewhere(call: Call) -> Answer:
    """Add a payment that came by the payer's bank or by telephone.

    Body: `{"account", "event_type", "base_amount", "reference_id"}`.
    """

    def act(row: StoredRow, given: Doc) -> StoredRow:
        return direct.pay_elsewhere(call.platform, row.uid, _text(given, "event_type"), given)

    return _on(call, "account", "account", act)


def fill_city(call: Call) -> Answer:
    """`{"seed": 1}`: the demo city's people and payments, into accounts that were opened through the API."""
    given = given_in(call)
    seed = given.get("seed", 1)
    if type(seed) is not int:
        malformed("seed must be a whole number.")

    def act() -> Doc:
        city.fill(call.platform, seed)
        return {"payments": call.platform.store.count("payment")}

    return _done(200, act)


ROUTES = [
    SandboxRoute("GET", "/_sandbox/deliveries", list_deliveries, ANYONE),
    SandboxRoute(
        "GET", "/_sandbox/webhook-faults", lambda call: Answer(200, call.platform.webhook_faults.active()), ANYONE
    ),
    *(
        SandboxRoute("POST", f"/_sandbox/{name}", run, ANYONE)
        for name, run in (
            ("webhooks", subscribe),
            ("webhook-faults", add_fault),
            ("hold-webhooks", hold),
            ("release-webhooks", release),
            ("rotate-secret", rotate_secret),
            ("send-webhook", send_webhook),
            ("chargeback", chargeback),
            ("reversal", reversal),
            ("return", bank_return),
            ("update-method", update_method),
            ("pay-elsewhere", pay_elsewhere),
            ("city", fill_city),
        )
    ),
    SandboxRoute("DELETE", "/_sandbox/webhook-faults", clear_faults, ANYONE),
]

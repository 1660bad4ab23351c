"""The operations of the fault matrix: how each is started, and how its outcome is read from the platform's state."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from govpay import operations
from govpay.exceptions import APIError, OutcomeUnknown
from govpay.models import (
    Client,
    Customer,
    HostedSession,
    Payment,
    PaymentAccount,
    PaymentLink,
    SavedPaymentMethod,
    Transaction,
    WebhookSubscription,
)
from govpay.sync import mapping
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_documents
from tests.operations.merchant import Merchant, bank_account, card

HERE = "https://city.example"
CANARY = "tok_canary"

#: (what, ours, the platform's)
Pairs = list[tuple[str, Any, Any]]


@dataclass
class Situation:
    """One operation of the matrix, prepared and not yet started."""

    do: Callable[[], Any]
    #: How often the platform carried it out, read from the platform's state.
    happened: Callable[[], int]
    #: Values that must be equal here and on the platform after reconciliation.
    pairs: Callable[[], Pairs]
    #: The account that it is about, if it is not the merchant's own.
    account: str = ""


@dataclass(frozen=True)
class Case:
    #: The only write. Empty: nothing is sent.
    route: str
    prepare: Callable[[Merchant], Situation]
    #: The lists that contain its objects.
    lists: tuple[str, ...] = ()
    #: The platform does not show whether it was carried out, and the effect is useless without the answer.
    traceless: bool = False
    #: Its effect has our reference, so that even a wrong refusal of the platform is detected.
    named: bool = False
    money: bool = False
    #: It only reads, so that nothing changes on the platform.
    reads: bool = False


def entries(merchant: Merchant, kind: str, payment: Payment) -> int:
    return sum(entry["kind"] == kind for entry in merchant.ledger("", payment))


def method(make: Callable[..., dict[str, Any]] = card) -> dict[str, Any]:
    return make(fingerprint=f"{CANARY}_{uuid.uuid4().hex}")


def take(mapper: mapping.Mapper, document: dict[str, Any], **extra: Any) -> None:
    """Store a document of the platform, as a sync does, and return its row."""
    in_transaction(lambda: save_documents(mapper, [document], extra=extra, quiet=True))


# --- Payments -----------------------------------------------------------------------------------


def payment_pairs(merchant: Merchant, *uids: str) -> Pairs:
    found: Pairs = []
    for uid in uids:
        there = merchant.sandbox.get("payment", uid)
        row = Payment.objects.filter(uid=uid).first()
        if there is not None:
            for name in ("status", "total_amount", "refunded_amount", "currency"):
                found.append((f"payment.{name}", getattr(row, name, None), there[name]))
    return found


def transaction_pairs(merchant: Merchant, payment: Payment) -> Pairs:
    there = {
        row["reference_id"]: (row["amount"], row["status"])
        for row in merchant.sandbox.all("transaction")
        if row["payment_uid"] == payment.uid and row["type"] == "refund"
    }
    rows = Transaction.objects.filter(payment=payment.uid, type="refund", deleted_at=None)
    return [("refunds", {row.reference_id: (row.amount, row.status) for row in rows}, there)]


def quote(merchant: Merchant) -> Situation:
    reference = f"bill-{uuid.uuid4().hex}"

    def made() -> list[str]:
        return [row["uid"] for row in merchant.sandbox.all("payment") if row["reference_id"] == reference]

    return Situation(
        lambda: operations.quote_payment(
            account=merchant.account, base_amount=10_000, reference_id=reference, payment_method=method()
        ),
        lambda: len(made()),
        lambda: payment_pairs(merchant, *made()),
    )


def validated(merchant: Merchant) -> Payment:
    """A payment on a saved method, which can be captured here although it was validated elsewhere."""
    customer = merchant.sandbox.add_customer(merchant.account.uid)["uid"]
    uid = merchant.sandbox.add_method(customer)["saved_payment_method_uid"]
    return merchant.add("validated", method=uid)


def capture(merchant: Merchant) -> Situation:
    payment = validated(merchant)
    return Situation(
        lambda: operations.capture_payment(payment=payment),
        lambda: entries(merchant, "capture", payment),
        lambda: payment_pairs(merchant, payment.uid),
    )


def void(merchant: Merchant) -> Situation:
    payment = merchant.captured()
    return Situation(
        lambda: operations.void_payment(payment=payment),
        lambda: entries(merchant, "void", payment),
        lambda: payment_pairs(merchant, payment.uid),
    )


def refund(merchant: Merchant, *, bank: bool = False) -> Situation:
    payment = merchant.bank_payment() if bank else merchant.captured()
    return Situation(
        lambda: operations.refund_payment(payment=payment, amount=2_500, reason="too much"),
        lambda: entries(merchant, "refund", payment),
        lambda: payment_pairs(merchant, payment.uid) + transaction_pairs(merchant, payment),
    )


# --- Customers and wallets ----------------------------------------------------------------------


def add_customer(merchant: Merchant) -> Customer:
    document = merchant.sandbox.add_customer(merchant.account.uid)
    take(mapping.CUSTOMER, document, account_id=merchant.account.uid)
    return Customer.objects.get(uid=document["uid"])


def add_method(merchant: Merchant, customer: Customer, **given: Any) -> SavedPaymentMethod:
    document = merchant.sandbox.add_method(customer.uid, **given)
    take(mapping.SAVED_METHOD, document, account_id=merchant.account.uid, customer_id=customer.uid)
    return SavedPaymentMethod.objects.get(uid=document["saved_payment_method_uid"])


def customer(merchant: Merchant) -> Situation:
    reference = f"CUST-{uuid.uuid4().hex}"

    def made() -> list[str]:
        return [row["uid"] for row in merchant.sandbox.all("customer") if row["reference_id"] == reference]

    return Situation(
        lambda: operations.create_customer(account=merchant.account, reference_id=reference, name="Pat"),
        lambda: len(made()),
        lambda: [("customers", sorted(_uids(Customer.objects.filter(reference_id=reference))), made())],
    )


def _uids(rows: Any) -> list[str]:
    return list(rows.filter(deleted_at=None).values_list("uid", flat=True))


def wallet_pairs(merchant: Merchant, owner: Customer) -> Pairs:
    if merchant.sandbox.get("customer", owner.uid) is None:
        return []
    there = {row["saved_payment_method_uid"]: row["is_default"] for row in merchant.sandbox.methods(owner.uid)}
    rows = SavedPaymentMethod.objects.filter(customer=owner.uid, deleted_at=None)
    return [("methods", {row.uid: bool(row.is_default) for row in rows}, there)]


def saved_uids(merchant: Merchant, owner: Customer) -> list[str]:
    if merchant.sandbox.get("customer", owner.uid) is None:
        return []
    return [row["saved_payment_method_uid"] for row in merchant.sandbox.methods(owner.uid)]


def save(merchant: Merchant) -> Situation:
    owner = add_customer(merchant)
    return Situation(
        lambda: operations.save_payment_method(customer=owner, payment_method=method()),
        lambda: len(saved_uids(merchant, owner)),
        lambda: wallet_pairs(merchant, owner),
    )


def remove(merchant: Merchant) -> Situation:
    owner = add_customer(merchant)
    saved = add_method(merchant, owner)
    return Situation(
        lambda: operations.remove_payment_method(method=saved),
        lambda: int(saved.uid not in saved_uids(merchant, owner)),
        lambda: wallet_pairs(merchant, owner),
    )


def set_default(merchant: Merchant) -> Situation:
    owner = add_customer(merchant)
    add_method(merchant, owner, default=True)
    saved = add_method(merchant, owner)

    def happened() -> int:
        there = merchant.sandbox.get("customer", owner.uid) or {}
        return int(there.get("default_payment_method_uid") == saved.uid)

    return Situation(
        lambda: operations.set_default_payment_method(method=saved), happened, lambda: wallet_pairs(merchant, owner)
    )


def import_methods(merchant: Merchant) -> Situation:
    owners = [add_customer(merchant), add_customer(merchant)]
    rows = [
        {"customer_reference_id": owners[0].reference_id, "payment_method": method()},
        {"customer_reference_id": owners[1].reference_id, "payment_method": method(bank_account)},
    ]

    def happened() -> int:
        found = [len(saved_uids(merchant, owner)) for owner in owners]
        return found[0] if found[0] == found[1] else -1

    def do() -> None:
        found = {
            each.state: each.error for each in operations.import_payment_methods(account=merchant.account, rows=rows)
        }
        assert len(found) == 1
        if "unknown" in found:
            raise OutcomeUnknown(found["unknown"])
        if "imported" not in found:
            raise APIError(str(found))

    return Situation(
        do,
        happened,
        lambda: [pair for owner in owners for pair in wallet_pairs(merchant, owner)],
    )


# --- Sessions and links -------------------------------------------------------------------------


def sessions_there(merchant: Merchant) -> set[str]:
    return {row["session_id"] for row in merchant.sandbox.all("session")}


def session_pairs(merchant: Merchant, uids: Any) -> Pairs:
    found: Pairs = []
    for uid in uids:
        there = merchant.sandbox.get("session", uid)
        row = HostedSession.objects.filter(uid=uid).first()
        if there is not None and row is not None:
            found.append(("session.status", row.status, there["status"]))
            if row.scope != "wallet":
                found.append(("session.amount", row.amount, there["amount"]))
    return found


def open_session(merchant: Merchant) -> HostedSession:
    return operations.create_hosted_session(account=merchant.account, amount=5_000, success_url=HERE, cancel_url=HERE)


def _creating(merchant: Merchant, do: Callable[[], Any]) -> Situation:
    before = sessions_there(merchant)
    return Situation(
        do,
        lambda: len(sessions_there(merchant) - before),
        lambda: session_pairs(merchant, sessions_there(merchant) - before),
    )


def create_session(merchant: Merchant) -> Situation:
    return _creating(merchant, lambda: open_session(merchant))


def create_wallet(merchant: Merchant) -> Situation:
    owner = add_customer(merchant)
    return _creating(merchant, lambda: operations.create_wallet_session(customer=owner))


def follow_link(merchant: Merchant) -> Situation:
    link = make_link(merchant)
    return _creating(merchant, lambda: operations.open_session(link, success_url=HERE, cancel_url=HERE))


def make_link(merchant: Merchant) -> PaymentLink:
    return operations.create_payment_link(account=merchant.account, amount=5_000)


def create_link(merchant: Merchant) -> Situation:
    made: list[PaymentLink] = []
    return Situation(lambda: made.append(make_link(merchant)), lambda: 0, lambda: [("links", len(made), 1)])


def update_session(merchant: Merchant) -> Situation:
    session = open_session(merchant)
    return Situation(
        lambda: operations.update_hosted_session(session=session, amount=7_000),
        lambda: int((merchant.sandbox.get("session", session.uid) or {}).get("amount") == 7_000),
        lambda: session_pairs(merchant, [session.uid]),
    )


def _expiring(merchant: Merchant, session: HostedSession, do: Callable[[], Any]) -> Situation:
    return Situation(
        do,
        lambda: int((merchant.sandbox.get("session", session.uid) or {}).get("status") == "expired"),
        lambda: session_pairs(merchant, [session.uid]),
    )


def expire_session(merchant: Merchant) -> Situation:
    session = open_session(merchant)
    return _expiring(merchant, session, lambda: operations.expire_hosted_session(session=session))


def cancel_link(merchant: Merchant) -> Situation:
    link = make_link(merchant)
    session = operations.open_session(link, success_url=HERE, cancel_url=HERE)
    assert session is not None
    situation = _expiring(merchant, session, lambda: operations.cancel_payment_link(link=link))
    pairs = situation.pairs
    # Whatever the platform answered: its effect cannot be looked up.
    situation.pairs = lambda: [*pairs(), ("link", PaymentLink.objects.get(pk=link.pk).state, "cancelled")]
    return situation


# --- Clients, accounts, events ------------------------------------------------------------------


def client(merchant: Merchant) -> Situation:
    name = f"City {uuid.uuid4().hex}"

    def made() -> list[str]:
        return [row["uid"] for row in merchant.sandbox.all("client") if row["name"] == name]

    return Situation(
        lambda: operations.create_client(name=name),
        lambda: len(made()),
        lambda: [("clients", _uids(Client.objects.filter(name=name)), made())],
    )


def account(merchant: Merchant) -> Situation:
    name = f"Water {uuid.uuid4().hex}"
    document = merchant.sandbox.add_client()
    take(mapping.CLIENT, document)
    owner = Client.objects.get(uid=document["uid"])

    def made() -> list[str]:
        return [row["uid"] for row in merchant.sandbox.all("account") if row["name"] == name]

    return Situation(
        lambda: operations.create_payment_account(client=owner, name=name, processor="zift"),
        lambda: len(made()),
        lambda: [("accounts", _uids(PaymentAccount.objects.filter(name=name)), made())],
    )


def account_pairs(merchant: Merchant, uid: str) -> Pairs:
    there = merchant.sandbox.get("account", uid)
    row = PaymentAccount.objects.get(uid=uid)
    return [] if there is None else [("account.name", row.name, there["name"]), ("active", row.active, there["active"])]


def update_account(merchant: Merchant) -> Situation:
    own = merchant.add_account()
    name = f"Gas {uuid.uuid4().hex}"
    return Situation(
        lambda: operations.update_payment_account(account=own, name=name),
        lambda: int((merchant.sandbox.get("account", own.uid) or {}).get("name") == name),
        lambda: account_pairs(merchant, own.uid),
    )


def set_checkout(merchant: Merchant) -> Situation:
    own = merchant.add_account()

    def origins() -> list[str]:
        return list((merchant.sandbox.get("account", own.uid) or {}).get("allowed_origins") or [])

    def pairs() -> Pairs:
        there = merchant.sandbox.get("account", own.uid)
        if there is None:
            return []
        return [("origins", PaymentAccount.objects.get(uid=own.uid).allowed_origins or [], origins())]

    return Situation(
        lambda: operations.set_checkout_config(account=own, allowed_origins=[HERE]),
        lambda: int(origins() == [HERE]),
        pairs,
    )


def set_subscriptions(merchant: Merchant) -> Situation:
    own = merchant.add_account()

    def there() -> set[str]:
        row = merchant.sandbox.platform.store.get("account", own.uid)
        return {name for name, on in row.private["subscriptions"].items() if on} if row else set()

    def here() -> set[str]:
        rows = WebhookSubscription.objects.filter(account=own.uid, deleted_at=None, enabled=True)
        return set(rows.values_list("event_type", flat=True))

    return Situation(
        lambda: operations.set_webhook_subscriptions(account=own, enabled=["payment.completed"]),
        lambda: int(there() == {"payment.completed"}),
        lambda: [("subscriptions", here(), there())],
        own.uid,
    )


def refresh_secret(merchant: Merchant) -> Situation:
    own = merchant.add_account()
    operations.refresh_webhook_secret(account=own)
    old = merchant.sandbox.webhook_secret(own.uid)
    new = merchant.sandbox.rotate_secret(own.uid)

    def kept() -> str:
        return str(PaymentAccount.objects.get(uid=own.uid).webhook_secret.reveal())

    return Situation(
        lambda: operations.refresh_webhook_secret(account=own),
        lambda: int(kept() == new),
        lambda: [("the secret is one of the platform's", kept() in (old, new), True)],
    )


PAYMENTS = ("payments", "transactions")
WALLETS = ("customers", "methods")

OPERATIONS: dict[str, Case] = {
    "quote_payment": Case("POST /api/payments", quote, PAYMENTS, money=True),
    "capture_payment": Case("POST /api/payments/{uid}/capture", capture, PAYMENTS, money=True),
    "void_payment": Case("POST /api/payments/{uid}/void", void, PAYMENTS, money=True),
    "refund_payment": Case("POST /api/payments/{uid}/refund", refund, PAYMENTS, named=True, money=True),
    "refund_payment (bank)": Case(
        "POST /api/payments/{uid}/refund",
        lambda merchant: refund(merchant, bank=True),
        PAYMENTS,
        named=True,
        money=True,
    ),
    "create_customer": Case("POST /api/customers", customer, WALLETS),
    "save_payment_method": Case("POST /api/customers/{uid}/payment-methods", save, WALLETS),
    "remove_payment_method": Case("DELETE /api/customers/{uid}/payment-methods/{uid}", remove, WALLETS),
    "set_default_payment_method": Case("PUT /api/customers/{uid}/default-payment-method", set_default, WALLETS),
    "import_payment_methods": Case("POST /api/saved-payment-methods/import", import_methods, WALLETS),
    "create_hosted_session": Case("POST /v1/hosted-sessions", create_session, ("sessions",), traceless=True),
    "create_wallet_session": Case("POST /v1/hosted-sessions", create_wallet, ("sessions",), traceless=True),
    "open_session": Case("POST /v1/hosted-sessions", follow_link, ("sessions",), traceless=True),
    "update_hosted_session": Case("PATCH /v1/hosted-sessions/{uid}", update_session, ("sessions",)),
    "expire_hosted_session": Case("POST /v1/hosted-sessions/{uid}/expire", expire_session, ("sessions",)),
    "create_payment_link": Case("", create_link),
    "cancel_payment_link": Case("POST /v1/hosted-sessions/{uid}/expire", cancel_link, ("sessions",)),
    "create_client": Case("POST /api/clients", client, ("clients",)),
    "create_payment_account": Case("POST /api/paymentaccounts", account, ("accounts",)),
    "update_payment_account": Case("PUT /api/paymentaccounts/{uid}", update_account, ("accounts",)),
    "set_checkout_config": Case("PUT /api/paymentaccounts/{uid}/checkout-config", set_checkout, ("accounts",)),
    "set_webhook_subscriptions": Case("PUT /api/webhooks/subscriptions", set_subscriptions, ("subscriptions",)),
    "refresh_webhook_secret": Case("GET /api/webhooks/secret", refresh_secret, reads=True),
}

#: Public names of ``govpay.operations`` that are not actions, and why no fault of a write concerns them.
NO_ACTIONS: dict[str, str] = {
    "Authorization": "a record that a capture carries",
    "Snapshot": "a record that a confirmation carries",
    "begin_restore": "changes our rows alone",
    "held_since": "reads our rows",
    "finish_restore": "changes our rows alone",
    "is_at_stake": "reads our rows",
    "not_executed_of": "reads our rows",
    "retry_operation": "sends what another call has sent before; test_money_signs has its faults",
    "unread_lists": "reads our rows",
    "why_not_retry": "reads our rows",
    "callback": "an address, computed",
    "capturable_methods": "reads our rows",
    "catalogue_of": "reads the platform",
    "check_site": "reads the settings",
    "checkout_as_sent": "reads our rows",
    "close_expired_links": "changes our rows alone",
    "follow_refunds": "changes our rows alone",
    "quote_of": "reads our rows",
    "quoted_by_staff": "reads our rows",
    "recheck_resolved": "reads the platform; test_manual_resolution has its faults",
    "reconcile": "reads the platform; it is what every combination ends with",
    "refresh_wallet": "reads the platform",
    "resolve_manually": "reads the platform and takes somebody's word; test_manual_resolution has its faults",
}

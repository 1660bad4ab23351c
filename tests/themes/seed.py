"""Rows for the themes: ``python -m tests.themes.seed`` migrates, syncs, and prints the addresses to open."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any

import django

THEMES = ("plain", "unfold", "jazzmin", "grappelli")
#: The first two are disputed; the tests that do something leave alone those that others look at.
PAYMENTS = ("disputed", "settled", "refundable", "refunded", "first", "second", "stuck")


def main(given: dict[str, Any]) -> dict[str, Any]:
    """``given``: for each theme the uids of the platform's objects that belong to it."""
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("govpay_sync", "--full", verbosity=0, stdout=sys.stderr)
    root = User.objects.create_superuser("root", password="x")
    return {"session": session(root), "rows": {theme: rows(given[theme], root) for theme in THEMES}}


def session(user: Any) -> str:
    """The key of a session in which ``user`` is signed in."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.create()
    return str(store.session_key)


def rows(uids: dict[str, str], root: Any) -> dict[str, Any]:
    """Primary keys of one row of every kind, in the states that have something to show."""
    from django.apps import apps
    from django.utils import timezone

    from govpay import operations
    from govpay.models import Customer, Heartbeat, Operation, Payment, PaymentAccount, SavedPaymentMethod, WebhookEvent

    now = timezone.now()
    account = PaymentAccount.objects.get(uid=uids["account"])
    customer = Customer.objects.get(uid=uids["customer"])
    payment = {name: Payment.objects.get(uid=uids[name]) for name in PAYMENTS}
    disputed = [payment[name].pk for name in ("disputed", "settled")]
    Payment.objects.filter(pk__in=disputed).update(flag="chargeback", flagged_at=now)
    link = operations.create_payment_link(
        account=account, amount=12_345, reference_id="INV-7", description="Permit 12", customer=customer, actor=root
    )
    quoted = operations.quote_payment(
        account=account,
        base_amount=8_000,
        saved_method=SavedPaymentMethod.objects.get(uid=uids["method"]),
        description="Water, March",
        actor=root,
    )
    wallet = operations.create_wallet_session(customer=customer, actor=root)
    Heartbeat.objects.get_or_create(name="worker", defaults={"started_at": now, "last_seen": now})
    unknown = Operation.objects.create(
        action="refund",
        state="unknown",
        account_id=account.uid,
        payment_id=payment["stuck"].uid,
        amount=1_250,
        currency="USD",
        reference_id=f"rf-{account.uid}",
        error="The connection broke before the platform answered.",
        actor=root,
        created_at=now - dt.timedelta(minutes=9),
        deadline_at=now - dt.timedelta(minutes=8),
    )
    event = WebhookEvent.objects.create(
        webhook_id=f"wh-{account.uid}",
        event_type="payment.refunded",
        state="failed",
        attempts=7,
        error="The payment could not be read.",
        account_id=account.uid,
        payment_id=payment["refundable"].uid,
        payload={"id": payment["refundable"].uid},
        received_at=now,
    )
    named = {name: row.pk for name, row in payment.items()}
    named |= {"account": account.pk, "customer": customer.pk, "link": link.pk, "quoted": quoted.pk}
    named |= {"unknown": unknown.pk, "event": event.pk, "public_id": link.public_id, "wallet": wallet.uid}
    named["method"] = SavedPaymentMethod.objects.get(uid=uids["method"]).pk
    models = {
        str(model._meta.model_name): model._default_manager.order_by("-pk").values_list("pk", flat=True).first()
        for model in apps.get_app_config("govpay").get_models()
    }
    return {"named": named, "models": models}


if __name__ == "__main__":
    django.setup()
    print(json.dumps(main(json.loads(sys.argv[1]))))

"""Rows of every model, created without a platform. Every third row refers to related rows that do not exist here."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from typing import Any

from django.db import models
from django.utils import timezone

from govpay.models import (
    Client,
    ContractNotice,
    Customer,
    Heartbeat,
    HostedSession,
    Note,
    Operation,
    OutboxSignal,
    Payment,
    PaymentAccount,
    PaymentLink,
    SavedPaymentMethod,
    SyncCursor,
    SyncRun,
    Terminal,
    Transaction,
    WebhookEvent,
    WebhookSubscription,
)

ALL_MODELS: list[type[models.Model]] = [
    Client,
    ContractNotice,
    Customer,
    Heartbeat,
    HostedSession,
    Note,
    Operation,
    OutboxSignal,
    Payment,
    PaymentAccount,
    PaymentLink,
    SavedPaymentMethod,
    SyncCursor,
    SyncRun,
    Terminal,
    Transaction,
    WebhookEvent,
    WebhookSubscription,
]

#: A secret in every sealed column, which must never be shown.
SECRET = "CANARY-7f3a9c"
XSS = "<script>alert('x')</script>"
START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

_numbers = itertools.count(1)


def relatives() -> None:
    """A client, three accounts, a customer, a method, a session and a payment to link to."""
    Client.objects.create(uid="cl_0", name="City of Example")
    for number in range(3):
        PaymentAccount.objects.create(
            uid=f"acc_{number}", client_id="cl_0", name=f"Account {number}", webhook_secret=SECRET, active=True
        )
    Customer.objects.create(uid="cus_0", account_id="acc_0", name="Pat Example")
    SavedPaymentMethod.objects.create(uid="spm_0", account_id="acc_0", customer_id="cus_0", last4="1111")
    HostedSession.objects.create(uid="hs_0", account_id="acc_0", credential=SECRET, hosted_url=SECRET)
    payment(uid="pay_0", reference_id="BILL-0")


def payment(**given: Any) -> Payment:
    """A captured payment of $107.50, today."""
    number = next(_numbers)
    now = timezone.now()
    return Payment.objects.create(
        **{
            "uid": f"pay_x{number}",
            "account_id": "acc_0",
            "customer_id": "cus_0",
            "reference_id": f"BILL-{number}",
            "base_amount": 10000,
            "tax_amount": 500,
            "processing_fee_amount": 250,
            "total_amount": 10750,
            "refunded_amount": 0,
            "currency": "USD",
            "status": "captured",
            "method_type": "credit",
            "brand": "visa",
            "last4": "1111",
            "captured_at": now,
            "remote_created_at": now,
            **given,
        }
    )


def operation(row: Payment, action: str = "refund", state: str = "unknown", **given: Any) -> Operation:
    now = timezone.now()
    return Operation.objects.create(
        **{
            "action": action,
            "state": state,
            "account_id": row.account_id,
            "payment_id": row.uid,
            "amount": 1250,
            "currency": row.currency,
            "reference_id": f"rf-{uuid.uuid4().hex}",
            "created_at": now - dt.timedelta(minutes=5),
            "deadline_at": now - dt.timedelta(minutes=4),
            **given,
        }
    )


def fill(model: type[models.Model], count: int, text: str = "Pat Example", actor: Any = None) -> None:
    """``count`` rows of ``model``; ``text`` goes into every free text."""
    model._default_manager.bulk_create([_row(model, number, text, actor) for number in range(count)])


def _row(model: type[models.Model], number: int, text: str, actor: Any) -> models.Model:
    columns: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        value = _value(model, field, number, text, actor)
        if value is not None:
            columns[field.attname] = value
    if model is SyncCursor:
        columns["resource"] = f"list{number}"
    if model is Heartbeat:
        columns["name"] = f"worker{number}"
    if model is ContractNotice:
        columns["kind"], columns["value"] = f"kind{number}", f"value{number}"
    if model is WebhookEvent:
        columns["webhook_id"] = f"wh-{number}"
    if model is Note:
        del columns[("customer_id", "payment_id")[number % 2]]
    if model is Operation:
        columns |= {"payment_id": f"pay_gone_{number}", "reference_id": f"rf-{number}"} if number % 3 == 0 else {}
        columns |= {"state": ("succeeded", "failed", "succeeded", "unknown")[number % 4 if number % 3 == 0 else 0]}
        columns |= {"reference_id": f"rf-{number}", "action": ("refund", "capture")[number % 2]}
    return model(**columns)


def _value(model: type[models.Model], field: Any, number: int, text: str, actor: Any) -> Any:
    if field.primary_key or field.name == "digest":
        return None
    if field.name == "uid" or field.name == "public_id":
        return f"{model._meta.model_name}-{number:06d}"
    if field.remote_field:
        if field.name in ("actor", "author", "created_by", "retried_by", "settled_by"):
            return getattr(actor, "pk", None)
        known = {"account": f"acc_{number % 2}", "client": "cl_0", "customer": "cus_0"}
        known |= {"saved_method": "spm_0", "session": "hs_0", "payment": "pay_0", "flag_movement": "txn_0"}
        return known[field.name] if number % 3 else f"gone_{field.name}_{number}"
    if field.name in ("status", "state", "type", "mode", "action", "source"):
        values = [value for value, _label in field.flatchoices] or ["captured", "failed", "never_heard_of"]
        return values[number % len(values)]
    kind = type(field).__name__
    if kind == "SealedField":
        return SECRET
    if kind == "DateTimeField":
        return START - dt.timedelta(hours=number)
    if field.name == "earlier_attempts":
        ended = {"attempt": 1, "started_at": START.isoformat(), "finished_at": START.isoformat()}
        return [{**ended, "by": text, "error": text, "resolved_by": text, "resolution": text}]
    if kind == "JSONField":
        return [{"uid": text, "error": text}] if field.name == "rejected" else {"uid": text, "number": number}
    if kind == "UUIDField":
        return uuid.uuid4()
    if kind == "BooleanField":
        return bool(number % 2)
    if field.name == "exp_month":
        return number % 12 + 1
    if field.name == "currency":
        return "USD"
    if kind in ("TextField", "CharField"):
        length = field.max_length or 2000
        return text[:length]
    return number

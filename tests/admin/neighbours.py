"""Two payment accounts with rows of every model. Every text and amount shows to which account it belongs."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import models
from django.utils import timezone

from govpay.models import AccountAccess
from govpay.models.access import ACCOUNT_PATHS

#: A text in every text, uid and document of the foreign account.
FOREIGN, OWN = "canaryforeign", "canaryown"
#: Its amounts, in cents and as pages write them.
FOREIGN_CENTS, FOREIGN_MONEY = 7_777_71, "7,777.71"

#: Values that open as many doors as possible.
OPEN: dict[str, dict[str, Any]] = {
    "paymentaccount": {"active": True},
    "payment": {"status": "captured", "flag": "chargeback"},
    "hostedsession": {"status": "active", "scope": "wallet"},
    "paymentlink": {"state": "open"},
    "operation": {"action": "quote", "state": "unknown"},
    "webhookevent": {"state": "failed", "event_type": "payment.refunded"},
    "syncrun": {"mode": "full", "state": "failed"},
    "synccursor": {"mode": "full"},
    "note": {"customer_id": None},
    "transaction": {"type": "refund", "status": "pending"},
}


def all_models() -> list[type[models.Model]]:
    return list(apps.get_app_config("govpay").get_models())


@dataclass
class Side:
    """One account and all that belongs to it: model name → row."""

    word: str
    cents: int
    rows: dict[str, Any] = field(default_factory=dict)

    def uid(self, name: str) -> str:
        return f"{self.word}-{name}"

    def fill(self) -> Side:
        for model in all_models():
            if model is not AccountAccess and ACCOUNT_PATHS[str(model._meta.model_name)]:
                name = str(model._meta.model_name)
                self.rows[name] = model._default_manager.create(**self._columns(model, name))
        return self

    def _columns(self, model: type[models.Model], name: str) -> dict[str, Any]:
        columns = {}
        for each in model._meta.concrete_fields:
            value = self._value(each, name)
            if value is not None:
                columns[each.attname] = value
        return columns | OPEN.get(name, {})

    def _value(self, each: Any, name: str) -> Any:
        if each.primary_key or each.name in ("digest", "replaced_digest", "deleted_at", "lease_token"):
            return None
        if each.name in ("uid", "public_id"):
            return self.uid(name)
        if each.many_to_one:
            related = each.related_model._meta
            return self.uid(related.model_name) if related.app_label == "govpay" else None
        kind = each.get_internal_type()
        if kind == "BigIntegerField" and "amount" in each.name:
            return self.cents
        if kind == "DateTimeField":
            late = each.name in ("expires_at", "deadline_at", "method_expires_at")
            return timezone.now() + dt.timedelta(days=1 if late else 0)
        if each.name == "currency":
            return "USD"
        if kind == "JSONField":
            return [{"uid": self.word, "error": self.word}] if each.name == "rejected" else {"uid": self.word}
        if kind == "UUIDField":
            return uuid.uuid4()
        if kind in ("TextField", "CharField"):
            return f"{self.word} {each.name}"[: each.max_length or 200]
        return None


def own_side() -> Side:
    return Side(OWN, 1_234_50).fill()


def foreign_side() -> Side:
    return Side(FOREIGN, FOREIGN_CENTS).fill()


def everything() -> dict[str, list[Any]]:
    """The content of all our tables, to check that nothing has changed."""
    return {
        str(model._meta.model_name): [
            {name: str(value) for name, value in row.items()} for row in model._default_manager.order_by("pk").values()
        ]
        for model in all_models()
    }


def grant(*accounts: str, **to: Any) -> None:
    AccountAccess.objects.bulk_create(AccountAccess(account_id=uid, **to) for uid in accounts)

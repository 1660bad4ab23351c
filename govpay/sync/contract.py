"""Contract notices: properties and enum values in answers that are not known here.

They are counted in memory. Each process writes its counts at most every ten minutes, so the counts are approximate.
Only the name of an unknown property is stored, never its value.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from django.db import models, router, transaction
from django.db.models import F
from django.utils import timezone

from govpay import conf
from govpay.client import resources
from govpay.client.cards import looks_like_card
from govpay.client.redaction import mask
from govpay.client.routes import Routes
from govpay.client.tenant_shapes import CheckoutConfig
from govpay.client.values import Optional
from govpay.models import (
    Client,
    ContractNotice,
    Customer,
    HostedSession,
    Payment,
    PaymentAccount,
    SavedPaymentMethod,
    Terminal,
    Transaction,
    WebhookEvent,
    WebhookSubscription,
)
from govpay.models.choices import (
    EventType,
    MethodType,
    PaymentStatus,
    SessionStatus,
    TransactionStatus,
    TransactionType,
)

#: Minimum seconds between two writes of the same item by one process.
WRITE_EVERY = 600.0

#: Limits of the items in memory and of the table's rows: a sender could make up any number of names.
MAX_PENDING_NOTICES, MAX_NOTICE_ROWS = 300, 1000

#: Replaces a name or a value that must not be stored because it may be sensitive.
UNFIT = "(not shown)"

_NAME = re.compile(r"[A-Za-z_$@][A-Za-z0-9_$@.\-]{0,63}")
_DIGITS = re.compile("[0-9]{5}")

#: Values of notices that are no values of the platform: a time of change is ahead of a clock (faults R9), the platform
#: has older content again (faults R10), a value was mended because no column takes it (faults R13).
AHEAD, RESTORED, MENDED = "ahead", "restored", "mended"

Item = tuple[str, str, str]


@dataclass(frozen=True)
class ContractShape:
    """The known properties, nested objects and enums of one kind of object."""

    names: frozenset[str]
    inner: tuple[tuple[str, ContractShape], ...] = ()
    enums: tuple[tuple[str, frozenset[str]], ...] = ()


def _values(choices: type[models.TextChoices]) -> frozenset[str]:
    return frozenset(choices.values)


# /platform/payments/, /platform/wallets/, assumptions A8, A14 and A17.
_CARD = {"fingerprint", "last4", "exp_month", "exp_year", "bin", "card_brand", "brand", "holder_name"}
_BANK = {"fingerprint", "routing_number", "account_number_suffix", "account_type", "bank_name", "holder_name", "last4"}
_BLOCKS = (
    ("credit", ContractShape(frozenset(_CARD))),
    ("ach", ContractShape(frozenset(_BANK))),
    ("wallet", ContractShape(frozenset({"saved_payment_method_uid"}))),
)
_METHOD_NAMES = frozenset({"payment_method_type", *(name for name, _ in _BLOCKS)})
_METHOD_TYPE = (("payment_method_type", _values(MethodType)),)
_METHOD = ContractShape(_METHOD_NAMES, _BLOCKS, _METHOD_TYPE)


def _names(resource: type[resources.Resource], *more: str) -> frozenset[str]:
    """Return the properties that the resource class declares as fields, and ``more``, which its code reads."""
    found = set(more)
    for kind in resource.__mro__:
        for each in vars(kind).values():
            if isinstance(each, Optional):
                found.update(each.names)
    return frozenset(found)


@cache
def _shapes() -> dict[type[models.Model], ContractShape]:
    flat = {"type", "payment_method", *_METHOD_NAMES, *_CARD, *_BANK}  # sessions show saved methods flat
    return {
        Client: ContractShape(_names(resources.ClientResource)),
        PaymentAccount: ContractShape(
            _names(resources.PaymentAccountResource, *(field.name for field in fields(CheckoutConfig)))
        ),
        Customer: ContractShape(_names(resources.CustomerResource)),
        SavedPaymentMethod: ContractShape(
            _names(resources.SavedMethodResource, *flat), (*_BLOCKS, ("payment_method", _METHOD)), _METHOD_TYPE
        ),
        Payment: ContractShape(
            _names(resources.PaymentResource, "payment_method"),
            (("payment_method", _METHOD),),
            (("status", _values(PaymentStatus)),),
        ),
        Transaction: ContractShape(
            _names(resources.TransactionResource),
            enums=(("type", _values(TransactionType)), ("status", _values(TransactionStatus))),
        ),
        Terminal: ContractShape(_names(resources.TerminalResource)),
        WebhookSubscription: ContractShape(_names(resources.SubscriptionResource, "description")),
        HostedSession: ContractShape(
            # A created session is stored with what was asked for; /api/operations/v1hosted-sessions/.
            _names(resources.HostedSessionResource, "customer_id"),
            enums=(("status", _values(SessionStatus)),),
        ),
    }


#: The route that reads each kind of object.
OPERATIONS: dict[str, str] = {
    "client": "list_clients",
    "paymentaccount": "list_payment_accounts",
    "customer": "list_customers",
    "savedpaymentmethod": "list_saved_payment_methods",
    "payment": "list_payments",
    "transaction": "list_transactions",
    "terminal": "list_terminals",
    "webhooksubscription": "list_subscriptions",
    "hostedsession": "get_hosted_session",
}

#: Items to write: the count since the last write, and the source.
_pending: dict[Item, tuple[int, str]] = {}
#: The time on the monotonic clock before which an item is not written again.
_quiet_until: dict[Item, float] = {}


def watch(model: type[models.Model], documents: Iterable[Mapping[str, Any]], source: str) -> None:
    """Count unknown properties and values in ``documents``. Counts that are due are written after the commit."""
    shape = _shapes().get(model)
    if shape is None:
        return
    found: Counter[tuple[str, str]] = Counter()
    for document in documents:
        for each in _unknown(shape, document, ""):
            found[each] += 1
    if found:
        kind = str(model._meta.model_name)
        _note({(kind, name, value): count for (name, value), count in found.items()}, source)


def note_faults(model: type[models.Model], found: Mapping[tuple[str, str], int], source: str) -> None:
    """Count wrong values in objects of one kind: property and ``AHEAD``, ``RESTORED`` or ``MENDED``."""
    if found:
        _note({(str(model._meta.model_name), *item): count for item, count in found.items()}, source)


def note_event_type(name: str, source: str) -> None:
    """Count a webhook whose event type has no handler."""
    _note({(str(WebhookEvent._meta.model_name), "event_type", _fit_value(name)): 1}, source)


def knows(notice: ContractNotice) -> bool:
    """Return whether the current code knows the property or value that an earlier version reported in ``notice``."""
    if notice.kind == WebhookEvent._meta.model_name:
        return notice.value in EventType.values
    shape = next((each for model, each in _shapes().items() if model._meta.model_name == notice.kind), None)
    *path, name = notice.name.split(".")
    for part in path:
        shape = dict(shape.inner).get(part) if shape else None
    if shape is None:
        return False
    return notice.value in dict(shape.enums).get(name, ()) if notice.value else name in shape.names


def forget() -> None:
    """Clear the counts and times in the memory of this process."""
    _pending.clear()
    _quiet_until.clear()


def _unknown(shape: ContractShape, document: Mapping[str, Any], path: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if not document.keys() <= shape.names:
        found += [(path + _fit_name(name), "") for name in document.keys() - shape.names]
    for name, known in shape.enums:
        value = document.get(name)
        if isinstance(value, str) and value and value not in known:
            found.append((path + name, _fit_value(value)))
    for name, inner in shape.inner:
        part = document.get(name)
        if part is not None and isinstance(part, dict):
            found += _unknown(inner, part, f"{path}{name}.")
    return found


def _fit_name(name: str) -> str:
    """Return ``name`` if it looks like a property name. Otherwise it may contain personal data and is replaced."""
    return name if _NAME.fullmatch(name) and not _DIGITS.search(name) else UNFIT


def _fit_value(value: str) -> str:
    fit = len(value) <= 64 and value.isprintable() and not looks_like_card(value) and mask(value) == value
    return value if fit else UNFIT


def _note(items: Mapping[Item, int], source: str) -> None:
    # There is no lock, because a lock would have to survive a fork. Two threads at once may lose a few counts.
    now, due = time.monotonic(), False
    for item, count in items.items():
        if item not in _pending and len(_pending) + len(_quiet_until) > MAX_PENDING_NOTICES:
            continue
        _pending[item] = (_pending.get(item, (0, ""))[0] + count, source)
        due = due or now >= _quiet_until.get(item, 0.0)
    if due:
        # ``robust``: a failure to write notices must not fail the caller that read the page.
        transaction.on_commit(_write, using=router.db_for_write(ContractNotice), robust=True)


def _write() -> None:
    now = time.monotonic()
    for item in list(_pending):
        if now < _quiet_until.get(item, 0.0):
            continue
        count, source = _pending.pop(item, (0, ""))
        if count:
            _save(item, count, source)
            _quiet_until[item] = now + WRITE_EVERY


def _save(item: Item, count: int, source: str) -> None:
    kind, name, value = item
    now = timezone.now()
    seen = {"last_seen": now, "source": source, "route": _route(kind)}
    key = {"kind": kind, "name": name[:160], "value": value}
    if ContractNotice.objects.filter(**key).update(count=F("count") + count, **seen):
        return
    if ContractNotice.objects.count() >= MAX_NOTICE_ROWS:
        ContractNotice.objects.filter(pk__in=[row.pk for row in ContractNotice.objects.all() if knows(row)]).delete()
    if ContractNotice.objects.count() < MAX_NOTICE_ROWS:
        ContractNotice.objects.bulk_create(
            [ContractNotice(**key, **seen, count=count, first_seen=now)], ignore_conflicts=True
        )


def _route(kind: str) -> str:
    operation = OPERATIONS.get(kind)
    if operation is None:
        return ""
    route = Routes(conf.get("ROUTES"))[operation]
    return f"{route.method} {route.path}"[:255]

"""Maps documents to columns. It uses no database, no HTTP and no clock."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from django.db.backends.base.operations import BaseDatabaseOperations

from govpay import models
from govpay.client import resources
from govpay.client.values import BadValue
from govpay.models.base import Mirror
from govpay.models.fields import UID_LENGTH
from govpay.models.folding import SearchColumn
from govpay.sync.mending import Mending, is_vital, storable

#: Increase this when a mapper fills columns differently. Every row is then written once more.
REVISION = 2

#: Properties that are never stored: tokens of a card or a session, and URLs that contain one.
SECRET_PROPERTIES = frozenset(
    {"fingerprint", "processor_token", "client_secret", "hosted_url", "secret", "cvv", "cvc", "pan"}
    | {"cvv2", "cvc2", "security_code", "pin", "password", "authorization"}
    | {"card_number", "account_number", "access_token", "temporary_password", "api_key"}
)

#: Other property names that look secret. The vendor does not document all properties of an account.
SECRET_NAME = re.compile(
    "secret|password|passwd|credential|(api|signing|private|encryption|webhook)_?key|(access|refresh)_?token"
)

#: Properties with the last digits of a number. At most four characters are stored.
ENDINGS = frozenset({"last4", "account_number_suffix"})

#: Maximum nesting of a document. The platform's own documents are three levels deep.
DEEPEST = 40

Columns = dict[str, Any]


class Unmappable(ValueError):
    """A document does not fit its columns. The message names the property, never its value."""


@dataclass(frozen=True)
class Mapper:
    """Maps one kind of document to one kind of row."""

    model: type[Mirror]
    resource: Callable[[Mapping[str, Any]], Any]
    columns: Callable[[Any], Columns]
    #: The property that identifies the object, and a prefix that makes it unique where needed.
    identity: str = "uid"
    prefix: str = ""

    def uid(self, document: Mapping[str, Any]) -> str:
        """Return the uid of ``document``. Raises ``Unmappable`` if it has no usable one."""
        try:
            value = getattr(self.resource(document), self.identity)
        except ValueError as error:
            raise Unmappable(str(error)) from None
        if len(self.prefix) + len(value) > UID_LENGTH:
            raise Unmappable(f"{self.identity} is too long")
        return f"{self.prefix}{value}"

    def map(self, document: Mapping[str, Any], extra: Mapping[str, Any]) -> Columns:
        """Return the columns of ``document``, with ``extra``: the columns known from the request (account, customer).

        Values that no column can store are mended, and ``mended`` names them. Raises ``Unmappable`` when such a value
        belongs to the identity, an amount, the currency or the status.
        """
        mending = Mending(document)
        while True:
            resource = self.resource(mending.read)
            try:
                row = self.columns(resource)
                row["remote_created_at"] = getattr(resource, "created_at", None)
                row["remote_updated_at"] = getattr(resource, "updated_at", None)
                break
            except BadValue as error:
                if not mending.mend(error):
                    raise Unmappable(str(error)) from None
        row["uid"] = self.uid(document)
        row["raw"] = scrub(mending.shown)
        row.update(extra)
        row["mended"] = ",".join(sorted(mending.names | self._fit_columns(row)))
        for column, source, computed in _search_columns(self.model):
            row[column] = computed(row[source])
        return row

    def _fit_columns(self, row: Columns) -> set[str]:
        """Cut texts and drop numbers that exceed their columns; returns their names. Raises ``Unmappable``."""
        names = set()
        for column, name, longest in _texts(self.model):
            if len(row.get(column) or "") > longest:
                if is_vital(name):
                    raise Unmappable(f"{name} is longer than {longest} characters")
                row[column] = row[column][:longest]
                names.add(name)
        for column, name, least, most in _numbers(self.model):
            if not least <= (row.get(column) or 0) <= most:
                if is_vital(name):
                    raise Unmappable(f"{name} is out of range")
                row[column] = None
                names.add(name)
        return names


@cache
def _texts(model: type[Mirror]) -> tuple[tuple[str, str, int], ...]:
    """Return the mirrored columns with a maximum length."""
    return tuple((field.attname, field.name, field.max_length) for field in model.mirrored_fields() if field.max_length)


@cache
def _numbers(model: type[Mirror]) -> tuple[tuple[str, str, int, int], ...]:
    """Return the mirrored integer columns, with the narrowest limits that the databases set for them."""
    limits = BaseDatabaseOperations.integer_field_ranges
    return tuple(
        (field.attname, field.name, *limits[field.get_internal_type()])
        for field in model.mirrored_fields()
        if field.get_internal_type() in limits
    )


@cache
def _search_columns(model: type[Mirror]) -> tuple[tuple[str, str, Callable[[str], str]], ...]:
    """Return the columns that are computed from other columns: their name, their source, and the function."""
    fields = model.mirrored_fields()
    return tuple((each.attname, each.source, each.computed) for each in fields if isinstance(each, SearchColumn))


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False).encode


def digests(extra: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], str]:
    """Return a function that returns the hash of a document. The hash also covers ``extra`` and ``REVISION``.

    The function raises ``Unmappable``.
    """
    seed = hashlib.blake2b(_canonical([REVISION, extra]).encode(), digest_size=16)

    def digest(document: Mapping[str, Any]) -> str:
        state = seed.copy()
        try:
            state.update(_canonical(document).encode())
        except RecursionError:
            raise Unmappable("the document is nested too deeply") from None
        return state.hexdigest()

    return digest


def scrub(value: Any, depth: int = 0) -> Any:
    """Return the document as it may be stored: no secrets, no full account numbers, no invalid characters."""
    if isinstance(value, str):
        return value if value.isascii() and "\x00" not in value else storable(value)
    if not isinstance(value, dict | list):
        return value
    if depth > DEEPEST:
        raise Unmappable("the document is nested too deeply")
    if isinstance(value, dict):
        return {
            scrub(name): scrub(_ending(item) if name in ENDINGS else item, depth + 1)
            for name, item in value.items()
            if not _is_secret(name)
        }
    return [scrub(item, depth + 1) for item in value]


def _ending(value: Any) -> str | None:
    return value[-4:] if isinstance(value, str) else None


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    lower = name.lower()
    return lower in SECRET_PROPERTIES or SECRET_NAME.search(lower) is not None


def _client(resource: resources.ClientResource) -> Columns:
    return {
        "customer_id": resource.customer_id or "",
        "name": resource.name or "",
        "timezone": resource.timezone or "",
        "subdomain": resource.subdomain or "",
    }


def _account(resource: resources.PaymentAccountResource) -> Columns:
    return {
        "client_id": resource.client_id,
        "name": resource.name or "",
        "processor": resource.processor or "",
        "external_account_id": resource.external_account_id or "",
        "external_merchant_id": resource.external_merchant_id or "",
        "active": resource.active,
        "enable_ach": resource.enable_ach,
        "enable_credit_card": resource.enable_credit_card,
        "minimum_payment_amount": resource.minimum_payment_amount,
        "maximum_payment_amount": resource.maximum_payment_amount,
        "callback_url": resource.callback_url or "",
        "webhook_enabled": resource.webhook_enabled,
        "allowed_origins": list(resource.allowed_origins or ()),
    }


def _customer(resource: resources.CustomerResource) -> Columns:
    return {
        "reference_id": resource.reference_id or "",
        "name": resource.name or "",
        "email": resource.email or "",
    }


def _saved_method(resource: resources.SavedMethodResource) -> Columns:
    return {
        "method_type": resource.method_type or "",
        "brand": resource.brand or "",
        "last4": resource.last4 or "",
        "exp_month": resource.exp_month,
        "exp_year": resource.exp_year,
        "holder_name": resource.holder_name or "",
        "bank_name": resource.bank_name or "",
        "account_type": resource.account_type or "",
        "is_default": resource.is_default,
    }


def _payment(resource: resources.PaymentResource) -> Columns:
    return {
        "customer_id": resource.customer_uid,
        "saved_method_id": resource.saved_payment_method_uid,
        "session_id": resource.session_id,
        "reference_id": resource.reference_id or "",
        "base_amount": resource.base_amount,
        "tax_amount": resource.tax_amount,
        "processing_fee_amount": resource.processing_fee_amount,
        "total_amount": resource.total_amount,
        "refunded_amount": resource.refunded_amount,
        "currency": resource.currency or "",
        "status": resource.status or "",
        "method_type": resource.method_type or "",
        "brand": resource.brand or "",
        "last4": resource.last4 or "",
        "holder_name": resource.holder_name or "",
        "decline_code": resource.decline_code or "",
        "captured_at": resource.captured_at,
    }


def _transaction(resource: resources.TransactionResource) -> Columns:
    return {
        "payment_id": resource.payment_uid,
        "type": resource.type or "",
        "amount": resource.amount,
        "currency": resource.currency or "",
        "status": resource.status or "",
        "reference_id": resource.reference_id or "",
        "processor_transaction_id": resource.processor_transaction_id or "",
        "reason": resource.reason or "",
        "reason_code": resource.reason_code or "",
    }


def _terminal(resource: resources.TerminalResource) -> Columns:
    return {
        "name": resource.name or "",
        "serial_number": resource.serial_number or "",
        "model": resource.model or "",
        "status": resource.status or "",
    }


def _subscription(resource: resources.SubscriptionResource) -> Columns:
    return {"event_type": resource.event_type or "", "enabled": resource.enabled}


def _session(resource: resources.HostedSessionResource) -> Columns:
    return {
        "amount": resource.amount,
        "currency": resource.currency or "",
        "status": resource.status or "",
        "scope": resource.scope or "",
        "layout": resource.layout or "",
        "expires_at": resource.expires_at,
    }


CLIENT = Mapper(models.Client, resources.ClientResource, _client)
ACCOUNT = Mapper(models.PaymentAccount, resources.PaymentAccountResource, _account)
CUSTOMER = Mapper(models.Customer, resources.CustomerResource, _customer)
SAVED_METHOD = Mapper(models.SavedPaymentMethod, resources.SavedMethodResource, _saved_method)
PAYMENT = Mapper(models.Payment, resources.PaymentResource, _payment)
TRANSACTION = Mapper(models.Transaction, resources.TransactionResource, _transaction)
TERMINAL = Mapper(models.Terminal, resources.TerminalResource, _terminal)
SESSION = Mapper(models.HostedSession, resources.HostedSessionResource, _session, "session_id")


def subscription_of(account_uid: str) -> Mapper:
    """Return the mapper of one account's subscriptions. They have no uid, so it is ``<account uid>:<event type>``."""
    return Mapper(
        models.WebhookSubscription,
        resources.SubscriptionResource,
        _subscription,
        identity="event_type",
        prefix=f"{account_uid}:",
    )

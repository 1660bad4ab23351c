"""Clients and payment accounts: find them on the platform, or create them if there is none."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import uuid
from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Unpack, cast

from django.db import connections, router
from django.utils import timezone as clock
from django.utils.crypto import salted_hmac

from govpay import conf
from govpay.client import ClientResource, PaymentAccountResource, Resource, tenant_shapes
from govpay.client.cards import refuse_cards
from govpay.connection import get_endpoints
from govpay.exceptions import InvalidAnswer, NotFound, OperationInProgress, OperationRefused
from govpay.models import Client, Operation, PaymentAccount
from govpay.models.base import Mirror
from govpay.models.choices import OperationAction, OperationState, Source
from govpay.models.operations import OPEN_STATES
from govpay.operations import journal
from govpay.operations import tenant_options as options
from govpay.operations.account_values import AccountProperties, wire_properties
from govpay.operations.actions import Action, ActionResult, completed
from govpay.operations.engine import execute
from govpay.operations.lookups import find_account, find_client, identity_of, read_account
from govpay.sync import mapping
from govpay.sync.mapping import Mapper, Unmappable
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_document


def create_client(
    *,
    name: str,
    customer_id: str | None = None,
    timezone: str | None = None,
    subdomain: str | None = None,
    actor: Any = None,
    key: uuid.UUID | str | None = None,
) -> Client:
    """Return the platform's client with this name, or create it; /platform/accounts/.

    An existing client is returned unchanged; the other options apply only to a new one. If several calls run at
    once, only one creates it. Raises ``OperationRefused``, ``OutcomeUnknown``, ``APIError``.
    """
    return cast(Client, find_or_create(CreateClientAction(name, customer_id, timezone, subdomain), actor, key))


def create_payment_account(
    *,
    client: Client,
    name: str,
    processor: str,
    actor: Any = None,
    key: uuid.UUID | str | None = None,
    **properties: Unpack[AccountProperties],
) -> PaymentAccount:
    """Return the client's account with both external ids, or create it; /platform/accounts/.

    Without external ids the account is found by its name. An existing account is returned unchanged; use
    ``update_payment_account`` to change it. ``properties`` are the ``AccountProperties``; the limits are in cents.
    Raises ``OperationRefused``, ``OutcomeUnknown``, ``APIError``.
    """
    given = wire_properties(properties)
    options.check_limits(given.get("minimum_payment_amount"), given.get("maximum_payment_amount"))
    if "callback_url" in given:
        options.check_callback("callback_url", given["callback_url"])
    body = tenant_shapes.CreatePaymentAccount(client_id=client.uid, name=name, processor=processor, **given)
    return cast(PaymentAccount, find_or_create(CreateAccount(body), actor, key))


class MadeMeanwhile(OperationInProgress):
    """The object was not found, but another call has created it since. Look it up again."""


class CreationAction(Action):
    """An action that creates an object, unless the platform has an object with the same ``identity``.

    The journal keeps the whole request in ``reason``.
    """

    mapper: ClassVar[Mapper]
    body: Any
    #: Whether the key was derived from the identity, so that calls for the same object share one operation.
    claimed = False
    #: When the platform was asked for the object.
    looked_at: dt.datetime | None = None

    @property
    @abstractmethod
    def identity(self) -> tuple[str, ...]:
        """Return the values that identify the object among all objects of its kind."""

    @staticmethod
    @abstractmethod
    def find(body: Mapping[str, Any]) -> Resource | None:
        """Return the object on the platform with the identity in ``body``, or ``None``."""

    @staticmethod
    @abstractmethod
    def read(uid: str) -> Resource:
        """Return the object with this uid. Raises ``NotFound``."""

    def arguments(self) -> Mapping[str, Any]:
        return {"identity": self.identity} if self.claimed else self.body.to_wire()

    def entry(self) -> dict[str, Any]:
        reference = " / ".join(self.identity)
        return {"reference_id": reference[: options.MAX_TEXT_LENGTH], "reason": json.dumps(self.body.to_wire())}

    def check(self, operation: Operation) -> None:
        mine = journal.entries().filter(action=self.action, reference_id=operation.reference_id)
        if mine.filter(state__in=OPEN_STATES).exclude(pk=operation.pk).exists():
            raise OperationInProgress("The same object is being created; the outcome is not known yet.")
        # Another call may have created it after this call had looked it up and found none.
        if self.looked_at and mine.filter(state=OperationState.SUCCEEDED, finished_at__gte=self.looked_at).exists():
            raise MadeMeanwhile("The same object was created a moment ago; try again.")

    @staticmethod
    def address(operation: Operation) -> dict[str, Any]:
        return {}

    @classmethod
    def judge(cls, operation: Operation, found: Resource) -> ActionResult | None:
        return ActionResult(cls.mapper, found.raw, found.request_id)

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        found = cls.find(json.loads(operation.reason))
        return None if found is None else cls.judge(operation, found)


class CreateClientAction(CreationAction):
    action: ClassVar[str] = OperationAction.CREATE_CLIENT
    model = Client
    mapper = mapping.CLIENT

    def __init__(self, name: str, customer_id: str | None, timezone: str | None, subdomain: str | None) -> None:
        """Build the request. Raises ``OperationRefused``, which names the wrong option."""
        refuse_cards(name=name, customer_id=customer_id, timezone=timezone, subdomain=subdomain)
        options.check_length(name=name, customer_id=customer_id)
        # A form sends an empty text for a field that was left out.
        rest = {"customer_id": customer_id or None, "timezone": timezone or None, "subdomain": subdomain or None}
        self.body = tenant_shapes.CreateClient(name=name, **rest)

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.body.name,)

    @staticmethod
    def find(body: Mapping[str, Any]) -> ClientResource | None:
        return find_client(body["name"])

    @staticmethod
    def read(uid: str) -> ClientResource:
        return get_endpoints().get_client(uid)

    def check(self, operation: Operation) -> None:
        _queue("client", *self.identity)
        super().check(operation)

    def send(self, operation: Operation) -> ClientResource:
        return completed(
            get_endpoints().create_client(self.body, idempotency_key=str(operation.key)), self.body.to_wire()
        )


class CreateAccount(CreationAction):
    action: ClassVar[str] = OperationAction.CREATE_ACCOUNT
    model = PaymentAccount
    mapper = mapping.ACCOUNT

    def __init__(self, body: tenant_shapes.CreatePaymentAccount) -> None:
        # External ids are not checked: they are as long as card numbers, and one in ten passes the card check.
        refuse_cards(name=body.name, processor=body.processor)
        options.check_length(
            external_account_id=body.external_account_id, external_merchant_id=body.external_merchant_id
        )
        self.body = body

    @property
    def identity(self) -> tuple[str, ...]:
        return identity_of(self.body.to_wire())

    @staticmethod
    def find(body: Mapping[str, Any]) -> PaymentAccountResource | None:
        return find_account(body)

    @staticmethod
    def read(uid: str) -> PaymentAccountResource:
        return read_account(uid)

    def check(self, operation: Operation) -> None:
        # With the lock, calls that create accounts of this client run one after the other.
        client = Client.objects.select_for_update().filter(uid=self.body.client_id).first()
        if client is None:
            raise OperationRefused("There is no such client here; sync first.")
        if client.deleted_at:
            raise OperationRefused("The platform no longer has this client.")
        super().check(operation)

    def send(self, operation: Operation) -> PaymentAccountResource:
        found = get_endpoints().create_payment_account(self.body, idempotency_key=str(operation.key))
        return completed(found, self.body.to_wire())

    @staticmethod
    def stored(operation: Operation, row: Mirror) -> None:
        journal.entries().filter(pk=operation.pk).update(account=row.uid)


def find_or_create(action: CreationAction, actor: Any, key: uuid.UUID | str | None) -> Mirror:
    """Return the row of the object: find it on the platform and save it here, or create it with ``action``."""
    journal.demand_commits()
    if not journal.is_used(key):  # a used key returns the result of its operation
        action.looked_at = clock.now()
        found = action.find(action.body.to_wire())
        if found is not None:
            return keep(action.mapper, found)
        if key is None:
            key, action.claimed = _claim(action), True
    try:
        return execute(action, actor=actor, key=key)
    except MadeMeanwhile:
        found = action.find(action.body.to_wire())
        if found is None:
            raise
        return keep(action.mapper, found)


def keep(mapper: Mapper, found: Resource) -> Mirror:
    """Save a document that was read, and return its row. Raises ``InvalidAnswer`` if it cannot be saved."""
    try:
        row = in_transaction(partial(save_document, mapper, found.raw, extra={}, source=Source.OPERATION))
    except Unmappable as error:
        raise InvalidAnswer(f"The platform's object cannot be stored here: {error}.") from None
    if row is None:
        raise InvalidAnswer("The object no longer exists on the platform.")
    return row


def _queue(*name: str) -> None:
    """Hold a lock for ``name`` until the transaction ends.

    Only PostgreSQL needs this lock: there, two transactions can write at the same time without seeing each other's
    rows.
    """
    connection = connections[router.db_for_write(Operation)]
    if connection.vendor == "postgresql":
        digest = salted_hmac("govpay.queue", json.dumps(name), algorithm="sha256").digest()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], signed=True)])


def _claim(action: CreationAction) -> uuid.UUID:
    """Return the key of the current attempt to create this object.

    A new key is made only if each earlier attempt failed or its object is gone. So two runs at the same time, or a run
    after a crash, share one row of the journal.
    """
    for attempt in itertools.count():
        text = json.dumps([conf.get("API_URL"), action.action, *action.identity, attempt])
        key = uuid.UUID(bytes=salted_hmac("govpay.claim", text, algorithm="sha256").digest()[:16])
        earlier = journal.entries().filter(key=key).first()
        if earlier is None or earlier.is_open:
            return key
        if earlier.state == OperationState.SUCCEEDED and _is_there(action, str(earlier.result_uid)):
            return key
    raise AssertionError


def _is_there(action: CreationAction, uid: str) -> bool:
    """Return whether the platform still has the object ``uid``, which an earlier call created. Save it if so."""
    try:
        keep(action.mapper, action.read(uid))
    except NotFound:
        return False
    return True


def refuse_while_under_way(operation: Operation) -> None:
    """Raise ``OperationInProgress`` while the same action of this account is under way.

    Two requests at the same time could arrive in either order. Call it with the account's row locked.
    """
    others = journal.entries().filter(account=operation.account_id, action=operation.action, state__in=OPEN_STATES)
    if others.filter(deadline_at__gt=clock.now()).exclude(pk=operation.pk).exists():
        raise OperationInProgress("The same setting of this payment account is being changed; try again in a minute.")

"""Wallets: save and remove customers' payment methods, and set the default method."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, cast

from django.utils.translation import gettext as _

from govpay.client import Resource, SavedMethodResource, shapes, tenant_shapes
from govpay.client.cards import refuse_cards
from govpay.connection import get_endpoints
from govpay.exceptions import InvalidAnswer, NotFound, OperationRefused
from govpay.models import Customer, Operation, SavedPaymentMethod
from govpay.models.base import Mirror
from govpay.models.choices import OperationAction, Source
from govpay.models.fields import Sealed
from govpay.operations import journal
from govpay.operations.actions import Action, ActionResult, completed
from govpay.operations.customers import check_account
from govpay.operations.engine import execute
from govpay.operations.lookups import readable
from govpay.operations.wallet_lists import (
    customer_marks,
    demand_no_change,
    last_known,
    listed_after,
    read_methods,
    same_traits,
    since,
    store,
    traits_of,
    uid_of,
)
from govpay.sync import mapping
from govpay.sync.mapping import Unmappable
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import mark_deleted, save_documents


def save_payment_method(
    *, customer: Customer, payment_method: Mapping[str, Any], actor: Any = None, key: uuid.UUID | str | None = None
) -> SavedPaymentMethod:
    """Save a card or bank account for ``customer``; /platform/wallets/.

    ``payment_method`` is the vendor's request object with the 15-minute token. Only the last four digits, brand, expiry
    and holder are stored here, not that token and not the permanent one.
    Raises ``OperationRefused``, ``InvalidRequest``, ``OutcomeUnknown``, ``APIError``.
    """
    return _carried_out(SaveMethodAction(customer, payment_method), actor, key)


def remove_payment_method(
    *, method: SavedPaymentMethod, actor: Any = None, key: uuid.UUID | str | None = None
) -> SavedPaymentMethod:
    """Remove a saved method from the platform; /platform/wallets/. Its row stays with a tombstone, its payments stay.

    A method that the platform no longer has counts as removed. Raises ``OperationRefused``, ``Conflict`` (the method is
    locked; the message is the platform's), ``OutcomeUnknown``, ``APIError``.
    """
    return _carried_out(RemoveMethodAction(method), actor, key)


def set_default_payment_method(
    *, method: SavedPaymentMethod, actor: Any = None, key: uuid.UUID | str | None = None
) -> SavedPaymentMethod:
    """Make a saved method its customer's only default method. The request's body is our assumption (A15).

    Raises ``OperationRefused``, ``Conflict``, ``InvalidRequest``, ``OutcomeUnknown``, ``APIError``.
    """
    return _carried_out(SetDefaultMethodAction(method), actor, key)


class WalletAction(Action):
    """Base class of the actions on a customer's saved methods.

    The answers to these writes have few properties (A13 to A15), and a change of one method may change others.
    Therefore the customer's whole list is read after the call and stored with the same account and customer as in a
    sync, so that the next sync finds no changes. The document that closes the journal row is the customer's own.
    """

    model = SavedPaymentMethod
    #: The journal row, set by ``check``.
    operation: Operation | None = None

    def __init__(self, account_uid: str | None, customer_uid: str | None) -> None:
        if not (account_uid and customer_uid):
            raise OperationRefused(_("The customer of this payment method is not known here; sync first."))
        self.account_uid, self.customer_uid = account_uid, customer_uid

    def entry(self) -> dict[str, Any]:
        return {"account_id": self.account_uid, "customer_id": self.customer_uid}

    def check(self, operation: Operation) -> None:
        self.operation = operation
        check_account(self.account_uid)
        customer = Customer.objects.filter(uid=self.customer_uid).first()
        if customer is None:
            raise OperationRefused(_("There is no such customer here; sync first."))
        if customer.account_id != self.account_uid:
            raise OperationRefused(_("The customer belongs to another payment account."))
        if customer.deleted_at:
            raise OperationRefused(_("The platform no longer has this customer."))

    @staticmethod
    def judge(operation: Operation, found: Resource) -> ActionResult | None:
        """Set ``found`` (see ``wallet``) as an attribute of ``operation``: ``stored`` gets no other argument."""
        vars(operation)["_wallet"] = found.raw
        customer = Customer.objects.filter(uid=operation.customer_id).first()
        if customer is None:
            raise InvalidAnswer("its customer is no longer known here")
        return ActionResult(mapping.CUSTOMER, {**customer.raw, "uid": customer.uid}, found.request_id)

    @staticmethod
    def stored(operation: Operation, row: Mirror) -> None:
        found: Mapping[str, Any] = vars(operation)["_wallet"]
        uid, listed = found["method"], found["listed"]
        methods = SavedPaymentMethod.objects.filter(customer=row.uid)
        # The list may have been read before another action removed a method. That method must not come back.
        gone = set(methods.exclude(deleted_at=None).values_list("uid", flat=True))
        gone = (gone | {uid}) if found["removed"] else (gone - {uid})
        documents = [document for document in listed or found["known"] if uid_of(document) not in gone]
        where = {"account_id": operation.account_id, "customer_id": row.uid}
        save_documents(mapping.SAVED_METHOD, documents, extra=where, source=Source.OPERATION)
        if found["removed"]:
            mark_deleted(SavedPaymentMethod, [uid], source=Source.OPERATION)
        if not SavedPaymentMethod.objects.filter(uid=uid).exists():
            raise Unmappable("the row is gone")
        if listed is None:
            Customer.objects.filter(uid=row.uid).update(methods_stale=True)
        operation.result_uid = uid
        journal.entries().filter(pk=operation.pk).update(validated_method=None)


def wallet(method: str, listed: Any, *, removed: bool = False, known: Any = (), request_id: str = "") -> Resource:
    """Return a result for ``judge``: the method's uid, and its customer's list. Without a list, ``known`` is stored."""
    return Resource({"method": method, "listed": listed, "removed": removed, "known": known}, request_id)


class SaveMethodAction(WalletAction):
    action: ClassVar[str] = OperationAction.SAVE_METHOD

    def __init__(self, customer: Customer, payment_method: Any) -> None:
        """Raises ``OperationRefused``, which names the wrong property but never its value."""
        refuse_cards(payment_method=payment_method)
        method = shapes.payment_method_from_dict(payment_method, saving=True)
        self.body = tenant_shapes.SavePaymentMethod(payment_method=method)
        super().__init__(customer.account_id, customer.uid)

    def arguments(self) -> Mapping[str, Any]:
        return {**self.body.to_wire(), "customer": self.customer_uid}

    def entry(self) -> dict[str, Any]:
        # By these traits the method is recognized in the list if the answer is lost. They are deleted with the outcome.
        traits = traits_of(self.body.payment_method.to_wire())
        customers = customer_marks([self.customer_uid])
        kept = Sealed.of(json.dumps({"traits": traits, "known": last_known(), "customers": customers}))
        return {**super().entry(), "validated_method": kept}

    def send(self, operation: Operation) -> Resource:
        account, customer = self.account_uid, self.customer_uid
        found = get_endpoints().save_payment_method(account, customer, self.body, idempotency_key=str(operation.key))
        listed = listed_after(account, customer)
        document = completed(found, self.body.to_wire()).raw
        if listed is not None and found.uid not in map(uid_of, listed):
            listed.append(document)
        return wallet(found.uid, listed, known=[document], request_id=found.request_id)

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        """Find a method with the same traits that was added since the call and belongs to no other operation."""
        listed = read_methods(operation.account_id, operation.customer_id)
        if operation.validated_method is None:
            raise InvalidAnswer("The data that identifies the method was deleted.")
        kept = json.loads(cast(Sealed, operation.validated_method).reveal())
        for found in since(operation, operation.customer_id, listed, kept["known"]):
            if same_traits(found.raw, kept["traits"]):
                return cls.judge(operation, wallet(found.uid, listed))
        demand_no_change(operation, kept.get("customers", {}), listed)
        return None


class ExistingMethodAction(WalletAction):
    """Base class of the actions on a saved method. The journal row's ``reference_id`` is the method's uid."""

    def __init__(self, method: SavedPaymentMethod) -> None:
        self.method = method
        super().__init__(method.account_id, method.customer_id)

    def arguments(self) -> Mapping[str, Any]:
        return {"method": self.method.uid}

    def entry(self) -> dict[str, Any]:
        return {**super().entry(), "reference_id": self.method.uid}

    def check(self, operation: Operation) -> None:
        super().check(operation)
        row = SavedPaymentMethod.objects.filter(uid=self.method.uid).first()
        if row is None:
            raise OperationRefused(_("There is no such saved payment method here; sync first."))
        if (row.account_id, row.customer_id) != (self.account_uid, self.customer_uid):
            raise OperationRefused(_("The saved payment method belongs to another customer."))
        if row.deleted_at:
            raise OperationRefused(_("The saved payment method was removed."))

    @staticmethod
    def read_again(operation: Operation, *, refused: bool) -> None:
        """Read the customer's methods again after a refusal, because the mirror may be wrong."""
        if refused:
            listed = read_methods(operation.account_id, operation.customer_id)
            gone = [] if operation.reference_id in map(uid_of, listed) else [operation.reference_id]
            in_transaction(partial(store, str(operation.account_id), str(operation.customer_id), listed, gone))


class RemoveMethodAction(ExistingMethodAction):
    action: ClassVar[str] = OperationAction.REMOVE_METHOD

    def send(self, operation: Operation) -> Resource:
        where, uid = (self.account_uid, self.customer_uid), self.method.uid
        try:
            get_endpoints().remove_payment_method(*where, uid, idempotency_key=str(operation.key))
        except NotFound as error:
            # 404 may also mean a missing route. A method that is still listed was not removed.
            listed = listed_after(*where)
            if error.status != 404 or uid in map(uid_of, listed or ()):
                raise
            return wallet(uid, listed, removed=True, request_id=error.request_id)
        return wallet(uid, listed_after(*where), removed=True)

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        listed, uid = read_methods(operation.account_id, operation.customer_id), operation.reference_id
        if any(SavedMethodResource(document).uid == uid for document in listed):
            return None
        return cls.judge(operation, wallet(uid, listed, removed=True))


class SetDefaultMethodAction(ExistingMethodAction):
    action: ClassVar[str] = OperationAction.SET_DEFAULT_METHOD

    def send(self, operation: Operation) -> Resource:
        where, uid = (self.account_uid, self.customer_uid), self.method.uid
        body = tenant_shapes.DefaultPaymentMethod(saved_payment_method_uid=uid)
        get_endpoints().set_default_payment_method(*where, body, idempotency_key=str(operation.key))
        return wallet(uid, listed_after(*where))

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        account, customer, uid = str(operation.account_id), str(operation.customer_id), operation.reference_id
        listed = read_methods(account, customer)
        for found in map(SavedMethodResource, listed):
            if found.uid != uid:
                continue
            default = readable(found, "is_default")
            if default is None:
                named = readable(get_endpoints().get_customer(account, customer), "default_payment_method_uid")
                default = named == uid if named else None
            if default is None:
                raise InvalidAnswer("The platform does not say which method is the default.")
            return cls.judge(operation, wallet(uid, listed)) if default else None
        return None


#: The actions of this module, for ``reconciliation``.
ACTIONS: tuple[type[Action], ...] = (SaveMethodAction, RemoveMethodAction, SetDefaultMethodAction)


def _carried_out(action: WalletAction, actor: Any, key: uuid.UUID | str | None) -> SavedPaymentMethod:
    row = execute(action, actor=actor, key=key)
    if action.operation is not None and not isinstance(row, SavedPaymentMethod):
        row = SavedPaymentMethod.objects.get(uid=action.operation.result_uid)
    return cast(SavedPaymentMethod, row)

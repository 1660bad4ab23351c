"""Find an account's customer by its reference, or create it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from django.utils.translation import gettext as _

from govpay.client import CustomerResource, field, tenant_shapes
from govpay.client.cards import refuse_cards
from govpay.connection import get_endpoints
from govpay.exceptions import Conflict, GovPayError, InvalidAnswer, OperationRefused
from govpay.models import Customer, Operation, PaymentAccount
from govpay.models.base import Mirror
from govpay.models.choices import OperationAction
from govpay.operations import journal
from govpay.operations.actions import Action, ActionResult, completed
from govpay.operations.engine import execute
from govpay.operations.lookups import THE_BEGINNING, rows_since
from govpay.operations.quotes import REFERENCE_LENGTH
from govpay.sync import mapping

#: The length of the column ``Customer.email``.
EMAIL_LENGTH = 255

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def create_customer(
    *,
    account: PaymentAccount,
    reference_id: str,
    name: str | None = None,
    email: str | None = None,
    actor: Any = None,
    key: uuid.UUID | str | None = None,
) -> Customer:
    """Return the account's customer with this reference. Create it if there is none (/platform/wallets/).

    A customer that is known here is returned without HTTP, if no ``key`` is given. An existing customer is returned
    unchanged: name and email are used for a new one only. In both cases a given ``key`` counts as used.

    Raises ``OperationRefused``, ``Conflict``, ``OutcomeUnknown``, ``APIError``.
    """
    action = CreateCustomerAction(account, reference_id, name, email)
    known = action.known() if key is None else None
    if known is not None:
        return known
    return cast(Customer, execute(action, actor=actor, key=key))


def customers_of(account: PaymentAccount) -> Any:
    """Return the customers of ``account`` that the platform still has."""
    return Customer.objects.filter(account=account.uid, deleted_at=None)


def customer_named(account_uid: str, reference_id: str) -> CustomerResource | None:
    """Return the platform's customer with exactly this reference, or None. Raises ``APIError``."""
    anchor = Operation(account_id=account_uid, created_at=THE_BEGINNING)
    wanted = field("reference_id").eq(reference_id)
    rows = rows_since("list_customers", anchor, wanted)
    return next((CustomerResource(row) for row in rows if row.get("reference_id") == reference_id), None)


class CreateCustomerAction(Action):
    action: ClassVar[str] = OperationAction.CREATE_CUSTOMER
    model = Customer

    def __init__(self, account: PaymentAccount, reference_id: str, name: str | None, email: str | None) -> None:
        """Raises ``OperationRefused``, which names the wrong field of the request."""
        refuse_cards(reference_id=reference_id, name=name, email=email)
        # A form sends an empty text for an empty field.
        self.body = tenant_shapes.CreateCustomer(reference_id=reference_id, name=name or None, email=email or None)
        if len(reference_id) > REFERENCE_LENGTH:
            raise OperationRefused(
                f"reference_id must have at most {REFERENCE_LENGTH} characters.", field="reference_id"
            )
        if self.body.email is not None and not (_EMAIL.fullmatch(self.body.email) and len(email or "") <= EMAIL_LENGTH):
            raise OperationRefused("email must be an address such as pat@example.org.", field="email")
        self.account = account

    def arguments(self) -> Mapping[str, Any]:
        return {**self.body.to_wire(), "account": self.account.uid}

    def entry(self) -> dict[str, Any]:
        return {"account_id": self.account.uid, "reference_id": self.body.reference_id}

    def known(self) -> Customer | None:
        found = customers_of(self.account).filter(reference_id=self.body.reference_id).order_by("pk").first()
        return cast("Customer | None", found)

    def check(self, operation: Operation) -> None:
        check_account(self.account.uid)

    def send(self, operation: Operation) -> CustomerResource:
        account, key = self.account.uid, str(operation.key)
        try:
            found = get_endpoints().create_customer(account, self.body, idempotency_key=key)
        except Conflict as conflict:
            # "If create conflicts, fetch instead, since another request may have created it."
            return self._already_there(conflict)
        return completed(found, self.body.to_wire())

    def _already_there(self, conflict: Conflict) -> CustomerResource:
        """Return the customer that another request created. Raises ``conflict`` when it cannot be found."""
        try:
            found = customer_named(self.account.uid, self.body.reference_id)
        except (GovPayError, ValueError) as error:
            raise conflict from error
        if found is None:
            raise conflict
        return found

    @staticmethod
    def judge(operation: Operation, found: CustomerResource) -> ActionResult | None:
        if found.raw.get("reference_id") not in (None, operation.reference_id):
            raise InvalidAnswer("the answer is about another customer")
        return ActionResult(mapping.CUSTOMER, found.raw, found.request_id)

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        found = customer_named(str(operation.account_id), operation.reference_id)
        return cls.judge(operation, found) if found is not None else None

    @staticmethod
    def stored(operation: Operation, row: Mirror) -> None:
        journal.entries().filter(pk=operation.pk).update(customer=row.uid)


def check_account(uid: str) -> None:
    """Raises ``OperationRefused`` for an account that is unknown here or deleted on the platform."""
    account = PaymentAccount.objects.filter(uid=uid).first()
    if account is None:
        raise OperationRefused(_("There is no such payment account here; sync first."))
    if account.deleted_at:
        raise OperationRefused(_("The platform no longer has this payment account."))

"""Change the settings of a payment account: its own properties, and its checkout."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack, cast

from django.utils import timezone

from govpay.client import PaymentAccountResource, Resource, tenant_shapes
from govpay.client.cards import refuse_cards
from govpay.connection import get_endpoints
from govpay.exceptions import GovPayError, InvalidAnswer, OperationInProgress, OperationRefused
from govpay.models import Operation, PaymentAccount
from govpay.models.choices import OperationAction, OperationState
from govpay.operations import journal
from govpay.operations import tenant_options as options
from govpay.operations.account_values import PROPERTIES, AccountProperties, alike, filled, wire_properties
from govpay.operations.actions import Action, ActionResult, completed
from govpay.operations.customers import check_account
from govpay.operations.engine import execute
from govpay.operations.lookups import read_account
from govpay.operations.markup import clean_message
from govpay.operations.tenants import refuse_while_under_way
from govpay.sync import mapping

#: Properties that every account has.
REQUIRED = ("client_id", "name", "processor")
#: Properties that can be removed. An empty text leaves them out of the request.
REMOVABLE = ("external_account_id", "external_merchant_id", "callback_url")

#: Our option -> the property of the checkout's configuration.
CHECKOUT = {
    "allowed_origins": "allowed_origins",
    "display_name": "merchant_display_name",
    "logo_url": "logo_url",
    "accent_color": "accent_color",
    "page_message": "page_message",
}


def update_payment_account(
    *,
    account: PaymentAccount,
    name: str | None = None,
    processor: str | None = None,
    actor: Any = None,
    key: uuid.UUID | str | None = None,
    **properties: Unpack[AccountProperties],
) -> PaymentAccount:
    """Change the given properties, and keep all others as the platform has them now; assumption A7.

    ``properties`` are the ``AccountProperties``. The limits are in cents; an empty string removes an external id or the
    callback URL. Raises ``OperationRefused``, which names the option, ``OutcomeUnknown``, ``APIError``.
    """
    given = {"name": name, "processor": processor, **wire_properties(properties)}
    if given.get("callback_url"):
        options.check_callback("callback_url", given["callback_url"])
    options.check_length(**{name: given.get(name) for name in ("external_account_id", "external_merchant_id")})
    refuse_cards(name=name, processor=processor)
    action = UpdateAccountAction(account, {name: value for name, value in given.items() if value is not None})
    journal.demand_commits()
    for attempts_left in (2, 1, 0):
        if not journal.is_used(key):
            action.read_current()
        try:
            return cast(PaymentAccount, execute(action, actor=actor, key=key))
        except ChangedMeanwhile:
            if not attempts_left:
                raise
    raise AssertionError


def set_checkout_config(
    *,
    account: PaymentAccount,
    allowed_origins: Sequence[str] | None = None,
    display_name: str | None = None,
    logo_url: str | None = None,
    accent_color: str | None = None,
    page_message: str | None = None,
    actor: Any = None,
    key: uuid.UUID | str | None = None,
) -> PaymentAccount:
    """Set the checkout's origins and its look; /getting-started/credentials/, /component/theming/.

    Pass all options, because the vendor does not document whether the platform keeps the omitted ones. ``page_message``
    may contain HTML; ``markup.clean_message`` keeps only the allowed tags. Raises ``OperationRefused``, which names the
    option, ``OutcomeUnknown``, ``APIError``.
    """
    if allowed_origins is not None:
        options.check_origins("allowed_origins", allowed_origins)
    refuse_cards(display_name=display_name, page_message=page_message)
    if isinstance(page_message, str):
        page_message = clean_message(page_message)
        refuse_cards(page_message=page_message)  # tags may have split a card number
    body = tenant_shapes.CheckoutConfig(
        allowed_origins=None if allowed_origins is None else tuple(allowed_origins),
        merchant_display_name=display_name,
        logo_url=logo_url,
        accent_color=accent_color,
        page_message=page_message,
    )
    return cast(PaymentAccount, execute(SetCheckoutAction(account, body), actor=actor, key=key))


def checkout_as_sent(account_uid: str) -> dict[str, Any]:
    """Return the checkout's properties that were last sent from here; empty if it is not known whether they arrived.

    The platform has no documented way to read them back.
    """
    sent = journal.entries().filter(account=account_uid, action=OperationAction.SET_CHECKOUT)
    last = sent.exclude(state=OperationState.FAILED).order_by("-created_at", "-pk").first()
    if last is None or last.state != OperationState.SUCCEEDED:
        return {}
    return cast("dict[str, Any]", json.loads(last.reason))


class ChangedMeanwhile(OperationInProgress):
    """The account changed after it was read for the request. It has to be read again."""


class AccountAction(Action):
    """Base class of actions on a known payment account. The journal stores the requested values in ``reason``."""

    model = PaymentAccount
    reads_object: ClassVar[bool] = True

    def __init__(self, account: PaymentAccount, asked: Mapping[str, Any]) -> None:
        self.account, self.asked = account, asked

    def arguments(self) -> Mapping[str, Any]:
        return {"account": self.account.uid, "asked": self.asked}

    def entry(self) -> dict[str, Any]:
        return {"account_id": self.account.uid, "reason": json.dumps(self.asked)}

    def check(self, operation: Operation) -> None:
        PaymentAccount.objects.select_for_update().filter(uid=self.account.uid).first()
        check_account(self.account.uid)
        refuse_while_under_way(operation)

    @staticmethod
    def address(operation: Operation) -> dict[str, Any]:
        return {}

    @staticmethod
    def judge(operation: Operation, found: Resource) -> ActionResult | None:
        return ActionResult(mapping.ACCOUNT, found.raw, found.request_id)


class UpdateAccountAction(AccountAction):
    action: ClassVar[str] = OperationAction.UPDATE_ACCOUNT

    def __init__(self, account: PaymentAccount, changes: Mapping[str, Any]) -> None:
        """``changes`` maps the platform's property names to values. Raises ``OperationRefused`` if it is empty."""
        if not changes:
            raise OperationRefused("There is nothing to change.")
        super().__init__(account, changes)
        self.current: dict[str, Any] = {}
        self.read_at = timezone.now()
        self.body: tenant_shapes.CreatePaymentAccount | None = None

    def read_current(self) -> None:
        """Build the request from the account's present state and our changes.

        Raises ``OperationRefused``, ``APIError``.
        """
        self.read_at = timezone.now()
        read = read_account(self.account.uid).raw
        self.current = filled(
            {name: value for name, value in read.items() if value is not None or name not in REQUIRED}, self.account
        )
        merged = {**self.current, **self.asked}
        gone = [name for name in REMOVABLE if merged.get(name) == ""]
        body = {name: merged[name] for name in PROPERTIES if merged.get(name) is not None and name not in gone}
        options.check_limits(body.get("minimum_payment_amount"), body.get("maximum_payment_amount"))
        for name in REQUIRED:
            if name not in body:
                raise OperationRefused(f"The {name} of the payment account is not known here; sync first.")
        self.body = tenant_shapes.CreatePaymentAccount(**body)
        for name in gone:
            self.current.pop(name, None)

    def check(self, operation: Operation) -> None:
        super().check(operation)
        # The request contains all properties (A7), so it would undo another update that ended after our read.
        others = journal.entries().filter(account=self.account.uid, action=self.action, finished_at__gte=self.read_at)
        if others.exclude(pk=operation.pk).exists():
            raise ChangedMeanwhile("The payment account was changed a moment ago; try again.")

    def send(self, operation: Operation) -> PaymentAccountResource:
        if self.body is None:
            raise OperationRefused("The payment account must be read first.")
        uid = self.account.uid
        found = get_endpoints().update_payment_account(uid, self.body, idempotency_key=str(operation.key))
        known = {**self.current, **self.body.to_wire(), "uid": uid}
        return _read_back(uid, known, known) if found is None else completed(found, known)

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        found = read_account(str(operation.account_id))
        asked = json.loads(operation.reason)
        # An empty text asked to remove the property. 1 and 1.0 are the same number of dollars.
        same = all(alike(name, found.raw.get(name) or None, value or None) for name, value in asked.items())
        return cls.judge(operation, found) if same else None


class SetCheckoutAction(AccountAction):
    action: ClassVar[str] = OperationAction.SET_CHECKOUT

    def __init__(self, account: PaymentAccount, body: tenant_shapes.CheckoutConfig) -> None:
        super().__init__(account, body.to_wire())
        self.body = body

    def send(self, operation: Operation) -> PaymentAccountResource:
        uid = self.account.uid
        get_endpoints().set_checkout_config(uid, self.body, idempotency_key=str(operation.key))
        # The answer is not documented. A sync stores the account's own document, so that one is read.
        origins = self.asked.get("allowed_origins")
        known = {
            "uid": uid,
            "client_id": self.account.client_id,
            "allowed_origins": self.account.allowed_origins if origins is None else origins,
        }
        return _read_back(uid, known, {**self.account.raw, **known})

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        """Return success if the account shows the values, or if a later call has replaced the whole checkout."""
        uid, asked = str(operation.account_id), json.loads(operation.reason)
        found = read_account(uid)
        later = journal.entries().filter(
            account=uid, action=cls.action, state=OperationState.SUCCEEDED, created_at__gt=operation.created_at
        )
        if later.exists():
            return cls.judge(operation, found)
        said = {name: found.raw.get(name) for name in asked if found.raw.get(name) is not None}
        if any(not alike(name, asked[name], value) for name, value in said.items()):
            return None
        if len(said) < len(asked):
            raise InvalidAnswer("The checkout configuration cannot be read back. Set it again.")
        return cls.judge(operation, found)


def _read_back(uid: str, known: Mapping[str, Any], instead: Mapping[str, Any]) -> PaymentAccountResource:
    """Read the account after a successful call; return ``instead`` on an error, which must not change the outcome."""
    try:
        return completed(read_account(uid), known)
    except (GovPayError, ValueError):
        return PaymentAccountResource(instead)


#: The actions of this module, for ``reconciliation``.
ACTIONS: tuple[type[Action], ...] = (UpdateAccountAction, SetCheckoutAction)

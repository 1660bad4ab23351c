"""Webhooks of a payment account: which events the platform sends, and the signing secret."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any, ClassVar, cast

from django.db import router, transaction

from govpay.client import PaymentAccountResource, Resource, SubscriptionResource, tenant_shapes
from govpay.connection import get_endpoints
from govpay.exceptions import APIConnectionError, APIError, GovPayError, InvalidAnswer, OperationRefused
from govpay.models import Operation, PaymentAccount, WebhookSubscription
from govpay.models.base import Mirror
from govpay.models.choices import OperationAction, Source
from govpay.operations import journal
from govpay.operations.account_settings import AccountAction
from govpay.operations.actions import Action, ActionResult
from govpay.operations.engine import NOTHING_DONE, execute
from govpay.sync import mapping, secrets
from govpay.sync.upsert import mark_deleted, save_documents


def set_webhook_subscriptions(
    *, account: PaymentAccount, enabled: Sequence[str], actor: Any = None, key: uuid.UUID | str | None = None
) -> list[WebhookSubscription]:
    """Subscribe to exactly these event types of the platform's catalogue; assumption A20.

    Returns the account's subscriptions. Raises ``OperationRefused``, which names the types that the catalogue lacks,
    ``OutcomeUnknown``, ``APIError``.
    """
    if isinstance(enabled, str) or not all(isinstance(each, str) for each in enabled):
        raise OperationRefused("enabled must be a list of event types.")
    journal.demand_commits()
    action = SetSubscriptionsAction(account, sorted(set(enabled)))
    if not journal.is_used(key):
        action.read_catalogue()
    execute(action, actor=actor, key=key)
    return list(WebhookSubscription.objects.filter(account=account.uid, deleted_at=None).order_by("event_type"))


def refresh_webhook_secret(
    *, account: PaymentAccount, actor: Any = None, key: uuid.UUID | str | None = None
) -> PaymentAccount:
    """Fetch the account's signing secret and store it sealed; assumption A18.

    A new secret replaces the stored one, which stays valid for ``WEBHOOK_SECRET_GRACE`` seconds.
    Raises ``OperationRefused``, ``APIError``.
    """
    return cast(PaymentAccount, execute(RefreshSecretAction(account, {}), actor=actor, key=key))


def catalogue_of(account_uid: str) -> dict[str, str]:
    """Return the platform's event types and their descriptions; /platform/accounts/. Raises ``APIError``."""
    found = get_endpoints().list_event_types(account_uid)
    return {str(each["event_type"]): str(each.get("description") or "") for each in found}


def check_known(enabled: Iterable[str], catalogue: Iterable[str]) -> None:
    """Raises ``OperationRefused``, which names each type that the catalogue lacks and the most similar known type."""
    known = list(catalogue)
    wrong = []
    for name in enabled:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            wrong.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    if wrong:
        raise OperationRefused(f"The platform has no such events: {', '.join(wrong)}.")


class SetSubscriptionsAction(AccountAction):
    action: ClassVar[str] = OperationAction.SET_SUBSCRIPTIONS
    reads_object: ClassVar[bool] = False

    def __init__(self, account: PaymentAccount, enabled: Sequence[str]) -> None:
        super().__init__(account, {"enabled": list(enabled)})
        self.switches: dict[str, bool] = {}

    def read_catalogue(self) -> None:
        """Read the catalogue. The PUT merges (A20), so the request must also name the types that are switched off."""
        enabled, catalogue = self.asked["enabled"], catalogue_of(self.account.uid)
        check_known(enabled, catalogue)
        if not catalogue:
            raise OperationRefused("The platform has no events to subscribe to.")
        self.switches = {name: name in enabled for name in catalogue}

    def entry(self) -> dict[str, Any]:
        return {**super().entry(), "reason": json.dumps(self.switches)}

    def send(self, operation: Operation) -> Resource:
        uid = self.account.uid
        each = [tenant_shapes.Subscription(event_type=name, enabled=on) for name, on in self.switches.items()]
        body = tenant_shapes.SetSubscriptions(subscriptions=each)
        get_endpoints().set_subscriptions(uid, body, idempotency_key=str(operation.key))
        try:
            listed: Any = read_subscriptions(uid)
        except (GovPayError, ValueError):
            listed = None
        return Resource({"listed": listed})

    @staticmethod
    def judge(operation: Operation, found: Resource) -> ActionResult | None:
        """Store the list as an attribute of ``operation``, because ``stored`` needs it and gets no other argument."""
        listed, switches = found.raw["listed"], json.loads(operation.reason)
        if listed is not None and not _fits(listed, switches):
            return None
        vars(operation)["_listed"] = listed
        return ActionResult(mapping.ACCOUNT, _own_document(operation))

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        return cls.judge(operation, Resource({"listed": read_subscriptions(str(operation.account_id))}))

    @staticmethod
    def stored(operation: Operation, row: Mirror) -> None:
        listed, uid = vars(operation)["_listed"], row.uid
        whole = listed is not None
        if not whole:  # store what the platform accepted; the next sync reads the list
            listed = [{"event_type": name, "enabled": on} for name, on in json.loads(operation.reason).items()]
        mapper = mapping.subscription_of(uid)
        saved = save_documents(mapper, listed, extra={"account_id": uid}, source=Source.OPERATION)
        if whole and saved.all_named:
            here = WebhookSubscription.objects.filter(account=uid, deleted_at=None).values_list("uid", flat=True)
            mark_deleted(
                WebhookSubscription, [each for each in here if each not in saved.listed], source=Source.OPERATION
            )


class RefreshSecretAction(AccountAction):
    action: ClassVar[str] = OperationAction.REFRESH_SECRET

    def entry(self) -> dict[str, Any]:
        return {"account_id": self.account.uid}

    def send(self, operation: Operation) -> Resource:
        try:
            secret = get_endpoints().get_webhook_secret(self.account.uid)
        except APIError as error:
            if isinstance(error, NOTHING_DONE):
                raise
            # This call only reads, so that no failure of it can have changed anything.
            raise APIConnectionError(error.message, status=error.status, request_id=error.request_id) from None
        return PaymentAccountResource({"secret": secret})

    @staticmethod
    def judge(operation: Operation, found: Resource) -> ActionResult | None:
        vars(operation)["_secret"] = found.raw["secret"]
        return ActionResult(mapping.ACCOUNT, _own_document(operation))

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        """Return None: a killed process has stored no secret, and the secret can be fetched again at any time."""
        return None

    @staticmethod
    def stored(operation: Operation, row: Mirror) -> None:
        secrets.keep(row.uid, vars(operation).pop("_secret"))
        row.refresh_from_db()
        alias = router.db_for_write(PaymentAccount)
        transaction.on_commit(partial(secrets.forget, row.uid), using=alias)


def read_subscriptions(account_uid: str) -> list[Mapping[str, Any]]:
    """Return all subscriptions of an account; assumption A20. Raises ``APIError``."""
    page = get_endpoints().list_subscriptions(account_uid)
    if not page.is_whole:
        raise InvalidAnswer("The list of subscriptions is incomplete.")
    return list(page.items)


def switched_on(listed: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the event types that are switched on. A type that is not listed is off. Raises ``BadValue``."""
    return {each.event_type for each in map(SubscriptionResource, listed) if each.enabled}


def _fits(listed: Iterable[Mapping[str, Any]], switches: Mapping[str, bool]) -> bool:
    on = switched_on(listed)
    return all((name in on) == wanted for name, wanted in switches.items())


def _own_document(operation: Operation) -> dict[str, Any]:
    """Return the stored document of the account, because these actions do not change it."""
    account = PaymentAccount.objects.filter(uid=operation.account_id).first()
    if account is None:
        raise InvalidAnswer("its payment account is no longer known here")
    return {**account.raw, "uid": account.uid}


#: The actions of this module, for ``reconciliation``.
ACTIONS: tuple[type[Action], ...] = (SetSubscriptionsAction, RefreshSecretAction)

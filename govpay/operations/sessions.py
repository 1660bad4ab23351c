"""Hosted sessions: open, change and expire them. Each is one attempt to pay or to manage a wallet."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from django.utils import timezone
from django.utils.translation import gettext as _

from govpay.client import HostedSessionResource, tenant_shapes
from govpay.client.cards import refuse_cards
from govpay.connection import get_endpoints
from govpay.exceptions import Conflict, Gone, NotFound, OperationRefused
from govpay.models import Customer, HostedSession, Operation, PaymentAccount, PaymentLink
from govpay.models.base import Mirror
from govpay.models.choices import LinkState, OperationAction, SessionStatus, label_of
from govpay.models.fields import Sealed
from govpay.operations import session_options as options
from govpay.operations.actions import Action, ActionResult, completed
from govpay.operations.engine import execute
from govpay.sync import mapping, sessions

#: Properties of the request that are stored if the answer lacks them. The payer's ``fraud_signals`` are not stored.
KEPT = ("amount", "currency", "description", "line_items", "customer_id", "layout", "scope", "metadata")


def create_hosted_session(
    *,
    account: PaymentAccount,
    amount: int,
    currency: str = "USD",
    success_url: str,
    cancel_url: str,
    description: str | None = None,
    line_items: Sequence[Mapping[str, Any]] | None = None,
    customer: Customer | None = None,
    customer_email: str | None = None,
    layout: str | None = None,
    allowed_methods: Sequence[str] | None = None,
    setup_future_usage: str | None = None,
    expires_in_seconds: int | None = None,
    branding: Mapping[str, Any] | None = None,
    required_avs_fields: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    fraud_signals: Mapping[str, Any] | None = None,
    actor: Any = None,
    key: uuid.UUID | str | None = None,
) -> HostedSession:
    """Open a session in which a payer pays ``amount`` (minor units, without any fee); /guides/hosted-sessions/.

    Both addresses must use https and an origin in ``CHECKOUT_ORIGINS`` (with DEBUG any address is allowed). In them,
    the platform replaces ``{CHECKOUT_SESSION_ID}`` with the session's id. Objects are dicts of the vendor's properties.
    Secrets are stored sealed. Raises ``OperationRefused``, which names the option, ``OutcomeUnknown``, ``APIError``.
    """
    refuse_cards(success_url=success_url, cancel_url=cancel_url, required_avs_fields=required_avs_fields)
    refuse_cards(description=description, metadata=metadata, customer_email=customer_email)
    options.check_return_addresses(success_url=success_url, cancel_url=cancel_url)
    body = tenant_shapes.CreateHostedSession(
        amount=amount,
        currency=options.currency(currency),
        success_url=success_url,
        cancel_url=cancel_url,
        description=description,
        line_items=options.line_items(line_items),
        customer_id=options.customer_uid(customer, account),
        customer_email=options.email(customer_email),
        layout=layout,
        allowed_methods=options.methods(allowed_methods),
        setup_future_usage=setup_future_usage,
        expires_in_seconds=expires_in_seconds,
        branding=options.form("branding", tenant_shapes.Branding, branding),
        required_avs_fields=required_avs_fields,
        metadata=metadata,
        fraud_signals=options.form("fraud_signals", tenant_shapes.FraudSignals, fraud_signals),
    )
    return cast(HostedSession, execute(CreateSessionAction(account, body), actor=actor, key=key))


def create_wallet_session(
    *,
    customer: Customer,
    method_badges: Sequence[Mapping[str, Any]] | None = None,
    locked_payment_methods: Sequence[Mapping[str, Any]] | None = None,
    expires_in_seconds: int | None = None,
    branding: Mapping[str, Any] | None = None,
    actor: Any = None,
    key: uuid.UUID | str | None = None,
) -> HostedSession:
    """Open a session in which ``customer`` manages saved methods; /component/wallet/.

    Each of ``method_badges`` has ``label``, ``color`` and ``payment_method_uids``. Each of ``locked_payment_methods``
    has ``payment_method_uid`` and ``reason``. Raises the same errors as ``create_hosted_session``.
    """
    account = PaymentAccount.objects.filter(uid=customer.account_id).first()
    if account is None:
        raise OperationRefused(_("There is no such payment account here; sync first."))
    body = tenant_shapes.CreateHostedSession(
        scope="wallet",
        customer_id=options.customer_uid(customer, account),
        method_badges=options.forms("method_badges", tenant_shapes.MethodBadge, method_badges),
        locked_payment_methods=options.forms(
            "locked_payment_methods", tenant_shapes.LockedMethod, locked_payment_methods
        ),
        expires_in_seconds=expires_in_seconds,
        branding=options.form("branding", tenant_shapes.Branding, branding),
    )
    return cast(HostedSession, execute(CreateSessionAction(account, body), actor=actor, key=key))


def update_hosted_session(
    *,
    session: HostedSession,
    amount: int | None = None,
    line_items: Sequence[Mapping[str, Any]] | None = None,
    actor: Any = None,
    key: uuid.UUID | str | None = None,
) -> HostedSession:
    """Change the amount (minor units) or the line items of an open session.

    Afterwards the page must call the component's ``refreshSession()``;
    /api/operations/v1hosted-sessionssessionid/patch/. The session of a payment link is refused.
    Raises the same errors as ``create_hosted_session``.
    """
    body = tenant_shapes.UpdateHostedSession(amount=amount, line_items=options.line_items(line_items))
    return cast(HostedSession, execute(UpdateSessionAction(session, body), actor=actor, key=key))


def expire_hosted_session(
    *, session: HostedSession, actor: Any = None, key: uuid.UUID | str | None = None
) -> HostedSession:
    """Expire an open session now; /api/operations/v1hosted-sessionssessionidexpire/.

    Raises the same errors as ``create_hosted_session``.
    """
    return cast(HostedSession, execute(ExpireSessionAction(session), actor=actor, key=key))


class CreateSessionAction(Action):
    action: ClassVar[str] = OperationAction.CREATE_SESSION
    model = HostedSession
    reads_object: ClassVar[bool] = True  # nothing can be read, so that a longer wait shows nothing
    can_retry: ClassVar[bool] = False  # there is no reference: a retry could open a second session

    def __init__(self, account: PaymentAccount, body: tenant_shapes.CreateHostedSession) -> None:
        self.account, self.body = account, body

    def arguments(self) -> Mapping[str, Any]:
        return {**self.body.to_wire(), "account": self.account.uid}

    def entry(self) -> dict[str, Any]:
        return {
            "account_id": self.account.uid,
            "amount": self.body.amount,
            "currency": self.body.currency or "",
            "customer_id": self.body.customer_id,
        }

    def check(self, operation: Operation) -> None:
        account = PaymentAccount.objects.filter(uid=self.account.uid).first()
        if account is None:
            raise OperationRefused(_("There is no such payment account here; sync first."))
        if account.deleted_at:
            raise OperationRefused(_("The platform no longer has this payment account."))

    def send(self, operation: Operation) -> HostedSessionResource:
        found = get_endpoints().create_hosted_session(self.account.uid, self.body, idempotency_key=str(operation.key))
        asked = {name: value for name, value in self.body.to_wire().items() if name in KEPT}
        return completed(found, {"scope": "payment", **asked, "status": SessionStatus.ACTIVE.value})

    @staticmethod
    def judge(operation: Operation, found: HostedSessionResource) -> ActionResult | None:
        local: dict[str, Any] = {"public_id": secrets.token_urlsafe(18)}
        local["credential"] = _sealed(found.raw.get("client_secret"))
        local["hosted_url"] = _sealed(found.raw.get("hosted_url"))
        local["customer_id"] = operation.customer_id
        local["metadata"] = mapping.scrub(found.raw.get("metadata") or {})
        local["remote_created_at"] = timezone.now()  # the platform does not report it
        return ActionResult(mapping.SESSION, found.raw, found.request_id, local=local)

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        """Return None: the platform has no list of sessions, and a session without its credential cannot be used."""
        return None

    @staticmethod
    def stored(operation: Operation, row: Mirror) -> None:
        entries = Operation.objects.filter(pk=operation.pk)
        entries.update(session=row.uid)
        operation.session_id = row.uid


class SessionAction(Action):
    """Base class of the actions on an open session."""

    model = HostedSession
    reads_object: ClassVar[bool] = True

    def __init__(self, session: HostedSession) -> None:
        self.session = session

    def arguments(self) -> Mapping[str, Any]:
        return {"session": self.session.uid}

    def entry(self) -> dict[str, Any]:
        session = self.session
        return {
            "account_id": session.account_id,
            "session_id": session.uid,
            "customer_id": session.customer_id,
            "currency": session.currency,
        }

    def check(self, operation: Operation) -> None:
        row = HostedSession.objects.select_for_update().filter(uid=self.session.uid).first()
        if row is None or not row.account_id:
            raise OperationRefused(_("There is no such session here."))
        if row.status in sessions.ENDED:
            raise OperationRefused(
                _("This session cannot be used. Its status: %(status)s.")
                % {"status": label_of(row.status, SessionStatus)}
            )
        self.session = row

    @staticmethod
    def stored(operation: Operation, row: Mirror) -> None:
        completed = getattr(row, "status", "") == SessionStatus.COMPLETED
        sessions.wipe_if_ended(row.uid, completed=completed)


class UpdateSessionAction(SessionAction):
    action: ClassVar[str] = OperationAction.UPDATE_SESSION

    def __init__(self, session: HostedSession, body: tenant_shapes.UpdateHostedSession) -> None:
        super().__init__(session)
        self.body = body

    def arguments(self) -> Mapping[str, Any]:
        return {**self.body.to_wire(), **super().arguments()}

    def check(self, operation: Operation) -> None:
        super().check(operation)
        if PaymentLink.objects.filter(session_id=self.session.uid, state=LinkState.OPEN).exists():
            # The payment page shows the link's amount, but the payer would be charged another amount.
            raise OperationRefused(_("A payment link has this session open: cancel the link and make another one."))

    def entry(self) -> dict[str, Any]:
        return {**super().entry(), "amount": self.body.amount}

    def send(self, operation: Operation) -> HostedSessionResource:
        found = get_endpoints().update_hosted_session(
            str(self.session.account_id), self.session.uid, self.body, idempotency_key=str(operation.key)
        )
        return completed(found, {**self.session.raw, **self.body.to_wire(), "session_id": self.session.uid})

    @staticmethod
    def judge(operation: Operation, found: HostedSessionResource) -> ActionResult | None:
        return ActionResult(mapping.SESSION, found.raw, found.request_id)

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        """Return success if the session has the new amount. Raises ``NotFound`` if only the line items were changed."""
        row, document = _read_again(operation)
        if document is None:
            return _ended(row, "The session has expired.")
        if operation.amount is None:
            raise NotFound("The platform does not show whether the line items were changed.")
        return ActionResult(mapping.SESSION, document) if document.get("amount") == operation.amount else None


class ExpireSessionAction(SessionAction):
    action: ClassVar[str] = OperationAction.EXPIRE_SESSION

    def send(self, operation: Operation) -> HostedSessionResource:
        session = self.session
        get_endpoints().expire_hosted_session(str(session.account_id), session.uid, idempotency_key=str(operation.key))
        return HostedSessionResource(_expired(session))

    @staticmethod
    def judge(operation: Operation, found: HostedSessionResource) -> ActionResult | None:
        return ActionResult(mapping.SESSION, found.raw, found.request_id)

    @classmethod
    def look_up(cls, operation: Operation) -> ActionResult | None:
        row, document = _read_again(operation)
        if document is None:
            return ActionResult(mapping.SESSION, _expired(row))
        if document.get("status") == SessionStatus.COMPLETED:
            return ActionResult(mapping.SESSION, document, error=Conflict("The session was completed meanwhile."))
        return ActionResult(mapping.SESSION, document) if document.get("status") == SessionStatus.EXPIRED else None


def _read_again(operation: Operation) -> tuple[HostedSession, Mapping[str, Any] | None]:
    """Return the session's row and the platform's document (``None`` if it has expired). Raises ``APIError``."""
    row = HostedSession.objects.filter(uid=operation.session_id).first()
    if row is None or row.credential is None:
        raise NotFound("The session cannot be read without its credential.")
    return row, sessions.read_session(row)


def _ended(row: HostedSession, why: str) -> ActionResult:
    return ActionResult(mapping.SESSION, _expired(row), error=Gone(why))


def _expired(row: HostedSession) -> dict[str, Any]:
    return {**row.raw, "session_id": row.uid, "status": SessionStatus.EXPIRED.value}


def _sealed(value: Any) -> Sealed | None:
    return Sealed.of(value) if isinstance(value, str) and value else None

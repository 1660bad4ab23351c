"""Rules that depend on the signed-in user, in addition to the rules of each action. Admin and REST share them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from govpay import operations
from govpay.models import Customer, HostedSession, Operation, Payment
from govpay.models.choices import OperationAction, PaymentStatus
from govpay.models.operations import OPEN_STATES
from govpay.models.payments import WALLET_VALIDATION
from govpay.models.permissions import ACTION_PERMISSIONS


def may(user: Any, action: str) -> bool:
    return bool(user.has_perm(ACTION_PERMISSIONS[action]))


def may_open(user: Any, scope: str) -> bool:
    """Return whether ``user`` may open a session of this scope. A wallet session needs ``manage_wallet``."""
    return may(user, OperationAction.SAVE_METHOD if scope == "wallet" else OperationAction.CREATE_SESSION)


def may_end(user: Any, session: HostedSession) -> bool:
    """Return whether ``user`` may expire ``session``. The right to open such a session is enough."""
    return may_open(user, session.scope)


def may_confirm(user: Any, payment: Payment) -> bool:
    """Return whether ``user`` may capture ``payment`` as their own charge: they quoted it for a saved method."""
    return may(user, OperationAction.QUOTE) and is_own_charge(user, payment)


def is_own_charge(user: Any, payment: Payment) -> bool:
    return payment.is_wallet and operations.quote_of(payment, user) is not None


def fee_previews(user: Any, customer: Customer) -> QuerySet[Operation]:
    """Return the fee previews of ``user`` for ``customer`` that were not captured, cancelled or expired yet."""
    own = Operation.objects.filter(action=OperationAction.QUOTE, fee_preview=True, actor=user, customer=customer.uid)
    recent = own.filter(created_at__gte=timezone.now() - WALLET_VALIDATION)
    shown = recent.filter(payment__status=PaymentStatus.VALIDATED, payment__deleted_at=None)
    return shown.select_related("payment").defer("validated_method", "payment__raw")


def is_debit(payment: Payment) -> bool:
    """Return whether ``payment`` debits a bank account. If staff quoted it, it needs the owner's authorization."""
    return payment.method_type.endswith("ach")


def needing_authorization(payments: Iterable[Payment]) -> set[str]:
    """Return the uids of the payments whose capture needs the authorization of the bank account's owner.

    These are the validated bank debits that staff quoted.
    """
    debits = [each for each in payments if each.status == PaymentStatus.VALIDATED and is_debit(each)]
    return operations.quoted_by_staff(debits) if debits else set()


def why_wait(payment: Payment) -> str:
    """Return the reason why the capture must wait: an equal charge may be under way. Empty if it need not wait."""
    if not _is_in_doubt(payment):
        return ""
    return _(
        "The outcome of a charge of the same amount is not known yet: it may have been taken. "
        "Wait until it is; nothing is sent again automatically."
    )


def _is_in_doubt(payment: Payment) -> bool:
    if not payment.customer_id:
        return False
    alike = Payment.objects.filter(customer=payment.customer_id, base_amount=payment.base_amount).exclude(pk=payment.pk)
    waiting = Operation.objects.filter(action=OperationAction.CAPTURE, state__in=OPEN_STATES)
    return waiting.filter(payment__in=alike.values("uid")).exists()

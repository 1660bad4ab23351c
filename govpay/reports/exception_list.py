"""Exceptions: rows whose movements somebody must check before a day is closed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, TextChoices
from django.utils.translation import gettext_lazy as _

from govpay.models import Payment, Transaction
from govpay.models.choices import NEVER_CAPTURED, PaymentStatus, TransactionStatus, TransactionType
from govpay.reports.days import Accounts, day_in, zones_of
from govpay.reports.sources import (
    SUCCEEDED,
    refunds_of_payment,
    was_captured,
    without_transactions,
)


class ExceptionKind(TextChoices):
    """Why a row is listed."""

    UNKNOWN_TYPE = "unknown_type", _("Transaction of an unknown type")
    UNKNOWN_STATUS = "unknown_status", _("Transaction of an unknown status")
    REFUNDS_DIFFER = "refunds_differ", _("The refunded amount is not the sum of the refunds")
    NO_PAYMENT = "no_payment", _("Transaction without its payment")
    NOT_CAPTURED = "not_captured", _("Captured, but its status says otherwise")
    NO_LOSS = "no_loss", _("Disputed or returned, but without the transaction")
    NO_AMOUNT = "no_amount", _("The platform has not sent an amount or the currency")


@dataclass(frozen=True)
class ReportException:
    """A row that must be checked. ``day`` is the business day of its creation, or ``None`` if that is not known."""

    kind: ExceptionKind
    account_uid: str
    payment_uid: str
    transaction_uid: str
    day: dt.date | None


#: Statuses that a payment has only after a transaction of these types.
LOSSES = {
    PaymentStatus.CHARGED_BACK: TransactionType.CHARGEBACK,
    PaymentStatus.RETURNED: TransactionType.ACH_RETURN,
}


def list_exceptions(accounts: Accounts) -> Iterator[ReportException]:
    """Yield the exceptions of the accounts, one for each row and reason. Executes one statement for each reason."""
    zones = zones_of(accounts)
    whose = {"account_id__in": list(zones)}
    offered = {"account_id__in": sorted(set(zones) - set(without_transactions(whose)))}
    for kind, rows in (*_of_payments(whose, offered), *_of_transactions(whose)):
        payment, transaction = ("uid", None) if rows.model is Payment else ("payment_id", "uid")
        names = ("account_id", payment, *([transaction] if transaction else []), "remote_created_at")
        for account, payment_uid, *more, created in rows.order_by("account_id", "uid").values_list(*names).iterator():
            day = day_in(zones[account], created) if created else None
            yield ReportException(kind, account, payment_uid or "", more[0] if more else "", day)


_Found = Iterator[tuple[ExceptionKind, QuerySet[Any]]]


def _of_payments(whose: dict[str, Any], offered: dict[str, Any]) -> _Found:
    rows = Payment.objects.filter(**offered).annotate(refunds=refunds_of_payment(Q(status=TransactionStatus.SUCCEEDED)))
    refunds = _transactions_of(type=TransactionType.REFUND, status=TransactionStatus.SUCCEEDED)
    # A refund may be known before the payment's new sum, or after it.
    some = Q(refunded_amount__gt=0) | Q(refunded_amount=0) & Q(Exists(refunds))
    yield ExceptionKind.REFUNDS_DIFFER, rows.filter(some).exclude(refunded_amount=F("refunds"))
    captures = _transactions_of(type=TransactionType.CAPTURE, status__in=SUCCEEDED)
    contradicted = Q(captured_at__isnull=False) | Q(Exists(captures))
    yield (
        ExceptionKind.NOT_CAPTURED,
        Payment.objects.filter(contradicted, status__in=sorted(NEVER_CAPTURED), **whose),
    )
    lost = Q(pk__in=[])
    for status, kind in LOSSES.items():
        known = _transactions_of(~Q(status=TransactionStatus.FAILED), type=kind)
        lost |= Q(status=status) & ~Q(Exists(known))
    yield ExceptionKind.NO_LOSS, Payment.objects.filter(lost, **whose)
    missing = Q(total_amount=None) | Q(currency="")
    yield ExceptionKind.NO_AMOUNT, Payment.objects.filter(missing, was_captured(), **whose)


def _transactions_of(*conditions: Q, **more: Any) -> QuerySet[Transaction]:
    """Return the transactions of the outer payment."""
    return Transaction.objects.filter(*conditions, payment=OuterRef("uid"), **more).order_by()


def _of_transactions(whose: dict[str, Any]) -> _Found:
    rows = Transaction.objects.filter(**whose)
    yield ExceptionKind.UNKNOWN_TYPE, rows.exclude(type__in=TransactionType.values)
    known = (*TransactionStatus.values, "")
    yield ExceptionKind.UNKNOWN_STATUS, rows.filter(type__in=TransactionType.values).exclude(status__in=known)
    yield ExceptionKind.NO_PAYMENT, rows.filter(~Exists(Payment.objects.filter(uid=OuterRef("payment_id")).order_by()))
    counted = rows.filter(~Q(status=TransactionStatus.FAILED), type__in=TransactionType.values)
    yield ExceptionKind.NO_AMOUNT, counted.filter(Q(amount=None) | Q(currency="", payment__currency=""))

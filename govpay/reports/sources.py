"""The rows of the mirror that are movements of money, as querysets with the same columns for each kind.

``movements`` reads their rows, and ``totals`` groups them, so both count the same. The definitions are in
``docs/reports.md``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import (
    BigIntegerField,
    BooleanField,
    Case,
    CharField,
    Exists,
    F,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from govpay.models import Operation, Payment, SyncCursor, Transaction
from govpay.models.choices import (
    NEVER_CAPTURED,
    ONCE_CAPTURED,
    OperationAction,
    OperationState,
    PaymentStatus,
    TransactionStatus,
    TransactionType,
)
from govpay.models.payments import UNDATED_CAPTURES
from govpay.models.transactions import INCOMPLETE_TRANSACTIONS

#: The columns of each source. The prefix keeps them apart from the columns of the tables.
_NAMES = "kind moment estimated account payment transaction amount base tax fee currency method brand pending"
COLUMNS = tuple(f"m_{name}" for name in _NAMES.split())

#: The types of transactions that are movements by themselves. Captures and voids also need their payment.
TAKEN = (TransactionType.REFUND, TransactionType.CHARGEBACK, TransactionType.ACH_RETURN)
TYPES = (*TAKEN, TransactionType.CHARGEBACK_REVERSAL)

#: A transaction without a status: the platform does not send one.
SUCCEEDED = (TransactionStatus.SUCCEEDED.value, "")

#: Which operation made a movement of this kind: by its payment, or by its result.
ACTIONS = {
    TransactionType.CAPTURE: OperationAction.CAPTURE,
    TransactionType.VOID: OperationAction.VOID,
    TransactionType.REFUND: OperationAction.REFUND,
}

Source = QuerySet[Any]


def sources(accounts: Sequence[str], start: dt.datetime, end: dt.datetime) -> Iterator[Source]:
    """Yield the movements of the accounts (uids) from ``start`` until before ``end``, in disjoint querysets."""
    whose: dict[str, Any] = {"account_id": accounts[0]} if len(accounts) == 1 else {"account_id__in": accounts}
    within = Q(m_moment__gte=start, m_moment__lt=end)
    for source in (
        _dated_captures,
        _undated_captures,
        _transactions,
        _incomplete_transactions,
        _voids,
        _incomplete_voids,
    ):
        yield source(whose).filter(within)
    without = without_transactions(whose)
    if without:
        for source in (_refunds_without_transactions, _voids_without_transactions):
            yield source({"account_id__in": without}).filter(within)


def without_transactions(whose: dict[str, Any]) -> list[Any]:
    """Return the uids of the accounts for which the platform offers no list of transactions."""
    cursors = SyncCursor.objects.filter(resource="transactions", not_offered_at__isnull=False, **whose)
    return list(cursors.order_by().values_list("account_id", flat=True))


def was_captured(payment: str = "") -> Q:
    """Return the payments that were once captured. ``payment``: the path to the payment, such as ``payment__``."""
    known = ONCE_CAPTURED | NEVER_CAPTURED
    return (
        Q(**{f"{payment}captured_at__isnull": False})
        | Q(**{f"{payment}status__in": sorted(ONCE_CAPTURED)})
        | (~Q(**{f"{payment}status__in": sorted(known)}) & Q(Exists(_captures(f"{payment}uid"))))
    )


def _captures(uid: str) -> QuerySet[Transaction]:
    """Return the capture transactions of the outer payment."""
    rows = Transaction.objects.filter(payment=OuterRef(uid), type=TransactionType.CAPTURE, status__in=SUCCEEDED)
    return rows.order_by()


def refunds_of_payment(which: Q) -> Coalesce:
    """Return the sum of the outer payment's refunds that match ``which``, in minor units."""
    rows = Transaction.objects.filter(which, payment=OuterRef("uid"), type=TransactionType.REFUND).order_by()
    total = rows.values("payment").annotate(sum=Sum("amount")).values("sum")
    return Coalesce(Subquery(total), 0, output_field=BigIntegerField())


# --- Rows of payments ---------------------------------------------------------------------------


def _of_payments(rows: QuerySet[Payment], kind: TransactionType, sign: int, **columns: Any) -> Source:
    """Payments as movements. ``sign`` is 1 or -1; ``columns`` replace the usual ones."""
    parts = {
        "m_amount": "total_amount",
        "m_base": "base_amount",
        "m_tax": "tax_amount",
        "m_fee": "processing_fee_amount",
    }
    usual: dict[str, Any] = {
        "m_kind": _text(kind.value),
        "m_account": F("account_id"),
        "m_payment": F("uid"),
        "m_transaction": _text(""),
        **{name: _amount(column, sign) for name, column in parts.items()},
        "m_currency": F("currency"),
        "m_method": F("method_type"),
        "m_brand": F("brand"),
        "m_pending": _flag(False),
    }
    return rows.order_by().annotate(**{**usual, **columns})


def _dated_captures(whose: dict[str, Any]) -> Source:
    rows = Payment.objects.filter(**whose)
    return _of_payments(rows, TransactionType.CAPTURE, 1, m_moment=F("captured_at"), m_estimated=_flag(False))


def _undated_captures(whose: dict[str, Any]) -> Source:
    """Return captured payments without a time of capture. Their capture transaction dates them, if any."""
    first = _captures("uid").values("payment").annotate(at=Min("remote_created_at")).values("at")
    rows = Payment.objects.filter(UNDATED_CAPTURES, was_captured(), **whose)
    return _of_payments(
        rows.annotate(m_captured=Subquery(first)),
        TransactionType.CAPTURE,
        1,
        m_moment=Coalesce("m_captured", "remote_created_at", "synced_at"),
        m_estimated=_whether(Q(m_captured=None)),
    )


def _refunds_without_transactions(whose: dict[str, Any]) -> Source:
    """How far ``refunded_amount`` exceeds the known refunds, where the platform offers no transactions."""
    known = refunds_of_payment(~Q(status=TransactionStatus.FAILED))
    rows = Payment.objects.filter(refunded_amount__gt=0, **whose).annotate(m_known=known)
    return _of_payments(
        rows.filter(refunded_amount__gt=F("m_known")),
        TransactionType.REFUND,
        -1,
        m_moment=_changed(),
        m_estimated=_flag(True),
        m_amount=F("m_known") - F("refunded_amount"),
        m_base=_no_amount(),
        m_tax=_no_amount(),
        m_fee=_no_amount(),
    )


def _voids_without_transactions(whose: dict[str, Any]) -> Source:
    rows = Payment.objects.filter(was_captured(), status=PaymentStatus.VOIDED, **whose)
    known = Transaction.objects.filter(payment=OuterRef("uid"), type=TransactionType.VOID, status__in=SUCCEEDED)
    rows = rows.filter(~Exists(known.order_by()))
    return _of_payments(rows, TransactionType.VOID, -1, m_moment=_changed(), m_estimated=_flag(True))


# --- Rows of transactions -----------------------------------------------------------------------


def _of_transactions(rows: QuerySet[Transaction], **columns: Any) -> Source:
    """Transactions as movements. ``columns`` replace the usual ones."""
    usual: dict[str, Any] = {
        "m_kind": F("type"),
        "m_moment": F("remote_created_at"),
        "m_estimated": _flag(False),
        "m_account": F("account_id"),
        "m_payment": _text_of("payment_id"),
        "m_transaction": F("uid"),
        "m_amount": Case(
            When(type__in=TAKEN, then=_amount("amount", -1)),
            default=_amount("amount", 1),
            output_field=BigIntegerField(),
        ),
        "m_base": _no_amount(),
        "m_tax": _no_amount(),
        "m_fee": _no_amount(),
        "m_currency": F("currency"),
        "m_method": _text_of("payment__method_type"),
        "m_brand": _text_of("payment__brand"),
        "m_pending": _whether(~Q(status=TransactionStatus.SUCCEEDED), type=TransactionType.REFUND),
    }
    return rows.order_by().annotate(**{**usual, **columns})


def _stand_ins() -> dict[str, Any]:
    """Return the columns of transactions without a date or a currency: what we know instead."""
    return {
        "m_moment": Coalesce("remote_created_at", "synced_at"),
        "m_estimated": _whether(Q(remote_created_at=None)),
        "m_currency": Case(When(currency="", then=_text_of("payment__currency")), default=F("currency")),
    }


def _counted(whose: dict[str, Any]) -> QuerySet[Transaction]:
    return Transaction.objects.filter(~Q(status=TransactionStatus.FAILED), type__in=TYPES, **whose)


def _transactions(whose: dict[str, Any]) -> Source:
    """Refunds, disputes, returns. These need no column of the payment, which makes them fast to count."""
    return _of_transactions(_counted(whose).exclude(currency=""))


def _incomplete_transactions(whose: dict[str, Any]) -> Source:
    return _of_transactions(_counted(whose).filter(INCOMPLETE_TRANSACTIONS), **_stand_ins())


def _void_rows(whose: dict[str, Any]) -> QuerySet[Transaction]:
    voids = Transaction.objects.filter(type=TransactionType.VOID, status__in=SUCCEEDED, **whose)
    return voids.filter(was_captured("payment__"))


def _void_parts() -> dict[str, Any]:
    """A void takes the whole payment back."""
    return {
        "m_amount": _amount("payment__total_amount", -1),
        "m_base": _amount("payment__base_amount", -1),
        "m_tax": _amount("payment__tax_amount", -1),
        "m_fee": _amount("payment__processing_fee_amount", -1),
    }


def _voids(whose: dict[str, Any]) -> Source:
    return _of_transactions(_void_rows(whose).exclude(currency=""), **_void_parts())


def _incomplete_voids(whose: dict[str, Any]) -> Source:
    return _of_transactions(_void_rows(whose).filter(INCOMPLETE_TRANSACTIONS), **_void_parts(), **_stand_ins())


# --- Columns ------------------------------------------------------------------------------------


def _text(value: str) -> Value:
    return Value(value, output_field=CharField())


def _text_of(column: str) -> Coalesce:
    return Coalesce(F(column), Value(""), output_field=CharField())


def _flag(value: bool) -> Value:
    return Value(value, output_field=BooleanField())


def _whether(*conditions: Q, **more: Any) -> Case:
    return Case(When(*conditions, **more, then=Value(True)), default=Value(False), output_field=BooleanField())


def _no_amount() -> Value:
    return Value(0, output_field=BigIntegerField())


def _amount(column: str, sign: int) -> Any:
    """Return an amount with its sign. One that the platform has not sent counts as 0; ``exception_list`` lists it."""
    known = Coalesce(F(column), 0, output_field=BigIntegerField())
    return known if sign > 0 else Value(0, output_field=BigIntegerField()) - known


def _changed() -> Coalesce:
    return Coalesce("remote_updated_at", "remote_created_at", "synced_at")


def with_person(source: Source) -> Source:
    """Annotate ``m_person``: the username of the member of staff who did it here, or an empty text.

    The username stays in the operation when the user is deleted.
    """
    done = Operation.objects.filter(state=OperationState.SUCCEEDED, account=OuterRef("m_account")).order_by(
        "-created_at"
    )
    by_payment = done.filter(payment=OuterRef("m_payment"))
    # An empty uid names no transaction: the platform offers none, or the refund's answer had none.
    by_transaction = done.filter(result_uid=OuterRef("m_transaction")).exclude(result_uid="")
    whens = [
        When(m_kind=kind, then=Subquery(rows.filter(action=action).values("actor_name")[:1]))
        for kind, action in ACTIONS.items()
        for rows in [by_transaction if kind == TransactionType.REFUND else by_payment]
    ]
    return source.annotate(m_person=Coalesce(Case(*whens), Value(""), output_field=CharField()))


def of_person(source: Source, person: str) -> Source:
    """Return the rows of ``source`` that this member of staff did; empty: those that nobody here did."""
    found: Source = with_person(source).filter(m_person=person)
    return found

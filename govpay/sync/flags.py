"""What staff must look at: raised on a payment by the movement that arrives, once, whoever brings it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import Case, Model, Value, When
from django.utils import timezone

from govpay.models import Payment, Transaction
from govpay.models.choices import PaymentFlag, TransactionStatus, TransactionType

#: Which new transaction raises which flag.
FLAGS: dict[str, PaymentFlag] = {
    TransactionType.CHARGEBACK: PaymentFlag.CHARGEBACK,
    TransactionType.ACH_RETURN: PaymentFlag.RETURN,
    TransactionType.CHARGEBACK_REVERSAL: PaymentFlag.REVERSAL,
}


def raise_flags(model: type[Model], known: Collection[str], written: Mapping[str, Mapping[str, Any]]) -> None:
    """Flag the payments of the new transactions among ``written``: at most one statement."""
    if model is not Transaction:
        return
    flags: dict[str, str] = {}
    for uid, row in written.items():
        flag = FLAGS.get(row.get("type") or "")
        if flag and uid not in known and row.get("payment_id") and row.get("status") != TransactionStatus.FAILED:
            flags[row["payment_id"]] = flag.value
    if flags:
        which = Case(*(When(uid=uid, then=Value(flag)) for uid, flag in flags.items()))
        Payment.objects.filter(uid__in=flags).update(flag=which, flagged_at=timezone.now())

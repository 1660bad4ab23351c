"""Flags on payments. The newest dispute, return or reversal (by the platform's time) raises one flag, only once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db.models import BooleanField, Case, CharField, DateTimeField, Exists, Model, OuterRef, Value, When
from django.utils import timezone

from govpay.models import Payment, Transaction
from govpay.models.choices import FLAG_OF_TYPE, PaymentFlag, TransactionStatus, TransactionType
from govpay.models.fields import UidField
from govpay.sync.transactions import in_transaction

#: Order of movements with the same time: a dispute comes before its reversal. The uid decides last.
RANKS: dict[str, int] = {
    TransactionType.CHARGEBACK: 0,
    TransactionType.ACH_RETURN: 1,
    TransactionType.CHARGEBACK_REVERSAL: 2,
}

#: A first load raises only these flags, and only for movements within this window. A reversal needs no action.
RAISED_AT_FIRST = (PaymentFlag.CHARGEBACK, PaymentFlag.RETURN)
FLAG_BACKLOG_WINDOW = dt.timedelta(days=90)


@dataclass(frozen=True)
class FlagMovement:
    """A dispute, a return or a reversal."""

    uid: str
    type: str
    moment: dt.datetime

    @property
    def order(self) -> str:
        """The sort key of a movement: the platform's time, then kind, then uid. It is compared byte by byte."""
        moment = self.moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        return f"{moment} {RANKS[self.type]} {self.uid}"


def raise_flags(
    model: type[Model], known: Mapping[str, Sequence[Any]], written: Mapping[str, Mapping[str, Any]], *, quiet: bool
) -> None:
    """Flag the payments of the new movements among ``written``, with at most one statement.

    All rows are of one account. ``known``: the rows before the change (``upsert.Known``). ``quiet``: a first load.
    """
    if model is Transaction:
        new = [row for uid, row in written.items() if _counts(row) and not _counted(known.get(uid))]
        _follow(new, quiet=quiet)


def catch_up(account_uid: str | None, *, quiet: bool) -> None:
    """Flag the payments that were stored later than their movement. Call it after a walk of payments or transactions.

    While a page of transactions is stored, a payment that another worker commits at the same time is not visible. The
    later one of the two walks sees both rows.
    """
    in_transaction(partial(_catch_up, account_uid, quiet=quiet))


def _catch_up(account_uid: str | None, *, quiet: bool) -> None:
    without = Payment.objects.filter(uid=OuterRef("payment"), account=account_uid, flag_movement=None)
    rows = Transaction.objects.filter(
        Exists(without),
        account=account_uid,
        type__in=RANKS,
        remote_created_at__gte=timezone.now() - FLAG_BACKLOG_WINDOW,
    ).exclude(status=TransactionStatus.FAILED)
    columns = ("uid", "type", "payment_id", "account_id", "remote_created_at")
    _follow(rows.filter(deleted_at=None).order_by().values(*columns), quiet=quiet)


def _counts(row: Mapping[str, Any]) -> bool:
    return row.get("type") in RANKS and bool(row.get("payment_id")) and row.get("status") != TransactionStatus.FAILED


def _counted(before: Sequence[Any] | None) -> bool:
    """Return whether the movement was known before and had not failed then."""
    return before is not None and before[2] != TransactionStatus.FAILED


def _follow(rows: Iterable[Mapping[str, Any]], *, quiet: bool) -> None:
    """Record the newest movement of each payment, unless a newer one is recorded: one compare-and-swap statement."""
    newest: dict[str, FlagMovement] = {}
    account, now = None, timezone.now()
    for row in rows:
        account = row.get("account_id")
        # Without a time from the platform, a movement counts as new at its first read: two flags are better than none.
        moment = row.get("remote_created_at") or row.get("remote_updated_at") or now
        movement, uid = FlagMovement(row["uid"], row["type"], moment), str(row["payment_id"])
        if uid not in newest or newest[uid].order < movement.order:
            newest[uid] = movement
    if not newest:
        return

    def of_each(value: Callable[[FlagMovement], str], field: CharField[Any, Any]) -> Case:
        return Case(*(When(uid=uid, then=Value(value(each))) for uid, each in newest.items()), output_field=field)

    flags = {uid: _flag(each, now, quiet=quiet) for uid, each in newest.items()}
    raised = [uid for uid, flag in flags.items() if flag]
    order = of_each(lambda each: each.order, UidField())
    older = Payment.objects.filter(uid__in=newest, account=account, flag_order__lt=order)
    older.update(
        flag=Case(*(When(uid=uid, then=Value(flag)) for uid, flag in flags.items()), output_field=CharField()),
        flagged_at=Case(When(uid__in=raised, then=Value(now)), default=None, output_field=DateTimeField()),
        flag_movement=of_each(lambda each: each.uid, UidField()),
        flag_order=order,
        flag_backlog=Value(quiet, output_field=BooleanField()),
    )


def _flag(movement: FlagMovement, now: dt.datetime, *, quiet: bool) -> str:
    """Return the flag that the movement raises; an empty string if a first load does not raise it."""
    flag = FLAG_OF_TYPE[movement.type]
    if quiet and (flag not in RAISED_AT_FIRST or movement.moment < now - FLAG_BACKLOG_WINDOW):
        return ""
    return flag.value

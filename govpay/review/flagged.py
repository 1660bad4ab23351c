"""Review items for flagged payments: single payments, and groups of flags that an account's first load raised."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Min, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from govpay.models import Payment
from govpay.models.choices import PaymentFlag
from govpay.models.money import format_money
from govpay.models.payments import PaymentQuerySet
from govpay.models.reasons import advice_on, find_reason, reason_in_words

#: For each flag, the text that says what happens next: nothing by itself, and what staff should know.
NEXT: dict[str, Any] = {
    PaymentFlag.CHARGEBACK: gettext_lazy(
        "Nothing happens automatically. Do not refund it: the bank takes the money back. Answer the dispute with the "
        "processor."
    ),
    PaymentFlag.RETURN: gettext_lazy(
        "Nothing happens automatically. The debit was not honoured: the amount is owed again."
    ),
    PaymentFlag.REVERSAL: gettext_lazy(
        "Nothing happens automatically. The transactions show what was given back to you."
    ),
}

#: For each flag, the text about an earlier refund when the bank takes the whole amount again.
TWICE: dict[str, Any] = {
    PaymentFlag.CHARGEBACK: gettext_lazy(
        "The bank takes the whole amount again. Name the refund in your answer, or the payer gets that part twice."
    ),
    PaymentFlag.RETURN: gettext_lazy(
        "The bank takes the whole amount again. The payer has that part twice then, and you have to ask for it back."
    ),
}


@dataclass(frozen=True)
class Group:
    """The flags of one kind that an account's first load raised. The texts are plain text in the active language."""

    #: One of ``PaymentFlag``.
    kind: str
    account_uid: str
    account_name: str
    #: The heading, such as ``Disputed: 12 payments, $1,234.00``.
    what: str
    since: dt.datetime | None
    known: str
    next: str

    #: An ``Item`` has a payment here; a group has none.
    payment = None


def find_single(payments: PaymentQuerySet) -> PaymentQuerySet:
    """Return the flagged payments that are listed one by one, the oldest first, with the joins that the texts need."""
    rows: Any = payments.flagged().filter(flag_backlog=False).with_refunds_before()
    rows = rows.select_related("account", "flag_movement").defer("raw", "flag_movement__raw", "account__raw")
    return rows.order_by(_since().asc(nulls_first=True), "id")


def find_groups(payments: PaymentQuerySet) -> list[Group]:
    """Return one group for each account and flag. Runs one statement."""
    rows = _in_groups(payments).values("account_id", "account__name", "flag", "currency")
    sums: Any = rows.annotate(
        count=Count("pk"), total=Sum("total_amount"), refunded=Sum("refunded_amount"), since=Min(_since())
    )
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in sums.order_by("account__name", "account_id", "flag", "currency"):
        groups.setdefault((row["account_id"] or "", row["flag"]), []).append(row)
    return [_group(account, flag, found) for (account, flag), found in groups.items()]


def one_row_a_group(payments: PaymentQuerySet) -> QuerySet[Any, Any]:
    """Return a query with one row for each group, used to count groups.

    Its only column is a number, so that it can be united with queries of primary keys.
    """
    return _in_groups(payments).values("account_id", "flag").annotate(size=Count("pk")).values_list("size")


def _in_groups(payments: PaymentQuerySet) -> QuerySet[Payment]:
    return payments.flagged().filter(flag_backlog=True).order_by()


def _since() -> Coalesce:
    return Coalesce(F("flag_movement__remote_created_at"), F("flagged_at"))


def _group(account: str, flag: str, sums: list[dict[str, Any]]) -> Group:
    count = sum(row["count"] for row in sums)
    known = [_("Found by the first load of this payment account, which goes back 90 days.")]
    refunded = [row for row in sums if row["refunded"]]
    if refunded:
        known.append(_("%(amounts)s of it has been refunded.") % {"amounts": _amounts(refunded, "refunded")})
    return Group(
        kind=flag,
        account_uid=account,
        account_name=sums[0]["account__name"] or "",
        what=_("%(event)s: %(payments)s, %(amounts)s")
        % {
            "event": _label(flag),
            "payments": ngettext("%(count)d payment", "%(count)d payments", count) % {"count": count},
            "amounts": _amounts(sums, "total"),
        },
        since=min((row["since"] for row in sums if row["since"]), default=None),
        known=" ".join(known),
        next=" ".join(filter(None, (str(NEXT.get(flag, "")), _("Mark each as dealt with on its own page.")))),
    )


def _amounts(sums: list[dict[str, Any]], column: str) -> str:
    return " + ".join(format_money(row[column], row["currency"]) for row in sums)


def _label(flag: str) -> str:
    return str(dict(PaymentFlag.choices).get(flag, flag))


# --- One payment ------------------------------------------------------------------------------------


def headline(row: Payment) -> str:
    """Return a heading such as ``Disputed: payment of $107.50``."""
    total = format_money(row.total_amount, row.currency)
    return _("%(event)s: payment of %(amount)s") % {"event": _label(row.flag), "amount": total}


def known(row: Payment) -> list[str]:
    """Return the bank's reason in words, and the sum of earlier refunds. ``flag_movement`` must be joined."""
    return [_bank_reason(row), *filter(None, [_refunded(row)])]


def advice(row: Payment) -> tuple[str, ...]:
    """Return the advice for the bank's reason, and the deadline."""
    movement = row.newest_movement
    texts = advice_on(movement.type, movement.reason_code) if movement else ()
    return tuple(label % {"text": text} for label, text in zip(_advice_labels(), texts, strict=False))


def _advice_labels() -> tuple[str, str]:
    return _("What to do: %(text)s"), _("By when: %(text)s")


def _bank_reason(row: Payment) -> str:
    movement = row.newest_movement
    if movement is None or not (movement.reason_code or movement.reason):
        return _("The bank has given no reason.")
    code = movement.reason_code
    if find_reason(movement.type, code):
        return _("The bank's reason: %(reason)s") % {"reason": reason_in_words(movement.type, code)}
    return _("The bank's reason: %(code)s.") % {"code": code or movement.reason}


def _refunded(row: Payment) -> str:
    """Return the text about earlier refunds, or an empty string. ``row`` must come from ``with_refunds_before``."""
    before, last = row.__dict__.get("refunded_before") or 0, row.__dict__.get("refunded_before_at")
    if not before:
        if not row.refunded_amount:
            return ""
        return _("%(amount)s of it has been refunded.") % {"amount": format_money(row.refunded_amount, row.currency)}
    text = _("%(amount)s of it had been refunded before.") % {"amount": format_money(before, row.currency)}
    if last is not None:
        text = _("%(amount)s of it had been refunded before, last on %(when)s.") % {
            "amount": format_money(before, row.currency),
            "when": date_format(timezone.localtime(last), "SHORT_DATE_FORMAT"),
        }
    return " ".join(filter(None, [text, _stake(row, before)]))


def _stake(row: Payment, refunded: int) -> str:
    """Return a text about the refund's effect on the money that the bank takes back, or an empty string."""
    taken = row.newest_movement.amount if row.newest_movement else None
    if taken is not None and row.total_amount is not None and taken + refunded <= row.total_amount:
        if row.flag not in TWICE:
            return ""
        return _("The bank takes the rest, %(amount)s.") % {"amount": format_money(taken, row.currency)}
    return str(TWICE.get(row.flag, ""))

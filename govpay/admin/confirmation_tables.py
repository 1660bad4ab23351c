"""The tables on confirmation and result pages, with totals per currency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from govpay.admin.actions import ConfirmationRow, StaffAction
from govpay.admin.flags import badges_at_stake
from govpay.admin.formatting import Table, link_to, method_label, moment, payment_badge, relative
from govpay.admin.messages import Alert
from govpay.models.money import format_money


@dataclass(frozen=True)
class Total:
    """The number of rows in one currency and the sum of their amounts, in minor units."""

    currency: str
    count: int
    amount: int


def totals_of(rows: Sequence[ConfirmationRow]) -> list[Total]:
    """Return one total for each currency. A row without an amount adds zero."""
    sums: dict[str, list[int]] = {}
    for row in rows:
        sums.setdefault(row.payment.currency, []).append(row.amount or 0)
    return [Total(currency, len(amounts), sum(amounts)) for currency, amounts in sorted(sums.items())]


def counted(number: int) -> str:
    return ngettext("%(count)d payment", "%(count)d payments", number) % {"count": number}


def amounts_in_words(rows: Sequence[ConfirmationRow]) -> str:
    """Return the totals as text for a button, such as ``$12.34 + €5.00``."""
    return " + ".join(format_money(total.amount, total.currency) for total in totals_of(rows))


def button(action: StaffAction, doable: Sequence[ConfirmationRow], single: bool) -> str:
    """Return the text of the button. It has no amount if a single payment's form asks for the amount."""
    if single and action.asks_amount:
        return str(action.button)
    if single:
        return _("%(action)s %(amounts)s") % {"action": action.button, "amounts": amounts_in_words(doable)}
    return _("%(action)s %(payments)s, %(amounts)s") % {
        "action": action.button,
        "payments": counted(len(doable)),
        "amounts": amounts_in_words(doable),
    }


def before(action: StaffAction, rows: Sequence[ConfirmationRow]) -> list[Table]:
    """Return the tables before an action: the payments that it applies to, and the refused ones."""
    doable = [row for row in rows if not row.reason]
    refused = [row for row in rows if row.reason]
    return [table for table in (_doable(action, doable), _refused(refused)) if table.rows]


def _doable(action: StaffAction, rows: Sequence[ConfirmationRow]) -> Table:
    # The amount is beside the payment, because a narrow screen shows only the first columns without scrolling.
    amounts = [head for head, _amount in action.amounts(rows[0].payment)] if rows else []
    heads = (_("Payment"), *amounts, _("Customer"), _("Method"), _("Payment account"), _("Created"), _("Status"))
    foot = []
    for total in totals_of(rows):
        label = _("%(currency)s, %(payments)s") % {"currency": total.currency, "payments": counted(total.count)}
        foot.append((label, format_money(total.amount, total.currency), *[""] * (len(heads) - 2)))
    return Table(
        title=counted(len(rows)),
        heads=heads,
        rows=[_line(action, row) for row in rows],
        numeric=tuple(range(1, len(amounts) + 1)),
        foot=foot,
    )


def _line(action: StaffAction, row: ConfirmationRow) -> tuple[Any, ...]:
    payment = row.payment
    amounts = (row.amount, *(amount for _head, amount in action.amounts(payment)[1:]))
    return (
        link_to(payment),
        *(format_money(amount, payment.currency) for amount in amounts),
        relative(payment, "customer"),
        method_label(payment),
        relative(payment, "account"),
        moment(payment.remote_created_at),
        badges_at_stake(payment),
    )


def warning(doable: Sequence[ConfirmationRow]) -> Alert | None:
    """Return the warning above the button about disputed or returned payments, or ``None``."""
    warned = [row for row in doable if row.warning]
    if not warned:
        return None
    if len(doable) == 1:
        return Alert(_("Check before you give this money back"), (warned[0].warning,))
    title = ngettext(
        "%(count)d of these payments was disputed or returned: %(amounts)s",
        "%(count)d of these payments were disputed or returned: %(amounts)s",
        len(warned),
    )
    lines = (
        format_html("{}, {}. {}", link_to(row.payment), format_money(row.amount, row.payment.currency), row.warning)
        for row in warned
    )
    return Alert(title % {"count": len(warned), "amounts": amounts_in_words(warned)}, tuple(lines))


def _refused(rows: Sequence[ConfirmationRow]) -> Table:
    title = ngettext("%(count)d payment is left alone", "%(count)d payments are left alone", len(rows))
    return Table(
        title=title % {"count": len(rows)},
        heads=(_("Payment"), _("Why"), _("Total"), _("Status"), _("Customer")),
        rows=[
            (
                link_to(row.payment),
                row.reason,
                format_money(row.payment.total_amount, row.payment.currency),
                payment_badge(row.payment),
                relative(row.payment, "customer"),
            )
            for row in rows
        ],
        numeric=(2,),
    )


def after(rows: Sequence[ConfirmationRow]) -> list[Table]:
    """Return the table after an action: one row per payment with its amount, outcome and message."""
    done = [row for row in rows if row.outcome and row.outcome.kind in ("done", "pending")]
    title = _("%(done)d of %(payments)s done") % {"done": len(done), "payments": counted(len(rows))}
    return [
        Table(
            title=title,
            heads=(_("Payment"), _("Customer"), _("Amount"), _("Outcome"), _("Message")),
            rows=[
                (
                    link_to(row.payment),
                    relative(row.payment, "customer"),
                    format_money(row.amount, row.payment.currency),
                    _outcome(row),
                    row.outcome.after(row.outcome.text) if row.outcome else "",
                )
                for row in rows
            ],
            numeric=(2,),
            foot=[
                (
                    _("%(currency)s, %(payments)s done")
                    % {"currency": total.currency, "payments": counted(total.count)},
                    "",
                    format_money(total.amount, total.currency),
                    "",
                    "",
                )
                for total in totals_of(done)
            ],
        )
    ]


def _outcome(row: ConfirmationRow) -> str | None:
    if row.outcome is None:
        return None
    return format_html('<span class="govpay-badge govpay-{}">{}</span>', row.outcome.tone, row.outcome.title)

"""The report of cashier exceptions: voids, refunds and manual resolutions by person and day, with their reasons."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext as _

from govpay.admin.formatting import EMPTY, Table, action_label, badge, clip, link_to, relative
from govpay.admin.overview import report_tools
from govpay.admin.periods import PeriodForm, guard_report, today_of
from govpay.admin.rendering import render
from govpay.admin.review import may_see
from govpay.models import Operation, Payment
from govpay.models.choices import OperationAction, OperationState
from govpay.models.money import format_money
from govpay.models.people import name_of
from govpay.reports.days import business_day, day_bounds, zone_of

#: Maximum number of rows on the page.
CASHIER_ROWS_LIMIT = 1_000
#: Hours of a working day in the account's zone. What was done before, after or at a weekend is marked.
OPENS, CLOSES = dt.time(7), dt.time(19)
#: Monday is 0.
WORKING_DAYS = range(5)


@dataclass
class CashierException:
    """One void, refund or manual resolution: who did it, on which business day, and what is unusual about it."""

    row: Operation
    person: str
    day: dt.date
    local: dt.datetime
    payer: str
    #: Whether this is the manual resolution of the operation and not the operation itself.
    is_by_hand: bool = False

    @property
    def is_out_of_hours(self) -> bool:
        return self.local.weekday() not in WORKING_DAYS or not OPENS <= self.local.time() < CLOSES


def cashier_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show who voided, refunded and resolved what, and mark acts out of hours and repeated ones for one payer."""
    if refused := guard_report(request, may_see(request)):
        return refused
    today = today_of(request.user)
    form = PeriodForm(request, {"first": today.replace(day=1), "last": today})
    context: dict[str, Any] = {"title": _("Cashier exceptions"), "form": form, "tools": report_tools(request)}
    if form.is_valid():
        found, is_cut = _find(form, request.user)
        context["tables"] = [_people(found), *([_rows(found)] if found else [])]
        if is_cut:
            context["notes"] = [_("Only the newest %(count)d rows are shown.") % {"count": CASHIER_ROWS_LIMIT}]
    return render(admin, request, "govpay/admin/report.html", context)


def _find(form: PeriodForm, user: Any) -> tuple[list[CashierException], bool]:
    """Return the exceptions of the chosen days, the newest first, and whether some are left out."""
    accounts = {account.uid: account for account in form.accounts()}
    first, last = form.cleaned_data["first"], form.cleaned_data["last"]
    bounds = [day_bounds(account, day) for account in accounts.values() for day in (first, last)]
    if not bounds:
        return [], False
    start, end = min(bound[0] for bound in bounds), max(bound[1] for bound in bounds)
    done = Q(action__in=(OperationAction.VOID, OperationAction.REFUND), created_at__gte=start, created_at__lt=end)
    by_hand = Q(settled_at__gte=start, settled_at__lt=end)
    visible: Any = Operation.objects.visible_to(user)
    rows = (
        visible.filter(done | by_hand, account__in=accounts, fee_preview=False)
        .exclude(state=OperationState.FAILED, settled_at=None)
        .select_related("actor", "settled_by", "payment__customer")
        .defer("validated_method", "payment__raw", "payment__customer__raw")
        .order_by("-created_at", "-id")[: CASHIER_ROWS_LIMIT + 1]
    )
    read = list(rows)
    found = [each for row in read[:CASHIER_ROWS_LIMIT] for each in _exceptions(row, accounts[row.account_id])]
    within = [each for each in found if first <= each.day <= last]
    return sorted(within, key=lambda each: each.local, reverse=True), len(read) > CASHIER_ROWS_LIMIT


def _exceptions(row: Operation, account: Any) -> Iterator[CashierException]:
    """Yield the act itself, and its manual resolution, which is another person's act on another day."""
    payment = row.payment
    payer = ""
    if payment is not None:
        payer = payment.customer_id or (f"{payment.brand} {payment.last4}" if payment.last4 else "")
    acts = [("actor", row.created_at, False)] if row.action in (OperationAction.VOID, OperationAction.REFUND) else []
    for column, when, by_hand in (*acts, *([("settled_by", row.settled_at, True)] if row.settled_at else [])):
        person = name_of(row, column) or _("nobody (a program)")
        local = when.astimezone(zone_of(account))
        yield CashierException(row, person, business_day(account, when), local, payer, by_hand)


def _amount(row: Operation) -> tuple[int, str]:
    """Return amount (minor units) and currency. A void has none of its own: it takes back the whole payment."""
    payment = row.payment
    if row.amount is None and row.action == OperationAction.VOID and payment is not None:
        return payment.total_amount or 0, payment.currency
    return row.amount or 0, row.currency


def _people(found: list[CashierException]) -> Table:
    """Return count and sum for each person, day, action and currency."""
    counts: Counter[tuple[Any, ...]] = Counter()
    sums: Counter[tuple[Any, ...]] = Counter()
    for each in found:
        kind = str(_("Resolved by hand") if each.is_by_hand else action_label(each.row))
        amount, currency = _amount(each.row)
        key = (each.day, each.person, kind, currency)
        counts[key] += 1
        # Only what was carried out is money.
        sums[key] += amount if each.row.state == OperationState.SUCCEEDED else 0
    return Table(
        title=_("By person and day"),
        heads=(_("Business day"), _("Person"), _("Action"), _("Count"), _("Amount carried out")),
        rows=[
            (
                date_format(day, "SHORT_DATE_FORMAT"),
                person,
                kind,
                counts[day, person, kind, currency],
                format_money(total, currency),
            )
            for (day, person, kind, currency), total in sorted(sums.items(), reverse=True)
        ],
        empty=_("Nothing was voided, refunded or resolved by hand in these days."),
        numeric=(3, 4),
    )


def _rows(found: list[CashierException]) -> Table:
    repeated = Counter((each.person, each.payer) for each in found if each.payer)
    return Table(
        title=_("Each act"),
        heads=(
            *(_("When"), _("Person"), _("Action"), _("State"), _("Payment"), _("Payer"), _("Amount"), _("Reason")),
            _("Unusual"),
        ),
        rows=[
            (
                f"{date_format(each.local, 'SHORT_DATETIME_FORMAT')} {each.local.tzname()}",
                each.person,
                link_to(each.row, _("Resolved by hand") if each.is_by_hand else action_label(each.row)),
                badge(each.row.state, OperationState),
                relative(each.row, "payment"),
                _payer(each.row.payment),
                format_money(*_amount(each.row)),
                _reason(each),
                _unusual(each, repeated),
            )
            for each in found
        ],
        numeric=(6,),
    )


def _reason(each: CashierException) -> str:
    text = each.row.settlement if each.is_by_hand else each.row.reason
    return format_html('<div class="govpay-reason">{}</div>', clip(text, 200) or EMPTY)


def _payer(payment: Payment | None) -> str | None:
    if payment is None:
        return None
    if payment.customer is not None:
        return link_to(payment.customer)
    return f"····{payment.last4}" if payment.last4 else None


def _unusual(each: CashierException, repeated: Counter[tuple[str, str]]) -> str | None:
    notes = [_("Out of hours")] if each.is_out_of_hours else []
    if each.payer and repeated[each.person, each.payer] > 1:
        notes.append(_("The same payer again"))
    return ", ".join(map(str, notes)) or None

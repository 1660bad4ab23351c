"""The reports: totals of the chosen days by day, account, method or person, with links to their movements."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay.admin.formatting import Table, label_of
from govpay.admin.overview import NONE, account_name, register_address, report_tools
from govpay.admin.periods import PeriodForm, day_text, guard_report, today_of
from govpay.admin.rendering import render
from govpay.admin.review import may_see
from govpay.models.choices import MethodType
from govpay.models.money import format_money
from govpay.reports.totals import totals

#: The columns of a report: label, and the figures of ``totals`` that are added up.
FIGURES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (gettext_lazy("Payments"), ("count_captures",)),
    (gettext_lazy("Taken"), ("sum_captures",)),
    (gettext_lazy("Fees included"), ("sum_fees",)),
    (gettext_lazy("Refunds"), ("sum_refunds",)),
    (gettext_lazy("Disputes and returns"), ("sum_disputes", "sum_returns")),
    (gettext_lazy("Voids"), ("sum_voids",)),
    (gettext_lazy("Corrections"), ("sum_corrections",)),
    (gettext_lazy("Net"), ("net",)),
)
BY: dict[str, Any] = {
    "day": gettext_lazy("Day"),
    "week": gettext_lazy("Week"),
    "month": gettext_lazy("Month"),
    "account": gettext_lazy("Payment account"),
    "method": gettext_lazy("Method"),
    "brand": gettext_lazy("Brand"),
    "person": gettext_lazy("Person"),
}


class ReportForm(PeriodForm):
    by = forms.ChoiceField(label=gettext_lazy("A row for each"), choices=tuple(BY.items()))
    compare = forms.BooleanField(required=False, label=gettext_lazy("Compare with the period before"))

    def __init__(self, request: HttpRequest, defaults: dict[str, Any]) -> None:
        super().__init__(request, defaults)
        if not may_see(request):  # who did what is in the operations
            choices = [(name, label) for name, label in BY.items() if name != "person"]
            self.fields["by"].choices = choices  # type: ignore[attr-defined]


def reports_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show totals of the chosen days by day, week, month, account, method or brand, each with a link to its rows."""
    if refused := guard_report(request):
        return refused
    today = today_of(request.user)
    form = ReportForm(request, {"first": today.replace(day=1), "last": today, "by": "day"})
    context: dict[str, Any] = {"title": _("Reports"), "form": form, "tools": report_tools(request)}
    if form.is_valid():
        context["tables"] = [_report(form)]
    return render(admin, request, "govpay/admin/report.html", context)


def _report(form: ReportForm) -> Table:
    chosen = form.cleaned_data
    by, first, last, compare = chosen["by"], chosen["first"], chosen["last"], chosen["compare"]
    accounts = form.accounts()
    names = {account.uid: account_name(account) for account in accounts}
    rows = totals(accounts, first, last, by=(by,), compare=compare)
    parts = [(label, figures) for label, figures in FIGURES if figures != ("sum_corrections",) or _any(rows, figures)]
    sums: dict[str, list[int]] = {}
    shown = []
    for row in rows:
        values = [sum(row[figure] for figure in figures) for _label, figures in parts]
        values += [row["previous"]["net"]] if compare else []
        currency = row["currency"]
        sums[currency] = list(map(sum, zip(sums.get(currency, [0] * len(values)), values, strict=True)))
        link = format_html('<a href="{}">{}</a>', _drill(chosen, by, row), _key(by, row[by], names))
        shown.append((link, values[0], *_money(values[1:], currency)))
    before = (_("Net of the period before"),) if compare else ()
    heads = (BY[by], *(label for label, _figures in parts), *before)
    return Table(
        title=_("%(first)s to %(last)s") % {"first": day_text(first), "last": day_text(last)},
        heads=heads,
        rows=shown,
        empty=_("Nothing was taken or given back in these days."),
        numeric=tuple(range(1, len(heads))),
        foot=[(_("Total"), total[0], *_money(total[1:], currency)) for currency, total in sorted(sums.items())],
    )


def _any(rows: list[Any], figures: tuple[str, ...]) -> bool:
    return any(row[figure] for row in rows for figure in figures)


def _money(values: list[int], currency: str) -> list[str]:
    return [format_money(value, currency) for value in values]


def _key(by: str, value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dt.date):
        return date_format(value, "YEAR_MONTH_FORMAT" if by == "month" else "SHORT_DATE_FORMAT")
    if by == "account":
        return names.get(value, value)
    if by == "person":
        return value or _("Nobody here (the payer or a program)")
    return label_of(value, MethodType) or _("unknown")


def _drill(chosen: dict[str, Any], by: str, row: Any) -> str:
    """Return the address of the register with the movements of one row of a report."""
    first, last, value = chosen["first"], chosen["last"], row[by]
    if isinstance(value, dt.date):
        ends = {"day": value, "week": value + dt.timedelta(days=6), "month": _end_of_month(value)}
        first, last = max(first, value), min(last, ends[by])
    account = value if by == "account" else getattr(chosen["account"], "uid", "")
    narrow = {by: value or NONE} if by in ("method", "brand", "person") else {}
    return register_address(account=account, first=first, last=last, currency=row["currency"] or NONE, **narrow)


def _end_of_month(day: dt.date) -> dt.date:
    return (day.replace(day=1) + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)

"""Pages that count: the reports, and the register, which lists the movements that a figure adds up."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay.admin.formatting import Table, clip, label_of, link_to
from govpay.admin.overview import may_report, register_address, report_tools
from govpay.admin.rendering import render
from govpay.models import Payment, PaymentAccount
from govpay.models.choices import MethodType
from govpay.models.money import format_money
from govpay.reports.days import zone_of
from govpay.reports.movements import Movement, movements
from govpay.reports.totals import totals

#: Rows on one page of the register, and the maximum that it counts.
REGISTER_PAGE, REGISTER_LIMIT = 100, 10_000
#: Maximum number of days of a report.
MAX_REPORT_DAYS = 3 * 366

KINDS: dict[str, Any] = {
    "capture": gettext_lazy("Capture"),
    "void": gettext_lazy("Void"),
    "refund": gettext_lazy("Refund"),
    "chargeback": gettext_lazy("Chargeback"),
    "chargeback_reversal": gettext_lazy("Chargeback reversal"),
    "ach_return": gettext_lazy("ACH return"),
    "correction": gettext_lazy("Correction"),
}
#: The kinds whose amount is known in parts.
WITH_PARTS = ("capture", "void")
#: A choice of the register → the kinds of movements that it lists.
CHOICES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "captures": (gettext_lazy("Captures"), ("capture",)),
    "fees": (gettext_lazy("Captures and voids with a fee"), ("capture", "void")),
    "refunds": (gettext_lazy("Refunds"), ("refund",)),
    "disputes": (gettext_lazy("Disputes and returns"), ("chargeback", "chargeback_reversal", "ach_return")),
    "voids": (gettext_lazy("Voids"), ("void",)),
}
#: The columns of a report: label, and the figures of ``totals`` that are added up.
FIGURES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (gettext_lazy("Payments"), ("count_captures",)),
    (gettext_lazy("Taken"), ("sum_captures",)),
    (gettext_lazy("Fees charged"), ("sum_fees",)),
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


class PeriodForm(forms.Form):
    """Accounts and days that a page is about. Both days are business days of the account and are included."""

    account = forms.ModelChoiceField(
        PaymentAccount.objects.none(),
        to_field_name="uid",
        required=False,
        label=gettext_lazy("Payment account"),
        empty_label=gettext_lazy("All accounts"),
    )
    first = forms.DateField(
        label=gettext_lazy("From"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    last = forms.DateField(label=gettext_lazy("To"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))

    def __init__(self, request: HttpRequest, defaults: dict[str, Any]) -> None:
        visible: Any = PaymentAccount.objects.visible_to(request.user)
        self.visible = visible.present().select_related("client").order_by("name", "id")
        super().__init__({**defaults, **request.GET.dict()})
        self.fields["account"].queryset = self.visible  # type: ignore[attr-defined]
        for name in ("first", "last"):
            self.fields[name].input_formats = ["%Y-%m-%d"]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        first, last = given.get("first"), given.get("last")
        if first and last and first > last:
            self.add_error("last", _("This day is before the first one."))
        elif first and last and (last - first).days >= MAX_REPORT_DAYS:
            self.add_error("last", _("Choose %(days)d days at most.") % {"days": MAX_REPORT_DAYS})
        return given

    def accounts(self) -> list[Any]:
        """Return the chosen account, or all that the user may see."""
        chosen = self.cleaned_data["account"]
        return [chosen] if chosen else list(self.visible)


class ReportForm(PeriodForm):
    by = forms.ChoiceField(label=gettext_lazy("A row for each"), choices=tuple(BY.items()))
    compare = forms.BooleanField(required=False, label=gettext_lazy("Compare with the period before"))


class RegisterForm(PeriodForm):
    kind = forms.ChoiceField(
        required=False,
        label=gettext_lazy("Kind"),
        choices=(("", gettext_lazy("All kinds")), *((name, label) for name, (label, _kinds) in CHOICES.items())),
    )
    method = forms.ChoiceField(
        required=False, label=gettext_lazy("Method"), choices=(("", gettext_lazy("All methods")), *MethodType.choices)
    )
    brand = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    currency = forms.CharField(required=False, max_length=8, widget=forms.HiddenInput)

    def takes(self, movement: Movement) -> bool:
        """Return whether the register lists the movement."""
        chosen = self.cleaned_data
        return (
            (not chosen["kind"] or movement.kind in CHOICES[chosen["kind"]][1])
            and (chosen["kind"] != "fees" or bool(movement.fee))
            and all(
                not chosen[name] or getattr(movement, name) == chosen[name] for name in ("method", "brand", "currency")
            )
        )


def guard_report(request: HttpRequest, may: bool = True) -> HttpResponse | None:
    """Return the answer to a wrong method, else ``None``. Raises ``PermissionDenied``, also if ``may`` is false."""
    if not (may and may_report(request)):
        raise PermissionDenied
    return None if request.method in ("GET", "HEAD") else HttpResponseNotAllowed(["GET", "HEAD"])


def reports_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show totals of the chosen days by day, week, month, account, method or brand, each with a link to its rows."""
    if refused := guard_report(request):
        return refused
    today = timezone.localdate()
    form = ReportForm(request, {"first": today.replace(day=1), "last": today, "by": "day"})
    context: dict[str, Any] = {"title": _("Reports"), "form": form, "tools": report_tools(request)}
    if form.is_valid():
        context["tables"] = [_report(form)]
    return render(admin, request, "govpay/admin/report.html", context)


def _report(form: ReportForm) -> Table:
    chosen = form.cleaned_data
    by, first, last, compare = chosen["by"], chosen["first"], chosen["last"], chosen["compare"]
    accounts = form.accounts()
    names = {account.uid: account.name or account.uid for account in accounts}
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
        title=_("%(first)s to %(last)s") % {"first": _day(first), "last": _day(last)},
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


def _day(day: dt.date) -> str:
    return date_format(day, "SHORT_DATE_FORMAT")


def _key(by: str, value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dt.date):
        return date_format(value, "YEAR_MONTH_FORMAT" if by == "month" else "SHORT_DATE_FORMAT")
    if by == "account":
        return names.get(value, value)
    return label_of(value, MethodType) or _("unknown")


def _drill(chosen: dict[str, Any], by: str, row: Any) -> str:
    """Return the address of the register with the movements of one row of a report."""
    first, last, value = chosen["first"], chosen["last"], row[by]
    if isinstance(value, dt.date):
        ends = {"day": value, "week": value + dt.timedelta(days=6), "month": _end_of_month(value)}
        first, last = max(first, value), min(last, ends[by])
    account = value if by == "account" else getattr(chosen["account"], "uid", "")
    narrow = {by: value} if by in ("method", "brand") else {}
    return register_address(account=account, first=first, last=last, currency=row["currency"], **narrow)


def _end_of_month(day: dt.date) -> dt.date:
    return (day.replace(day=1) + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)


def register_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """List the movements of the chosen days. The foot adds up all of them, also those of the other pages."""
    if refused := guard_report(request):
        return refused
    today = timezone.localdate()
    form = RegisterForm(request, {"first": today, "last": today})
    context: dict[str, Any] = {"title": _("Register"), "form": form, "tools": report_tools(request)}
    if form.is_valid():
        accounts = {account.uid: account for account in form.accounts()}
        number = _page_number(request)
        rows, sums, is_cut = _collect(_listed(form, accounts), number)
        seen: Any = Payment.objects.visible_to(request.user)
        about = seen.filter(uid__in={row.payment_uid for row in rows}).defer("raw")
        payments = {payment.uid: payment for payment in about}
        context["tables"] = [_register_table(rows, sums, accounts, payments, is_cut)]
        context["pages"] = _pages(request, number, sum(each["count"] for each in sums.values()))
    return render(admin, request, "govpay/admin/report.html", context)


def _page_number(request: HttpRequest) -> int:
    given = request.GET.get("page", "1")
    return max(1, min(int(given), REGISTER_LIMIT // REGISTER_PAGE)) if given.isascii() and given.isdigit() else 1


def _listed(form: RegisterForm, accounts: dict[str, Any]) -> Iterator[Movement]:
    chosen = form.cleaned_data
    return filter(form.takes, movements(list(accounts.values()), chosen["first"], chosen["last"]))


def _collect(found: Iterator[Movement], page: int) -> tuple[list[Movement], dict[str, dict[str, int]], bool]:
    """Return the movements of one page, and count and sums (in minor units) by currency of all up to the limit."""
    rows: list[Movement] = []
    sums: dict[str, dict[str, int]] = {}
    for number, movement in enumerate(found):
        if number >= REGISTER_LIMIT:
            return rows, sums, True
        if (page - 1) * REGISTER_PAGE <= number < page * REGISTER_PAGE:
            rows.append(movement)
        total = sums.setdefault(movement.currency, {"count": 0, "base": 0, "tax": 0, "fee": 0, "amount": 0})
        total["count"] += 1
        for name in ("base", "tax", "fee", "amount"):
            total[name] += getattr(movement, name) or 0
    return rows, sums, False


def _register_table(
    rows: list[Movement],
    sums: dict[str, dict[str, int]],
    accounts: dict[str, Any],
    payments: dict[str, Payment],
    is_cut: bool,
) -> Table:
    more = _("first %(count)d rows only; choose fewer days") % {"count": REGISTER_LIMIT}
    foot = [
        (
            _("Total"),
            "",
            _("%(count)d rows") % {"count": total["count"]},
            more if is_cut else "",
            "",
            *(format_money(total[name], currency) for name in ("base", "tax", "fee", "amount")),
        )
        for currency, total in sorted(sums.items())
    ]
    return Table(
        title=_("Movements"),
        heads=(
            *(_("Business day"), _("Time"), _("Kind"), _("Payment"), _("Payment account")),
            *(_("Base"), _("Tax"), _("Fee"), _("Amount")),
        ),
        rows=[_register_row(row, payments.get(row.payment_uid), accounts) for row in rows],
        empty=_("Nothing was taken or given back in these days."),
        numeric=(5, 6, 7, 8),
        foot=foot,
    )


def _register_row(row: Movement, payment: Payment | None, accounts: dict[str, Any]) -> tuple[Any, ...]:
    account = accounts[row.account_uid]
    local = row.moment.astimezone(zone_of(account))
    kind = KINDS.get(row.kind, row.kind)
    has_parts = row.kind in WITH_PARTS
    return (
        _day(row.day),
        f"{date_format(local, 'TIME_FORMAT')} {local.tzname()}",
        _("%(kind)s (pending)") % {"kind": kind} if row.pending else kind,
        link_to(payment) if payment else clip(row.payment_uid),
        account.name or account.uid,
        *(format_money(value, row.currency) if has_parts else None for value in (row.base, row.tax, row.fee)),
        format_money(row.amount, row.currency),
    )


def _pages(request: HttpRequest, number: int, count: int) -> list[tuple[Any, str]]:
    """Return the links to the page before and the next one."""
    last = max(1, -(-count // REGISTER_PAGE))
    wanted = [(_("Previous page"), number - 1), (_("Next page"), number + 1)]
    given = request.GET.dict()
    address = reverse("admin:govpay_register")
    return [
        (label, f"{address}?{urlencode({**given, 'page': str(page)})}") for label, page in wanted if 1 <= page <= last
    ]

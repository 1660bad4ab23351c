"""The register: the movements of the chosen days, with their sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay.admin.formatting import Table, clip, link_to
from govpay.admin.overview import NONE, account_name, report_tools
from govpay.admin.periods import PeriodForm, day_text, guard_report, today_of
from govpay.admin.rendering import render
from govpay.admin.review import may_see
from govpay.models import Payment
from govpay.models.choices import MethodType
from govpay.models.money import format_money
from govpay.reports.days import zone_of
from govpay.reports.movements import Movement, movements

#: Rows on one page of the register, and the maximum that it counts.
REGISTER_PAGE, REGISTER_LIMIT = 100, 10_000
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


class RegisterForm(PeriodForm):
    kind = forms.ChoiceField(
        required=False,
        label=gettext_lazy("Kind"),
        choices=(("", gettext_lazy("All kinds")), *((name, label) for name, (label, _kinds) in CHOICES.items())),
    )
    method = forms.ChoiceField(
        required=False,
        label=gettext_lazy("Method"),
        choices=(("", gettext_lazy("All methods")), *MethodType.choices, (NONE, gettext_lazy("Method not known"))),
    )
    brand = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    currency = forms.CharField(required=False, max_length=8, widget=forms.HiddenInput)
    person = forms.CharField(required=False, max_length=255, widget=forms.HiddenInput)

    def chosen(self, name: str) -> str | None:
        """Return the value that the register is limited to, or ``None``. ``NONE`` in the address is an empty value."""
        given = self.cleaned_data[name]
        return {"": None, NONE: ""}.get(given, given)

    def takes(self, movement: Movement) -> bool:
        """Return whether the register lists the movement."""
        kind = self.cleaned_data["kind"]
        wanted = {name: self.chosen(name) for name in ("method", "brand", "currency")}
        return (
            (not kind or movement.kind in CHOICES[kind][1])
            and (kind != "fees" or bool(movement.fee))
            and all(value is None or getattr(movement, name) == value for name, value in wanted.items())
        )

    def limits(self) -> list[str]:
        """Return a line for each limit that has no field on the page."""
        labels = {"brand": _("Brand"), "currency": _("Currency"), "person": _("Person")}
        chosen = {label: self.chosen(name) for name, label in labels.items()}
        return [f"{label}: {value or _('none')}" for label, value in chosen.items() if value is not None]


def register_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """List the movements of the chosen days. The foot adds up all of them, also those of the other pages."""
    if refused := guard_report(request):
        return refused
    today = today_of(request.user)
    form = RegisterForm(request, {"first": today, "last": today})
    context: dict[str, Any] = {"title": _("Register"), "form": form, "tools": report_tools(request)}
    if form.is_valid():
        if form.chosen("person") is not None and not may_see(request):
            raise PermissionDenied  # who did what is in the operations
        accounts = {account.uid: account for account in form.accounts()}
        number = _page_number(request)
        rows, sums, is_cut = _collect(_listed(form, accounts), number)
        seen: Any = Payment.objects.visible_to(request.user)
        about = seen.filter(uid__in={row.payment_uid for row in rows}).defer("raw")
        payments = {payment.uid: payment for payment in about}
        context["notes"] = form.limits()
        context["tables"] = [_register_table(rows, sums, accounts, payments, is_cut)]
        context["pages"] = _pages(request, number, sum(each["count"] for each in sums.values()))
    return render(admin, request, "govpay/admin/report.html", context)


def _page_number(request: HttpRequest) -> int:
    given = request.GET.get("page", "1")
    is_number = given.isascii() and given.isdigit() and len(given) < 9
    return max(1, min(int(given), REGISTER_LIMIT // REGISTER_PAGE)) if is_number else 1


def _listed(form: RegisterForm, accounts: dict[str, Any]) -> Iterator[Movement]:
    chosen = form.cleaned_data
    return filter(
        form.takes, movements(list(accounts.values()), chosen["first"], chosen["last"], form.chosen("person"))
    )


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
            _("First rows only") if is_cut else _("Total"),
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
    time = f"{date_format(local, 'TIME_FORMAT')} {local.tzname()}"
    return (
        day_text(row.day),
        _("%(time)s (estimated)") % {"time": time} if row.estimated else time,
        _("%(kind)s (pending)") % {"kind": kind} if row.pending else kind,
        link_to(payment) if payment else clip(row.payment_uid),
        account_name(account),
        *(format_money(value, row.currency) if has_parts else None for value in (row.base, row.tax, row.fee)),
        format_money(row.amount, row.currency),
    )


def _pages(request: HttpRequest, number: int, count: int) -> list[tuple[Any, str]]:
    """Return the links to the page before and the next one."""
    last = max(1, -(-count // REGISTER_PAGE))
    wanted = [(_("Previous page"), number - 1), (_("Next page"), number + 1)]
    given = request.GET.dict()
    address = reverse("admin:govpay_register")
    pages = [(label, {**given, "page": str(page)}) for label, page in wanted if 1 <= page <= last]
    return [(label, f"{address}?{urlencode(query)}") for label, query in pages]

"""The overview, which is also the app's index: figures per account, a chart, what waits, and the lists in groups."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count, Min, Q, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from govpay.admin.doctor import doctor_tools
from govpay.admin.formatting import Table, list_of, moment
from govpay.admin.rendering import MEDIA, render
from govpay.admin.review import may_see, review_tools
from govpay.models import Payment, PaymentAccount, SyncCursor
from govpay.models.money import format_money
from govpay.models.payments import TOKEN_VALIDATION, WALLET_VALIDATION
from govpay.reports.spans import AccountFigures, DayFigure, spans_of

#: In the register's address: an empty value, such as no brand. A username has no parentheses.
NONE = "(none)"
#: Maximum number of accounts that the overview shows. The reports show any number.
OVERVIEW_ACCOUNTS_LIMIT = 50
#: Height and width of the chart and the width of a bar, in units of its view box.
CHART_HEIGHT, CHART_WIDTH, BAR_WIDTH = 120, 600, 14

TITLES: dict[str, Any] = {
    "today": gettext_lazy("Today"),
    "yesterday": gettext_lazy("Yesterday"),
    "week": gettext_lazy("Last 7 days"),
    "month": gettext_lazy("Last 30 days"),
}
#: Column of a span's table → kinds of movements that its link lists.
COLUMNS: tuple[tuple[str, Any], ...] = (
    ("captures", gettext_lazy("Taken")),
    ("fees", gettext_lazy("Fees included")),
    ("voids", gettext_lazy("Voids")),
    ("refunds", gettext_lazy("Refunds")),
    ("disputes", gettext_lazy("Disputes and returns")),
    ("net", gettext_lazy("Net")),
)
#: The lists of the app in groups. A model that is in no group is under *System*.
GROUPS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (gettext_lazy("Money"), ("Payment", "Transaction", "PaymentLink", "HostedSession", "Note")),
    (gettext_lazy("Payers"), ("Customer", "SavedPaymentMethod")),
    (gettext_lazy("Merchant"), ("Client", "PaymentAccount", "Terminal", "AccountAccess")),
)


def may_report(request: HttpRequest) -> bool:
    """Return whether the user may see figures: they add up payments and transactions."""
    return bool(request.user.has_perm("govpay.view_payment") and request.user.has_perm("govpay.view_transaction"))


def report_tools(request: HttpRequest) -> list[tuple[Any, str]]:
    """Return the links to the overview, the reports and the cashier exceptions, if the user may see them."""
    if not may_report(request):
        return []
    found = [
        (_("Overview"), reverse("admin:govpay_overview")),
        (_("Reports"), reverse("admin:govpay_reports")),
    ]
    return [*found, (_("Cashier exceptions"), reverse("admin:govpay_cashier"))] if may_see(request) else found


def overview_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the overview by itself. Only GET and HEAD are allowed."""
    if not may_report(request):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    context = {"title": _("Overview"), **overview_context(request), "tools": desk_tools(request)}
    return render(admin, request, "govpay/admin/overview.html", context)


def system_view(admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the technical lists that the user may see, and the link to the system status."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    groups = _groups(admin.admin_site.get_app_list(request, "govpay"))[-1:]
    if not groups or groups[0][0] != _("System"):
        raise PermissionDenied
    context = {"title": _("System"), "groups": groups, "tools": doctor_tools(request)}
    return render(admin, request, "govpay/admin/system.html", context)


def desk_tools(request: HttpRequest) -> list[tuple[Any, str]]:
    """Return the links above the overview."""
    return [*review_tools(request), *report_tools(request)[1:]]


def index_context(request: HttpRequest, apps: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the context of the app's index: the overview if the user may see it, and the lists in groups."""
    context: dict[str, Any] = {"groups": _groups(apps), "media": MEDIA, "tools": desk_tools(request)}
    if may_report(request):
        context.update(overview_context(request), figures=True)
    return context


def _groups(apps: list[dict[str, Any]]) -> list[tuple[Any, list[dict[str, Any]]]]:
    models = {each["object_name"]: each for app in apps if app["app_label"] == "govpay" for each in app["models"]}
    groups = [(title, [models.pop(name) for name in names if name in models]) for title, names in GROUPS]
    return [(title, found) for title, found in [*groups, (_("System"), list(models.values()))] if found]


def overview_context(request: HttpRequest) -> dict[str, Any]:
    """Return the tables, the chart and the notes of the overview."""
    visible: Any = PaymentAccount.objects.visible_to(request.user)
    accounts = list(visible.select_related("client").order_by("name", "id"))
    names = {account.uid: account_name(account) for account in accounts}
    spans = spans_of(accounts, timezone.now())
    notes = []
    if len(accounts) > OVERVIEW_ACCOUNTS_LIMIT:
        text = _("Only the first %(count)d accounts have a line. The sums are those of all accounts.")
        notes.append(text % {"count": OVERVIEW_ACCOUNTS_LIMIT})
    read = [account.uid for account in accounts if account.deleted_at is None][:OVERVIEW_ACCOUNTS_LIMIT]
    return {
        "tables": [_span_table(TITLES[name], rows, names) for name, rows in spans.rows.items()],
        "charts": [_chart(currency, days, spans.today) for currency, days in _by_currency(spans.days)],
        "waiting": _waiting(request.user),
        "fresh": _freshness(request.user, {uid: names[uid] for uid in read}),
        "notes": notes,
    }


def account_name(account: PaymentAccount) -> str:
    """Return the name of an account as the pages that count show it. They also count accounts that are gone."""
    name = account.name or account.uid
    return name if account.deleted_at is None else _("%(name)s (no longer on the platform)") % {"name": name}


def register_address(**filters: Any) -> str:
    """Return the address of the register, with the filters that are not empty."""
    chosen = {name: str(value) for name, value in filters.items() if value}
    return f"{reverse('admin:govpay_register')}?{urlencode(chosen)}"


def _span_table(title: Any, rows: list[AccountFigures], names: dict[str, str]) -> Table:
    rows = sorted(rows, key=lambda row: (names[row.account_uid], row.currency))
    sums: dict[str, AccountFigures] = {}
    for row in rows:
        total = sums.setdefault(row.currency, AccountFigures("", row.currency, row.first, row.last))
        for figures, found in ((total.now, row.now), (total.before, row.before)):
            for name, value in found.items():
                figures[name] += value
    foot = [_span_row(total, _("All accounts")) for _currency, total in sorted(sums.items())]
    heads = (_("Payment account"), _("Payments"), *(label for _kind, label in COLUMNS), _("Net of the days before"))
    return Table(
        title=title,
        heads=heads,
        rows=[_span_row(row, names[row.account_uid]) for row in rows[:OVERVIEW_ACCOUNTS_LIMIT]],
        empty=_("Nothing was taken or given back."),
        numeric=tuple(range(1, len(heads))),
        foot=foot if len(rows) > 1 else [],
    )


def _span_row(row: AccountFigures, name: Any) -> tuple[Any, ...]:
    """Return the cells of a row. Each number is a link to the movements that it adds up."""
    same = {"account": row.account_uid, "currency": row.currency or NONE}
    span = {**same, "first": row.first, "last": row.last}
    length = row.last - row.first + dt.timedelta(days=1)
    before = {**same, "first": row.first - length, "last": row.last - length}
    cells = [
        _number(register_address(**span, kind="" if kind == "net" else kind), amount)
        for (kind, _label), amount in zip(COLUMNS, _amounts(row.now, row.currency), strict=True)
    ]
    count = _number(register_address(**span, kind="captures"), row.now["count_captures"])
    return (name, count, *cells, _number(register_address(**before), format_money(row.before["net"], row.currency)))


def _number(address: str, text: Any) -> str:
    return format_html('<a href="{}">{}</a>', address, text)


def _amounts(figures: dict[str, int], currency: str) -> list[str]:
    values = (
        figures["sum_captures"],
        figures["sum_fees"],
        figures["sum_voids"],
        figures["sum_refunds"],
        figures["sum_disputes"] + figures["sum_returns"],
        figures["net"],
    )
    return [format_money(value, currency) for value in values]


def _by_currency(days: Iterable[DayFigure]) -> list[tuple[str, list[DayFigure]]]:
    found: defaultdict[str, list[DayFigure]] = defaultdict(list)
    for each in days:
        found[each.currency].append(each)
    return sorted(found.items())


def _chart(currency: str, days: list[DayFigure], last: dt.date) -> dict[str, Any]:
    """Return the bars of the 30 days up to ``last``. Heights are whole units, in proportion to the largest day."""
    by_day = {each.day: each for each in days}
    span = [last - dt.timedelta(days=29 - number) for number in range(30)]
    top = max(each.gross for each in days) or 1
    bars = []
    for number, day in enumerate(span):
        found = by_day.get(day) or DayFigure(day, currency)
        height = max(0, found.gross) * CHART_HEIGHT // top
        bars.append(
            {
                "x": number * (CHART_WIDTH // 30) + (CHART_WIDTH // 30 - BAR_WIDTH) // 2,
                "y": CHART_HEIGHT - height,
                "height": height,
                "day": date_format(day, "SHORT_DATE_FORMAT"),
                "amount": format_money(found.gross, currency),
                "count": found.count,
                "url": register_address(first=day, last=day, currency=currency or NONE, kind="captures"),
            }
        )
    title = _("Taken on each of the last 30 days (%(currency)s)") % {"currency": currency}
    return {"title": title, "bars": bars, "width": CHART_WIDTH, "height": CHART_HEIGHT, "bar": BAR_WIDTH}


def _waiting(user: Any) -> list[dict[str, Any]]:
    """Return what waits for capture in each currency: count, sum, and until when the first can be captured."""
    rows: Any = Payment.objects.visible_to(user)
    wallet = Q(method_type__startswith="wallet_")
    found = (
        rows.waiting_for_capture(timezone.now())
        .order_by()
        .values("currency")
        .annotate(
            count=Count("pk"),
            total=Sum("total_amount"),
            oldest=Min("remote_created_at", filter=~wallet),
            oldest_wallet=Min("remote_created_at", filter=wallet),
        )
    )
    return [
        {
            "text": ngettext("%(count)d payment, %(total)s", "%(count)d payments, %(total)s", each["count"])
            % {"count": each["count"], "total": format_money(each["total"] or 0, each["currency"])},
            "until": moment(_first_end(each["oldest"], each["oldest_wallet"])),
            "url": list_of(Payment, waiting="1"),
        }
        for each in sorted(found, key=lambda each: each["currency"])
    ]


def _first_end(oldest: dt.datetime | None, oldest_wallet: dt.datetime | None) -> dt.datetime | None:
    """Return the first end of a validation, from the oldest creation by processor token and by saved method."""
    spans = ((oldest, TOKEN_VALIDATION), (oldest_wallet, WALLET_VALIDATION))
    return min((made + length for made, length in spans if made), default=None)


def _freshness(user: Any, names: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return for each account the time of its last complete read of payments and transactions, the older of the two."""
    cursors: Any = SyncCursor.objects.visible_to(user)
    lists = cursors.filter(resource__in=("payments", "transactions"), not_offered_at=None, account__in=names).order_by()
    found = dict(lists.values_list("account_id").annotate(read=Min("completed_at")))
    unread = set(lists.filter(completed_at=None).values_list("account_id", flat=True))
    return [
        (name, (moment(found.get(uid)) if uid not in unread else None) or _("never"), list_of(SyncCursor, account=uid))
        for uid, name in names.items()
    ]

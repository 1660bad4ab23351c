"""Change lists that are fast on tables of any size: bounded counts, order by an index, dates without DISTINCT."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.paginator import Page, Paginator
from django.db import models
from django.db.models import Count, QuerySet, Subquery, Sum
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.text import capfirst

from govpay.models.fields import SealedField
from govpay.models.money import format_money

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    AnyPaginator = Paginator

#: Maximum number of rows that the first pages count. A longer list shows "10 000+".
COUNTED = 10_000
#: Highest page number for which the count is extended. Beyond it, an OFFSET would be too slow.
DEEPEST_PAGE = 100_000
#: Offset from which a page is read by key. This costs one more query, but no joins for all the rows before the page.
DEEP = 1_000
#: Maximum number of years that the date drill-down offers.
YEARS = 15


class BoundedPaginator(AnyPaginator):
    """A paginator that counts at most ``COUNTED`` rows. If the requested page is deeper, it counts three pages more.

    For the first pages of a table with a million rows, the count reads only ten thousand index entries. Deep pages work
    too, because the limit of the count (``horizon``) depends on the requested page.
    """

    def __init__(self, object_list: Any, per_page: int, *args: Any, page: int = 1, **kwargs: Any) -> None:
        super().__init__(object_list, per_page, *args, **kwargs)
        self.page_asked = page if 1 <= page <= DEEPEST_PAGE else 1
        self.horizon = max(COUNTED, (self.page_asked + 3) * per_page)

    def count_one_page_ahead(self) -> None:
        """Count only to the end of the next page, because each further row is expensive to find."""
        self.horizon = (self.page_asked + 1) * self.per_page

    def page(self, number: Any) -> Page[Any]:
        """Return a page. For a deep page, find the primary keys through the index first, then read only those rows.

        An OFFSET over whole rows would be slow.
        """
        number = self.validate_number(number)
        bottom = (number - 1) * self.per_page
        if bottom < DEEP:
            return super().page(number)
        queryset: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        keys = list(queryset.values_list("pk", flat=True)[bottom : bottom + self.per_page])
        return Page(queryset.filter(pk__in=keys), number, self)

    @cached_property
    def _counted(self) -> int:
        queryset: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return queryset.order_by().values("pk")[: self.horizon + 1].count()

    @cached_property
    def count(self) -> int:
        return min(self._counted, self.horizon)

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than were counted."""
        return self._counted > self.horizon

    @property
    def count_text(self) -> str:
        """Return ``count`` as text, with a plus sign if there are more rows."""
        return f"{self.number_counted}+" if self.is_cut else self.number_counted

    @property
    def number_counted(self) -> str:
        return number_format(self.count, force_grouping=True)


class SummingPaginator(BoundedPaginator):
    """A paginator of payments that also sums what it counts, per currency."""

    has_sums = True

    @cached_property
    def _by_currency(self) -> list[dict[str, Any]]:
        """Count and sums (minor units) by currency, in one statement over at most ``horizon + 1`` rows."""
        queryset: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        keys = queryset.order_by().values("pk")[: self.horizon + 1]
        rows = queryset.model._default_manager.filter(pk__in=keys).order_by().values("currency")
        found = rows.annotate(count=Count("pk"), total=Sum("total_amount"), refunded=Sum("refunded_amount"))
        return sorted(found, key=lambda row: (-row["count"], row["currency"]))

    @cached_property
    def _counted(self) -> int:
        return sum(row["count"] for row in self._by_currency)

    @property
    def sums(self) -> list[dict[str, Any]]:
        """Return ``currency``, and as texts ``count``, ``total`` and ``refunded``; nothing if there are more rows."""
        return [
            {
                "currency": row["currency"],
                "count": number_format(row["count"], force_grouping=True),
                "total": format_money(int(row["total"] or 0), row["currency"]),
                "refunded": format_money(int(row["refunded"]), row["currency"]) if row["refunded"] else "",
            }
            for row in (() if self.is_cut else self._by_currency)
        ]


def requested_page(request: HttpRequest) -> int:
    """Return the page number in the address, or 1 if it is not a number."""
    try:
        return int(request.GET.get(PAGE_VAR, 1))
    except ValueError:
        return 1


def heavy_fields(model: type[models.Model], prefix: str = "") -> list[str]:
    """Return the columns that a list never shows and should not read: JSON documents and sealed secrets."""
    return [
        f"{prefix}{field.name}"
        for field in model._meta.concrete_fields
        if isinstance(field, models.JSONField | SealedField)
    ]


def joined(
    queryset: QuerySet[Any], relatives: tuple[str, ...], leave_out: Iterable[str] | None = None
) -> QuerySet[Any]:
    """Join ``relatives`` without their heavy columns. ``leave_out``: columns to defer; by default the heavy ones."""
    names = list(heavy_fields(queryset.model) if leave_out is None else leave_out)
    for name in relatives:
        related: Any = queryset.model._meta.get_field(name).related_model
        names += heavy_fields(related, f"{name}__")
    # A relative may be missing, because there is no constraint. The join is an outer join and then gives None.
    return queryset.select_related(*relatives).defer(*names) if relatives else queryset.defer(*names)


class LeanChangeList(ChangeList):
    """Django's change list, restricted to queries that an index can answer."""

    def get_results(self, request: HttpRequest) -> None:
        """Make the full count equal to the bounded count.

        If the two differ, Django and themes show the bounded count as if it were the full count. The template of the
        list shows the count itself, with a plus sign if there are more rows.
        """
        super().get_results(request)
        self.full_result_count = self.result_count

    def get_ordering_field(self, field_name: Any) -> Any:
        """Allow sorting only by columns in ``sortable_by``. Django would accept the other columns in ``?o=`` too."""
        return super().get_ordering_field(field_name) if field_name in (self.sortable_by or ()) else None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """End an ascending order with ``pk``. Django always uses ``-pk``, and then the index cannot be used."""
        ordering = super().get_ordering(request, queryset)
        if ordering[-1] == "-pk" and len(ordering) > 1 and not str(ordering[0]).startswith("-"):
            ordering[-1] = "pk"
        return ordering

    def apply_select_related(self, qs: QuerySet[Any]) -> QuerySet[Any]:
        return joined(qs, tuple(self.list_select_related or ()))  # type: ignore[arg-type]

    @cached_property
    def drilldown(self) -> dict[str, Any]:
        """Return the years, months or days to choose from, for the template."""
        return DateDrilldown(self).choices()

    @cached_property
    def page_links(self) -> list[dict[str, Any]]:
        """Return the page links: each with a text, and with a URL unless it is the current page or a gap."""
        if not self.multi_page or (self.show_all and self.can_show_all):
            return []
        links: list[dict[str, Any]] = []
        for number in self.paginator.get_elided_page_range(self.page_num):
            if not isinstance(number, int):
                links.append({"text": number})
            elif number == self.page_num:
                links.append({"text": str(number), "here": True})
            else:
                links.append({"text": str(number), "url": self.get_query_string({PAGE_VAR: number})})
        return links

    @property
    def without_search(self) -> str:
        return self.get_query_string(remove=[SEARCH_VAR])


class DateDrilldown:
    """Links for years, months and days. They need only the first and the last date, both read from the index."""

    def __init__(self, changelist: LeanChangeList) -> None:
        self.changelist = changelist
        self.field = str(changelist.date_hierarchy)

    def _chosen(self, part: str) -> int | None:
        try:
            return int(self.changelist.params[f"{self.field}__{part}"])
        except (KeyError, ValueError):
            return None

    def _bounds(self) -> tuple[dt.date, dt.date] | None:
        # MIN and MAX in one query would scan the table on SQLite. Reading one row from each end of the index does not.
        dates = self.changelist.root_queryset.filter(**{f"{self.field}__isnull": False}).values(self.field)
        ends = {
            name: Subquery(dates.order_by(order)[:1]) for name, order in (("a", self.field), ("z", f"-{self.field}"))
        }
        any_row = self.changelist.model._default_manager.order_by().values_list(ends["a"], ends["z"])[:1]
        first, last = next(iter(any_row), (None, None))
        return None if first is None or last is None else (_day(first), _day(last))

    def _link(self, **parts: int | None) -> str:
        chosen = {f"{self.field}__{part}": value for part, value in parts.items() if value is not None}
        return self.changelist.get_query_string(chosen, [f"{self.field}__"])

    def choices(self) -> dict[str, Any]:
        """Return ``back`` (link and title, or ``None``) and ``choices``, or an empty dict if there are no dates."""
        bounds = self._bounds()
        if bounds is None:
            return {}
        first, last = bounds
        year, month, day = self._chosen("year"), self._chosen("month"), self._chosen("day")
        if year is None:
            return {"back": None, "choices": self._years(first, last)}
        if month is None:
            return {"back": {"link": self._link(), "title": None}, "choices": self._months(year, first, last)}
        if day is None:
            back = {"link": self._link(year=year), "title": str(year)}
            return {"back": back, "choices": self._days(year, month, first, last)}
        title = capfirst(date_format(dt.date(year, month, 1), "YEAR_MONTH_FORMAT"))
        chosen = capfirst(date_format(dt.date(year, month, day), "MONTH_DAY_FORMAT"))
        return {
            "back": {"link": self._link(year=year, month=month), "title": title},
            "choices": [{"title": chosen}],
        }

    def _years(self, first: dt.date, last: dt.date) -> list[dict[str, str]]:
        # A wrong date, such as the year 9999, must not make a thousand links or hide the current year.
        top = min(last.year, timezone.now().year + 1)
        years = range(max(first.year, top - YEARS + 1), top + 1)
        return [{"link": self._link(year=year), "title": str(year)} for year in years]

    def _months(self, year: int, first: dt.date, last: dt.date) -> list[dict[str, str]]:
        months = [dt.date(year, number, 1) for number in range(1, 13)]
        return [
            {
                "link": self._link(year=year, month=month.month),
                "title": capfirst(date_format(month, "YEAR_MONTH_FORMAT")),
            }
            for month in months
            if first.replace(day=1) <= month <= last
        ]

    def _days(self, year: int, month: int, first: dt.date, last: dt.date) -> list[dict[str, str]]:
        length = calendar.monthrange(year, month)[1]
        days = [dt.date(year, month, number) for number in range(1, length + 1)]
        return [
            {
                "link": self._link(year=year, month=month, day=day.day),
                "title": capfirst(date_format(day, "MONTH_DAY_FORMAT")),
            }
            for day in days
            if first <= day <= last
        ]


def _day(moment: dt.datetime) -> dt.date:
    return timezone.localdate(moment) if timezone.is_aware(moment) else moment.date()

"""Lists that stay quick on tables of any size: bounded counts, indexed order, dates without DISTINCT."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.paginator import Page, Paginator
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.text import capfirst

from govpay.models.fields import SealedField

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    AnyPaginator = Paginator

#: Rows are counted up to here; a list that has more says "10 000+".
COUNTED = 10_000
#: The deepest page that can be asked for; beyond it an OFFSET is no answer any more.
DEEPEST_PAGE = 100_000
#: From here on a page costs one more statement and no longer the joins of all rows before it.
DEEP = 1_000
#: Years that the drill-down offers.
YEARS = 15


class BoundedPaginator(AnyPaginator):
    """Counts no further than it must: ``COUNTED`` rows, or a little beyond the page asked for.

    So the first pages of a million rows cost an index scan of ten thousand entries, and deep pages
    go on working because the horizon moves along with them.
    """

    def __init__(self, object_list: Any, per_page: int, *args: Any, page: int = 1, **kwargs: Any) -> None:
        super().__init__(object_list, per_page, *args, **kwargs)
        page = page if 1 <= page <= DEEPEST_PAGE else 1
        self.horizon = max(COUNTED, (page + 3) * per_page)

    def page(self, number: Any) -> Page[Any]:
        """Skip only keys, in the index, on a deep page: skipping whole rows is slow. The rows are then read by key."""
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
        """Whether there is more than was counted."""
        return self._counted > self.horizon

    @property
    def count_text(self) -> str:
        """``count`` for people, with a plus sign when there is more."""
        text = number_format(self.count, force_grouping=True)
        return f"{text}+" if self.is_cut else text


def requested_page(request: HttpRequest) -> int:
    """The page number in the address, or 1."""
    try:
        return int(request.GET.get(PAGE_VAR, 1))
    except ValueError:
        return 1


def heavy_fields(model: type[models.Model], prefix: str = "") -> list[str]:
    """Columns that a list never shows and should not read: documents, and secrets even when sealed."""
    return [
        f"{prefix}{field.name}"
        for field in model._meta.concrete_fields
        if isinstance(field, models.JSONField | SealedField)
    ]


def joined(
    queryset: QuerySet[Any], relatives: tuple[str, ...], leave_out: Iterable[str] | None = None
) -> QuerySet[Any]:
    """Join ``relatives`` without their heavy columns; ``leave_out`` (default: the heavy ones) is of the row's own."""
    names = list(heavy_fields(queryset.model) if leave_out is None else leave_out)
    for name in relatives:
        related: Any = queryset.model._meta.get_field(name).related_model
        names += heavy_fields(related, f"{name}__")
    # A relative may be missing (no constraint): the join is an outer one, and gives None then.
    return queryset.select_related(*relatives).defer(*names) if relatives else queryset.defer(*names)


class LeanChangeList(ChangeList):
    """Django's change list, held to what the indexes serve."""

    def get_results(self, request: HttpRequest) -> None:
        """Where the two counts differ, Django and themes write the bounded one as if it were the whole one.

        They never differ here; the list's own template tells the count, with a plus sign where there is more.
        """
        super().get_results(request)
        self.full_result_count = self.result_count

    def get_ordering_field(self, field_name: Any) -> Any:
        """Only the listed columns sort; Django leaves the others open to ``?o=``."""
        return super().get_ordering_field(field_name) if field_name in (self.sortable_by or ()) else None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Django breaks ties with ``-pk``; the index runs the other way when the column ascends."""
        ordering = super().get_ordering(request, queryset)
        if ordering[-1] == "-pk" and len(ordering) > 1 and not str(ordering[0]).startswith("-"):
            ordering[-1] = "pk"
        return ordering

    def apply_select_related(self, qs: QuerySet[Any]) -> QuerySet[Any]:
        return joined(qs, tuple(self.list_select_related or ()))  # type: ignore[arg-type]

    @cached_property
    def drilldown(self) -> dict[str, Any]:
        """Years, months or days to choose from, for the template."""
        return DateDrilldown(self).choices()

    @cached_property
    def page_links(self) -> list[dict[str, Any]]:
        """Text, and an address unless it is the page shown or a gap."""
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
    """Year, month and day links that need the first and the last date only, both read from the index."""

    def __init__(self, changelist: LeanChangeList) -> None:
        self.changelist = changelist
        self.field = str(changelist.date_hierarchy)

    def _chosen(self, part: str) -> int | None:
        try:
            return int(self.changelist.params[f"{self.field}__{part}"])
        except (KeyError, ValueError):
            return None

    def _bounds(self) -> tuple[dt.date, dt.date] | None:
        # MIN and MAX in one statement would scan on SQLite; one row from each end of the index does not.
        dates = self.changelist.root_queryset.filter(**{f"{self.field}__isnull": False})
        first = dates.order_by(self.field).values_list(self.field, flat=True).first()
        last = dates.order_by(f"-{self.field}").values_list(self.field, flat=True).first()
        if first is None or last is None:
            return None
        return _day(first), _day(last)

    def _link(self, **parts: int | None) -> str:
        chosen = {f"{self.field}__{part}": value for part, value in parts.items() if value is not None}
        return self.changelist.get_query_string(chosen, [f"{self.field}__"])

    def choices(self) -> dict[str, Any]:
        """``back`` (link and title, or None) and ``choices``; empty when there is no date at all."""
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
        # A nonsense date must not make a thousand links, nor push the present out of sight.
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

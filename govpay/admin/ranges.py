"""List filters with a first and a last value: amounts, and days in the time zone of the account."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from govpay.models import PaymentAccount
from govpay.reports.days import day_start, default_zone, zones_of
from govpay.reports.terms import Amount, parse_amount

ONE_DAY = dt.timedelta(days=1)
#: The years that a date may have. A time zone moves a date, and Python ends at the year 9999.
YEARS = range(1900, 3000)


class RangeFilter(admin.ListFilter):
    """Base of filters with two fields: ``?<name>_from=`` and ``?<name>_to=``. Both ends are included."""

    template = "govpay/admin/range_filter.html"
    #: The common start of the names of both parameters.
    name: ClassVar[str]
    #: The attributes of both input fields.
    attributes: ClassVar[dict[str, str]]

    @classmethod
    def parameter_names(cls) -> tuple[str, str]:
        return f"{cls.name}_from", f"{cls.name}_to"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.parameter_names():
            if given := params.pop(name, None):
                self.used_parameters[name] = given[-1].strip()
        first, last = (self.used_parameters.get(name) for name in self.parameter_names())
        self.first = self.parse(str(first)) if first else None
        self.last = self.parse(str(last)) if last else None
        account = params.get("account")
        self.account = account[-1] if account else ""

    def parse(self, text: str) -> Any:
        """Return the value of one field. Raises ``IncorrectLookupParameters``."""
        raise NotImplementedError

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameter_names())

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        """Yield the one form, with the other parameters of the list as hidden fields."""
        names = self.parameter_names()
        others = [(key, value) for key, value in changelist.params.items() if key not in names]
        labels = (_("From"), _("To"))
        yield {
            "fields": [
                (name, label, self.used_parameters.get(name, "")) for name, label in zip(names, labels, strict=True)
            ],
            "hidden": [
                (key, each) for key, value in others for each in (value if isinstance(value, list) else [value])
            ],
            "selected": bool(self.used_parameters),
            "query_string": changelist.get_query_string(remove=list(names)),
        }


class AmountFilter(RangeFilter):
    """Filter payments by their total, in major units of each payment's currency."""

    title = _("amount")
    name = "amount"
    attributes: ClassVar[dict[str, str]] = {"type": "text", "inputmode": "decimal", "size": "8"}

    def parse(self, text: str) -> Amount:
        if not (amounts := parse_amount(text)):
            raise IncorrectLookupParameters("That is no amount.")
        return amounts[0]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.first:
            queryset = queryset.filter(self.first.matches("total_amount", "gte"))
        if self.last:
            queryset = queryset.filter(self.last.matches("total_amount", "lte"))
        return queryset


class DayFilter(RangeFilter):
    """Filter payments by the business day of their creation, in the time zone of each payment's account."""

    title = _("date")
    name = "day"
    attributes: ClassVar[dict[str, str]] = {"type": "date"}

    def parse(self, text: str) -> dt.date:
        try:
            day = dt.date.fromisoformat(text)
        except ValueError as error:
            raise IncorrectLookupParameters(str(error)) from None
        if day.year not in YEARS:
            raise IncorrectLookupParameters("The year is too far away.")
        return day

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.used_parameters:
            return queryset
        accounts: Any = PaymentAccount.objects.visible_to(request.user)
        by_zone: dict[ZoneInfo, list[str]] = defaultdict(list)
        for uid, zone in zones_of(accounts.filter(uid=self.account) if self.account else accounts).items():
            by_zone[zone].append(uid)
        if len(by_zone) <= 1:
            return queryset.filter(self._within(next(iter(by_zone), default_zone())))
        which = Q()
        for zone, uids in by_zone.items():
            which |= Q(self._within(zone), account__in=uids)
        return queryset.filter(which)

    def _within(self, zone: ZoneInfo) -> Q:
        found = Q()
        if self.first:
            found &= Q(remote_created_at__gte=day_start(zone, self.first))
        if self.last:
            found &= Q(remote_created_at__lt=day_start(zone, self.last + ONE_DAY))
        return found

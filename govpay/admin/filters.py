"""Filters that never ask a table for its distinct values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db import models
from django.db.models import F, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.lookups import Exact
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from govpay.admin.formatting import FEE_PREVIEW
from govpay.models import Client, PaymentAccount
from govpay.models.access import reach_of
from govpay.models.choices import PaymentFlag, PaymentStatus

#: A filter lists that many accounts; the others are reached from their own page.
FILTER_ACCOUNTS_LIMIT = 50


class ExactFilter(admin.SimpleListFilter):
    """One column, one value: ``?<column>=<value>``. A value that is not offered may still be asked for."""

    def offered(self, request: HttpRequest) -> Iterable[tuple[str, Any]]:
        """Value and label of each link."""
        return ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        wanted = self.value()
        if wanted is not None and "\x00" in wanted:
            raise IncorrectLookupParameters("NUL is no text.")
        choices = list(self.offered(request))
        if wanted and wanted not in {value for value, _label in choices}:
            choices.append((wanted, wanted))
        return choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        wanted = self.value()
        return queryset.filter(**{str(self.parameter_name): wanted}) if wanted else None


def known_values(column: str, label: Any, choices: type[models.TextChoices]) -> type[ExactFilter]:
    """Offers the known values. A value that is new on the platform can be given in the URL."""

    class KnownValues(ExactFilter):
        title = label
        parameter_name = column

        def offered(self, request: HttpRequest) -> Iterable[tuple[str, Any]]:
            return choices.choices

    return KnownValues


def linked(column: str, label: Any) -> type[ExactFilter]:
    """A filter that only appears when a link of ours brought it, such as "payments of this customer"."""

    class Linked(ExactFilter):
        title = label
        parameter_name = column

    return Linked


class TenantFilter(ExactFilter):
    """The first rows by name: one statement of fifty short ones. What lies out of reach is nothing to filter by."""

    rows: ClassVar[Any]

    def offered(self, request: HttpRequest) -> Iterable[tuple[str, Any]]:
        within = self.rows.visible_to(request.user)
        found = list(within.order_by("name", "id").values_list("uid", "name")[:FILTER_ACCOUNTS_LIMIT])
        wanted = self.value()
        if wanted and not reach_of(request.user).is_all and wanted not in dict(found):
            asked = list(within.filter(uid=wanted).values_list("uid", "name"))
            if not asked:
                raise IncorrectLookupParameters("There is no such row.")
            found += asked
        return [(uid, name or uid) for uid, name in found]


class AccountListFilter(TenantFilter):
    title = _("payment account")
    parameter_name = "account"
    rows = PaymentAccount.objects


class ClientListFilter(TenantFilter):
    title = _("client")
    parameter_name = "client"
    rows = Client.objects


class AgeFilter(admin.SimpleListFilter):
    """Events by when they arrived: a range of the index on ``received_at``."""

    title = _("age")
    parameter_name = "age"

    RECENT: ClassVar[dict[str, dt.timedelta]] = {
        "hour": dt.timedelta(hours=1),
        "day": dt.timedelta(days=1),
        "week": dt.timedelta(days=7),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        recent = [("hour", _("Last hour")), ("day", _("Last 24 hours")), ("week", _("Last 7 days"))]
        return [*recent, ("older", _("Older"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        chosen = self.value() or ""
        if chosen == "older":
            return queryset.filter(received_at__lt=timezone.now() - self.RECENT["week"])
        if chosen in self.RECENT:
            return queryset.filter(received_at__gte=timezone.now() - self.RECENT[chosen])
        return None


class PaymentStatusFilter(ExactFilter):
    """Payments by status. Fee previews are listed by themselves, not among those that wait for capture."""

    title = _("status")
    parameter_name = "status"

    #: No value of the platform's.
    PREVIEW: ClassVar[str] = "fee_preview"

    def offered(self, request: HttpRequest) -> Iterable[tuple[str, Any]]:
        first, *others = PaymentStatus.choices
        return [first, (self.PREVIEW, FEE_PREVIEW), *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        wanted = self.value()
        if wanted not in (PaymentStatus.VALIDATED, self.PREVIEW):
            return super().queryset(request, queryset)
        validated: Any = queryset.filter(status=PaymentStatus.VALIDATED)
        return validated.with_fee_preview().filter(fee_preview=wanted == self.PREVIEW)


class FlagListFilter(ExactFilter):
    """Payments that staff must look at, from the partial index on the flag."""

    title = _("flag")
    parameter_name = "flag"

    #: As the index has it, letter by letter: SQLite takes a partial index for no other wording, nor for a parameter.
    RAISED = ~Exact(F("flag"), RawSQL("''", ()))

    def offered(self, request: HttpRequest) -> Iterable[tuple[str, Any]]:
        return [("any", _("Any flag")), *PaymentFlag.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        wanted = self.value()
        if not wanted:
            return None
        raised = queryset.filter(self.RAISED)
        return raised if wanted == "any" else raised.filter(flag=wanted)


class BacklogFilter(ExactFilter):
    """Flags that a first load raised; it only appears when the link of such a group brought it."""

    title = _("first load")
    parameter_name = "flag_backlog"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Yes"))] if self.value() else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(FlagListFilter.RAISED, flag_backlog=True) if self.value() else None


class ExpiryFilter(admin.SimpleListFilter):
    """Cards by the month they run out, from the index on year and month."""

    title = _("expiry")
    parameter_name = "expiry"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("past", _("Expired")), ("soon", _("Expires within 3 months")), ("later", _("Later"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        today = timezone.localdate()
        # The first of the fourth month from now: four months have 120 to 123 days.
        edge = (today.replace(day=1) + dt.timedelta(days=124)).replace(day=1)
        past, soon = _before(today), _before(edge)
        known = Q(exp_year__isnull=False, exp_month__isnull=False)
        match self.value():
            case "past":
                return queryset.filter(past)
            case "soon":
                return queryset.filter(known & soon & ~past)
            case "later":
                return queryset.filter(known & ~soon)
        return None


def _before(day: dt.date) -> Q:
    """Cards whose last month lies before the month of ``day``."""
    return Q(exp_year__lt=day.year) | Q(exp_year=day.year, exp_month__lt=day.month)

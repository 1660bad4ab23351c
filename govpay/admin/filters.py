"""List filters that never query the distinct values of a column."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.lookups import Exact, GreaterThan
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from govpay.admin.formatting import FEE_PREVIEW, TAKES_MONEY
from govpay.models import Client, Note, PaymentAccount, Transaction
from govpay.models.access import reach_of
from govpay.models.choices import PaymentFlag, PaymentStatus, TransactionStatus

#: Maximum number of accounts or clients that a filter lists. The others have links to filtered lists on their own
#: pages.
FILTER_ACCOUNTS_LIMIT = 50
#: Maximum number of digits of a primary key in an address. A longer number fits no column.
MAX_KEY_DIGITS = 18


class ExactFilter(admin.SimpleListFilter):
    """Filter one column by one value: ``?<column>=<value>``. Values that are not offered are accepted too."""

    def offered(self, request: HttpRequest) -> Iterable[tuple[str, Any]]:
        """Return value and label of each choice."""
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
    """Return a filter that offers the known values. The URL may contain a value that is new on the platform."""

    class KnownValues(ExactFilter):
        title = label
        parameter_name = column

        def offered(self, request: HttpRequest) -> Iterable[tuple[str, Any]]:
            return choices.choices

    return KnownValues


def linked(column: str, label: Any) -> type[ExactFilter]:
    """Return a filter that appears only if a link set it, such as "payments of this customer"."""

    class Linked(ExactFilter):
        title = label
        parameter_name = column

    return Linked


class TenantFilter(ExactFilter):
    """Offer the first fifty rows by name, in one query. The value of a row that the user may not see is refused."""

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
    """Filter events by the time when they arrived: a range of the index on ``received_at``."""

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
    """Filter payments by status. Fee previews are a separate choice, not a part of *Waiting for capture*."""

    title = _("status")
    parameter_name = "status"

    #: A value of this filter only. The platform has no such status.
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
    """Filter payments that staff must look at, with the partial index on the flag."""

    title = _("flag")
    parameter_name = "flag"

    #: Exactly the condition of the index. SQLite ignores a partial index if the text differs or has a parameter.
    RAISED = ~Exact(F("flag"), RawSQL("''", ()))

    def offered(self, request: HttpRequest) -> Iterable[tuple[str, Any]]:
        return [("any", _("Any flag")), *PaymentFlag.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        wanted = self.value()
        if not wanted:
            return None
        raised = queryset.filter(self.RAISED)
        return raised if wanted == "any" else raised.filter(flag=wanted)


class RefundedFilter(ExactFilter):
    """Filter payments by whether anything was refunded, with the partial index on the refunded amount."""

    title = _("refund")
    parameter_name = "refunded"

    #: Exactly the condition of the index, as for ``FlagListFilter.RAISED``.
    REFUNDED = GreaterThan(F("refunded_amount"), RawSQL("0", ()))

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("With a refund")), ("0", _("Without a refund"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        match self.value():
            case "1":
                return queryset.filter(self.REFUNDED)
            case "0":
                return queryset.filter(Q(refunded_amount=None) | Q(refunded_amount__lte=0))
        return None


class NotedFilter(ExactFilter):
    """Filter payments by whether somebody wrote a note about them."""

    title = _("note")
    parameter_name = "noted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("With a note"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.value() != "1":
            return None
        visible: Any = Note.objects.visible_to(request.user)
        return queryset.filter(uid__in=visible.exclude(payment=None).order_by().values("payment"))


class DisputedFilter(RefundedFilter):
    """Filter payments by whether the payer's bank took money back, also if it gave it back later."""

    title = _("dispute or return")
    parameter_name = "disputed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("With a dispute or return")), ("0", _("Without a dispute or return"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        wanted = self.value()
        if wanted not in ("0", "1"):
            return None
        visible = Transaction.objects.visible_to(request.user).order_by()
        moved = visible.filter(type__in=TAKES_MONEY).exclude(status=TransactionStatus.FAILED)
        if wanted == "1":
            return queryset.filter(uid__in=moved.values("payment"))
        return queryset.exclude(Exists(moved.filter(payment=OuterRef("uid"))))


class BrandFilter(ExactFilter):
    """Filter by the brand of the card, in any case."""

    title = _("brand")
    parameter_name = "brand"

    def offered(self, request: HttpRequest) -> Iterable[tuple[str, Any]]:
        return [("visa", "Visa"), ("mastercard", "Mastercard"), ("amex", "Amex"), ("discover", "Discover")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        wanted = self.value()
        return queryset.filter(brand__iexact=wanted) if wanted else None


class PersonFilter(ExactFilter):
    """Filter operations by the user who acted. Offer the first fifty users of the staff by user name, in one query."""

    title = _("person")
    parameter_name = "actor"

    def offered(self, request: HttpRequest) -> Iterable[tuple[str, Any]]:
        users: Any = get_user_model()
        rows = users._default_manager.order_by(users.USERNAME_FIELD)
        if any(field.name == "is_staff" for field in users._meta.concrete_fields):
            rows = rows.filter(is_staff=True)
        return [(str(pk), name) for pk, name in rows.values_list("pk", users.USERNAME_FIELD)[:FILTER_ACCOUNTS_LIMIT]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if (value := self.value() or "").isdigit() and len(value) > MAX_KEY_DIGITS:
            raise IncorrectLookupParameters("No user has such a key.")
        try:
            return super().queryset(request, queryset)
        except (ValueError, ValidationError, OverflowError) as error:  # no primary key of a user
            raise IncorrectLookupParameters(str(error)) from None


class BacklogFilter(ExactFilter):
    """Filter flags that an account's first load raised. Shown only if the link of a flag group set this filter."""

    title = _("first load")
    parameter_name = "flag_backlog"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Yes"))] if self.value() else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(FlagListFilter.RAISED, flag_backlog=True) if self.value() else None


class WaitingFilter(ExactFilter):
    """Filter payments that can still be captured. Appears only if the link of the overview set it."""

    title = _("waiting for capture")
    parameter_name = "waiting"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Yes"))] if self.value() else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        rows: Any = queryset
        return rows.waiting_for_capture(timezone.now()) if self.value() else None


class ExpiryFilter(admin.SimpleListFilter):
    """Filter cards by the month in which they expire, with the index on year and month."""

    title = _("expiry")
    parameter_name = "expiry"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("past", _("Expired")), ("soon", _("Expires within 3 months")), ("later", _("Later"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        today = timezone.localdate()
        # The first day of the fourth month from now: four months have 120 to 123 days.
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
    """Return the condition for cards whose last month is before the month of ``day``."""
    return Q(exp_year__lt=day.year) | Q(exp_year=day.year, exp_month__lt=day.month)

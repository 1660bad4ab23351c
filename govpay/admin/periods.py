"""What the pages that count have in common: the form for accounts and days, and who may see them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from govpay.admin.base import PLAUSIBLE_YEARS
from govpay.admin.overview import may_report
from govpay.models import PaymentAccount
from govpay.reports.days import business_day

#: Maximum number of days of a report.

#: Maximum number of days of a report.
MAX_REPORT_DAYS = 3 * 366


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
        self.visible = visible.select_related("client").order_by("name", "id")
        super().__init__({**defaults, **request.GET.dict()})
        self.fields["account"].queryset = self.visible  # type: ignore[attr-defined]
        for name in ("first", "last"):
            self.fields[name].input_formats = ["%Y-%m-%d"]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        first, last = given.get("first"), given.get("last")
        for name, day in (("first", first), ("last", last)):
            if day and day.year not in PLAUSIBLE_YEARS:
                self.add_error(name, _("This year is too far away."))
        if first and last and first > last:
            self.add_error("last", _("This day is before the first one."))
        elif first and last and (last - first).days >= MAX_REPORT_DAYS:
            self.add_error("last", _("Choose %(days)d days at most.") % {"days": MAX_REPORT_DAYS})
        return given

    def accounts(self) -> list[Any]:
        """Return the chosen account, or all that the user may see."""
        chosen = self.cleaned_data["account"]
        return [chosen] if chosen else list(self.visible)


def guard_report(request: HttpRequest, may: bool = True) -> HttpResponse | None:
    """Return the answer to a wrong method, else ``None``. Raises ``PermissionDenied``, also if ``may`` is false."""
    if not (may and may_report(request)):
        raise PermissionDenied
    return None if request.method in ("GET", "HEAD") else HttpResponseNotAllowed(["GET", "HEAD"])


def today_of(user: Any) -> dt.date:
    """Return the business day that the first account of this user has now, or Django's day if there is none."""
    visible: Any = PaymentAccount.objects.visible_to(user)
    account = visible.present().select_related("client").order_by("name", "id").first()
    return business_day(account, timezone.now()) if account else timezone.localdate()


def day_text(day: dt.date) -> str:
    """Return a business day in short form."""
    return date_format(day, "SHORT_DATE_FORMAT")

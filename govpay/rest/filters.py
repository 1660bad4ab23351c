"""Kinds of filters. Each list's ``FilterSet`` is in the file of its thing, such as ``rest/payments.py``.

Each filter takes one exact value, and no error message repeats the given value. Nothing here follows the host's
settings, neither those of django-filter (``FILTERS_…``) nor Django's formats.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field

from govpay.models.money import MAX_AMOUNT


class MomentField(forms.CharField):
    def clean(self, value: Any) -> dt.datetime | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            moment = parse_datetime(text)
        except ValueError:
            moment = None
        if moment is None:
            raise ValidationError("Give a date and time such as 2026-03-01T00:00:00Z.")
        if moment.tzinfo is None:
            return moment.replace(tzinfo=dt.UTC)
        try:
            return moment.astimezone(dt.UTC)
        except OverflowError:  # in the first or the last year of ``datetime``
            return moment.replace(tzinfo=dt.UTC)


class CentsTextField(forms.CharField):
    def clean(self, value: Any) -> int | None:
        text = super().clean(value)
        if not text:
            return None
        if not re.fullmatch(r"[0-9]{1,16}", text) or int(text) > MAX_AMOUNT:
            raise ValidationError(f"Give a whole number of minor units from 0 to {MAX_AMOUNT}.")
        return int(text)


class FlagField(forms.CharField):
    def clean(self, value: Any) -> bool | None:
        text = super().clean(value)
        if not text:
            return None
        if text not in ("true", "false"):
            raise ValidationError("Give true or false.")
        return bool(text == "true")


@extend_schema_field({"type": "string", "maxLength": 255})
class TextFilter(filters.CharFilter):
    """Compares the whole value, without stripping spaces."""

    def __init__(self, field_name: str | None = None, lookup_expr: str = "exact", **kwargs: Any) -> None:
        super().__init__(field_name, lookup_expr, **{"max_length": 255, "strip": False, **kwargs})


class KeyFilter(filters.UUIDFilter):
    """Compares a UUID."""

    def __init__(self, field_name: str | None = None, lookup_expr: str = "exact", **kwargs: Any) -> None:
        super().__init__(field_name, lookup_expr, **kwargs)


@extend_schema_field({"type": "string", "format": "date-time"})
class MomentFilter(filters.Filter):
    field_class = MomentField


@extend_schema_field({"type": "integer", "minimum": 0, "maximum": MAX_AMOUNT})
class CentsFilter(filters.Filter):
    """An amount in minor units."""

    field_class = CentsTextField


@extend_schema_field({"type": "boolean"})
class FlagFilter(filters.Filter):
    field_class = FlagField


class RowFilter(filters.FilterSet):
    """Base of the filter sets. It has no model, so that only the listed filters exist."""


class MirrorFilter(RowFilter):
    created_from = MomentFilter("remote_created_at", "gte")
    created_before = MomentFilter("remote_created_at", "lt")
    #: Whether the platform no longer has the object.
    deleted = FlagFilter("deleted_at", "isnull", exclude=True)

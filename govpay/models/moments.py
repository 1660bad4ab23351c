"""Dates and times as people read them: one format, in the active time zone, with the zone's abbreviation."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone
from django.utils.formats import date_format


def format_moment(value: dt.datetime) -> str:
    """Return ``11/28/2026 8:53 p.m. UTC`` in the format of the active language. A naive value has no zone."""
    if timezone.is_naive(value):
        return date_format(value, "SHORT_DATETIME_FORMAT")
    local = timezone.localtime(value)
    return f"{date_format(local, 'SHORT_DATETIME_FORMAT')} {local.tzname()}"

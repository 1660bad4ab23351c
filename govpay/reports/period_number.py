"""The SQL expression that tells in which of several consecutive periods a moment lies."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Func, IntegerField, Value


class PeriodNumber(Func):
    """The number of the period, from 0, to which ``m_moment`` belongs. ``starts``: their first moments, ascending.

    The bounds are computed in Python and not by the database, whose time zones may be of another release.
    """

    output_field = IntegerField()

    def __init__(self, starts: Sequence[dt.datetime]) -> None:
        bounds = (Value(start, output_field=DateTimeField()) for start in starts[1:])
        super().__init__("m_moment", *bounds)

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper, *_: Any, **__: Any) -> tuple[str, Any]:
        """A binary search, which every database understands: nested CASEs."""
        parts = [compiler.compile(expression) for expression in self.get_source_expressions()]
        (moment, given), bounds = parts[0], parts[1:]

        def search(low: int, high: int) -> tuple[str, list[Any]]:
            if low == high:
                return str(low), []
            middle = (low + high) // 2
            bound, value = bounds[middle]
            (before, before_values), (after, after_values) = search(low, middle), search(middle + 1, high)
            sql = f"CASE WHEN {moment} < {bound} THEN {before} ELSE {after} END"
            return sql, [*given, *value, *before_values, *after_values]

        return search(0, len(bounds))

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper, **_: Any) -> tuple[str, list[Any]]:
        moment, *bounds = (compiler.compile(expression) for expression in self.get_source_expressions())
        if not bounds:
            return "0", []
        array = ", ".join(sql for sql, _ in bounds)
        values = [value for _, values in (moment, *bounds) for value in values]
        return f"width_bucket({moment[0]}, ARRAY[{array}]::timestamptz[])", values

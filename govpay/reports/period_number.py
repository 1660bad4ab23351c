"""The SQL expression that tells in which of several consecutive periods a moment lies."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Func, IntegerField


class PeriodNumber(Func):
    """The number of the period, from 0, to which ``m_moment`` belongs. ``starts``: their first moments, ascending.

    The bounds are computed in Python and not by the database, whose time zones may be of another release.
    """

    output_field = IntegerField()

    def __init__(self, starts: tuple[dt.datetime, ...]) -> None:
        super().__init__("m_moment")
        self.bounds = starts[1:]

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper, *_: Any, **__: Any) -> tuple[str, Any]:
        """Return a binary search, which every database understands: nested CASEs."""
        moment, given = compiler.compile(self.get_source_expressions()[0])
        bounds = [connection.ops.adapt_datetimefield_value(bound) for bound in self.bounds]

        def search(low: int, high: int) -> tuple[str, list[Any]]:
            if low == high:
                return str(low), []
            middle = (low + high) // 2
            (before, before_values), (after, after_values) = search(low, middle), search(middle + 1, high)
            sql = f"CASE WHEN {moment} < %s THEN {before} ELSE {after} END"
            return sql, [*given, bounds[middle], *before_values, *after_values]

        return search(0, len(bounds))

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper, **_: Any) -> tuple[str, Any]:
        if not self.bounds:
            return self.as_sql(compiler, connection)
        moment, given = compiler.compile(self.get_source_expressions()[0])
        array = ", ".join(["%s"] * len(self.bounds))
        return f"width_bucket({moment}, ARRAY[{array}]::timestamptz[])", [*given, *self.bounds]

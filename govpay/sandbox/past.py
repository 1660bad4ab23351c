"""Earlier versions of rows: the SQL that stores them, and that reads a table as it was at an instant."""

from __future__ import annotations

from collections.abc import Iterator

from govpay.sandbox.kinds import Kind


def schema(kind: Kind) -> Iterator[str]:
    """One row for each insert, change and removal: the version that ended `until` then (no `doc`: there was none)."""
    yield (
        f"CREATE TABLE IF NOT EXISTS {kind.table}_before (seq INTEGER PRIMARY KEY, until, {', '.join(kind.columns)})"
    )
    yield f"CREATE INDEX IF NOT EXISTS {kind.table}_before_until ON {kind.table}_before (until, uid)"


def keep(kind: Kind) -> str:
    """Store the version of the row `uid` that ends now; the parameters are `until`, `uid`, `uid`."""
    others = ", ".join(kind.columns[1:])
    return (
        f"INSERT INTO {kind.table}_before (until, uid, {others})"
        f" SELECT ?, ?, {others} FROM (SELECT 1) LEFT JOIN {kind.table} ON uid = ?"
    )


def as_of(kind: Kind, moment: str) -> str:
    """The table as it was at `moment` (the clock's ISO text), for use after FROM."""
    table, columns = kind.table, ", ".join(kind.columns)
    later = f"{table}_before WHERE until > '{moment}'"
    return (
        f"(SELECT {columns} FROM {table} WHERE uid NOT IN (SELECT uid FROM {later})"
        f" UNION ALL SELECT {columns} FROM {table}_before"
        f" WHERE doc IS NOT NULL AND seq IN (SELECT min(seq) FROM {later} GROUP BY uid)) AS {table}"
    )

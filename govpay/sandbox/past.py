"""SQL that stores earlier versions of rows, and SQL that reads a table as it was at an earlier time."""

from __future__ import annotations

from collections.abc import Iterator

from govpay.sandbox.kinds import Kind


def schema(kind: Kind) -> Iterator[str]:
    """Yield the SQL that creates the table of earlier versions of `kind`, and its index.

    The table has one row for each insert, change and removal. The row holds the previous version, which was valid until
    `until`. Its `doc` is NULL if the object did not exist before.
    """
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
    """Return the table as it was at `moment` (the clock's ISO text), for use after FROM."""
    table, columns = kind.table, ", ".join(kind.columns)
    later = f"{table}_before WHERE until > '{moment}'"
    return (
        f"(SELECT {columns} FROM {table} WHERE uid NOT IN (SELECT uid FROM {later})"
        f" UNION ALL SELECT {columns} FROM {table}_before"
        f" WHERE doc IS NOT NULL AND seq IN (SELECT min(seq) FROM {later} GROUP BY uid)) AS {table}"
    )

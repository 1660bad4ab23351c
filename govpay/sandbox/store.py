"""The platform's store: a SQLite database with one connection and one lock."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from govpay.sandbox import past
from govpay.sandbox.kinds import KINDS, Kind
from govpay.sandbox.shapes import Doc

LEDGER_COLUMNS = (
    "kind",
    "payment_uid",
    "transaction_uid",
    "account_uid",
    "amount",
    "currency",
    "reference_id",
    "at",
)


_PLAIN = {str, int, float, bool, type(None)}

# One encoder for all documents: json.dumps would build a new one for each document.
dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass
class StoredRow:
    """One object: the served document, and the platform's private data.

    `due_at` is the time at which the row changes by itself: a validation that expires, a pending
    refund that settles, a session that expires.
    """

    kind: str
    doc: Doc
    account_uid: str | None = None
    due_at: str | None = None
    private: Doc = field(default_factory=dict)

    @property
    def uid(self) -> str:
        return str(self.doc[KINDS[self.kind].id_property])


class _View(threading.local):
    """The time whose state this thread reads; None: now."""

    moment: str | None = None


class Store:
    """Stores documents as JSON, with their filterable properties in indexed columns.

    One connection under one lock: actions are serialized, which makes actions on money atomic and
    the order of `updated_at` the order of commits.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.lock = threading.RLock()
        self._depth = 0
        # Whether a delivery was written; `notify` is called after the commit.
        self.has_delivery = False
        self.notify: Callable[[], None] = lambda: None
        # The end time of the versions that are replaced now; None: no versions are kept. Set by the platform.
        self.ending: Callable[[], str | None] = lambda: None
        self._view = _View()
        try:
            self._connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
            self._prepare(path)
        except sqlite3.Error as error:
            raise ValueError(f"the state file {path} cannot be used: {error}") from None
        self._open = True
        self._upserts = {name: _upsert(kind) for name, kind in KINDS.items()}
        self._keeps = {name: past.keep(kind) for name, kind in KINDS.items()}

    def _prepare(self, path: str | Path | None) -> None:
        run = self._connection.execute
        run("PRAGMA busy_timeout = 5000")
        run("PRAGMA journal_mode = WAL")
        # With NORMAL a killed process loses nothing.
        run("PRAGMA synchronous = NORMAL")
        run("PRAGMA cache_size = -65536")
        if not path:
            self._connection.deserialize(_empty_database())
            return
        with self.transaction():
            for statement in _schema():
                run(statement)

    def close(self) -> None:
        """Fold the write-ahead log into the file; a database in memory is deleted."""
        with self.lock:
            if not self._open:
                return
            self._open = False
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction; nested ones join the outermost. An error with `keep_changes` commits."""
        with self.lock:
            if self._depth:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
            except BaseException as error:
                self._connection.execute("COMMIT" if getattr(error, "keep_changes", False) else "ROLLBACK")
                raise
            else:
                self._connection.execute("COMMIT")
            finally:
                self._depth = 0
                if self.has_delivery:
                    self.has_delivery = False
                    self.notify()

    @contextmanager
    def as_of(self, moment: str) -> Iterator[None]:
        """Let this thread read every object as it was at `moment`. It must not write meanwhile."""
        self._view.moment = moment
        try:
            yield
        finally:
            self._view.moment = None

    def table(self, kind: str) -> str:
        """Return the FROM clause for a kind: its table, or the table at the time of `as_of`."""
        return past.as_of(KINDS[kind], self._view.moment) if self._view.moment else KINDS[kind].table

    def execute(self, sql: str, params: Iterable[Any] | Doc = ()) -> list[Any]:
        with self.lock:
            bound = params if isinstance(params, dict) else tuple(params)
            return self._connection.execute(sql, bound).fetchall()

    def define(self, name: str, function: Callable[[int], str]) -> None:
        """Register a Python function of one number for use in SQL."""
        self._connection.create_function(name, 1, function)

    def get(self, kind: str, uid: str, account_uid: str | None = None) -> StoredRow | None:
        """Return the row, or None if it does not exist or belongs to another account."""
        rows = self.find(kind, "uid = ?", (uid,))
        if not rows or (account_uid is not None and rows[0].account_uid != account_uid):
            return None
        return rows[0]

    def find(self, kind: str, where: str, params: Iterable[Any] = (), order: str = "uid") -> list[StoredRow]:
        sql = f"SELECT doc, account_uid, due_at, private FROM {self.table(kind)} WHERE {where} ORDER BY {order}"
        return [
            StoredRow(kind, json.loads(doc), account_uid, due_at, json.loads(private))
            for doc, account_uid, due_at, private in self.execute(sql, params)
        ]

    def count(self, kind: str, where: str = "1", params: Iterable[Any] = ()) -> int:
        return int(self.execute(f"SELECT count(*) FROM {self.table(kind)} WHERE {where}", params)[0][0])

    def put(self, row: StoredRow) -> StoredRow:
        """Insert or replace one row."""
        if row.due_at or row.kind == "account":
            self.has_delivery = True
        self.put_many(row.kind, [(row, dump(row.doc))])
        return row

    def put_many(self, kind: str, rows: Iterable[tuple[StoredRow, str]]) -> None:
        """Insert or replace rows of one kind whose documents are already encoded."""
        names = [name for name in KINDS[kind].properties if name != "uid"]
        rows = list(rows)
        with self.transaction():
            self._keep(kind, [row.uid for row, _ in rows])
            self._connection.executemany(
                self._upserts[kind],
                (
                    (
                        row.uid,
                        row.account_uid,
                        row.due_at,
                        *_extracted(row.doc, names),
                        dump(row.private) if row.private else "{}",
                        text,
                    )
                    for row, text in rows
                ),
            )

    def _keep(self, kind: str, uids: list[str]) -> None:
        """Store the versions that end now."""
        if until := self.ending():
            self._connection.executemany(self._keeps[kind], [(until, uid, uid) for uid in uids])

    def dump(self) -> dict[str, list[StoredRow]]:
        """Return every object, by kind."""
        return {kind: self.find(kind, "1") for kind in KINDS}

    def load(self, rows: dict[str, list[StoredRow]]) -> None:
        """Hold exactly these objects, as after a restore from a backup. The ledger stays."""
        with self.transaction():
            for kind, present in rows.items():
                kept = {row.uid for row in present}
                for row in self.find(kind, "1"):
                    if row.uid not in kept:
                        self.delete(kind, row.uid)
                self.put_many(kind, [(row, dump(row.doc)) for row in present])

    def delete(self, kind: str, uid: str) -> None:
        with self.transaction():
            self._keep(kind, [uid])
            self.execute(f"DELETE FROM {KINDS[kind].table} WHERE uid = ?", (uid,))

    def enter(self, entries: Iterable[tuple[Any, ...]]) -> None:
        """Append entries to the ledger. Each has its values in the order of LEDGER_COLUMNS, amounts in cents."""
        marks = ", ".join("?" * len(LEDGER_COLUMNS))
        with self.transaction():
            self._connection.executemany(f"INSERT INTO ledger ({', '.join(LEDGER_COLUMNS)}) VALUES ({marks})", entries)

    def ledger(self) -> list[Doc]:
        names = ("seq", *LEDGER_COLUMNS)
        return [
            dict(zip(names, row, strict=True))
            for row in self.execute(f"SELECT {', '.join(names)} FROM ledger ORDER BY seq")
        ]

    def latest(self) -> str | None:
        """Return the newest `updated_at` of all objects, so that the clock of a reopened file continues after it."""
        newest = [self.execute(f"SELECT max(updated_at) FROM {kind.table}")[0][0] for kind in KINDS.values()]
        return max(filter(None, newest), default=None)


def _extracted(doc: Doc, names: list[str]) -> list[Any]:
    values = [doc.get(name) for name in names]
    if set(map(type, values)) <= _PLAIN and all(type(v) is not int or abs(v) < 2**63 for v in values):
        return values
    # Filterable columns hold scalars, but a test may put other values into a document. Those are stored as JSON.
    return [value if type(value) in (str, float, bool, type(None)) else dump(value) for value in values]


def _upsert(kind: Kind) -> str:
    names = kind.columns
    changes = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    return (
        f"INSERT INTO {kind.table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        f" ON CONFLICT (uid) DO UPDATE SET {changes}"
    )


@lru_cache
def _empty_database() -> bytes:
    """Return a database with all tables. Copying it is ten times faster than creating the tables."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in _schema():
            connection.execute(statement)
        return connection.serialize()


def _schema() -> Iterator[str]:
    for kind in KINDS.values():
        yield f"CREATE TABLE IF NOT EXISTS {kind.table} (uid TEXT PRIMARY KEY, {', '.join(kind.columns[1:])})"
        yield from past.schema(kind)
        scope = "account_uid, " if kind.account_scoped else ""
        for name in ("updated_at", *kind.by):
            yield (f"CREATE INDEX IF NOT EXISTS {kind.table}_{name} ON {kind.table} ({scope}{name}, uid)")
        yield f"CREATE INDEX IF NOT EXISTS {kind.table}_due ON {kind.table} (due_at) WHERE due_at IS NOT NULL"
        if kind.account_scoped:
            yield f"CREATE INDEX IF NOT EXISTS {kind.table}_scope ON {kind.table} (account_uid, uid)"
    yield (f"CREATE TABLE IF NOT EXISTS ledger (seq INTEGER PRIMARY KEY AUTOINCREMENT, {', '.join(LEDGER_COLUMNS)})")
    yield (
        "CREATE TABLE IF NOT EXISTS deliveries (seq INTEGER PRIMARY KEY AUTOINCREMENT, webhook_id, event_type,"
        " account_uid, body, timestamp, attempts DEFAULT 0, next_at, last_status, done DEFAULT 0, created_at, place)"
    )
    # Deliveries that were not accepted yet, in the order of sending.
    yield (
        "CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries"
        " (coalesce(place, seq), next_at, account_uid) WHERE done = 0"
    )
    # Requests that are carried out later. `status` is NULL until then.
    yield (
        "CREATE TABLE IF NOT EXISTS late_requests (seq INTEGER PRIMARY KEY AUTOINCREMENT, method, path, origin,"
        " headers, query, data, due_at, status, code)"
    )
    yield "CREATE INDEX IF NOT EXISTS late_requests_due ON late_requests (due_at, seq) WHERE status IS NULL"
    yield "CREATE TABLE IF NOT EXISTS tokens (token TEXT PRIMARY KEY, scope, issued_at, expires_at)"

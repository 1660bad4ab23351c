"""The upsert: writes the documents of one page in one statement. Only this module writes mirrored columns."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, models, router
from django.utils import timezone

from govpay.models.base import Mirror, MirrorQuerySet
from govpay.models.choices import Source
from govpay.security.tracebacks import scrub_traceback
from govpay.sync import clocks, contract, contradictions, flags, older, outbox
from govpay.sync.mapping import Columns, Mapper, Unmappable, digests
from govpay.sync.transactions import RowsChangedMeanwhile, in_transaction

#: Rows per statement. SQLite binds at most 32 766 parameters, unless it was built with another limit.
ROWS_A_STATEMENT = 1000

#: The known state of rows by uid: digest, tombstone, the columns in ``outbox.OBSERVED_FIELDS``, and ``older_seen_at``.
Known = dict[str, list[Any]]


@dataclass
class Saved:
    """The result of saving documents: counts, rejected documents and written rows."""

    fetched: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    #: ``(uid, reason)`` of documents that could not be stored.
    rejected: list[tuple[str, str]] = field(default_factory=list)
    #: The uids of all documents, and whether every document has one.
    listed: frozenset[str] = frozenset()
    all_named: bool = True
    #: The columns of the rows that were written, with their ``pk``, by uid.
    written: dict[str, Columns] = field(default_factory=dict)
    #: The uids of rows that hold a stamp of the future. Only a read of such a row by itself may replace it.
    frozen: list[str] = field(default_factory=list)
    #: The uids of rows that were set back to older content, because the platform was restored from a backup.
    restored: list[str] = field(default_factory=list)


@scrub_traceback
def save_documents(
    mapper: Mapper,
    documents: Sequence[Mapping[str, Any]],
    *,
    extra: Mapping[str, Any],
    source: str = Source.SYNC,
    quiet: bool = False,
    known: Known | None = None,
    may_lag: bool = False,
) -> Saved:
    """Insert or update the rows of ``documents``: one read, and one write if anything changed.

    ``extra``: the columns known from the request's path, such as ``account_id``. An older document never overwrites a
    newer one, with the exceptions in ``govpay.sync.older``. An identical document writes nothing. A document that
    cannot be mapped is reported in ``rejected``. ``quiet`` (a first load) sends no signals, and only recent movements
    raise a flag. ``known``: the result of ``read_known`` for all rows; it saves the read. ``may_lag``: the documents
    are a page of an incremental pass, which may be out of date. Such a page does not replace a row with a timestamp in
    the future; ``frozen`` lists these rows.

    Call it inside ``in_transaction``. Raises ``RowsChangedMeanwhile`` when another writer changed a row in between.
    The transaction is then retried, without ``known``.
    """
    saved = Saved(fetched=len(documents))
    named = _named(mapper, documents, known or {}, saved)
    contract.watch(mapper.model, named.values(), source)
    if known is None:
        known = _look_up(mapper.model, list(named))
    rows = _changed_rows(mapper, named, extra, known, saved)
    # In the order of their uids, so that two writers of one page lock the rows in the same order.
    rows.sort(key=lambda row: str(row["uid"]))
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        _write_newer(mapper.model, rows[start : start + ROWS_A_STATEMENT], saved, may_lag)
    contract.note_faults(mapper.model, _faults(rows, saved.restored), source)
    saved.created = sum(uid not in known for uid in saved.written)
    saved.updated = len(saved.written) - saved.created
    saved.unchanged += len(rows) - len(saved.written)
    _tell(mapper.model, known, saved.written, source, quiet)
    return saved


def _changed_rows(
    mapper: Mapper, named: Mapping[str, Mapping[str, Any]], extra: Mapping[str, Any], known: Known, saved: Saved
) -> list[Columns]:
    """Return the columns of documents that differ from the known rows. ``saved`` counts unchanged and rejected ones."""
    digest = digests(extra)
    rows: list[Columns] = []
    confirmed = []
    for uid, document in named.items():
        old = known.get(uid)
        try:
            mark = digest(document)
            if old is not None and old[0] == mark and old[1] is None:
                saved.unchanged += 1
                if old[-1] is not None:
                    confirmed.append(uid)
                continue
            row = mapper.map(document, extra)
        except Unmappable as error:
            saved.rejected.append((uid, str(error)))
            continue
        row.update(digest=mark, replaced_digest=old[0] if old else "", deleted_at=None)
        row.update(older_digest="", older_seen_at=None)
        rows.append(row)
    older.forget(mapper.model, confirmed)
    return rows


def _faults(rows: Sequence[Columns], restored: Sequence[str]) -> Counter[tuple[str, str]]:
    """Return the faults of documents that changed: times in the future, values that were mended, older content."""
    found: Counter[tuple[str, str]] = Counter({("updated_at", contract.RESTORED): len(restored)})
    limit = clocks.earlier() + clocks.NOTICEABLE
    for row in rows:
        stamp = row["remote_updated_at"]
        found["updated_at", contract.AHEAD] += stamp is not None and stamp > limit
        found.update((name, contract.MENDED) for name in row["mended"].split(",") if name)
    return +found


def _tell(model: type[Mirror], known: Known, written: dict[str, Columns], source: str, quiet: bool) -> None:
    """Raise the signals, flags and review items for the changes."""
    contradictions.flag_changes(model, known, written)
    if not quiet:
        outbox.enqueue_changes(model, known, written, source=source)
    flags.raise_flags(model, known, written, quiet=quiet)


def save_document(
    mapper: Mapper, document: Mapping[str, Any], *, extra: Mapping[str, Any], source: str
) -> Mirror | None:
    """Call ``save_documents`` for one document and return its row. Raises ``Unmappable``."""
    saved = save_documents(mapper, [document], extra=extra, source=source)
    if saved.rejected:
        raise Unmappable(saved.rejected[0][1])
    for row in saved.written.values():
        return _instance(mapper.model, row)
    return mapper.model._default_manager.filter(uid=mapper.uid(document)).first()


def _instance(model: type[Mirror], row: Columns) -> Mirror:
    """Return the row as it was written. Columns that the document did not set are deferred."""
    told = {**row, str(model._meta.pk.attname): row["pk"]}
    names = [field.attname for field in model._meta.concrete_fields if field.attname in told]
    return model.from_db(router.db_for_write(model), names, [told[name] for name in names])


def mark_deleted(model: type[Mirror], uids: Sequence[str], *, source: str = Source.SYNC) -> int:
    """Mark rows as deleted on the platform; they are kept. Returns the number of newly marked rows."""
    if not uids:
        return 0
    present = model._default_manager.filter(uid__in=uids, deleted_at=None)
    pks = list(present.order_by().values_list("pk", flat=True))
    if not pks:
        return 0
    now = timezone.now()
    count = model._default_manager.filter(pk__in=pks, deleted_at=None).update(deleted_at=now, synced_at=now)
    outbox.enqueue_loss(model, pks, source=source)
    contradictions.flag_losses(model, pks)
    return count


def read_known(rows: MirrorQuerySet) -> Known:
    """Return the known state of ``rows``, as ``save_documents`` needs it."""
    columns = ("uid", "digest", "deleted_at", *outbox.OBSERVED_FIELDS.get(rows.model, ()), "older_seen_at")
    return {uid: rest for uid, *rest in rows.values_list(*columns)}


def _look_up(model: type[Mirror], uids: list[str]) -> Known:
    known: Known = {}
    for start in range(0, len(uids), ROWS_A_STATEMENT):
        rows: Any = model._default_manager.filter(uid__in=uids[start : start + ROWS_A_STATEMENT]).order_by()
        known.update(read_known(rows))
    return known


def _named(
    mapper: Mapper, documents: Iterable[Mapping[str, Any]], known: Known, saved: Saved
) -> dict[str, Mapping[str, Any]]:
    """Return the documents by uid. If two have the same uid, the later one counts."""
    named: dict[str, Mapping[str, Any]] = {}
    for document in documents:
        uid = document.get("uid")
        if not isinstance(uid, str) or uid not in known:  # a known uid was validated before
            try:
                uid = mapper.uid(document)
            except Unmappable as error:
                saved.rejected.append(("", str(error)))
                saved.all_named = False
                continue
        named[uid] = document
    saved.listed = frozenset(named)
    return named


def _write_newer(model: type[Mirror], rows: list[Columns], saved: Saved, may_lag: bool) -> None:
    """Write the rows that are not older than the stored ones, and the older ones that ``older.judge`` accepts.

    Raises ``RowsChangedMeanwhile`` when another writer changed a row since it was read.
    """
    saved.written.update(_write(model, rows))
    if refused := [row for row in rows if row["uid"] not in saved.written]:
        verdict = older.judge(model, refused, may_lag=may_lag)
        saved.frozen += verdict.frozen
        saved.restored += verdict.restored
        if verdict.replacing:
            saved.written.update(written := _write(model, verdict.replacing, newer_only=False))
            if len(written) < len(verdict.replacing):
                raise RowsChangedMeanwhile(f"rows of {model._meta.label}")


def _write(model: type[Mirror], rows: list[Columns], *, newer_only: bool = True) -> dict[str, Columns]:
    """Run ``INSERT … ON CONFLICT (uid) DO UPDATE … WHERE``: write only rows that did not change since they were read.

    ``newer_only``: a document older than the stored one is not written. Returns the rows that were written.
    """
    now = timezone.now()
    for row in rows:
        row["synced_at"] = now
    connection = connections[router.db_for_write(model)]
    fields = [each for each in model._meta.concrete_fields if not each.primary_key]
    names = {each: connection.ops.quote_name(str(each.column)) for each in fields}
    table = connection.ops.quote_name(model._meta.db_table)
    source, parameters = _rows_for(connection, table, fields, rows)
    # Columns that neither the document nor ``extra`` sets keep their value.
    told = [each for each in model.mirrored_fields() if each.attname in rows[0] or each.name in model.RESET]
    # The compare-and-swap: no writer changed the row since it was read.
    condition = f"{table}.digest = EXCLUDED.replaced_digest"
    if newer_only:
        condition += (
            f" AND ({table}.remote_updated_at IS NULL OR EXCLUDED.remote_updated_at IS NULL"
            f" OR EXCLUDED.remote_updated_at >= {table}.remote_updated_at)"
        )
    statement = (
        f"INSERT INTO {table} ({', '.join(names.values())}) {source}"
        f" ON CONFLICT (uid) DO UPDATE SET {', '.join(f'{names[each]} = EXCLUDED.{names[each]}' for each in told)}"
        f" WHERE {condition} RETURNING {table}.uid, {table}.id"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        pks = dict(cursor.fetchall())
    return {row["uid"]: {**row, "pk": pks[row["uid"]]} for row in rows if row["uid"] in pks}


def _rows_for(
    connection: Any, table: str, fields: Sequence[models.Field[Any, Any]], rows: Sequence[Columns]
) -> tuple[str, list[Any]]:
    """Return the SQL source of the rows for an INSERT, and its parameters."""
    if connection.vendor == "postgresql":
        # PostgreSQL parses one JSON parameter faster than Python can prepare thousands of parameters.
        columns = [str(each.column) for each in fields]
        records = [dict(zip(columns, values, strict=True)) for values in _values(fields, rows)]
        names = ", ".join(map(connection.ops.quote_name, columns))
        source = f"SELECT {names} FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb)"  # noqa: S608
        return source, [json.dumps(records, default=dt.datetime.isoformat)]
    # Mapped values are plain. Only times and JSON documents need a conversion for the database.
    formed = [isinstance(each, models.DateTimeField | models.JSONField) for each in fields]
    row = f"({', '.join(['%s'] * len(fields))})"
    return f"VALUES {', '.join([row] * len(rows))}", [
        each.get_db_prep_save(value, connection) if special and value is not None else value
        for values in _values(fields, rows)
        for each, special, value in zip(fields, formed, values, strict=True)
    ]


def _values(fields: Sequence[models.Field[Any, Any]], rows: Sequence[Columns]) -> Iterator[list[Any]]:
    defaults = [(each.attname, each.get_default()) for each in fields]
    return ([row.get(name, default) for name, default in defaults] for row in rows)


__all__ = ["Saved", "in_transaction", "mark_deleted", "read_known", "save_document", "save_documents"]

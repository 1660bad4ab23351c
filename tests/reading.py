"""Helpers for tests of the sync: the rows that a run changed, its requests, and the signals it sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from django.db import connection
from django.dispatch import Signal
from django.test.utils import CaptureQueriesContext

from govpay import signals
from govpay.models import Payment, SyncCursor, SyncRun
from govpay.models.base import Mirror
from govpay.sandbox.app import Application
from govpay.sandbox.server import Server
from govpay.sync.pull import pull

TRANSACTION = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")


def read(name: str, account: str | None = None, **options: Any) -> SyncRun:
    """One run that must succeed."""
    run = pull(name, account, **options)
    assert run.state == "succeeded", f"{name}: {run.state} {run.error}"
    return run


def counts(run: SyncRun) -> dict[str, int]:
    """The run's counts of rows, without zeros."""
    names = ("created", "updated", "unchanged", "deleted", "rejected_count")
    return {name: getattr(run, name) for name in names if getattr(run, name)}


def cursor_of(name: str, account: str | None = None) -> SyncCursor:
    return SyncCursor.objects.get(resource=name, account=account)


def rows_of(model: type[Mirror] = Payment) -> dict[str, dict[str, Any]]:
    """Every row by uid."""
    return {row["uid"]: row for row in model._default_manager.values()}


def agree(sandbox: Any, kind: str, model: type[Mirror], account: str | None = None) -> bool:
    """Whether the table holds exactly what the platform has: each object once, in its last state."""
    there = {document["uid"]: document for document in sandbox.all(kind, account)}
    here = dict(model._default_manager.filter(deleted_at=None).values_list("uid", "raw"))
    return here == there


@dataclass
class Calls:
    """The requests that a platform received after ``watch`` was called, without token requests."""

    sandbox: Any
    before: int = 0

    @property
    def all(self) -> list[dict[str, Any]]:
        return [call for call in self.sandbox.requests()[self.before :] if call["path"] != "/oauth2/token"]

    @property
    def options(self) -> list[dict[str, str]]:
        return [{name: values[0] for name, values in parse_qs(call["query"]).items()} for call in self.all]

    def __len__(self) -> int:
        return len(self.all)


def watch(sandbox: Any) -> Calls:
    """Record the sandbox's requests from now on."""
    return Calls(sandbox, len(sandbox.requests()))


class Statements(CaptureQueriesContext):
    """The SQL of a block: all that is no transaction control, and what of it writes to one table."""

    @property
    def all(self) -> list[str]:
        found = [query["sql"].strip() for query in self.captured_queries]
        return [sql for sql in found if not sql.upper().startswith(TRANSACTION)]

    def on(self, model: type[Any], *verbs: str) -> list[str]:
        table = f'"{model._meta.db_table}"'
        return [sql for sql in self.all if table in sql and sql.upper().startswith(verbs)]


def statements() -> Statements:
    return Statements(connection)


@dataclass
class Heard:
    """The recorded signals: ``(signal, uid, source)``."""

    signals: list[tuple[str, str, str]] = field(default_factory=list)

    def of(self, *names: str) -> list[tuple[str, str, str]]:
        return [item for item in self.signals if item[0] in names]

    def names(self) -> list[str]:
        return sorted(name for name, _, _ in self.signals)

    def sources(self) -> set[str]:
        return {source for _, _, source in self.signals}

    def clear(self) -> None:
        self.signals.clear()


@contextmanager
def listening(names: Iterable[str] = signals.BY_NAME) -> Iterator[Heard]:
    """Connect a receiver to each of these signals, and yield what they record."""
    heard = Heard()
    receivers: list[tuple[Signal, Callable[..., None]]] = []
    for name in names:

        def receive(*, row: Any, source: str, name: str = name, **_: Any) -> None:
            heard.signals.append((name, str(getattr(row, "uid", row.pk)), source))

        signals.BY_NAME[name].connect(receive)
        receivers.append((signals.BY_NAME[name], receive))
    try:
        yield heard
    finally:
        for signal, receive in receivers:
            signal.disconnect(receive)


class Picky(Application):
    """A platform that answers 400 to some options of a list."""

    refused: tuple[str, ...] = ()
    #: Only where the text stands in the option's value.
    because: str = ""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = parse_qs(environ.get("QUERY_STRING", ""))
        if any(self.because in given[option][0] for option in self.refused if option in given):
            environ["PATH_INFO"], environ["QUERY_STRING"] = "/api/payments", "$nonsense=1"
        return super().__call__(environ, start_response)


@contextmanager
def served(sandbox: Any, settings: Any, app: Application) -> Iterator[None]:
    """``sandbox`` behind ``app`` on a port of its own, to which ``GOVPAY`` points meanwhile."""
    server = Server(app, 0)
    server.start()
    before = settings.GOVPAY
    url = f"http://127.0.0.1:{server.port}"
    settings.GOVPAY = {**before, "API_URL": url, "TOKEN_URL": f"{url}/oauth2/token"}
    try:
        yield
    finally:
        settings.GOVPAY = before
        server.stop()


@contextmanager
def picky(sandbox: Any, settings: Any, *refused: str, because: str = "") -> Iterator[None]:
    """``sandbox``, but 400 to the ``refused`` options (``$filter``, ``$orderby``, ``$skip``, ``$top``)."""
    app = Picky(sandbox.platform)
    app.refused, app.because = refused, because
    with served(sandbox, settings, app):
        yield

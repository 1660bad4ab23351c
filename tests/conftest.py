"""Fixtures and hooks of all tests: a sandbox, staff of each group, and skips where a server is missing."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache
from django.db import DEFAULT_DB_ALIAS, connection
from django.test import Client

from tests import amounts
from tests.depth import leave_to_ci
from tests.secret_scan import Ear

# --- Servers that may be absent ----------------------------------------------------------------

REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
RABBITMQ_URL = os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")


def _listening(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=2):
            return True
    except OSError:
        return False


def chromium() -> str:
    """Return the path of the installed Chromium, or an empty string. Playwright must not download one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")


def _no_browser() -> str:
    """Return why browser tests cannot run here, or an empty string."""
    if not chromium():
        return "no Chromium on PATH"
    if not find_spec("playwright"):
        return "playwright is not installed; make test-browser does so"
    # Playwright keeps an event loop running in its thread. Django refuses to work there, so other tests would fail.
    return "not beside other tests, but by make test-browser" if "PYTEST_XDIST_WORKER" in os.environ else ""


def _no_themes() -> str:
    """Return why theme tests cannot run here, or an empty string."""
    if not all(map(find_spec, ("unfold", "jazzmin", "grappelli", "csp"))):
        return "the themes are not installed; make test-themes does so"
    return _no_browser()


#: Mark → (function that tells whether the server is available, text that says what is missing).
SERVERS: dict[str, tuple[Callable[[], bool], str]] = {
    "postgres": (lambda: connection.vendor == "postgresql", "TEST_DATABASE_URL names no PostgreSQL database"),
    "redis": (lambda: _listening(REDIS_URL), f"no Redis at {REDIS_URL}"),
    "rabbitmq": (lambda: _listening(RABBITMQ_URL), "no RabbitMQ on 127.0.0.1:5672"),
    "browser": (lambda: not _no_browser(), _no_browser()),
    "themes": (lambda: not _no_themes(), _no_themes()),
}


@lru_cache
def missing(mark: str) -> str:
    """Return why tests with this mark cannot run here, or an empty string."""
    is_there, otherwise = SERVERS[mark]
    return "" if is_there() else otherwise


def required() -> list[str]:
    return [mark.strip() for mark in os.environ.get("GOVPAY_REQUIRE", "").split(",") if mark.strip()]


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # during collection, which creates many objects and frees none
    _check_required()


def _check_required() -> None:
    """Stop the run if a server in ``GOVPAY_REQUIRE=postgres,redis`` is missing, so that no test is silently skipped."""
    for mark in required():
        if mark == "ci":
            continue  # ``pytest_sessionfinish`` checks it
        if mark not in SERVERS:
            raise pytest.UsageError(f"GOVPAY_REQUIRE names {mark!r}; known: {', '.join([*SERVERS, 'ci'])}.")
        if why := missing(mark):
            raise pytest.UsageError(f"GOVPAY_REQUIRE={mark}: {why}.")


def pytest_runtest_setup(item: pytest.Item) -> None:
    amounts.share = amounts.second * weight(item)
    for mark in SERVERS:
        if item.get_closest_marker(mark) and (why := missing(mark)):
            pytest.skip(why)


#: The slowest tests, which start sites and processes. They begin first, so that they do not delay the end of the run.
LONG = ("test_demo.py", "test_wheel.py", "test_workers.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    leave_to_ci(items)
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_deselected(items: list[pytest.Item]) -> None:
    _left.update(item.nodeid for item in items if item.get_closest_marker("ci"))


def weight(item: pytest.Item) -> float:
    """Return a test's share of the time of ``make soak``: ``soak(2)`` gets twice as much as ``soak``."""
    mark = item.get_closest_marker("soak")
    return float(mark.args[0] if mark and mark.args else 1)


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()  # the garbage collector then ignores the thousands of test items
    gc.enable()
    workers = getattr(session.config, "workerinput", {}).get("workercount", 1)
    amounts.second = amounts.SOAK * workers / max(1.0, sum(map(weight, session.items)))


# --- Summary at the end ------------------------------------------------------------------------

#: Tests marked ``ci`` that passed, and those that were deselected.
_passed, _left = set[str](), set[str]()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed and "ci" in report.keywords:
        _passed.add(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With ``GOVPAY_REQUIRE=ci``, fail the run if it left out tests marked ``ci``, as ``make test`` does."""
    if "workeroutput" in vars(session.config):
        session.config.workeroutput["left"] = sorted(_left)  # type: ignore[attr-defined]
    elif "ci" in required() and (_left or not _passed):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _left.update(getattr(node, "workeroutput", {}).get("left", ()))


def pytest_runtest_teardown(item: pytest.Item) -> None:
    if item.nodeid in amounts.done:
        item.user_properties.append(("repeats", amounts.done[item.nodeid]))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print ``fault matrix: 23 operations x 45 faults, …``, and in ``make soak`` how often each test was repeated."""
    matrix: list[tuple[int, int]] = []
    repeated: list[str] = []
    failed = {report.nodeid for report in terminalreporter.stats.get("failed", [])}
    for report in [each for found in terminalreporter.stats.values() for each in found]:
        for name, value in getattr(report, "user_properties", ()):
            if name == "fault_matrix" and report.when == "call":
                matrix.append(tuple(value))
            if name == "repeats" and report.when == "teardown":
                times, wanted = value
                end = "FAILED" if report.nodeid in failed else "0 failures"
                repeated.append(f"soak: {report.nodeid}: {times} of {wanted}, {end}")
    if _passed or "ci" in required():
        terminalreporter.write_line(
            f"ci: of the tests that `make test` leaves out {len(_passed)} passed, {len(_left)} did not run"
        )
    if matrix:
        pairs, wrong = (sum(column) for column in zip(*matrix, strict=True))
        size = f"{len(matrix)} operations x {max(faults for faults, _ in matrix)} faults"
        terminalreporter.write_line(f"fault matrix: {size}, {pairs} pairs, {wrong} disagreements")
    if amounts.SOAK:
        for line in sorted(repeated):
            terminalreporter.write_line(line)


# --- A clean start -----------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _nothing_left_over() -> Iterator[None]:
    """Remove tokens, circuit breakers and pooled sessions of other tests."""
    from govpay.connection import reset
    from govpay.sync import contract
    from govpay.sync.secrets import forget

    cache.clear()
    forget()
    contract.forget()
    reset()
    yield
    reset()


@pytest.fixture(autouse=True)
def _one_window_of_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count all visits of a test in one window. Otherwise a minute that ends during a test lets one visit more pass."""
    from govpay import ratelimit

    monkeypatch.setattr(ratelimit, "WINDOW", 86400 * 365 * 100)


@pytest.fixture(autouse=True)
def _unhurried_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the read for an event the same time in every queue, because a busy machine may exceed the short limit."""
    from govpay.sync import unreachable

    for name in ("FIRST_READ_TIMEOUT", "SHORT_READ_TIMEOUT"):
        monkeypatch.setattr(unreachable, name, unreachable.EVENT_READ_TIMEOUT)


@pytest.fixture(autouse=True)
def ear() -> Iterator[Ear]:
    """S1: fail the test if the log of the test or of its fixtures contains a planted secret."""
    ear, root, ours = Ear(), logging.getLogger(), logging.getLogger("govpay")
    level = ours.level
    root.addHandler(ear)
    ours.setLevel(logging.DEBUG)
    yield ear
    ours.setLevel(level)
    root.removeHandler(ear)
    assert not ear.found(), "a secret is in the log"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Restore the database quickly after tests with real transactions.

    Django empties all tables after such a test and inserts its own rows again, one permission after the other. That
    takes longer than most tests. Here the migrated database, or Django's rows, are kept and copied back.
    """
    from django.core.management.commands import flush

    with django_db_blocker.unblock():
        if connection.vendor == "sqlite":
            connection.ensure_connection()
            kept = sqlite3.connect(":memory:", check_same_thread=False)
            connection.connection.backup(kept)
            patch = mock.patch.object(flush.Command, "handle", partial(_copy_back, kept))
        else:
            patch = mock.patch.object(flush, "emit_post_migrate_signal", partial(_put_back, _rows_of_django()))
    with patch:
        yield


def _copy_back(kept: sqlite3.Connection, **options: Any) -> None:
    """Replaces the command ``flush`` on SQLite."""
    looks = iter(range(120))

    def look(status: int, *_: int) -> None:
        """SQLite calls this four times a second while another connection holds a lock."""
        if status != sqlite3.SQLITE_DONE and next(looks, None) is None:
            raise TimeoutError("a test has left a transaction open")

    if options["database"] == DEFAULT_DB_ALIAS:
        connection.ensure_connection()
        kept.backup(connection.connection, progress=look)


def _rows_of_django() -> list[tuple[Any, list[Any]]]:
    from django.contrib.auth.models import Group, Permission
    from django.contrib.contenttypes.models import ContentType

    kept: list[Any] = [ContentType, Permission, Group, Group.permissions.through]
    return [(model, list(model._default_manager.order_by("pk"))) for model in kept]


def _put_back(rows: list[tuple[Any, list[Any]]], verbosity: int, interactive: bool, db: str, **_: Any) -> None:
    """Replaces the ``post_migrate`` signal after ``flush`` on PostgreSQL."""
    if db == DEFAULT_DB_ALIAS:
        for model, made in rows:
            model._default_manager.bulk_create(made)


# --- The platform ------------------------------------------------------------------------------


@pytest.fixture
def start_sandbox(settings: Any) -> Iterator[Callable[..., Any]]:
    """``start_sandbox(size=…, envelope=…, …)`` starts a sandbox in this process and lets ``GOVPAY`` point to it.

    The site uses the sandbox that was started last. Returns the ``Sandbox``, with its ``address``.
    """
    from govpay.sandbox import Sandbox

    with contextlib.ExitStack() as running:

        def start(**options: Any) -> Any:
            platform = running.enter_context(Sandbox(**options))
            address = running.enter_context(platform.serve(port=0))
            platform.address = address
            settings.GOVPAY = {
                **settings.GOVPAY,
                "CLIENT_ID": address.client_id,
                "CLIENT_SECRET": address.client_secret,
                "TOKEN_URL": address.token_url,
                "API_URL": address.api_url,
            }
            return platform

        yield start


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Any]) -> Any:
    """An empty sandbox; ``GOVPAY`` points to it. See ``govpay.sandbox.Sandbox``."""
    return start_sandbox()


@pytest.fixture(scope="session")
def _city_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state file of the demo city. Building it takes two seconds, so that each process does it once."""
    from govpay.sandbox import Sandbox

    file = tmp_path_factory.mktemp("city") / "state.sqlite3"
    Sandbox(state=file, size="demo").close()
    return file


@pytest.fixture
def city(start_sandbox: Callable[..., Any], _city_state: Path, tmp_path: Path) -> Any:
    """The demo city: accounts, customers and payments as ``make demo`` shows them."""
    state = shutil.copy(_city_state, tmp_path / "city.sqlite3")
    return start_sandbox(state=state, size="demo")


# --- People ------------------------------------------------------------------------------------


@pytest.fixture
def make_staff(db: None) -> Callable[..., Any]:
    """``make_staff("Finance")`` returns a staff user of that group. Without a group the user has no permissions."""
    from django.contrib.auth.models import Group, User

    def make(*groups: str, name: str = "") -> Any:
        user = User.objects.create_user(name or "-".join(groups).lower() or "nobody", is_staff=True)
        user.groups.set(Group.objects.filter(name__in=groups))
        assert user.groups.count() == len(groups), f"unknown group among {groups}"
        return user

    return make


@pytest.fixture
def cashier(make_staff: Callable[..., Any]) -> Any:
    return make_staff("Cashier")


@pytest.fixture
def finance(make_staff: Callable[..., Any]) -> Any:
    return make_staff("Finance")


@pytest.fixture
def support(make_staff: Callable[..., Any]) -> Any:
    return make_staff("Support")


@pytest.fixture
def operator(make_staff: Callable[..., Any]) -> Any:
    """A staff user of the group *Operations*."""
    return make_staff("Operations")


@pytest.fixture
def browse() -> Callable[[Any], Client]:
    """``browse(user)`` returns a test client that is logged in as ``user``."""

    def login(user: Any, **options: Any) -> Client:
        client = Client(**options)
        client.force_login(user)
        return client

    return login

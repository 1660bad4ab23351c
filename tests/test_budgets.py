"""Maximum statements and calls of the sync, the token and the tables. Those of the interfaces are in their folders."""

from __future__ import annotations

import subprocess
from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from govpay.models import Customer, OutboxSignal, Payment, SyncRun
from govpay.sync.pull import SCOPED, account_uids
from tests.processes import start_python
from tests.reading import Calls, listening, read, statements, watch

pytestmark = pytest.mark.django_db(transaction=True)

PAGE_SIZES = [1, 100, pytest.param(1000, marks=pytest.mark.ci)]
PAGES = 3


class Pages:
    """What each page of a run cost: its statements without transaction control, and its calls."""

    def __init__(self, calls: Calls) -> None:
        self.sql, self.calls = statements(), calls
        self.statements: list[list[str]] = []
        self.asked: list[int] = []
        self.owed = 0
        self._passed = 0

    def __call__(self, _: SyncRun) -> None:
        self.statements.append(self.sql.all[self._passed :])
        self.asked.append(len(self.calls) - sum(self.asked))
        # To tell them would take long, and is no part of a page.
        self.owed += OutboxSignal.objects.all().delete()[0]
        self._passed = len(self.sql.all)

    def read(self, *arguments: Any, **options: Any) -> SyncRun:
        with self.sql:
            run = read(*arguments, progress=self, **options)
        # The first page stands behind what begins the run.
        self.statements, self.asked = self.statements[1:], self.asked[1:]
        return run


@pytest.fixture(params=PAGE_SIZES)
def account(sandbox: Any, settings: Any, request: Any) -> str:
    """An account with some pages of payments of this size."""
    settings.GOVPAY = {**settings.GOVPAY, "PAGE_SIZE": request.param}
    uid = str(sandbox.add_account()["uid"])
    sandbox.add_payments(uid, PAGES * request.param, transactions=False)
    return uid


def change_all(sandbox: Any) -> None:
    """Every payment fails, which sends signals, and one in a hundred cannot be mapped."""
    with sandbox.platform.store.transaction():
        for number, document in enumerate(sandbox.all("payment")):
            bad = {"total_amount": "12.30"} if number % 100 == 99 else {}
            sandbox.touch("payment", document["uid"], status="failed", **bad)


@pytest.mark.parametrize("full", [False, True])
def test_a_page_of_new_rows(sandbox: Any, account: str, full: bool) -> None:
    pages = Pages(watch(sandbox))
    run = pages.read("payments", account, full=full)
    assert run.created == run.fetched
    assert pages.asked[: PAGES - 1] == [1] * (PAGES - 1)
    assert max(map(len, pages.statements)) <= 5, pages.statements


@pytest.mark.parametrize("full", [False, True])
def test_a_page_of_changed_rows_with_signals_and_bad_ones(sandbox: Any, account: str, full: bool) -> None:
    # A capture that is taken back is a review item, which costs one statement more and is rare.
    with sandbox.platform.store.transaction():
        for document in sandbox.all("payment"):
            sandbox.touch("payment", document["uid"], status="validated", captured_at=None)
    read("payments", account)
    change_all(sandbox)
    with listening():
        pages = Pages(watch(sandbox))
        run = pages.read("payments", account, full=full)
    assert run.updated >= PAGES
    assert pages.owed == run.updated
    several = list(map(len, pages.statements))
    if connection.vendor == "sqlite":
        # Django 5.2 binds 999 parameters a statement there and cuts its own ``bulk_create`` of the outbox up.
        several = [len([sql for sql in page if "govpay_outboxsignal" not in sql]) + 1 for page in pages.statements]
    assert max(several) <= 5, pages.statements
    assert max(pages.asked) == 1


def test_a_page_of_disputes_with_signals(sandbox: Any, settings: Any) -> None:
    """Each raises a flag, which is one statement for all of them."""
    settings.GOVPAY = {**settings.GOVPAY, "PAGE_SIZE": 10}
    account = sandbox.add_account()["uid"]
    uids = sandbox.add_payments(account, 30)
    for name in ("payments", "transactions"):
        read(name, account)
    for uid in uids:
        sandbox.charge_back(uid)
    with listening():
        pages = Pages(watch(sandbox))
        run = pages.read("transactions", account)
    assert Payment.objects.filter(flag="chargeback").count() == pages.owed == run.created == 30
    assert max(map(len, pages.statements)) <= 5, pages.statements


def test_an_unchanged_page_is_one_read_and_no_write(sandbox: Any, account: str) -> None:
    read("payments", account)
    pages = Pages(watch(sandbox))
    run = pages.read("payments", account, full=True)
    assert run.unchanged == run.fetched
    for page in pages.statements[: PAGES - 1]:
        of_rows = [sql for sql in page if "govpay_payment" in sql]
        assert [sql.split()[0] for sql in of_rows] == ["SELECT"], page
        assert len(page) == 2, "and the place"
    assert pages.asked[: PAGES - 1] == [1] * (PAGES - 1)


@pytest.mark.parametrize("same_instant", [False, True])
def test_an_incremental_run_with_nothing_new(sandbox: Any, settings: Any, same_instant: bool) -> None:
    """At most 2 calls a list, no write of mirrored rows; also when all rows share one instant."""
    account = sandbox.add_account()["uid"]
    customers = [sandbox.add_customer(account)["uid"] for _ in range(120)]
    for uid in customers[:5]:
        sandbox.add_method(uid)
    sandbox.add_payments(account, 230)
    sandbox.add_terminal(account)
    if same_instant:
        with sandbox.platform.store.transaction():
            for kind in ("customer", "payment", "transaction"):
                for document in sandbox.all(kind):
                    sandbox.touch(kind, document["uid"], updated_at="2026-02-03T04:05:06.000000Z")
    call_command("govpay_sync", stdout=StringIO())
    for _ in range(2):
        for name, account_uid in [("clients", None), ("accounts", None), *((name, account) for name in SCOPED)]:
            calls = watch(sandbox)
            with statements() as sql:
                run = read(name, account_uid)
            assert len(calls) <= 2, name
            assert not run.created + run.updated + run.deleted
            writes = [each for each in sql.all if not each.startswith("SELECT")]
            assert not [each for each in writes if "govpay_sync" not in each], name


def test_one_changed_customer_is_one_more_call(sandbox: Any) -> None:
    account = sandbox.add_account()["uid"]
    customers = [sandbox.add_customer(account)["uid"] for _ in range(20)]
    call_command("govpay_sync", stdout=StringIO())
    assert account_uids() == [account]
    sandbox.add_method(customers[3])
    calls = watch(sandbox)
    read("customers", account)
    assert len(calls) <= 2
    calls = watch(sandbox)
    read("methods", account)
    assert len(calls) == 1
    assert not Customer.objects.filter(methods_stale=True).exists()


def test_no_statement_grows_with_the_number_of_rows(sandbox: Any, settings: Any) -> None:
    """Memory is flat in it (``make bench`` measures that): no list of all rows or uids is ever made."""
    settings.GOVPAY = {**settings.GOVPAY, "PAGE_SIZE": 20}
    account = sandbox.add_account()["uid"]
    longest = []
    for rows in (60, 240):
        sandbox.add_payments(account, rows, transactions=False)
        pages = Pages(watch(sandbox))
        pages.read("payments", account, full=True)
        longest.append(max(len(sql) for page in pages.statements for sql in page))
    assert longest[1] < longest[0] * 1.1
    assert Payment.objects.count() == 300


# --- Token, tables ----------------------------------------------------------------------------------


@pytest.mark.ci
def test_eight_cold_processes_fetch_one_token(sandbox: Any) -> None:
    """1 fetch per lifetime over all processes that share a cache."""
    code = (
        "from govpay.connection import get_endpoints\n"
        "print('ready', flush=True)\n"
        "input()\n"
        "print(len(get_endpoints().list_clients().items))"
    )
    workers = [start_python(code, stdin=subprocess.PIPE) for _ in range(8)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 8, outputs
    assert sandbox.token_requests == 1


def test_the_tables_are_made_by_plain_operations() -> None:
    """2 s on an empty database, which ``make bench`` measures; an index added afterwards costs more than a table."""
    operations = import_module("govpay.migrations.0001_initial").Migration.operations
    kinds = {type(operation).__name__ for operation in operations}
    assert kinds == {"CreateModel"}, "Run `python -m benchmarks.plain_migration`; it says how and why."


def test_a_start_loads_only_what_every_process_needs() -> None:
    """150 ms, which ``make bench`` measures: the client, HTTP and ciphers come with their first use."""
    late = ["requests", "rest_framework.views", "django_filters", "drf_spectacular", "cryptography", "babel"]
    late += ["govpay.client", "govpay.sync", "govpay.rest"]
    code = f"import sys; print([each for each in {late} if each in sys.modules])"
    worker = start_python(code)
    assert worker.communicate(timeout=300)[0].strip() == "[]"


def test_the_urls_load_only_modules_of_ours_until_rest_is_asked() -> None:
    """The REST interface loads 400 modules, most of them of other packages. ``reverse`` loads the file of all URLs."""
    code = """
import sys
before = set(sys.modules)
import govpay.urls
from django.test import Client
from django.urls import reverse
ours = [name for name in set(sys.modules) - before if name.startswith("govpay.")]
print(len(ours), reverse("govpay:rest:payments"))
foreign = ("rest_framework.views", "django_filters", "drf_spectacular", "requests")
print([name for name in foreign if name in sys.modules])
print(Client(SERVER_NAME="localhost").get("/govpay/api/schema/").status_code, "drf_spectacular" in sys.modules)
"""
    addresses, foreign, rest = start_python(code).communicate(timeout=300)[0].splitlines()
    count, address = addresses.split()
    assert (int(count) < 100, address) == (True, "/govpay/api/v1/payments")
    assert foreign == "[]"
    assert rest == "200 True"

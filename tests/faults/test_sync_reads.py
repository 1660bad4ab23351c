"""Faults while a list is read: all 600 rows arrive, no partial writes, no page is lost or read needlessly."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from govpay.models import Payment, PaymentAccount, SyncRun
from govpay.operations import create_hosted_session
from govpay.sync.pull import SCOPED, pull
from tests.reading import agree, counts, cursor_of, read, watch

pytestmark = pytest.mark.django_db(transaction=True)

ROWS, PAGE = 600, 100
LISTS = "GET /api/payments"


@pytest.fixture
def account(sandbox: Any) -> str:
    uid = str(sandbox.add_account()["uid"])
    sandbox.add_payments(uid, ROWS)
    return uid


def statuses(sandbox: Any) -> list[int]:
    return [call["status"] for call in sandbox.requests() if call["path"] == "/api/payments"]


def test_token_revoked_on_a_page(sandbox: Any, account: str) -> None:
    """T5: that token is dropped, one is fetched, the same page is asked for once more."""
    revoked = []

    def revoke(run: SyncRun) -> None:
        if run.pages == 3:
            revoked.append(sandbox.revoke_tokens())

    read("payments", account, progress=revoke)
    assert revoked
    assert agree(sandbox, "payment", Payment)
    assert Payment.objects.count() == ROWS
    assert sandbox.token_requests == 2
    assert statuses(sandbox) == [200] * 3 + [401] + [200] * 4


def test_tokens_refused_for_good_stop_the_run_with_its_place_kept(sandbox: Any, account: str) -> None:
    """T5: a second 401 stops the run."""
    sandbox.fault(LISTS, status=401, skip=3)
    run = pull("payments", account)
    assert (run.state, run.pages) == ("failed", 3)
    assert sandbox.token_requests == 2
    assert statuses(sandbox)[3:] == [401, 401]
    sandbox.clear_faults()
    calls = watch(sandbox)
    assert counts(read("payments", account)) == {"created": ROWS - 3 * PAGE}
    assert len(calls) == 4


FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "502 with HTML": {"status": 502, "html": True},
    "503": {"status": 503},
    "200 with HTML": {"html": True},
    "truncated": {"truncate": True},
    "half a JSON": {"badjson": True},
    "empty": {"body": "", "status": 200},
    "no list": {"body": '{"uid": "pay_1"}', "status": 200},
    "rows that are none": {"body": "[1, 2, 3]", "status": 200},
    "reset before": {"close": "before"},
    "reset after": {"close": "after"},
    "429": {"status": 429, "retry_after": 0},
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("full", [False, True])
def test_one_bad_answer_is_repeated(sandbox: Any, account: str, name: str, full: bool) -> None:
    """R1, R2, R3: only the bad page is asked for again."""
    sandbox.fault(LISTS, skip=2, times=1, **FAULTS[name])
    run = read("payments", account, full=full)
    assert (run.created, run.pages) == (ROWS, ROWS // PAGE)
    assert agree(sandbox, "payment", Payment)
    assert len(statuses(sandbox)) == ROWS // PAGE + 2  # the end, and the repetition


@pytest.mark.parametrize("name", ["500", "truncated", "half a JSON", "200 with HTML", "reset after"])
def test_a_platform_that_stays_bad_stops_the_run_cleanly(sandbox: Any, account: str, settings: Any, name: str) -> None:
    """R2, R3: four attempts, then a rerun that costs only the missing pages; nothing is half-written."""
    sandbox.fault(LISTS, skip=2, **FAULTS[name])
    run = pull("payments", account)
    assert (run.state, run.pages, run.created) == ("failed", 2, 2 * PAGE)
    assert len(statuses(sandbox)) == 2 + 4
    assert Payment.objects.count() == 2 * PAGE
    assert cursor_of("payments", account).position is not None
    sandbox.clear_faults()
    calls = watch(sandbox)
    assert counts(read("payments", account)) == {"created": ROWS - 2 * PAGE}
    assert len(calls) == ROWS // PAGE - 2 + 1
    assert agree(sandbox, "payment", Payment)


def test_a_pause_that_was_asked_for_is_kept(sandbox: Any, account: str) -> None:
    """R1: no request before the time."""
    sandbox.fault(LISTS, skip=2, times=1, status=429, retry_after=1)
    calls = watch(sandbox)
    read("payments", account)
    refused, repeated = [dt.datetime.fromisoformat(call["at"]) for call in calls.all[2:4]]
    assert repeated - refused >= dt.timedelta(seconds=1)
    assert Payment.objects.count() == ROWS


def test_rows_that_move_behind_the_reader_are_not_lost(sandbox: Any, account: str, settings: Any) -> None:
    """R5: each page's last row changes while the next is under way, and so moves to the end of the list."""
    settings.GOVPAY = {**settings.GOVPAY, "PAGE_SIZE": 50}
    touched: Callable[[SyncRun], object] = lambda run: sandbox.touch(  # noqa: E731
        "payment", cursor_of("payments", account).position["uid"], status="voided"
    )
    read("payments", account, progress=lambda run: touched(run) if run.pages < 12 else None)
    assert agree(sandbox, "payment", Payment)


@contextmanager
def cut_before(number: int) -> Iterator[Iterator[int]]:
    """The connection is lost before this statement, counted from 0. Gives the counter of statements."""
    counter = itertools.count()

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if next(counter) == number:
            if connection.vendor == "postgresql":
                connection.connection.close()
            raise OperationalError("the connection was lost")
        return run(sql, params, many, context)

    with connection.execute_wrapper(execute):
        yield counter


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("payments", False),
        *(
            pytest.param(name, full, marks=pytest.mark.ci)
            for name in ("payments", "transactions", "methods", "subscriptions", "sessions")
            for full in (False, True)
            if (name, full) != ("payments", False)
        ),
    ],
)
def test_a_connection_lost_before_any_statement_of_a_walk(sandbox: Any, settings: Any, name: str, full: bool) -> None:
    """D1: whatever is read or written, the statement is repeated on a new connection."""
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://city.example"]}
    uid = str(sandbox.add_account()["uid"])
    customer = str(sandbox.add_customer(uid)["uid"])
    sandbox.add_method(customer)
    sandbox.add_payments(uid, 3)
    sandbox.charge_back(sandbox.add_payment(uid, "captured")["uid"])
    for each in ("clients", "accounts", "customers", "methods", "payments", "transactions"):
        read(each, uid if each in SCOPED else None)
    where = {"success_url": "https://city.example/done", "cancel_url": "https://city.example/"}
    create_hosted_session(account=PaymentAccount.objects.get(uid=uid), amount=500, **where)
    gone = Payment.objects.first()
    with cut_before(-1) as counter:
        read(name, uid, full=full)
    for number in range(next(counter)):
        # Something to be marked as gone, and a movement whose payment has no flag yet.
        Payment.objects.filter(pk=gone.pk).update(deleted_at=None)
        Payment.objects.update(flag_movement=None, flag_order="")
        with cut_before(number):
            run = pull(name, uid, full=full)
        assert run.state == "succeeded", (number, run.error)


@pytest.mark.postgres
def test_database_connections_cut_between_and_within_pages(sandbox: Any, account: str) -> None:
    """D1: the page's transaction rolls back, the connection is opened again, the page repeated."""
    stop, chance, pages = threading.Event(), random.Random(1), threading.Semaphore(1)

    def cut() -> None:
        """Three times for each page at most: a slow machine would never end a page that is cut without a limit."""
        while not stop.is_set():
            if not pages.acquire(timeout=0.05):
                continue
            for _ in range(3):
                stop.wait(chance.uniform(0.05, 0.2))
                with connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
        connection.close()

    def progress(run: SyncRun) -> None:
        pages.release()
        time.sleep(0.15)

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        run = pull("payments", account, progress=progress)
    finally:
        stop.set()
        cutter.join()
        connection.close()  # it may have been cut after the run
    assert run.state == "succeeded", run.error
    assert Payment.objects.count() == ROWS
    assert agree(sandbox, "payment", Payment)


@pytest.mark.postgres
def test_deadlocks_with_other_writers_do_not_surface(sandbox: Any, account: str) -> None:
    """D2: somebody locks the same rows in the opposite order, while the sync writes them in its own."""
    read("payments", account)
    for document in sandbox.all("payment"):
        sandbox.touch("payment", document["uid"], status="voided")
    uids = sorted((document["uid"] for document in sandbox.all("payment")), reverse=True)

    def collide() -> None:
        for start in range(0, ROWS, 2 * PAGE):
            try:
                with transaction.atomic():
                    for uid in uids[start : start + 2 * PAGE]:
                        Payment.objects.filter(uid=uid).update(synced_at=None)
                        time.sleep(0.001)
            except OperationalError:
                pass  # the other one of the two that met was let through
        connection.close()

    other = threading.Thread(target=collide)
    other.start()
    try:
        run = pull("payments", account, full=True)
    finally:
        other.join()
    assert run.state == "succeeded", run.error
    assert agree(sandbox, "payment", Payment)

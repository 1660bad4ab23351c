"""What syncing and the token may cost, in calls and statements. The admin's budgets are in ``tests/admin``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from govpay.models import Customer, Payment, SavedPaymentMethod
from govpay.sync.pull import pull
from tests.processes import start_python

pytestmark = pytest.mark.django_db(transaction=True)

FREE = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")


@pytest.fixture
def account(sandbox: Any) -> str:
    uid = str(sandbox.add_account()["uid"])
    pull("accounts")
    return uid


@pytest.fixture
def costs(sandbox: Any) -> Callable[..., tuple[list[str], list[str]]]:
    """``costs("payments", account)``: the statements and the paths called by one run."""

    def measure(name: str, *arguments: Any, **options: Any) -> tuple[list[str], list[str]]:
        before = len(sandbox.requests())
        with CaptureQueriesContext(connection) as captured:
            assert pull(name, *arguments, **options).state == "succeeded"
        statements = [query["sql"] for query in captured if not query["sql"].startswith(FREE)]
        return statements, [call["path"] for call in sandbox.requests()[before:]]

    return measure


def mirrored_writes(statements: list[str], table: str = "govpay_payment") -> list[str]:
    return [sql for sql in statements if sql.startswith(("INSERT", "UPDATE", "DELETE")) and f'"{table}"' in sql]


def page_size(settings: Any, size: int) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "PAGE_SIZE": size}


@pytest.mark.parametrize("size", [1, 100, 1000])
@pytest.mark.parametrize("full", [False, True], ids=["incremental", "full"])
def test_a_page_more_costs_one_call_and_five_statements(
    sandbox: Any, account: str, costs: Any, settings: Any, size: int, full: bool
) -> None:
    """New rows, then changed ones: the difference between a run of one page and a run of two."""
    page_size(settings, size)
    uids = sandbox.add_payments(account, size)
    one, calls_of_one = costs("payments", account, full=full)
    assert Payment.objects.count() == size
    for uid in uids[: size // 2 + 1]:
        sandbox.touch("payment", uid, reference_id="changed")
    sandbox.add_payments(account, size + size // 2)
    more, calls_of_more = costs("payments", account, full=full)
    pages = len(calls_of_more) - 1
    # SQLite takes 999 parameters a statement under Django 5.2, so a large page is written in pieces there.
    pieces = 1 if connection.features.max_query_params is None else size * 30 // 999 + 1
    overhead = len(one) - (4 + pieces)
    assert len(more) - overhead <= pages * (4 + pieces)
    assert len(calls_of_one) == 2


def test_an_unchanged_page_is_read_once_and_not_written(sandbox: Any, account: str, costs: Any) -> None:
    sandbox.add_payments(account, 100)
    pull("payments", account)
    statements, calls = costs("payments", account, full=True)
    assert not mirrored_writes(statements)
    reads = [sql for sql in statements if sql.startswith("SELECT") and 'FROM "govpay_payment"' in sql]
    assert len(reads) <= len(calls)


@pytest.mark.parametrize("same_instant", [False, True])
def test_nothing_new_costs_two_calls_and_no_write(sandbox: Any, account: str, costs: Any, same_instant: bool) -> None:
    uids = sandbox.add_payments(account, 350)
    if same_instant:
        for uid in uids:
            sandbox.touch("payment", uid, updated_at="2026-01-01T00:00:00.000000Z")
    for name in ("payments", "transactions", "customers", "terminals"):
        pull(name, account)
    for name in ("payments", "transactions", "customers", "terminals"):
        statements, calls = costs(name, account)
        assert len(calls) <= 2
        assert not mirrored_writes(statements, f"govpay_{name[:-1]}")


def test_saved_methods_cost_one_call_per_changed_customer(sandbox: Any, account: str, costs: Any) -> None:
    customers = [sandbox.add_customer(account)["uid"] for _ in range(5)]
    for uid in customers:
        sandbox.add_method(uid)
    pull("customers", account)
    pull("methods", account)
    assert SavedPaymentMethod.objects.count() == 5
    sandbox.add_method(customers[2])
    pull("customers", account)
    assert Customer.objects.filter(methods_stale=True).count() == 1
    _, calls = costs("methods", account)
    assert len(calls) == 1
    assert SavedPaymentMethod.objects.count() == 6
    assert costs("methods", account)[1] == []


def test_eight_cold_processes_fetch_one_token(sandbox: Any) -> None:
    code = "from govpay.connection import get_authorizer; get_authorizer().token(); print('ok')"
    workers = [start_python(code, stderr=subprocess.DEVNULL) for _ in range(8)]
    assert [worker.communicate(timeout=60)[0].strip() for worker in workers] == ["ok"] * 8
    assert sandbox.token_requests == 1

"""``govpay.sync.pull`` and ``passes``: start, report and end of a run."""

from __future__ import annotations

import threading
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from govpay.exceptions import SyncBusy
from govpay.models import Customer, OutboxSignal, Payment, PaymentAccount, SavedPaymentMethod, SyncCursor, SyncRun
from govpay.sync import lease, passes
from govpay.sync.pull import GLOBAL, RESOURCES, SCOPED, account_uids, pull
from tests.reading import Heard, agree, counts, cursor_of, read, watch

pytestmark = pytest.mark.django_db(transaction=True)

ASSUMED = {
    "customers": "/api/customers",
    "payments": "/api/payments",
    "transactions": "/api/transactions",
    "terminals": "/api/terminals",
    "subscriptions": "/api/webhooks/subscriptions",
}


def test_resources_are_those_of_the_command() -> None:
    assert list(RESOURCES) == [*GLOBAL, *SCOPED]
    assert GLOBAL == ("clients", "accounts")
    assert SCOPED == ("customers", "methods", "payments", "transactions", "terminals", "subscriptions", "sessions")


def test_a_run_tells_what_it_did(sandbox: Any, account: str) -> None:
    sandbox.add_payments(account, 250)
    seen: list[tuple[int, int]] = []
    before = timezone.now()
    run = read("payments", account, progress=lambda run: seen.append((run.pages, run.fetched)))
    assert seen == [(1, 100), (2, 200), (3, 250)]
    stored = SyncRun.objects.get()
    assert (stored.resource, stored.account_id, stored.mode) == ("payments", account, "incremental")
    assert (stored.state, stored.pages, stored.fetched, stored.created) == ("succeeded", 3, 250, 250)
    assert before <= stored.started_at <= stored.finished_at <= timezone.now()
    cursor = cursor_of("payments", account)
    assert cursor.completed_at == cursor.full_completed_at is not None
    assert (cursor.mode, cursor.position, cursor.lease_token, cursor.error) == ("", None, None, "")
    assert run.error == ""


def test_the_whole_city_arrives(city: Any) -> None:
    call_command("govpay_sync", stdout=StringIO())
    for kind, model in (("payment", Payment), ("customer", Customer), ("account", PaymentAccount)):
        assert agree(city, kind, model), kind
    assert SavedPaymentMethod.objects.filter(deleted_at=None).count() == city.stats()["methods"] == 400
    assert SyncRun.objects.exclude(state="succeeded").count() == 0
    assert SyncRun.objects.filter(rejected_count__gt=0).count() == 0
    calls = watch(city)
    call_command("govpay_sync", stdout=StringIO())
    lists = 2 + len(account_uids()) * len(SCOPED)
    assert len(calls) <= 2 * lists
    assert not SyncRun.objects.order_by("-pk")[:lists].aggregate(changed=models_sum())["changed"]


def models_sum() -> Any:
    from django.db.models import F, Sum

    return Sum(F("created") + F("updated") + F("deleted"))


# --- What the API does not offer, what fails --------------------------------------------------------


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("name", ASSUMED)
def test_an_assumed_list_that_is_not_offered_is_no_failure(sandbox: Any, account: str, name: str, status: int) -> None:
    sandbox.fault(f"GET {ASSUMED[name]}", status=status, times=1)
    run = read(name, account)
    assert run.error == "Not offered by this API."
    cursor = cursor_of(name, account)
    assert cursor.not_offered_at is not None
    assert cursor.full_completed_at is None
    read(name, account)
    cursor = cursor_of(name, account)
    assert cursor.not_offered_at is None
    assert cursor.full_completed_at is not None


@pytest.mark.parametrize("name", ["clients", "accounts"])
def test_a_documented_list_that_is_not_there_is_a_failure(sandbox: Any, name: str) -> None:
    sandbox.fault("GET *", status=404)
    run = pull(name)
    assert run.state == "failed"
    assert "fault was switched on" in run.error


def test_the_first_load_after_the_list_was_not_offered_is_quiet(sandbox: Any, account: str, heard: Heard) -> None:
    sandbox.add_payments(account, 3)
    sandbox.fault("GET /api/payments", status=404, times=1)
    read("payments", account)
    read("payments", account)
    assert Payment.objects.count() == 3
    assert heard.signals == []


def test_one_accounts_failure_does_not_stop_the_others(sandbox: Any) -> None:
    accounts = sorted(sandbox.add_account()["uid"] for _ in range(3))
    for uid in accounts:
        sandbox.add_payments(uid, 4)
    call_command("govpay_sync", "accounts", stdout=StringIO())
    sandbox.platform.store.delete("account", accounts[1])  # its header is refused from now on
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError, match="2 of the lists could not be read completely"):
        call_command("govpay_sync", "payments", "transactions", stdout=out, stderr=err)
    assert set(Payment.objects.values_list("account", flat=True)) == {accounts[0], accounts[2]}
    assert Payment.objects.count() == 8
    assert out.getvalue().count("fetched=4 ") == 4
    assert err.getvalue().count(accounts[1]) == 2


def test_a_database_that_refuses_a_page_fails_that_list_and_quotes_no_row(sandbox: Any, account: str) -> None:
    sandbox.add_payments(account, 3)
    with connection.cursor() as cursor:
        cursor.execute('ALTER TABLE "govpay_terminal" RENAME TO "elsewhere"')
    try:
        run = pull("terminals", account)
        assert run.state == "succeeded", "an empty list touches no table"
        sandbox.add_terminal(account, name="canary")
        run = pull("terminals", account)
    finally:
        with connection.cursor() as cursor:
            cursor.execute('ALTER TABLE "elsewhere" RENAME TO "govpay_terminal"')
    assert run.state == "failed"
    assert "refused a page" in run.error
    assert "canary" not in run.error
    assert counts(read("terminals", account)) == {"created": 1}


# --- Bad rows (R7) --------------------------------------------------------------------------------


def test_999_of_1000_rows_are_saved_and_one_is_reported(sandbox: Any, account: str) -> None:
    """Faults R7."""
    uids = sandbox.add_payments(account, 1000)
    sandbox.touch("payment", uids[500], total_amount="12.30")
    run = read("payments", account)
    assert counts(run) == {"created": 999, "rejected_count": 1}
    assert run.rejected == [{"uid": uids[500], "error": "total_amount is not a whole number of cents"}]
    assert SyncRun.objects.get().rejected == run.rejected


def test_a_run_lists_a_hundred_bad_rows_and_counts_them_all(sandbox: Any, account: str) -> None:
    for uid in sandbox.add_payments(account, passes.REJECTED_LISTED + 20):
        sandbox.touch("payment", uid, total_amount=-1)
    run = read("payments", account)
    assert run.rejected_count == passes.REJECTED_LISTED + 20
    assert len(run.rejected) == passes.REJECTED_LISTED


def test_a_bad_row_is_reported_even_if_the_worker_dies_on_the_next_page(sandbox: Any, account: str) -> None:
    """Its page is committed and will not be read again, so its report has to be as durable."""
    uids = sandbox.add_payments(account, 150)
    sandbox.touch("payment", uids[0], updated_at="2026-01-01T00:00:00.000000Z", total_amount=-1)

    def die(run: SyncRun) -> None:
        stored = SyncRun.objects.get()
        assert (stored.state, stored.rejected_count, stored.pages) == ("running", 1, 1)
        assert stored.rejected[0]["uid"] == uids[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("payments", account, progress=die)


# --- Interruptions and other workers --------------------------------------------------------------


def test_an_interrupted_run_says_so_and_gives_the_lease_back(sandbox: Any, account: str) -> None:
    sandbox.add_payments(account, 250)

    def stop(run: SyncRun) -> None:
        if run.pages == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("payments", account, progress=stop)
    run = SyncRun.objects.get()
    assert (run.state, run.pages, run.created) == ("interrupted", 2, 200)
    cursor = cursor_of("payments", account)
    assert cursor.lease_token is None
    assert cursor.position is not None
    assert counts(read("payments", account)) == {"created": 50}


def test_runs_of_killed_workers_are_closed_by_the_next(sandbox: Any, account: str) -> None:
    SyncRun.objects.create(resource="payments", account_id=account, mode="incremental")
    others = [
        SyncRun.objects.create(resource="payments", account_id="other", mode="incremental"),
        SyncRun.objects.create(resource="terminals", account_id=account, mode="incremental"),
    ]
    read("payments", account)
    assert [run.state for run in SyncRun.objects.order_by("pk")] == ["interrupted", "running", "running", "succeeded"]
    assert {run.state for run in SyncRun.objects.filter(pk__in=[run.pk for run in others])} == {"running"}


def test_a_list_that_another_worker_reads_is_left_to_it(sandbox: Any, account: str) -> None:
    assert lease.acquire(lease.cursor_for("payments", account))
    calls = watch(sandbox)
    with pytest.raises(SyncBusy):
        pull("payments", account)
    assert len(calls) == 0
    assert not SyncRun.objects.exists()
    read("terminals", account)


def test_a_worker_that_was_replaced_writes_nothing_more(sandbox: Any, account: str) -> None:
    """Faults D4: the fence."""
    sandbox.add_payments(account, 250)

    def replaced(run: SyncRun) -> None:
        SyncCursor.objects.update(lease_token=None)
        if run.pages == 1:
            thread = threading.Thread(target=lambda: (read("payments", account), connection.close()))
            thread.start()
            thread.join(300)

    run = pull("payments", account, progress=replaced)
    assert (run.state, run.pages, run.created) == ("interrupted", 1, 100)
    assert "taken over" in run.error
    other = SyncRun.objects.order_by("-pk")[0]
    assert (other.state, other.created) == ("succeeded", 150)
    assert agree(sandbox, "payment", Payment)
    assert cursor_of("payments", account).error == ""


# --- Signals --------------------------------------------------------------------------------------


def test_a_first_load_is_quiet_and_later_changes_are_told_once(sandbox: Any, account: str, heard: Heard) -> None:
    customer = sandbox.add_customer(account)["uid"]
    sandbox.add_method(customer)
    paid = sandbox.add_payment(account, "captured")
    waiting = sandbox.add_payment(account, "validated")
    for name in ("customers", "methods", "payments", "transactions"):
        read(name, account)
    assert heard.signals == []

    sandbox.refund(paid["uid"], 500, "RF-1")
    sandbox.touch("payment", waiting["uid"], status="failed")
    new = sandbox.add_payment(account, "charged_back")
    for _ in range(3):  # the overlap brings the same news again and again
        for name in ("customers", "methods", "payments", "transactions"):
            read(name, account)
    read("payments", account, full=True)
    assert sorted(heard.signals) == sorted(
        [
            ("payment_refunded", paid["uid"], "sync"),
            ("payment_failed", waiting["uid"], "sync"),
            ("payment_captured", new["uid"], "sync"),
            ("payment_disputed", new["uid"], "sync"),
        ]
    )
    assert not OutboxSignal.objects.exists()


@pytest.mark.parametrize("full", [False, True])
def test_an_interrupted_first_load_stays_quiet_to_its_end(sandbox: Any, account: str, heard: Heard, full: bool) -> None:
    sandbox.add_payments(account, 250)

    def stop(run: SyncRun) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("payments", account, full=full, progress=stop)
    assert counts(read("payments", account, full=full)) == {"created": 150}
    assert heard.signals == []


def test_what_was_committed_before_a_failure_is_told(sandbox: Any, account: str, heard: Heard) -> None:
    uids = sandbox.add_payments(account, 150)
    read("payments", account)
    for uid in uids:
        sandbox.touch("payment", uid, status="failed")
    sandbox.fault("GET /api/payments", status=403, skip=1)
    assert pull("payments", account).state == "failed"
    assert len(heard.signals) == 100
    sandbox.clear_faults()
    read("payments", account)
    assert len(heard.signals) == len(set(heard.signals)) == 150

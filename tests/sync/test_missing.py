"""``govpay.sync.missing``: a row is marked as deleted only if its own GET says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from govpay.models import Payment, PaymentAccount, SyncCursor
from govpay.sync import missing
from govpay.sync.pull import pull
from tests.reading import agree, counts, cursor_of, read, rows_of, statements, watch

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def uids(sandbox: Any, account: str, pages_of: Callable[[int], None]) -> list[str]:
    """Thirty payments that were read, in uid order; pages are of ten."""
    pages_of(10)
    found = sorted(sandbox.add_payments(account, 30))
    read("payments", account)
    return found


@pytest.mark.parametrize("places", [[0], [9, 10], [29], [28, 29], range(10, 20), range(10, 30)], ids=str)
def test_what_is_gone_becomes_a_tombstone(sandbox: Any, account: str, uids: list[str], places: Any) -> None:
    before = rows_of()
    gone = [uids[place] for place in places]
    for uid in gone:
        sandbox.remove("payment", uid)
    run = read("payments", account, full=True)
    assert (run.deleted, run.unchanged) == (len(gone), 30 - len(gone))
    rows = rows_of()
    assert {uid for uid, row in rows.items() if row["deleted_at"]} == set(gone)
    assert all(rows[uid]["raw"] == before[uid]["raw"] for uid in gone), "its history stays"
    assert read("payments", account, full=True).deleted == 0


def test_an_incremental_run_buries_nothing(sandbox: Any, account: str, uids: list[str]) -> None:
    sandbox.remove("payment", uids[-1])
    assert read("payments", account).deleted == 0


def test_a_row_that_the_platform_still_has_is_brought_up_to_date(sandbox: Any, account: str, uids: list[str]) -> None:
    """The list passed it over; its own GET finds it."""
    page = [document for document in sandbox.all("payment") if document["uid"] not in uids[3:6]]
    sandbox.touch("payment", uids[4], status="voided")
    sandbox.fault("GET /api/payments", body=json.dumps(page[:7]), status=200, times=1)
    calls = watch(sandbox)
    run = read("payments", account, full=True)
    assert (run.deleted, run.updated) == (0, 1)
    assert [call["path"] for call in calls.all if call["path"] != "/api/payments"] == [
        f"/api/payments/{uid}" for uid in uids[3:6]
    ]
    assert agree(sandbox, "payment", Payment)


def test_a_tombstone_is_not_asked_for_again(sandbox: Any, account: str, uids: list[str]) -> None:
    for uid in uids[10:]:
        sandbox.remove("payment", uid)
    read("payments", account, full=True)
    calls = watch(sandbox)
    read("payments", account, full=True)
    assert len(calls) == 2


def test_a_resurrected_row_rises(sandbox: Any, account: str, uids: list[str]) -> None:
    row = sandbox.platform.store.get("payment", uids[7])
    sandbox.remove("payment", uids[7])
    read("payments", account, full=True)
    sandbox.platform.store.put(row)
    assert counts(read("payments", account, full=True)) == {"updated": 1, "unchanged": 29}
    assert agree(sandbox, "payment", Payment)


@pytest.mark.parametrize("status", [405, 410, 400])
def test_an_unclear_answer_buries_nothing_and_is_reported(
    sandbox: Any, account: str, uids: list[str], status: int
) -> None:
    sandbox.remove("payment", uids[7])
    sandbox.fault(f"GET /api/payments/{uids[7]}", status=status)
    run = read("payments", account, full=True)
    assert (run.deleted, run.unchanged, run.rejected_count) == (0, 29, 1)
    assert run.rejected[0]["uid"] == uids[7]
    assert Payment.objects.get(uid=uids[7]).deleted_at is None


def test_a_platform_that_fails_there_stops_the_run_before_the_page(
    sandbox: Any, account: str, uids: list[str], settings: Any
) -> None:
    """Resumed, it asks for the rows that are not settled. The end marks those of all attempts."""
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    for uid in (uids[12], uids[14]):
        sandbox.remove("payment", uid)
    sandbox.fault(f"GET /api/payments/{uids[14]}", status=503, times=1)
    assert pull("payments", account, full=True).state == "failed"
    calls = watch(sandbox)
    assert read("payments", account, full=True).deleted == 2
    asked = [call["path"].rpartition("/")[2] for call in calls.all]
    assert asked.count(uids[12]) == 1, "its 404 was stored, so only the end of the pass asks again"
    assert set(rows_of()) - {row.uid for row in Payment.objects.present()} == {uids[12], uids[14]}


def test_rows_that_are_listed_again_are_not_gone(sandbox: Any, account: str, uids: list[str], settings: Any) -> None:
    """Faults R11: a misrouted pass found twelve rows gone and failed. The next pass lists them all."""
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    sandbox.fault("GET /api/payments", body="[]", status=200)
    for uid in uids[:12]:
        sandbox.fault(f"GET /api/payments/{uid}", status=404)
    sandbox.fault(f"GET /api/payments/{uids[12]}", status=503)
    assert pull("payments", account, full=True).state == "failed"
    assert cursor_of("payments", account).missing == uids[:12]
    sandbox.clear_faults()
    calls = watch(sandbox)
    assert counts(read("payments", account, full=True)) == {"unchanged": 30}
    assert {call["path"] for call in calls.all} == {"/api/payments"}, "the list alone shows that they are there"
    assert agree(sandbox, "payment", Payment)


def test_a_row_that_was_gone_for_a_moment_is_asked_for_again(sandbox: Any, account: str, uids: list[str]) -> None:
    page = [document for document in sandbox.all("payment") if document["uid"] != uids[4]]
    sandbox.fault("GET /api/payments", body=json.dumps(page[:9]), status=200, times=1)
    sandbox.fault(f"GET /api/payments/{uids[4]}", status=404, times=1)
    assert read("payments", account, full=True).deleted == 0
    assert agree(sandbox, "payment", Payment)


def test_a_bad_row_in_the_list_is_not_missing(sandbox: Any, account: str, uids: list[str]) -> None:
    sandbox.touch("payment", uids[7], total_amount="12.30")
    calls = watch(sandbox)
    run = read("payments", account, full=True)
    assert (run.deleted, run.rejected_count) == (0, 1)
    assert len(calls) == 4
    assert Payment.objects.get(uid=uids[7]).deleted_at is None


def test_a_row_without_a_uid_does_not_end_the_comparison(sandbox: Any, account: str, uids: list[str]) -> None:
    page = sandbox.all("payment")[:10]
    page[4] = {**page[4], "uid": None}
    sandbox.remove("payment", uids[25])
    sandbox.fault("GET /api/payments", body=json.dumps(page), status=200, times=1)
    run = read("payments", account, full=True)
    assert (run.deleted, run.rejected_count) == (1, 1)


def test_more_local_rows_than_are_held_at_once(
    sandbox: Any, account: str, uids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing, "CHUNK", 4)
    for uid in uids[1:29]:
        sandbox.remove("payment", uid)
    run = read("payments", account, full=True, accept_gone=True)
    assert (run.deleted, run.unchanged) == (28, 2)


def test_a_pass_gives_its_slot_back_while_it_looks_for_missing_rows(
    sandbox: Any, account: str, uids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is empty, and the platform still has every row. Each slot reads one chunk of them."""
    monkeypatch.setattr(missing, "CHUNK", 8)
    sandbox.fault("GET /api/payments", body="[]", status=200)
    calls = watch(sandbox)
    states = [pull("payments", account, full=True, until=0.0).state for _ in range(4)]
    assert states == ["interrupted"] * 3 + ["succeeded"]
    read_alone = [call["path"].rpartition("/")[2] for call in calls.all if call["path"] != "/api/payments"]
    assert read_alone == uids
    assert agree(sandbox, "payment", Payment)


def test_a_pass_gives_its_slot_back_while_it_marks_missing_rows(
    sandbox: Any, account: str, uids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row is asked for again before it is marked. What is left is marked by the next pass."""
    monkeypatch.setattr(missing, "CHUNK", 2)
    for uid in uids[-6:]:
        sandbox.remove("payment", uid)
    runs = [pull("payments", account, full=True, until=0.0) for _ in range(20)]
    assert max(run.deleted for run in runs) == 2
    assert sum(run.deleted for run in runs) == 6
    assert agree(sandbox, "payment", Payment)


def test_no_place_skips_the_listed_rows_after_a_gap(
    sandbox: Any, account: str, uids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve rows are gone before the first page, and its own rows are saved before the walk goes on after them."""
    monkeypatch.setattr(missing, "CHUNK", 1)
    for uid in uids[:12]:
        sandbox.remove("payment", uid)
    for uid in uids[12:]:
        sandbox.touch("payment", uid, status="voided")
    for _ in range(20):
        if pull("payments", account, full=True, until=0.0).state == "succeeded":
            break
    assert agree(sandbox, "payment", Payment)


def test_rows_that_are_gone_are_counted_and_noted_once(sandbox: Any, account: str, settings: Any) -> None:
    """A long list with many rows gone: the work does not grow with the square of their number."""
    sandbox.add_payments(account, 520)
    read("payments", account)
    for uid in sorted(rows_of())[:26]:
        sandbox.remove("payment", uid)
    with statements() as sql:
        assert read("payments", account, full=True).deleted == 26
    assert len([each for each in sql.on(Payment, "SELECT") if "COUNT(" in each]) == 1
    assert len([each for each in sql.on(SyncCursor, "UPDATE") if '"missing" = ' in each]) <= 3


def test_rows_that_staff_accept_as_gone_are_marked_at_once(sandbox: Any, account: str, uids: list[str]) -> None:
    for uid in uids[1:29]:
        sandbox.remove("payment", uid)
    calls = watch(sandbox)
    with statements() as sql:
        assert read("payments", account, full=True, accept_gone=True).deleted == 28
    assert not [each for each in sql.on(SyncCursor, "UPDATE") if '"missing" = ' in each]
    assert len([call for call in calls.all if call["path"] != "/api/payments"]) == 28, "each was asked for once"


def test_an_account_that_is_gone_is_not_synced_any_more(sandbox: Any, account: str) -> None:
    sandbox.add_account()
    read("accounts")
    sandbox.remove("account", account)
    assert read("accounts", full=True).deleted == 1
    assert PaymentAccount.objects.present().count() == 1

"""``govpay.sync.due``: which lists are due, and that no account waits for ever."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from govpay import schedule
from govpay.models import PaymentAccount, SyncCursor, SyncRun
from govpay.sync import due, lease
from govpay.sync.pull import SCOPED
from govpay.sync.unreachable import EVENT_READ_TIMEOUT, REMEMBERED_FOR
from tests.reading import statements

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = dt.timedelta(minutes=1)


def add_accounts(count: int) -> list[str]:
    rows = [PaymentAccount(uid=f"acc_{number:03}", name=f"Account {number}") for number in range(count)]
    return [row.uid for row in PaymentAccount.objects.bulk_create(rows)]


def note(uid: str, minutes_ago: float, *, done: bool = True, names: tuple[str, ...] = SCOPED) -> None:
    """Record that the lists were attempted, and read to their end, so many minutes ago."""
    at = timezone.now() - minutes_ago * MINUTE
    times = {"attempted_at": at, **({"completed_at": at, "full_completed_at": at} if done else {})}
    if not SyncCursor.objects.filter(account_id=uid, resource__in=names).update(**times):
        SyncCursor.objects.bulk_create(SyncCursor(account_id=uid, resource=name, **times) for name in names)


def next_uids() -> list[str | None]:
    return [each.account_uid for each in due.next_accounts()]


def test_the_uids_of_missing_rows_are_not_loaded() -> None:
    [uid] = add_accounts(1)
    note(uid, 20)
    with statements() as sql:
        assert next_uids() == [uid]
    assert sql.on(SyncCursor, "SELECT")
    assert not [each for each in sql.all if '"missing"' in each]


def test_the_account_that_waits_longest_is_first() -> None:
    first, second, third, never = add_accounts(4)
    note(first, 20)
    note(second, 40)
    note(third, 30)
    assert next_uids() == [never, second, third, first]


@pytest.mark.parametrize(("accounts", "in_a_minute"), [(20, 1), (80, 4)])
def test_no_account_waits_longer_than_two_fair_shares(settings: Any, accounts: int, in_a_minute: int) -> None:
    """Faults C4: a worker that reads only four accounts in a minute reads each of 80 within forty ticks."""
    settings.GOVPAY = {**settings.GOVPAY, "SYNC_INTERVAL": 600}
    uids = add_accounts(accounts)
    for uid in uids:
        note(uid, 100)
    read_at: dict[str | None, list[int]] = {uid: [0] for uid in uids}
    for tick in range(1, 61):
        SyncCursor.objects.update(attempted_at=F("attempted_at") - MINUTE, completed_at=F("completed_at") - MINUTE)
        for uid in next_uids()[:in_a_minute]:
            note(str(uid), 0)
            read_at[uid].append(tick)
    gaps = [after - before for times in read_at.values() for before, after in zip(times, [*times[1:], 60], strict=True)]
    assert max(gaps) <= 2 * accounts / in_a_minute


def test_a_tick_queues_as_many_as_the_interval_needs_twice_over(settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "SYNC_INTERVAL": 600}
    add_accounts(150)
    assert len(next_uids()) == 30


def test_a_small_site_is_queued_at_once(settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "SYNC_INTERVAL": 86400}
    uids = add_accounts(12)
    assert next_uids() == uids


def test_an_account_that_a_worker_is_reading_is_left_out() -> None:
    hanging, free = add_accounts(2)
    cursor = lease.cursor_for("payments", hanging)
    assert lease.acquire(cursor)
    assert next_uids() == [free]
    lease.release(cursor)
    SyncCursor.objects.update(attempted_at=None)
    assert set(next_uids()) == {hanging, free}


def test_a_dead_worker_holds_no_account() -> None:
    (uid,) = add_accounts(1)
    cursor = lease.cursor_for("payments", uid)
    assert lease.acquire(cursor)
    SyncCursor.objects.update(lease_process_start="1", lease_token=uuid.uuid4(), lease_pid=os.getpid())
    assert next_uids() == [uid]


def test_an_account_is_queued_once_and_for_its_full_passes_first() -> None:
    (uid,) = add_accounts(1)
    note(uid, 2 * 24 * 60)
    note(uid, 20, names=("customers",))
    (found,) = due.next_accounts()
    assert found.full
    assert found.resources == [name for name in SCOPED if name != "customers"]


@pytest.mark.parametrize(("interval", "max_gap"), [(600, 11), (60, 2)])
def test_full_and_incremental_passes_take_turns(settings: Any, interval: int, max_gap: int) -> None:
    """A full pass that takes an hour of slots delays no incremental pass by more than a tick, and it goes on itself."""
    settings.GOVPAY = {**settings.GOVPAY, "SYNC_INTERVAL": interval}
    (uid,) = add_accounts(1)
    note(uid, 2 * 24 * 60)
    modes = []
    for _ in range(60):
        SyncCursor.objects.update(attempted_at=F("attempted_at") - MINUTE, completed_at=F("completed_at") - MINUTE)
        SyncRun.objects.update(started_at=F("started_at") - MINUTE)
        (found,) = due.next_accounts()
        modes.append("full" if found.full else "incremental")
        now = timezone.now()
        SyncCursor.objects.update(attempted_at=now)
        if not found.full:
            SyncCursor.objects.update(completed_at=now)
        SyncRun.objects.bulk_create(
            SyncRun(account_id=uid, resource=name, mode=modes[-1], state="interrupted" if found.full else "succeeded")
            for name in found.resources
        )
    ticks = [tick for tick, mode in enumerate(modes) if mode == "incremental"]
    assert ticks[0] == 1
    assert max(after - before for before, after in zip(ticks, [*ticks[1:], 60], strict=True)) <= max_gap
    assert modes.count("full") >= 30


def test_a_tick_is_as_long_as_in_the_schedule() -> None:
    assert due.TICK.total_seconds() == schedule.TICK


def fail(uid: str, minutes_ago: float, mode: str = "incremental") -> None:
    at = timezone.now() - minutes_ago * MINUTE
    SyncRun.objects.create(account_id=uid, resource="payments", mode=mode, state="failed", started_at=at)


def payments_due(uid: str, *, full: bool = False) -> bool:
    return any("payments" in each.resources for each in due.due_lists([uid], SCOPED, full=full))


def test_a_list_that_fails_waits_twice_as_long_each_time(settings: Any) -> None:
    """Faults C3."""
    settings.GOVPAY = {**settings.GOVPAY, "SYNC_INTERVAL": 600}
    (uid,) = add_accounts(1)
    note(uid, 60)
    fail(uid, 0.9)
    assert payments_due(uid)  # one failure: at the next tick
    fail(uid, 0.9)
    assert not payments_due(uid)  # two: after a minute
    SyncRun.objects.all().delete()
    for _ in range(3):
        fail(uid, 1.9)
    assert not payments_due(uid)
    SyncRun.objects.update(started_at=F("started_at") - MINUTE / 4)
    assert payments_due(uid)  # three: after two minutes
    SyncRun.objects.all().delete()
    for _ in range(20):
        fail(uid, 9.9)
    assert not payments_due(uid)
    SyncRun.objects.update(started_at=F("started_at") - MINUTE / 4)
    assert payments_due(uid)  # any number: after ``SYNC_INTERVAL``


def test_failures_before_the_last_success_do_not_count() -> None:
    (uid,) = add_accounts(1)
    for _ in range(10):
        fail(uid, 61)
    note(uid, 60)
    fail(uid, 0.9)
    assert payments_due(uid)


def test_a_full_pass_that_fails_delays_no_incremental_one() -> None:
    (uid,) = add_accounts(1)
    note(uid, 2 * 24 * 60)
    for _ in range(5):
        fail(uid, 1, mode="full")
    assert not payments_due(uid, full=True)
    assert payments_due(uid)


def test_lists_without_an_account_wait_as_well() -> None:
    at = timezone.now() - 60 * MINUTE
    SyncCursor.objects.create(resource="accounts", attempted_at=at, completed_at=at)
    assert due.due_lists([None], ["accounts"])
    for _ in range(5):
        SyncRun.objects.create(resource="accounts", mode="incremental", state="failed", started_at=at + 59 * MINUTE)
    assert not due.due_lists([None], ["accounts"])


def test_accounts_that_hang_delay_no_other(settings: Any) -> None:
    """Faults C3: 6 of 12 accounts hang for a minute at each list; two workers read the others in time."""
    settings.GOVPAY = {**settings.GOVPAY, "SYNC_INTERVAL": 600}
    uids = add_accounts(12)
    hanging, healthy = uids[:6], uids[6:]
    for uid in uids:
        note(uid, 30)
    read_at: dict[str, list[int]] = {uid: [0] for uid in healthy}
    for tick in range(1, 61):
        SyncCursor.objects.update(attempted_at=F("attempted_at") - MINUTE, completed_at=F("completed_at") - MINUTE)
        SyncRun.objects.update(started_at=F("started_at") - MINUTE)
        minutes = (
            2.0 - len(hanging) * EVENT_READ_TIMEOUT / REMEMBERED_FOR
        )  # of two workers, less what their events cost
        for each in due.next_accounts():
            uid = str(each.account_uid)
            if minutes <= 0:
                break
            if uid in hanging:
                note(uid, 0, done=False, names=(each.resources[0],))
                SyncRun.objects.create(account_id=uid, resource=each.resources[0], mode="incremental", state="failed")
                minutes -= 1
            else:
                note(uid, 0)
                read_at[uid].append(tick)
                minutes -= 0.2
    gaps = [after - before for times in read_at.values() for before, after in zip(times, [*times[1:], 60], strict=True)]
    assert max(gaps) <= 2 * 10

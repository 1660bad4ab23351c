"""``govpay.sync.lease``: one worker per list, and the takeover from dead workers."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from govpay.exceptions import SyncBusy
from govpay.models import SyncCursor
from govpay.sync import lease
from tests.processes import start_python

pytestmark = pytest.mark.django_db(transaction=True)


def cursor(account: str | None = "account_1") -> SyncCursor:
    return lease.cursor_for("payments", account)


def held_by_another(**columns: Any) -> SyncCursor:
    """A cursor with a lease of another worker, changed by ``columns``."""
    owner = cursor()
    assert lease.acquire(owner)
    SyncCursor.objects.filter(pk=owner.pk).update(**columns)
    return owner


def ago(seconds: float) -> dt.datetime:
    return timezone.now() - dt.timedelta(seconds=seconds)


def test_one_cursor_a_list_however_often_it_is_asked_for() -> None:
    assert cursor() == cursor() != cursor("account_2") != cursor(None)
    assert cursor(None) == cursor(None)
    assert SyncCursor.objects.count() == 3


def test_the_first_gets_it_and_the_second_does_not() -> None:
    one, two = cursor(), cursor()
    assert lease.acquire(one)
    assert not lease.acquire(two)
    with pytest.raises(SyncBusy, match="payments of account_1 is being read by another worker"):
        lease.acquire_or_wait(two, wait=False)
    lease.release(one)
    assert lease.acquire(two)


def test_the_row_names_its_owner() -> None:
    owner, before = cursor(), timezone.now()
    lease.acquire(owner)
    assert owner.lease_pid == os.getpid()
    assert owner.lease_host == lease.this_host()
    assert owner.lease_process_start == lease.process_start(os.getpid()) != ""
    tick = dt.timedelta(seconds=1)
    assert before - tick <= owner.heartbeat_at <= timezone.now() + tick
    lease.release(owner)
    assert SyncCursor.objects.values_list("lease_token", "lease_host", "lease_pid", "heartbeat_at").get() == (
        None,
        "",
        None,
        None,
    )


def test_of_many_at_once_one_gets_it() -> None:
    """Faults D4."""
    pk = cursor().pk
    start = threading.Barrier(6)
    taken: list[bool] = []

    def run() -> None:
        mine = SyncCursor.objects.get(pk=pk)
        start.wait(300)
        taken.append(lease.acquire(mine))
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert sorted(taken) == [False] * 5 + [True]


@pytest.mark.parametrize(("seconds", "free"), [(58, False), (61, True)])
def test_a_foreign_host_is_dead_60_s_after_its_last_beat(seconds: float, free: bool) -> None:
    """Faults D4."""
    held_by_another(lease_host="elsewhere/1/2", heartbeat_at=ago(seconds))
    assert lease.acquire(cursor()) is free


def test_calls_that_may_take_longer_than_a_minute_are_no_death(settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CALL_TIMEOUT": 120}
    held_by_another(lease_host="elsewhere/1/2", heartbeat_at=ago(100))
    assert not lease.acquire(cursor())
    SyncCursor.objects.update(heartbeat_at=ago(121))
    assert lease.acquire(cursor())


def test_beats_are_judged_by_the_clock_that_wrote_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults T8: a host whose clock is five minutes ahead steals nothing."""
    held_by_another(lease_host="elsewhere/1/2")
    later = timezone.now() + dt.timedelta(minutes=5)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert not lease.acquire(cursor())


def test_a_living_process_of_this_host_keeps_it() -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        held_by_another(lease_pid=other.pid, lease_process_start=lease.process_start(other.pid))
        assert not lease.acquire(cursor())
    finally:
        other.communicate(b"\n")


def test_a_dead_process_of_this_host_is_replaced_at_once() -> None:
    """Faults D4."""
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    held_by_another(lease_pid=other.pid, lease_process_start=lease.process_start(other.pid))
    other.kill()
    while lease.process_start(other.pid) != "ended":  # a zombie until it is waited for, and as dead
        time.sleep(0.01)
    assert lease.acquire(cursor())
    other.communicate()


def test_a_process_number_that_was_given_again_is_not_its_owner() -> None:
    held_by_another(lease_process_start="12345")
    assert lease.acquire(cursor())


def test_of_a_process_of_unknown_start_nothing_is_known() -> None:
    held_by_another(lease_pid=2**22 + 1, lease_process_start="")
    assert not lease.acquire(cursor())


def test_a_command_with_blanks_and_parentheses_has_a_start_too() -> None:
    code = "import sys; open('/proc/self/comm', 'w').write('a) S (b c'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert lease.process_start(other.pid).isdigit()
        other.communicate("\n")


def test_a_beat_writes_columns_as_the_owner() -> None:
    owner = cursor()
    lease.acquire(owner)
    SyncCursor.objects.update(heartbeat_at=ago(50))
    lease.beat(owner, position={"uid": "a"})
    stored = SyncCursor.objects.get()
    assert stored.position == owner.position == {"uid": "a"}
    assert stored.heartbeat_at > ago(10)


def test_who_lost_it_can_write_nothing() -> None:
    """The fence: a page of a worker that was taken for dead is rolled back."""
    slow, quick = held_by_another(lease_host="elsewhere/1/2", heartbeat_at=ago(61)), cursor()
    assert lease.acquire(quick)
    with pytest.raises(lease.LeaseLost):
        lease.beat(slow, position={"uid": "stale"})
    lease.release(slow)
    stored = SyncCursor.objects.get()
    assert stored.position is None
    assert stored.lease_token == quick.lease_token


def test_who_waits_is_told_once_and_gets_it_in_the_end() -> None:
    owner = cursor()
    lease.acquire(owner)
    told: list[int | None] = []
    timer = threading.Timer(1.2, lambda: (lease.release(owner), connection.close()))
    timer.start()
    mine = cursor()
    lease.acquire_or_wait(mine, wait=True, on_wait=lambda row: told.append(row.lease_pid))
    timer.join()
    assert told == [os.getpid()]
    assert mine.lease_token != owner.lease_token


def test_two_processes_have_two_identities() -> None:
    cursor()
    child = start_python(
        "from govpay.sync import lease\n"
        "row = lease.cursor_for('payments', 'account_1')\n"
        "print(lease.acquire(row), lease.this_host())\n"
        "input()",
        stdin=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline().split(" ", 1) == ["True", f"{lease.this_host()}\n"]
    assert not lease.acquire(cursor())
    child.communicate("\n")
    assert lease.acquire(cursor()), "it went away without giving the lease back"

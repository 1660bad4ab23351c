"""Faults D4: two workers sync the same list. Only one of them works, and a dead worker does not block the others."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
from collections import Counter
from typing import Any

import pytest
from django.utils import timezone

from govpay import tasks
from govpay.exceptions import SyncBusy
from govpay.models import Payment, PaymentAccount, SyncCursor, SyncRun
from govpay.sync.pull import pull
from tests.patience import HANG, SILENCE, Held, wait_until
from tests.processes import start_command
from tests.reading import agree, counts, read, watch

pytestmark = pytest.mark.django_db(transaction=True)

ROWS, PAGE = 120, 10


@pytest.fixture
def account(sandbox: Any, settings: Any) -> str:
    settings.GOVPAY = {**settings.GOVPAY, "PAGE_SIZE": PAGE}
    uid = str(sandbox.add_account()["uid"])
    PaymentAccount.objects.create(uid=uid)
    sandbox.add_payments(uid, ROWS)
    return uid


def start_sync(account: str) -> subprocess.Popen[str]:
    return start_command("govpay_sync", "payments", "--account", account)


def asked_twice(calls: Any) -> list[str]:
    asked = Counter(f"{call['path']}?{call['query']}" for call in calls.all)
    return [url for url, times in asked.items() if times > 1]


def test_of_two_commands_at_once_one_walks_and_the_other_waits(
    sandbox: Any, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D4: 0 duplicate pages; the one that waited then finds nothing new."""
    monkeypatch.setattr("govpay.sandbox.app.time", held := Held())
    sandbox.fault("GET /api/payments", delay=1, skip=2, times=1)
    calls = watch(sandbox)
    both = [start_sync(account) for _ in range(2)]
    wait_until(lambda: len(calls) >= 3)
    (waiting,) = [process for process in both if process.pid != SyncCursor.objects.get(resource="payments").lease_pid]
    assert waiting.stderr is not None
    assert "waiting for process" in waiting.stderr.readline()
    held.release()
    outputs = [process.communicate(timeout=HANG) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [err for _, err in outputs] == ["", ""]
    created = sorted(run.created for run in SyncRun.objects.all())
    assert created == [0, ROWS]
    assert len(calls) <= ROWS // PAGE + 1 + 2
    assert agree(sandbox, "payment", Payment)


def test_a_task_leaves_the_list_to_its_owner_at_once(
    sandbox: Any, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D4, C1: the other lists of the account are read meanwhile."""
    monkeypatch.setattr("govpay.sandbox.app.time", held := Held())
    sandbox.fault("GET /api/payments", delay=1, skip=2, times=1)
    calls = watch(sandbox)
    owner = start_sync(account)
    wait_until(lambda: len(calls) >= 3)
    with pytest.raises(SyncBusy):
        pull("payments", account)
    tasks.sync_account(account, ["payments", "terminals"])
    assert owner.poll() is None, "it still waits for its third page"
    held.release()
    assert owner.communicate(timeout=HANG)[1] == ""
    assert asked_twice(calls) == []
    assert {(run.resource, run.state) for run in SyncRun.objects.all()} == {
        ("payments", "succeeded"),
        ("terminals", "succeeded"),
    }


def test_who_waits_for_a_killed_owner_goes_on_at_once(sandbox: Any, account: str) -> None:
    """D4: a dead process of this host is noticed by its number and its start, not by its silence."""
    sandbox.fault("GET /api/payments", delay=SILENCE, skip=5, times=1)
    calls = watch(sandbox)
    owner = start_sync(account)
    wait_until(lambda: len(calls) == 6)
    waiting = start_sync(account)
    assert waiting.stderr is not None
    assert "waiting for process" in waiting.stderr.readline()
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    SyncCursor.objects.update(heartbeat_at=timezone.now() + dt.timedelta(days=1))  # it was heard a moment ago
    waiting.communicate(timeout=HANG)
    assert waiting.returncode == 0
    assert [run.created for run in SyncRun.objects.order_by("pk")][1] == ROWS - 5 * PAGE
    assert agree(sandbox, "payment", Payment)


@pytest.mark.parametrize(("silence", "free"), [(57, False), (61, True)])
def test_an_owner_elsewhere_is_dead_after_a_minute_of_silence(
    sandbox: Any, account: str, silence: float, free: bool
) -> None:
    """D4: nobody here can see its process, so only its beats count; its pages are kept."""

    def stop(run: SyncRun) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("payments", account, progress=stop)
    SyncCursor.objects.update(
        lease_token="00000000-0000-4000-8000-000000000001",
        lease_host="elsewhere/1/2",
        lease_pid=1,
        lease_process_start="1",
        heartbeat_at=timezone.now() - dt.timedelta(seconds=silence),
    )
    if free:
        assert counts(read("payments", account)) == {"created": ROWS - PAGE}
    else:
        with pytest.raises(SyncBusy):
            pull("payments", account)

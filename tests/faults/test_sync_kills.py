"""Faults D3: ``kill -9`` in the middle of a sync. The next run continues after the last committed page."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from typing import Any

import pytest

from govpay.models import Payment, PaymentAccount, SyncRun
from tests.amounts import repeats
from tests.processes import start_command
from tests.reading import read, watch

pytestmark = pytest.mark.django_db(transaction=True)

ROWS, PAGE = 120, 10
PAGES = ROWS // PAGE
KILLS = repeats(20, 8, 20)
PARTS = 4


def kill_at(sandbox: Any, account: str, page: int, delay: float, *options: str) -> None:
    """Run ``govpay_sync`` and kill it ``delay`` seconds after it asked for ``page`` (from 1)."""
    calls = watch(sandbox)
    process = start_command("govpay_sync", "payments", "--account", account, *options, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 300
        while len(calls) < page:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.001)
        time.sleep(delay)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("part", range(PARTS))
def test_a_killed_sync_costs_only_its_missing_pages(sandbox: Any, settings: Any, part: int) -> None:
    """D3: 20 kills, spread over the pages and over what happens within one."""
    settings.GOVPAY = {**settings.GOVPAY, "PAGE_SIZE": PAGE}
    chance = random.Random(part)
    for kill in range(part, KILLS, PARTS):
        account = sandbox.add_account()["uid"]
        PaymentAccount.objects.create(uid=account)
        sandbox.add_payments(account, ROWS)
        slow = sandbox.fault("GET /api/payments", delay=0.02)
        full = kill % 2 == 1
        page = 1 + kill * PAGES // KILLS
        kill_at(sandbox, account, page, chance.uniform(0, 0.04), *(["--full"] if full else []))
        slow.times = 0

        here = Payment.objects.filter(account=account).count()
        assert here % PAGE == 0, "half a page was written"
        assert (page - 2) * PAGE <= here, "a page that was asked for means that the one before is committed"
        calls = watch(sandbox)
        run = read("payments", account, full=full)  # at once: the dead owner holds nobody up
        assert len(calls) <= (ROWS - here) // PAGE + 1
        assert run.created == ROWS - here
        there = {document["uid"]: document for document in sandbox.all("payment", account)}
        assert dict(Payment.objects.filter(account=account).values_list("uid", "raw")) == there
        states = list(SyncRun.objects.filter(account=account).order_by("pk").values_list("state", flat=True))
        assert states == ["interrupted", "succeeded"]


def test_a_killed_rereading_touches_nothing_unchanged(sandbox: Any, settings: Any) -> None:
    """D3: a full sync killed on page 7 resumes on page 7 and writes no row anew."""
    settings.GOVPAY = {**settings.GOVPAY, "PAGE_SIZE": PAGE}
    account = sandbox.add_account()["uid"]
    PaymentAccount.objects.create(uid=account)
    sandbox.add_payments(account, ROWS)
    read("payments", account)
    before = dict(Payment.objects.values_list("uid", "synced_at"))
    sandbox.fault("GET /api/payments", delay=30, skip=6, times=1)
    kill_at(sandbox, account, 7, 0, "--full")
    calls = watch(sandbox)
    run = read("payments", account, full=True)
    assert (run.unchanged, len(calls)) == (ROWS - 6 * PAGE, PAGES - 6 + 1)
    assert dict(Payment.objects.values_list("uid", "synced_at")) == before

"""C2: a task runs too long. The soft time limit stops it, and the next task continues from there."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from govpay import tasks
from govpay.exceptions import OutcomeUnknown
from govpay.models import Operation, Payment, SyncRun
from govpay.sandbox.control.faults import Fault
from tests.operations.merchant import Merchant
from tests.reading import agree, counts, cursor_of, read, watch

pytestmark = pytest.mark.django_db(transaction=True)

ROWS, PAGE = 600, 100


@contextmanager
def soft_limit_once(fault: Fault) -> Iterator[None]:
    """As a worker of Celery's does it: a signal whose handler raises, here as soon as ``fault`` was met."""

    def raising(*_: Any) -> None:
        raise SoftTimeLimitExceeded

    def wait() -> None:
        while not fault.hits and not over.wait(0.01):
            pass
        time.sleep(0.1)  # it waits for the answer by now
        if fault.hits:
            os.kill(os.getpid(), signal.SIGUSR1)

    over, before = threading.Event(), signal.signal(signal.SIGUSR1, raising)
    watcher = threading.Thread(target=wait)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGUSR1, before)


def test_soft_limit_in_a_sync_keeps_its_place(sandbox: Any) -> None:
    """C2: the pages so far are kept, the lease is free, the next run reads only what is missing."""
    account = str(sandbox.add_account()["uid"])
    sandbox.add_payments(account, ROWS, transactions=False)
    slow = sandbox.fault("GET /api/payments", delay=2, skip=3, times=1)
    with soft_limit_once(slow), pytest.raises(SoftTimeLimitExceeded):
        tasks.sync_account(account, ["payments"])
    run = SyncRun.objects.get()
    assert (run.state, run.pages) == ("interrupted", 3)
    assert Payment.objects.count() == 3 * PAGE
    assert cursor_of("payments", account).lease_token in (None, "")
    sandbox.clear_faults()
    calls = watch(sandbox)
    assert counts(read("payments", account)) == {"created": ROWS - 3 * PAGE}
    assert len(calls) <= ROWS // PAGE - 3 + 1
    assert agree(sandbox, "payment", Payment)


def test_soft_limit_in_the_midst_of_a_write_leaves_its_outcome_open(sandbox: Any) -> None:
    """C2: the platform acts all the same; it is looked up, and not sent again."""
    from govpay import operations

    merchant = Merchant(sandbox)
    payment = merchant.captured()
    slow = sandbox.fault("POST /api/payments/{uid}/refund", delay=0.5, times=1)
    with soft_limit_once(slow), pytest.raises(OutcomeUnknown):
        operations.refund_payment(payment=payment, amount=5)
    assert Operation.objects.get().state == "unknown"
    end = time.monotonic() + 300
    while not merchant.ledger("refund") and time.monotonic() < end:
        time.sleep(0.05)
    tasks.reconcile_operations()
    assert Operation.objects.get().state == "succeeded"
    assert len(merchant.posts("refund")) == len(merchant.ledger("refund")) == 1

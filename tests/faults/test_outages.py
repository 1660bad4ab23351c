"""D1: PostgreSQL is down for a while during actions and a sync: connections are reset and new ones refused."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection

from govpay import operations
from govpay.exceptions import OperationRefused
from govpay.models import Operation, OutboxSignal, Payment, SyncRun
from tests.operations.merchant import Merchant, only
from tests.processes import start_python
from tests.reading import agree, read
from tests.relay import HOST, Relay

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

ROWS, PAGE = 30, 10

#: A thread for each job of the one line on stdin. Each says that it has come to its place and goes on when it is
#: told to, and says how it ended.
HOST_PROCESS = """
import json, sys, threading
from django.db import connection, connections
from govpay import operations
from govpay.models import Payment
from govpay.sync import transactions
from govpay.sync.pull import pull
from tests.breakpoints import watching

def tell(*words):
    with telling:
        print(json.dumps(words), flush=True)

def come_to(step):
    if places.get(threading.get_ident()) == step:
        del places[threading.get_ident()]
        tell("there", step)
        on.wait(300)

def page_of(run, sql, *rest):
    answer = run(sql, *rest)
    if 'INSERT INTO "govpay_payment"' in sql:
        pages.append(sql)
        come_to(f"page {len(pages)}")
    return answer

def action(action, pk):
    getattr(operations, f"{action}_payment")(payment=Payment.objects.get(pk=pk))
    return "done"

def sync(account):
    with connection.execute_wrapper(page_of):
        run = pull("payments", account)
    return run.state

def work(job, step, given):
    places[threading.get_ident()] = step
    try:
        how = sync(given) if job == "sync" else action(job, given)
    except Exception as error:
        how = type(error).__name__
    finally:
        connections.close_all()
    tell(job, step, how)

patience, jobs = json.loads(sys.stdin.readline())
transactions.ATTEMPTS_WITHOUT_CONNECTION = patience or transactions.ATTEMPTS_WITHOUT_CONNECTION
telling, on, places, pages = threading.Lock(), threading.Event(), {}, []
with watching(come_to):
    threads = [threading.Thread(target=work, args=job) for job in jobs]
    for thread in threads: thread.start()
    sys.stdin.readline()
    on.set()
    for thread in threads: thread.join()
"""


@pytest.fixture
def merchant(sandbox: Any, settings: Any, transactional_db: None) -> Merchant:
    settings.GOVPAY = {**settings.GOVPAY, "PAGE_SIZE": PAGE}
    return Merchant(sandbox)


@pytest.fixture
def relay() -> Iterator[Relay]:
    given = connection.settings_dict
    relay = Relay((given["HOST"] or HOST, int(given["PORT"] or 5432)))
    yield relay
    relay.close()


class Site:
    """A process of the host, which reaches its database through the relay alone."""

    def __init__(self, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
        parts = urlsplit(os.environ["TEST_DATABASE_URL"])
        place = parts.netloc.rpartition("@")
        beside = parts._replace(netloc=f"{place[0]}{place[1]}{HOST}:{relay.port}")
        with monkeypatch.context() as patch:
            patch.setenv("TEST_DATABASE_URL", urlunsplit(beside))
            self._process = start_python(HOST_PROCESS, stdin=subprocess.PIPE, stderr=None)

    def begin(self, patience: int, *jobs: tuple[str, str, Any]) -> None:
        """Each job (what, where it stops, with what) comes to its place."""
        self._jobs = len(jobs)
        self._say(json.dumps([patience, jobs]))
        assert sorted(self._hear() for _ in jobs) == sorted(["there", step] for _, step, _ in jobs)

    def go_on(self) -> None:
        self._say("")

    def ended(self) -> dict[tuple[str, str], str]:
        """How each job ended, by what it was and where it stopped."""
        heard = [self._hear() for _ in range(self._jobs)]
        return {(what, step): how for what, step, how in heard}

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> list[str]:
        assert self._process.stdout
        found: list[str] = json.loads(self._process.stdout.readline())
        return found


@pytest.fixture
def site(merchant: Merchant, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(relay, monkeypatch)
    yield site
    site.end()


@pytest.mark.parametrize("in_time", [True, False], ids=["back in time", "given up"])
def test_the_database_is_away_for_a_while(merchant: Merchant, relay: Relay, site: Site, in_time: bool) -> None:
    """D1, M3: who waits long enough goes on; who gives up leaves a row that reconciliation settles. One POST each."""
    actions = [(action, step) for action in ("refund", "capture") for step in ("answered", "stored")]
    payments = [merchant.captured() if action == "refund" else merchant.quoted() for action, _ in actions]
    merchant.sandbox.add_payments(merchant.account.uid, ROWS)
    posts = len(merchant.posts())
    jobs = [(action, step, payment.pk) for (action, step), payment in zip(actions, payments, strict=True)]
    site.begin(0 if in_time else 2, *jobs, ("sync", "page 2", merchant.account.uid))
    relay.cut()
    assert relay.cuts > len(jobs), "each had a connection that was cut"
    site.go_on()
    if in_time:
        time.sleep(1.2)
        relay.restore()
        assert site.ended() == {**dict.fromkeys(actions, "done"), ("sync", "page 2"): "succeeded"}
    else:
        assert site.ended() == {**dict.fromkeys(actions, "OutcomeUnknown"), ("sync", "page 2"): "OperationalError"}
        recover(merchant, relay, site, payments)
    for (action, _), payment in zip(actions, payments, strict=True):
        assert only(payment=payment.uid, action=action).state == "succeeded"
        (entry,) = merchant.ledger(action, payment)
        assert entry["amount"] == Payment.objects.get(pk=payment.pk).total_amount
        assert len(merchant.posts(payment.uid)) == 1
    assert len(merchant.posts()) == posts + len(actions)
    assert agree(merchant.sandbox, "payment", Payment), "no half page, and none left out"
    operations.reconcile()
    assert not OutboxSignal.objects.exists()


def recover(merchant: Merchant, relay: Relay, site: Site, payments: list[Payment]) -> None:
    """The database is back after everybody gave up: nothing is done again, and the ticks find what was done."""
    done = Operation.objects.exclude(action="quote")
    assert set(done.values_list("state", flat=True)) == {"started"}
    assert Payment.objects.count() <= len(payments) + PAGE, "the second page was rolled back"
    relay.restore()
    with pytest.raises(OperationRefused, match="under way"):
        operations.refund_payment(payment=payments[0])
    merchant.reconcile_all()
    site.end()
    run = read("payments", merchant.account.uid)  # at once, from its place: the dead owner holds nobody up
    assert run.pages <= ROWS // PAGE + 1
    states = SyncRun.objects.filter(resource="payments").order_by("pk").values_list("state", flat=True)
    assert list(states) == ["interrupted", "succeeded"]

"""D1: the database fails during an action, at each of its steps, and is available again a moment later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections

from govpay import operations
from govpay.exceptions import OperationInProgress, OutcomeUnknown
from govpay.models import Operation, OutboxSignal, Payment
from govpay.operations import outcomes
from govpay.operations.journal import STEPS
from tests.amounts import rounds
from tests.breakpoints import at_step, watching
from tests.operations.merchant import Merchant, card, listening, only

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres, pytest.mark.soak(0.5)]

ROUNDS = 10 * len(STEPS)
SIGNALS_OF: dict[str, set[str]] = {
    "quote": set(),
    "capture": {"payment_captured"},
    "void": set(),
    "refund": {"payment_refunded"},
}


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None) -> Iterator[Merchant]:
    yield Merchant(sandbox)
    connections.close_all()


class Outage:
    """Ends every connection to this test's database, as a restart does; the server goes on for other tests."""

    def __init__(self) -> None:
        given = connection.get_connection_params()
        names = ("dbname", "user", "password", "host", "port")
        self._other = psycopg.connect(autocommit=True, **{name: given[name] for name in names if given.get(name)})
        self.ended = 0

    def __call__(self) -> None:
        ended = self._other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchall()
        self.ended += len(ended)

    def close(self) -> None:
        self._other.close()


@pytest.fixture
def outage(merchant: Merchant) -> Iterator[Outage]:
    outage = Outage()
    yield outage
    outage.close()


def do(merchant: Merchant, action: str, subject: Any) -> Any:
    if action == "quote":
        return operations.quote_payment(account=merchant.account, base_amount=700, payment_method=card())
    return getattr(operations, f"{action}_payment")(payment=subject)


def subject_of(merchant: Merchant, action: str) -> Payment | None:
    if action == "quote":
        return None
    return merchant.captured() if action == "refund" else merchant.quoted()


@pytest.mark.parametrize("action", SIGNALS_OF)
def test_the_database_is_restarted_at_every_step(merchant: Merchant, outage: Outage, action: str) -> None:
    """D1, M3: the action is done all the same, by one POST, recorded and told once."""
    for number in rounds(ROUNDS, len(STEPS)):
        step = STEPS[number % len(STEPS)]
        subject, before, ended = subject_of(merchant, action), len(merchant.posts()), outage.ended
        with listening() as heard, at_step(step, outage) as hits:
            row = do(merchant, action, subject)
        connections.close_all()  # which a request or a task that has ended does by itself
        assert hits == [step]
        assert outage.ended > ended, "there was a connection to end"
        assert len(merchant.posts()) == before + 1, step
        operation = only(result_uid=row.uid, action=action)
        assert (operation.state, operation.error) == ("succeeded", ""), step
        operations.reconcile()
        assert not OutboxSignal.objects.exists()
        told = [name for name, _, _ in heard]
        assert sorted(told) == sorted({"operation_finished", *SIGNALS_OF[action]}), step
        if action != "quote":
            assert subject is not None
            assert len(merchant.ledger(action, subject)) == 1


@pytest.mark.parametrize("step", ["stored", "closed", "read again"])
def test_the_database_is_restarted_while_outcomes_are_looked_up(merchant: Merchant, outage: Outage, step: str) -> None:
    """D1, M3: the tick settles what it was at, and all others."""
    for action in ("refund", "capture", "void"):
        merchant.sandbox.fault(f"POST /api/payments/{{uid}}/{action}", times=1, close="after")
        with pytest.raises(OutcomeUnknown):
            do(merchant, action, subject_of(merchant, action))
    posts, passed = len(merchant.posts()), list[str]()
    with at_step(step, outage) as hits, watching(passed.append):
        outcome = operations.reconcile()
    connections.close_all()
    assert hits == [step]
    assert (outcome.succeeded, outcome.waiting) == (3, 0)
    assert set(Operation.objects.exclude(action="quote").values_list("state", flat=True)) == {"succeeded"}
    assert len(merchant.posts()) == posts
    assert passed.count("closed") == 3


def lose_the_next_commit() -> None:
    """The server commits, and the connection breaks before it can say so."""
    ours: Any = connections["default"]
    real = ours._commit

    def commit() -> None:
        del ours._commit
        real()
        ours.connection.close()
        raise OperationalError("the connection was lost")

    ours._commit = commit


def test_the_commit_of_the_end_is_not_acknowledged(merchant: Merchant) -> None:
    """D1: written a second time it is the same, and told once."""
    for action, news in SIGNALS_OF.items():
        subject = subject_of(merchant, action)
        with listening() as heard, at_step("stored", lose_the_next_commit) as hits:
            row = do(merchant, action, subject)
        assert hits == ["stored"]
        assert only(result_uid=row.uid, action=action).state == "succeeded"
        assert sorted(name for name, _, _ in heard) == sorted({"operation_finished", *news})


def test_the_commit_of_the_journal_row_is_not_acknowledged(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    """D1: whose row it is cannot be told any more, so nothing is sent, and reconciliation says so."""
    monkeypatch.setattr(outcomes, "SAME_KEY_TIMEOUT", 0.3)
    for action in SIGNALS_OF:
        subject, before = subject_of(merchant, action), len(merchant.posts())
        with at_step("claimed", lose_the_next_commit), pytest.raises(OperationInProgress):
            do(merchant, action, subject)
        assert len(merchant.posts()) == before
        merchant.reconcile_all()
        (operation,) = Operation.objects.filter(action=action).order_by("-pk")[:1]
        assert (operation.state, operation.error_class) == ("failed", "APIConnectionError")
        do(merchant, action, subject)
        assert len(merchant.posts()) == before + 1

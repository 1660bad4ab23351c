"""M2, M3, M6: lost answers. The operation is looked up, closed once, and never sent a second time."""

from __future__ import annotations

from typing import Any

import pytest

from govpay import operations
from govpay.exceptions import APIConnectionError, OutcomeUnknown
from govpay.models import Operation, Payment
from tests.amounts import repeats
from tests.operations.merchant import Merchant, bank_account, listening, only

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = repeats(20, 4, 20)

#: Ways to lose an answer, and whether the platform has acted.
NOT_ACTED: list[dict[str, Any]] = [{"close": "before"}, {"status": 500}, {"status": 503}, {"html": True}]
ACTED: list[dict[str, Any]] = [
    {"close": "after"},
    {"truncate": True},
    {"status": 502, "act": True},
    {"status": 408, "act": True},
]


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None) -> Merchant:
    return Merchant(sandbox)


def action_of(round_: int, merchant: Merchant) -> tuple[str, Payment]:
    action = ("refund", "capture", "void")[round_ % 3]
    if action != "refund":
        return action, merchant.quoted()
    return action, merchant.captured(payment_method=bank_account() if round_ % 2 else None)


def lose(merchant: Merchant, action: str, payment: Payment, fault: dict[str, Any]) -> Operation:
    merchant.sandbox.fault(f"POST /api/payments/{{uid}}/{action}", times=1, **fault)
    function = getattr(operations, f"{action}_payment")
    with pytest.raises(OutcomeUnknown) as error:
        function(payment=payment)
    operation = only(key=error.value.operation_key)
    assert (operation.state, operation.finished_at) == ("unknown", None)
    return operation


def test_lost_before_the_platform_acted(merchant: Merchant) -> None:
    """M2: not executed, said so, and started anew only by staff."""
    for round_ in range(ROUNDS):
        action, payment = action_of(round_, merchant)
        operation = lose(merchant, action, payment, NOT_ACTED[round_ % len(NOT_ACTED)])
        with listening() as heard:
            assert merchant.reconcile_all().failed == 1
        operation.refresh_from_db()
        assert (operation.state, operation.error_class) == ("failed", APIConnectionError.__name__)
        assert heard == [("operation_finished", f"{action} failed", "operation")]
        assert [entry for entry in merchant.ledger("", payment) if entry["kind"] == action] == []
        assert len(merchant.posts(f"{payment.uid}/{action}")) == 1
        getattr(operations, f"{action}_payment")(payment=payment)
        assert len([entry for entry in merchant.ledger("", payment) if entry["kind"] == action]) == 1


def test_lost_after_the_platform_acted(merchant: Merchant) -> None:
    """M3: the effect is found, and no second request is sent."""
    for round_ in range(ROUNDS):
        action, payment = action_of(round_, merchant)
        operation = lose(merchant, action, payment, ACTED[round_ % len(ACTED)])
        with listening() as heard:
            assert operations.reconcile().succeeded == 1, "at the first tick, no deadline to wait for"
            assert operations.reconcile().succeeded == 0
        operation.refresh_from_db()
        assert (operation.state, operation.error) == ("succeeded", "")
        assert [signal for signal in heard if signal[0] == "operation_finished"] == [
            ("operation_finished", f"{action} succeeded", "operation")
        ]
        (entry,) = [entry for entry in merchant.ledger("", payment) if entry["kind"] == action]
        assert entry["amount"] == operation.amount
        assert len(merchant.posts(f"{payment.uid}/{action}")) == 1


def test_sync_brings_the_result_before_reconciliation_does(merchant: Merchant) -> None:
    """M6: whichever comes first settles it, the other is a no-op; the news is told once."""
    for round_ in range(ROUNDS):
        action, payment = action_of(round_, merchant)
        lose(merchant, action, payment, {"close": "after"})
        with listening() as heard:
            for step in (merchant.sync, operations.reconcile) if round_ % 4 else (operations.reconcile, merchant.sync):
                step()
            merchant.sync()
            operations.reconcile()
        news = [name for name, _, _ in heard]
        assert news.count("operation_finished") == 1
        assert news.count("payment_captured") == (action == "capture")
        pending = action == "refund" and round_ % 2
        assert news.count("payment_refunded") == (action == "refund" and not pending)
        assert len(merchant.posts(f"{payment.uid}/{action}")) == 1
    assert not Operation.objects.exclude(state="succeeded").exists()


def test_platform_that_is_away_for_long(merchant: Merchant, settings: Any) -> None:
    """M3: nothing is given up meanwhile, and everything is settled by the first tick after it."""
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    lost = [(lose(merchant, *action_of(round_, merchant), {"close": "after"})) for round_ in range(6)]
    merchant.sandbox.fault("GET *", status=503)
    for _ in range(3):
        merchant.reconcile_all()
    assert {row.state for row in Operation.objects.filter(pk__in=[row.pk for row in lost])} == {"unknown"}
    merchant.sandbox.clear_faults()
    assert operations.reconcile().succeeded == len(lost)

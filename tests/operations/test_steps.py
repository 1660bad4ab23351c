"""The steps of ``execute``: all are in the list, in its order, and their lines hold no secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from govpay import operations
from govpay.exceptions import Conflict, OperationRefused, OutcomeUnknown
from govpay.models import Operation
from govpay.operations import journal
from govpay.operations.journal import STEPS
from tests.breakpoints import Died, dying_at, watching
from tests.operations.merchant import Merchant, card, only

pytestmark = pytest.mark.django_db(transaction=True)

REFUND = "POST /api/payments/{uid}/refund"


def actions_of(merchant: Merchant) -> dict[str, Callable[[], Any]]:
    quoted, other, captured = merchant.quoted(), merchant.quoted(), merchant.captured()
    return {
        "quote": lambda: operations.quote_payment(account=merchant.account, base_amount=700, payment_method=card()),
        "capture": lambda: operations.capture_payment(payment=quoted),
        "void": lambda: operations.void_payment(payment=other),
        "refund": lambda: operations.refund_payment(payment=captured, amount=5),
    }


@pytest.mark.parametrize("action", ["quote", "capture", "void", "refund"])
def test_a_action_passes_every_step_once_and_in_order(merchant: Merchant, action: str) -> None:
    function, passed = actions_of(merchant)[action], list[str]()
    with watching(passed.append):
        function()
    assert tuple(passed) == STEPS


def endings(merchant: Merchant) -> list[tuple[dict[str, Any], type[Exception]]]:
    return [
        ({"status": 409}, Conflict),
        ({"close": "after"}, OutcomeUnknown),
        ({"status": 502, "act": True}, OutcomeUnknown),
    ]


def test_a_action_that_fails_passes_some_of_them_and_no_others(merchant: Merchant) -> None:
    """However it ends: what a test of all steps does not know, it cannot break."""
    for fault, error in endings(merchant):
        payment, passed = merchant.captured(), list[str]()
        merchant.sandbox.fault(REFUND, times=1, **fault)
        with watching(passed.append), pytest.raises(error):
            operations.refund_payment(payment=payment, amount=5)
        assert passed == [step for step in STEPS if step in passed]
        assert {"claimed", "journalled", "sending", "stored", "closed"} <= set(passed)
    passed.clear()
    with watching(passed.append), pytest.raises(OperationRefused):
        operations.refund_payment(payment=payment, amount=5)  # its outcome is not known yet
    assert passed == []
    with watching(passed.append):
        assert operations.reconcile().succeeded == 2
    assert passed == ["stored", "closed", "read again"] * 2


def test_the_line_holds_the_key_and_the_step_alone(merchant: Merchant, caplog: pytest.LogCaptureFixture) -> None:
    method = card()
    with caplog.at_level(logging.DEBUG, "govpay.operations"):
        operations.quote_payment(account=merchant.account, base_amount=700, payment_method=method, description="water")
    lines = [record for record in caplog.records if hasattr(record, "step")]
    assert [line.getMessage() for line in lines] == [f"operation {only().key}: {step}" for step in STEPS]
    assert {line.levelno for line in lines} == {logging.DEBUG}
    told = json.dumps([vars(line) for line in lines], default=str)
    assert method["credit"]["fingerprint"] not in told
    assert "water" not in told


def test_nothing_is_made_up_while_nobody_reads_it(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Any] = []
    caplog.set_level("INFO", "govpay")
    monkeypatch.setattr(journal.logger, "debug", lambda *given, **more: calls.append(given))
    operations.refund_payment(payment=merchant.captured(), amount=5)
    assert calls == []


@pytest.mark.parametrize("step", STEPS)
def test_the_dead_of_these_tests_write_nothing_more(merchant: Merchant, step: str) -> None:
    """What ``dying_at`` leaves is what SIGKILL leaves (``tests/faults/test_money_kills.py``)."""
    payment = merchant.captured()
    with dying_at(step) as hits, pytest.raises(Died):
        operations.refund_payment(payment=payment, amount=5)
    assert hits == [step]
    states = list(Operation.objects.values_list("state", flat=True))
    assert states == ([] if step == "claimed" else ["started" if STEPS.index(step) <= 4 else "succeeded"])
    assert len(merchant.posts("refund")) == (STEPS.index(step) > 2)

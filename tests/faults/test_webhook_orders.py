"""Any order of a payment's deliveries ends with the same rows, and each change sends one signal."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from govpay import tasks
from govpay.models import Payment, Transaction, WebhookEvent
from govpay.sync.pull import pull
from tests.amounts import another, repeats
from tests.events import account_on, event_for
from tests.reading import listening

pytestmark = pytest.mark.django_db(transaction=True)

#: One instant for all: only the order of the reads can tell which is newer.
SAME_SECOND = "2040-01-01T00:00:00.000000Z"

#: What happens to the payment, in this order on the platform.
HISTORY = ("capture", "refund", "refund", "chargeback", "reversal")

HISTORIES = repeats(1000, 6, 40)

SIGNALS = {"payment_captured": 1, "payment_refunded": 2, "payment_disputed": 1}


def happen(sandbox: Any, uid: str, what: str, number: int) -> tuple[str, dict[str, Any]]:
    """Let it happen on the platform; gives the delivery that tells of it."""
    if what == "capture":
        sandbox.touch("payment", uid, status="captured")
        return "payment.completed", {"payment_uid": uid}
    if what == "refund":
        made = sandbox.refund(uid, 100, f"ref-{uid}-{number}")
        kind = "payment.refunded"
    elif what == "chargeback":
        made, kind = sandbox.charge_back(uid), "provider.chargeback"
    else:
        made, kind = sandbox.reverse_chargeback(uid), "provider.reversal"
    return kind, {"payment_uid": uid, "transaction_uid": made["uid"]}


@pytest.mark.soak(3)
@settings(
    max_examples=HISTORIES,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # shrinking a history takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(chance=st.integers(0, 2**48).map(Random))
def test_any_order_with_duplicates_and_ties(sandbox: Any, transactional_db: None, chance: Random) -> None:
    """W4: deliveries arrive between, before and after what happens, twice or three times, and the sync runs between."""
    if not another(HISTORIES):
        return  # whatever is drawn is drawn before
    account = account_on(sandbox)
    pull("payments", account)  # a first load sends no signals
    pull("transactions", account)
    uid = sandbox.add_payment(account, status="captured")["uid"]
    ties = chance.random() < 0.5  # all in the same second
    with listening(SIGNALS) as heard:
        waiting: list[int] = []
        for number, what in enumerate(HISTORY[1:]):
            if number == 0:
                first = event_for(account, "payment.completed", payment_uid=uid)
                waiting += [first.pk] * chance.randint(1, 3)
                if chance.random() < 0.5:  # captured is heard before it is refunded
                    tasks.process_event(first.pk)
            kind, payload = happen(sandbox, uid, what, number)
            if ties:
                sandbox.touch("payment", uid, updated_at=SAME_SECOND)
            event = event_for(account, kind, **payload)
            waiting += [event.pk] * chance.randint(1, 2)
            for _ in range(chance.randint(0, 2)):
                tasks.process_event(chance.choice(waiting))
            if chance.randint(0, 4) == 0:
                pull("payments", account)
                pull("transactions", account)
        for pk in chance.sample(waiting, len(waiting)):
            tasks.process_event(pk)
        tasks.process_event(waiting[0])
    payment = Payment.objects.get(uid=uid)
    there = sandbox.get("payment", uid)
    assert (payment.status, payment.refunded_amount) == (there["status"], there["refunded_amount"])
    told = Transaction.objects.filter(payment=uid)
    assert sorted(told.exclude(type="capture").values_list("type", flat=True)) == [
        *("chargeback", "chargeback_reversal", "refund", "refund"),
    ]
    assert set(WebhookEvent.objects.filter(account=account).values_list("state", flat=True)) == {"processed"}
    counted = {name: sum(news[:2] == (name, uid) for news in heard.signals) for name in SIGNALS}
    assert counted == SIGNALS

"""``govpay.sync.unreachable``: events of an account that hangs wait, and hold up no other account."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from govpay import tasks
from govpay.cache import unreachable_key
from govpay.connection import get_authorizer, reset
from govpay.models import WebhookEvent
from govpay.sync import inbox, unreachable
from tests.events import account_on, event_for, known_account
from tests.patience import SILENCE

#: The fixture ``_unhurried_events`` replaces them.
SHORT_LIMITS = {name: getattr(unreachable, name) for name in ("FIRST_READ_TIMEOUT", "SHORT_READ_TIMEOUT")}

pytestmark = pytest.mark.django_db(transaction=True)


def paid_event(sandbox: Any, account: str) -> tuple[str, WebhookEvent]:
    """The path of a new payment and a delivery about it."""
    uid = sandbox.add_payment(account, status="captured")["uid"]
    return f"/api/payments/{uid}", event_for(account, "payment.completed", payment_uid=uid)


def read(sandbox: Any) -> list[str]:
    return [call["path"] for call in sandbox.requests() if call["path"].startswith("/api/payments/")]


def hand_over(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The events that are handed over to the workers of lists from now on. No worker gets them."""
    found: list[int] = []
    monkeypatch.setattr(tasks.process_slow_event, "apply_async", lambda args, **_: found.append(args[0]))
    return found


def test_one_event_of_an_account_that_hangs_is_read_and_its_others_wait(
    sandbox: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults C3: the reads end before the retry that would be answered, and the next event is not read."""
    settings.GOVPAY = {**settings.GOVPAY, "READ_TIMEOUT": 0.5}
    hanging, healthy = account_on(sandbox), account_on(sandbox)
    (path, first), (_, second), (good_path, good) = (paid_event(sandbox, each) for each in (hanging, hanging, healthy))
    hangs = sandbox.fault(f"GET {path}", delay=SILENCE, times=2)
    with monkeypatch.context() as patch:
        for each in ("EVENT_READ_TIMEOUT", "FIRST_READ_TIMEOUT"):
            patch.setattr(unreachable, each, 0.3)
        handed_over = hand_over(monkeypatch)
        tasks.process_event(first.pk)
        assert handed_over == [first.pk]
        assert hangs.hits == 1
        tasks.process_slow_event(first.pk)
    assert hangs.hits == 2
    tasks.process_events([second.pk, good.pk])
    assert read(sandbox)[-1] == good_path
    rows = {row.pk: row for row in WebhookEvent.objects.all()}
    assert [(rows[each.pk].state, rows[each.pk].attempts) for each in (first, second, good)] == [
        ("received", 1),
        ("received", 0),
        ("processed", 1),
    ]
    assert rows[second.pk].error == unreachable.WAITING
    assert rows[second.pk].claimed_until is None
    tasks.process_event(second.pk)
    assert len(read(sandbox)) == 3, "it is not due yet"


def test_an_event_that_waited_is_read_once_the_account_is_forgotten(sandbox: Any, settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    account = account_on(sandbox)
    path, event = paid_event(sandbox, account)
    cut = sandbox.fault(f"GET {path}", close="before")
    tasks.process_slow_event(event.pk)
    assert cut.hits
    sandbox.clear_faults()
    _, waiting = paid_event(sandbox, account)
    tasks.process_event(waiting.pk)
    cache.delete(unreachable_key(account))
    WebhookEvent.objects.update(due_at=waiting.received_at)
    tasks.process_events([event.pk, waiting.pk])
    assert set(WebhookEvent.objects.values_list("state", "error")) == {("processed", "")}


def test_a_message_holds_events_of_one_account_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog is queued account by account, and the accounts take turns."""
    sent: list[list[int]] = []
    monkeypatch.setattr(tasks, "_publish", lambda pks: sent.append(list(pks)))
    monkeypatch.setattr(tasks, "TOGETHER", 2)
    one, other = known_account("acc_1"), known_account("acc_2")
    pks = [event_for(each, "payment.completed").pk for each in (one, one, one, other, other)]
    WebhookEvent.objects.update(due_at=timezone.now())
    tasks.send_outstanding()
    expected = [pks[:2], pks[3:], pks[2:3]]
    assert sent == expected
    sent.clear()
    tasks._publish_by_account([(str(row.account_id), row.pk) for row in WebhookEvent.objects.order_by("pk")])
    assert sent == expected


def test_an_event_that_waited_can_be_claimed_when_it_is_queued_again(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, event = paid_event(sandbox, account_on(sandbox))
    claimed = inbox.claim(event.pk)
    assert claimed is not None
    inbox.put_off(claimed, unreachable.WAITING, -1.0)
    queued: list[int] = []
    monkeypatch.setattr(tasks, "_publish", queued.extend)
    tasks.send_outstanding()
    assert queued == [event.pk]
    assert inbox.claim(event.pk) is not None


def test_the_time_limit_of_an_event_does_not_end_the_fetch_of_a_token(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch that failed would stop the actions of all processes for a while."""
    _, event = paid_event(sandbox, account_on(sandbox))
    cache.clear()
    reset()
    before = sandbox.token_requests
    slow = sandbox.fault("POST /oauth2/token", delay=1.3, times=1)
    monkeypatch.setattr(unreachable, "EVENT_READ_TIMEOUT", 0.2)
    tasks.process_event(event.pk)
    assert slow.hits == 1
    assert get_authorizer().token()
    assert sandbox.token_requests == before + 1


@pytest.mark.parametrize("failure", [{"delay": SILENCE}, {"status": 503}, {"status": 429, "retry_after": 2}])
def test_events_of_a_slow_account_are_read_where_they_hold_up_nobody(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch, failure: dict[str, Any]
) -> None:
    """The first event costs one short read. The others are handed over unread, and none of them counts an attempt."""
    account = account_on(sandbox)
    paid = [paid_event(sandbox, account) for _ in range(3)]
    handed_over = hand_over(monkeypatch)
    monkeypatch.setattr(unreachable, "FIRST_READ_TIMEOUT", 0.2)
    sandbox.fault(f"GET {paid[0][0]}", **failure)
    tasks.process_events([event.pk for _, event in paid])
    assert set(read(sandbox)) == {paid[0][0]}
    assert handed_over == [event.pk for _, event in paid]
    assert set(WebhookEvent.objects.values_list("state", "attempts", "claimed_until", "error")) == {
        ("received", 0, None, "")
    }
    sandbox.clear_faults()
    for pk in handed_over:
        tasks.process_slow_event(pk)
    assert set(WebhookEvent.objects.values_list("state", "attempts")) == {("processed", 1)}
    assert unreachable.state_of(account) == "", "fast again"


def test_a_slow_account_stays_slow_and_no_event_of_it_waits_a_minute(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers, but later than the short limit."""
    account = account_on(sandbox)
    paid = [paid_event(sandbox, account) for _ in range(2)]
    handed_over = hand_over(monkeypatch)
    for each in ("FIRST_READ_TIMEOUT", "SHORT_READ_TIMEOUT"):
        monkeypatch.setattr(unreachable, each, 0.2)
    monkeypatch.setattr(unreachable, "EVENT_READ_TIMEOUT", SILENCE)
    sandbox.fault("GET /api/payments/*", delay=0.5)
    for _, event in paid:
        tasks.process_event(event.pk)
        tasks.process_slow_event(event.pk)
    assert handed_over == [event.pk for _, event in paid]
    assert len(read(sandbox)) == 3, "the second event was read once"
    assert set(WebhookEvent.objects.values_list("state", "attempts")) == {("processed", 1)}


def test_while_an_account_is_slow_unknown_ones_get_less_time(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults C3: many accounts that begin to hang at once do not add up."""
    given: list[float] = []
    limit = unreachable.time_limit
    monkeypatch.setattr(unreachable, "time_limit", lambda seconds: (given.append(seconds), limit(seconds))[1])
    hand_over(monkeypatch)
    for name, seconds in SHORT_LIMITS.items():
        monkeypatch.setattr(unreachable, name, seconds)
    sandbox.fault("GET /api/payments/*", status=503)
    for _ in range(6):
        tasks.process_event(paid_event(sandbox, account_on(sandbox))[1].pk)
    assert len(given) == 6
    assert sum(given) <= 4.0


def test_an_event_is_not_lost_when_it_cannot_be_handed_over(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("the broker is down")

    account = account_on(sandbox)
    _, event = paid_event(sandbox, account)
    cache.set(unreachable_key(account), unreachable.SLOW, 60)
    with monkeypatch.context() as patch:
        patch.setattr(tasks.process_slow_event, "apply_async", refuse)
        tasks.process_event(event.pk)
    cache.delete(unreachable_key(account))
    WebhookEvent.objects.update(due_at=timezone.now())
    tasks.send_outstanding()
    tasks.process_event(event.pk)
    assert WebhookEvent.objects.get().state == "processed"

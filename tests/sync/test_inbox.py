"""``govpay.sync.inbox``: claims, retries, sweeping and purging."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from govpay import tasks
from govpay.models import WebhookEvent
from govpay.sync import inbox
from tests.events import event_for, known_account

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def event() -> WebhookEvent:
    return event_for(known_account(), "payment.completed", payment_uid="pay_1")


def ago(**given: float) -> dt.datetime:
    return timezone.now() - dt.timedelta(**given)


def test_one_claim_at_a_time(event: WebhookEvent) -> None:
    claimed = inbox.claim(event.pk)
    assert claimed is not None
    assert claimed.attempts == 1
    assert inbox.claim(event.pk) is None
    WebhookEvent.objects.update(claimed_until=ago(seconds=1))
    again = inbox.claim(event.pk)
    assert again is not None
    assert again.attempts == 2


@pytest.mark.parametrize("state", ["processed", "failed", "ignored"])
def test_what_is_done_is_not_claimed(event: WebhookEvent, state: str) -> None:
    WebhookEvent.objects.update(state=state)
    assert inbox.claim(event.pk) is None
    assert inbox.claim(event.pk + 1) is None


def test_the_pauses_grow(event: WebhookEvent) -> None:
    pauses = []
    for _ in range(inbox.MAX_ATTEMPTS - 1):
        claimed = inbox.claim(event.pk)
        assert claimed is not None
        inbox.fail(claimed, "down")
        event.refresh_from_db()
        assert event.due_at is not None
        pauses.append(round((event.due_at - timezone.now()).total_seconds() / 60))
        assert inbox.claim(event.pk) is None, "it rests"
        WebhookEvent.objects.update(due_at=timezone.now())
    assert pauses == [1, 2, 4, 8, 16, 32, 60]
    claimed = inbox.claim(event.pk)
    assert claimed is not None
    inbox.fail(claimed, "down")
    event.refresh_from_db()
    assert (event.state, event.error, event.due_at) == ("failed", "down", None)


def test_what_nobody_began_is_queued_once_in_a_while(event: WebhookEvent, monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[int] = []
    monkeypatch.setattr(tasks, "_publish", queued.extend)
    WebhookEvent.objects.update(due_at=timezone.now() + dt.timedelta(seconds=5))
    tasks.send_outstanding()
    assert queued == []
    WebhookEvent.objects.update(due_at=ago(seconds=1))
    tasks.send_outstanding()
    tasks.send_outstanding()
    assert queued == [event.pk]
    WebhookEvent.objects.update(due_at=ago(seconds=1), claimed_until=timezone.now() + dt.timedelta(seconds=9))
    tasks.send_outstanding()
    assert queued == [event.pk], "somebody is at it"
    WebhookEvent.objects.update(claimed_until=ago(seconds=1))
    tasks.send_outstanding()
    assert queued == [event.pk] * 2, "a worker has died"
    WebhookEvent.objects.update(state="processed", due_at=ago(seconds=1))
    tasks.send_outstanding()
    assert len(queued) == 2


def test_an_event_that_was_just_stored_is_left_to_its_message() -> None:
    account = known_account()
    given: dict[str, Any] = {"event_type": "payment.completed", "sent_at": timezone.now(), "payload": {}}
    assert inbox.store(account_uid=account, webhook_id="evt_1", **given)
    assert inbox.overdue() == []
    assert inbox.store(account_uid=account, webhook_id="evt_1", **given) is None


def test_requeue(event: WebhookEvent) -> None:
    for state in ("processed", "failed", "ignored", "received"):
        WebhookEvent.objects.update(state=state, error="x", attempts=5)
        assert inbox.requeue([event.pk, 999_999]) == [event.pk]
        event.refresh_from_db()
        assert (event.state, event.error, event.attempts) == ("received", "", 0)
    assert inbox.claim(event.pk)
    assert inbox.requeue([event.pk]) == []


def test_it_is_announced_once(event: WebhookEvent) -> None:
    from tests.reading import listening

    with listening(["event_received"]) as heard:
        for _ in range(3):
            WebhookEvent.objects.update(event_type="of.another.kind", state="received")
            tasks.process_event(event.pk)
    assert len(heard.signals) == 1


def test_purge(event: WebhookEvent, settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "EVENT_RETENTION_DAYS": 90}
    WebhookEvent.objects.update(state="processed", received_at=ago(days=89))
    tasks.purge_events()
    assert WebhookEvent.objects.count() == 1
    WebhookEvent.objects.update(state="received", received_at=ago(days=91))
    tasks.purge_events()
    assert WebhookEvent.objects.count() == 1, "it is still to be processed"
    for state in ("processed", "failed", "ignored"):
        WebhookEvent.objects.update(state=state)
        tasks.purge_events()
        assert WebhookEvent.objects.count() == 0
        event.pk = None
        event.save()
        WebhookEvent.objects.update(received_at=ago(days=91))


def test_an_identifier_is_remembered_for_a_month_whatever_the_setting_says(event: WebhookEvent, settings: Any) -> None:
    """Faults W1b."""
    settings.GOVPAY = {**settings.GOVPAY, "EVENT_RETENTION_DAYS": 1}
    WebhookEvent.objects.update(state="processed", received_at=ago(days=29))
    tasks.purge_events()
    assert WebhookEvent.objects.count() == 1

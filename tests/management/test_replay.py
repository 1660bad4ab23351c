"""``govpay_replay``: output and exit codes."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from govpay.models import Payment, WebhookEvent
from govpay.sync import inbox
from tests.events import account_on, event_for, known_account
from tests.processes import start_command

pytestmark = pytest.mark.django_db(transaction=True)


def replay(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command("govpay_replay", *arguments, stdout=out, **options)
    return out.getvalue()


def test_failed_events_are_worked_on_again(sandbox: Any) -> None:
    account = account_on(sandbox)
    uid = sandbox.add_payment(account, status="captured")["uid"]
    failed = event_for(account, "payment.completed", payment_uid=uid)
    done = event_for(account, "payment.completed", payment_uid=uid)
    WebhookEvent.objects.update(state="processed")
    WebhookEvent.objects.filter(pk=failed.pk).update(state="failed", error="down", attempts=8)
    process = start_command("govpay_replay", "--failed")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert out == f"{failed.webhook_id} payment.completed account={account} processed\n"
    assert Payment.objects.get().uid == uid
    done.refresh_from_db()
    assert done.attempts == 0


def test_named_ones_whatever_their_state(sandbox: Any) -> None:
    account = account_on(sandbox)
    uid = sandbox.add_payment(account, status="captured")["uid"]
    events = [event_for(account, "payment.completed", payment_uid=uid) for _ in range(3)]
    WebhookEvent.objects.update(state="processed")
    out = replay(*(event.webhook_id for event in events[:2]))
    assert out.count("processed") == 2
    assert WebhookEvent.objects.filter(attempts=1).count() == 2


def test_one_that_still_cannot_be_worked_on(sandbox: Any) -> None:
    account = account_on(sandbox)
    event = event_for(account, "payment.completed")
    with pytest.raises(CommandError, match="1 of the events could not be processed"):
        replay(event.webhook_id)


def test_one_that_a_worker_is_at() -> None:
    event = event_for(known_account(), "payment.completed", payment_uid="pay_1")
    assert inbox.claim(event.pk)
    with pytest.raises(CommandError):
        replay(event.webhook_id)
    assert WebhookEvent.objects.get().attempts == 1


@pytest.mark.parametrize("arguments", [[], ["evt_1", "--failed"]])
def test_one_or_the_other(arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="--failed"):
        replay(*arguments)


def test_an_unknown_one() -> None:
    with pytest.raises(CommandError, match="evt_nobody"):
        replay("evt_nobody")

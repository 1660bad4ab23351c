"""``govpay.sync.subscriptions``: an account's webhook subscriptions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from govpay.models import WebhookSubscription
from tests.reading import counts, read, watch

pytestmark = pytest.mark.django_db(transaction=True)


def choose(sandbox: Any, account: str, **enabled: bool) -> None:
    row = sandbox.platform.store.get("account", account)
    row.private["subscriptions"] = {f"payment.{name}": wanted for name, wanted in enabled.items()}
    sandbox.platform.store.put(row)


def test_subscriptions_follow_the_platform(sandbox: Any, account: str) -> None:
    choose(sandbox, account, completed=True, failed=False)
    calls = watch(sandbox)
    assert counts(read("subscriptions", account)) == {"created": 2}
    assert len(calls) == 1
    rows = WebhookSubscription.objects.order_by("event_type")
    assert [(row.uid, row.event_type, row.enabled, row.account_id) for row in rows] == [
        (f"{account}:payment.completed", "payment.completed", True, account),
        (f"{account}:payment.failed", "payment.failed", False, account),
    ]
    choose(sandbox, account, completed=False)
    assert counts(read("subscriptions", account)) == {"updated": 1, "deleted": 1}
    choose(sandbox, account, completed=False, failed=True)
    assert counts(read("subscriptions", account)) == {"updated": 1, "unchanged": 1}
    assert WebhookSubscription.objects.present().count() == 2


def test_two_accounts_have_their_own(sandbox: Any, account: str) -> None:
    other = sandbox.add_account()["uid"]
    for uid in (account, other):
        choose(sandbox, uid, completed=True)
        read("subscriptions", uid)
    choose(sandbox, other)
    assert counts(read("subscriptions", other)) == {"deleted": 1}
    assert [row.account_id for row in WebhookSubscription.objects.present()] == [account]


@pytest.mark.parametrize("envelope", ["{}", '{"value": {}}', '{"items": {}}', '{"subscriptions": {}}'])
def test_any_envelope_will_do(sandbox: Any, account: str, envelope: str) -> None:
    """Assumption A20."""
    rows = json.dumps([{"event_type": "payment.failed", "enabled": True, "added": "2026-01-01"}])
    body = rows if envelope == "{}" else envelope.replace("{}", rows)
    sandbox.fault("GET /api/webhooks/subscriptions", body=body, status=200)
    assert counts(read("subscriptions", account)) == {"created": 1}


def test_a_bad_one_is_reported_and_buries_nothing(sandbox: Any, account: str) -> None:
    choose(sandbox, account, completed=True)
    read("subscriptions", account)
    body = json.dumps([{"enabled": True}, {"event_type": "payment\nfailed", "enabled": True}])
    sandbox.fault("GET /api/webhooks/subscriptions", body=body, status=200)
    assert counts(read("subscriptions", account)) == {"rejected_count": 2}
    assert WebhookSubscription.objects.present().count() == 1

"""A site without problems. Each test breaks one thing."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.urls import reverse

from govpay.doctor import Finding, examine, heartbeats
from govpay.models import PaymentAccount
from govpay.sync.events import HANDLERS

Findings = Callable[[str], list[Finding]]


def subscribe(sandbox: Any, account: str, *events: str) -> None:
    """On the platform's side."""
    row = sandbox.platform.store.get("account", account)
    row.private["subscriptions"] = {str(name): True for name in events}
    sandbox.platform.store.put(row)


@pytest.fixture
def site(sandbox: Any, settings: Any) -> Any:
    """An account with webhooks, all lists read, a worker and beat that were just seen. Gives the sandbox."""
    settings.GOVPAY = {
        **settings.GOVPAY,
        "ENCRYPTION_KEYS": [Fernet.generate_key().decode()],
        "CHECKOUT_ORIGINS": ["http://127.0.0.1:8000"],
    }
    account = sandbox.add_account()["uid"]
    callback = "http://127.0.0.1:8000" + reverse("govpay:webhook", args=[account])
    sandbox.touch("account", account, callback_url=callback, webhook_enabled=True)
    subscribe(sandbox, account, *HANDLERS)
    call_command("govpay_sync", stdout=StringIO())
    PaymentAccount.objects.update(webhook_secret="whsec_canary")
    heartbeats.record_beat()
    heartbeats._recorded_at = 0.0
    heartbeats.record_worker()
    sandbox.account = account
    return sandbox


@pytest.fixture
def findings(site: Any) -> Findings:
    """``findings("clock")`` runs that check and returns its findings."""

    def found(check: str) -> list[Finding]:
        return [finding for finding in examine().findings if finding.check == check]

    return found

"""Checks of the doctor: no false alarms, and no problem is overlooked."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import caches

from govpay import cache
from govpay.doctor import Level, examine, heartbeats
from govpay.models import ContractNotice, Heartbeat, PaymentAccount
from tests.doctor.conftest import Findings
from tests.doctor.test_checks import LOCMEM, ago, assert_is, use, worst

pytestmark = pytest.mark.django_db(transaction=True)


def test_accounts_of_which_the_platform_does_not_say_whether_they_are_active(findings: Findings) -> None:
    PaymentAccount.objects.update(active=None)
    assert_is(findings("accounts"), Level.OK, "1 of 1")
    PaymentAccount.objects.update(webhook_enabled=False)
    assert_is(findings("webhooks"), Level.WARNING, "switched off")


def test_a_pause_is_a_warning_to_whoever_asks_next(site: Any) -> None:
    site.fault("GET /api/webhooks/subscriptions", status=429, retry_after=60, times=1)
    examine()
    report = examine()
    found = [finding for finding in report.findings if finding.check == "subscriptions"]
    assert [finding.level for finding in found] == [Level.WARNING]
    assert "Wait" in found[0].hint
    assert report.level is Level.WARNING


def test_beat_is_alive_while_the_cache_is_down(
    findings: Findings, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("redis://:canary@cache")

    Heartbeat.objects.update(last_seen=ago(hours=1))
    with monkeypatch.context() as patch:
        patch.setattr(type(caches["default"]), "set", fail)
        heartbeats.record_beat()
    assert worst(findings("beat")).level is Level.OK
    assert "ConnectionError" in caplog.text
    assert "canary" not in caplog.text
    assert_is(findings("cache"), Level.ERROR, "is not shared with the worker")
    caches["default"].delete(cache.HEARTBEAT_KEY)
    assert_is(findings("cache"), Level.ERROR, "is not shared with the worker")
    heartbeats.record_beat()
    assert_is(findings("cache"), Level.OK, "is shared with the worker")


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_cache_of_one_process_is_an_error_beside_either_sign(findings: Findings, settings: Any, name: str) -> None:
    settings.CACHES = {**settings.CACHES, "own": {"BACKEND": LOCMEM}}
    settings.DEBUG = True
    use(settings, CACHE="own")
    Heartbeat.objects.exclude(name=name).delete()
    assert worst(findings("cache")).level is Level.ERROR
    Heartbeat.objects.update(last_seen=ago(minutes=6))
    assert worst(findings("cache")).level is Level.WARNING


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_a_process_that_was_never_seen_is_an_error_once_there_was_time_for_it(findings: Findings, name: str) -> None:
    Heartbeat.objects.filter(name=name).delete()
    PaymentAccount.objects.update(synced_at=ago(minutes=4))
    assert_is(findings(name), Level.WARNING, "ever seen")
    PaymentAccount.objects.update(synced_at=ago(minutes=6))
    assert_is(findings(name), Level.ERROR, "ever seen")


def test_an_empty_secret_is_none(findings: Findings) -> None:
    PaymentAccount.objects.update(webhook_secret="")
    assert_is(findings("secret"), Level.ERROR, "is empty")


def test_notices_of_what_is_known_by_now(findings: Findings) -> None:
    for kind, name, value in (
        ("payment", "status", "captured"),
        ("payment", "payment_method.credit.last4", ""),
        ("payment", "base_amount", ""),
        ("webhookevent", "event_type", "payment.refunded"),
    ):
        ContractNotice.objects.create(kind=kind, name=name, value=value)
    assert_is(findings("contract"), Level.OK, "Nothing unknown")
    unknown = {
        ("payment", "status", "settling"),
        ("payment", "payment_method.credit.network", ""),
        ("payment", "payment_method.cheque.number", ""),
        ("payment", "(not shown)", ""),
        ("webhookevent", "event_type", "payment.pondered"),
        ("unheardof", "name", ""),
    }
    for kind, name, value in unknown:
        ContractNotice.objects.create(kind=kind, name=name, value=value)
    assert len(findings("contract")) == len(unknown)

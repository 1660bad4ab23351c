"""``govpay.sync.secrets``: the previous secret is kept as long as it may be needed."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.utils import timezone

from govpay.doctor.findings import CheckContext
from govpay.doctor.site import check_keys
from govpay.models import PaymentAccount
from govpay.sync import secrets

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _forgetful() -> Any:
    secrets.forget()
    yield
    secrets.forget()


def other_key(settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}


def levels() -> set[str]:
    return {finding.level.value for finding in check_keys(CheckContext())}


def test_a_secret_that_can_be_read_becomes_the_previous_one() -> None:
    PaymentAccount.objects.create(uid="acc_1", webhook_secret="first")
    secrets.keep("acc_1", "second")
    assert secrets.secrets_of("acc_1") == ("second", "first")


def test_a_secret_whose_key_is_lost_does_not_become_the_previous_one(settings: Any) -> None:
    other_key(settings)
    PaymentAccount.objects.create(uid="acc_1", webhook_secret="first")
    other_key(settings)
    assert levels() == {"error"}
    secrets.keep("acc_1", "second")
    row = PaymentAccount.objects.get()
    assert row.previous_webhook_secret is None
    assert row.webhook_secret.reveal() == "second"
    assert levels() == {"ok"}


@pytest.mark.parametrize("current", ["second", "third"])
def test_a_previous_one_whose_key_is_lost_is_wiped(settings: Any, current: str) -> None:
    """Whether the platform returns the same secret or another one."""
    other_key(settings)
    PaymentAccount.objects.create(
        uid="acc_1", previous_webhook_secret="first", webhook_secret_replaced_at=timezone.now()
    )
    other_key(settings)
    PaymentAccount.objects.update(webhook_secret="second")
    assert "error" in levels()
    secrets.keep("acc_1", current)
    assert levels() == {"ok"}


def test_a_previous_one_is_wiped_after_its_grace() -> None:
    replaced = timezone.now() - dt.timedelta(hours=23)
    columns = {"webhook_secret": "second", "previous_webhook_secret": "first", "webhook_secret_replaced_at": replaced}
    for uid in ("acc_1", "acc_2", "acc_3"):
        PaymentAccount.objects.create(uid=uid, **columns)
    assert secrets.wipe_replaced() == 0
    secrets.keep("acc_1", "second")
    assert secrets.secrets_of("acc_1") == ("second", "first")
    PaymentAccount.objects.update(webhook_secret_replaced_at=replaced - dt.timedelta(hours=2))
    secrets.forget()
    secrets.keep("acc_1", "second")
    assert secrets.secrets_of("acc_2") == ("second",)
    kept = PaymentAccount.objects.exclude(previous_webhook_secret=None)
    assert list(kept.values_list("uid", flat=True)) == ["acc_3"]
    assert secrets.wipe_replaced() == 1
    assert not kept.all().exists()

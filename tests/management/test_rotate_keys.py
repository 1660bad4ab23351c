"""``govpay_rotate_keys``: all secrets are encrypted with the newest key, also under concurrent changes."""

from __future__ import annotations

import datetime as dt
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.utils import timezone

from govpay.connection import get_authorizer
from govpay.exceptions import EncryptionError
from govpay.models import HostedSession, Operation, PaymentAccount, sealed
from govpay.operations import keys
from tests.processes import start_command

pytestmark = pytest.mark.django_db(transaction=True)


class Keys:
    """``use("new", "old")``: the list of keys from now on, each made when it is first named."""

    def __init__(self, settings: Any) -> None:
        self._settings, self._made = settings, {}

    def __call__(self, *names: str) -> None:
        made = [self._made.setdefault(name, Fernet.generate_key().decode()) for name in names]
        self._settings.GOVPAY = {**self._settings.GOVPAY, "ENCRYPTION_KEYS": made}


@pytest.fixture
def use(settings: Any) -> Keys:
    return Keys(settings)


def rotate() -> list[str]:
    out = StringIO()
    call_command("govpay_rotate_keys", stdout=out)
    return out.getvalue().splitlines()


def fill(count: int = 3) -> None:
    for number in range(count):
        PaymentAccount.objects.create(
            uid=f"acc_{number}", webhook_secret=f"secret {number}", previous_webhook_secret=f"before {number}"
        )
        HostedSession.objects.create(uid=f"hs_{number}", credential=f"credential {number}", hosted_url="")
        Operation.objects.create(action="quote", validated_method=f"method {number}", deadline_at=timezone.now())


def revealed() -> list[str]:
    found = []
    for model, names in sealed.sealed_columns():
        for row in model._default_manager.order_by("pk"):
            found += [getattr(row, name).reveal() for name in names if getattr(row, name) is not None]
    return found


def test_after_it_the_old_key_can_go(use: Keys) -> None:
    """S3: both keys read, the new one writes, 0 unreadable."""
    use("old")
    fill()
    before = revealed()
    use("new", "old")
    assert set(rotate()) == {
        "PaymentAccount.webhook_secret rewritten=3 current=0 lost=0",
        "PaymentAccount.previous_webhook_secret rewritten=3 current=0 lost=0",
        "HostedSession.credential rewritten=3 current=0 lost=0",
        "HostedSession.hosted_url rewritten=3 current=0 lost=0",
        "Operation.validated_method rewritten=3 current=0 lost=0",
    }
    use("new")
    assert revealed() == before
    assert len(before) == 15


def test_a_stopped_run_is_continued_by_the_next(use: Keys, monkeypatch: Any) -> None:
    monkeypatch.setattr(sealed.batches, "__defaults__", (1,))
    use("old")
    fill()
    use("new", "old")
    before = revealed()

    def stop(rows: int) -> None:
        tokens = [account.webhook_secret.token for account in PaymentAccount.objects.all()]
        if sum(keys.resealed(token) is None for token in tokens) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(keys.rotate_keys(stop))
    assert revealed() == before
    lines = rotate()
    assert "PaymentAccount.webhook_secret rewritten=1 current=2 lost=0" in lines
    use("new")
    assert revealed() == before
    use("new", "old")
    assert all("rewritten=0" in line for line in rotate())


def test_a_concurrent_change_is_never_overwritten(use: Keys, monkeypatch: Any) -> None:
    use("old")
    fill(1)
    use("new", "old")
    reseal, writes = keys.resealed, iter(["the later one", None])

    def overtaken(token: str) -> str | None:
        fresh = reseal(token)
        if (secret := next(writes, None)) is not None:
            PaymentAccount.objects.update(webhook_secret=secret)
        return fresh

    monkeypatch.setattr(keys, "resealed", overtaken)
    list(keys.rotate_keys())
    account = PaymentAccount.objects.get()
    assert account.webhook_secret.reveal() == "the later one"
    use("new")
    assert account.webhook_secret.reveal() == "the later one"
    assert account.previous_webhook_secret is not None


def test_a_process_that_goes_on_with_the_old_key_is_told_of(use: Keys, monkeypatch: Any) -> None:
    use("old")
    fill(1)
    use("new", "old")
    reseal = keys.resealed

    def overtaken(token: str) -> str | None:
        fresh = reseal(token)
        use("old")
        HostedSession.objects.update(credential="written with the old key")
        use("new", "old")
        return fresh

    monkeypatch.setattr(keys, "resealed", overtaken)
    with pytest.raises(CommandError, match="1 values changed meanwhile"):
        rotate()
    assert HostedSession.objects.get().credential.reveal() == "written with the old key"


def test_a_value_wiped_meanwhile_stays_wiped(use: Keys, monkeypatch: Any) -> None:
    use("old")
    fill(1)
    use("new", "old")
    reseal = keys.resealed

    def overtaken(token: str) -> str | None:
        HostedSession.objects.update(credential=None, hosted_url=None)
        return reseal(token)

    monkeypatch.setattr(keys, "resealed", overtaken)
    list(keys.rotate_keys())
    assert HostedSession.objects.get().credential is None


def test_a_lost_value_is_named_and_left_and_the_others_are_rewritten(use: Keys) -> None:
    use("lost")
    fill(1)
    lost = PaymentAccount.objects.get()
    use("old")
    PaymentAccount.objects.create(uid="acc_x", webhook_secret="readable")
    use("new", "old")
    process = start_command("govpay_rotate_keys")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "PaymentAccount.webhook_secret rewritten=1 current=0 lost=1" in out
    assert f"PaymentAccount.webhook_secret pk={lost.pk} " in err
    assert "readable" not in out + err
    assert PaymentAccount.objects.get(pk=lost.pk).webhook_secret.token == lost.webhook_secret.token
    use("new")
    assert PaymentAccount.objects.get(uid="acc_x").webhook_secret.reveal() == "readable"


def test_a_replaced_secret_whose_grace_is_over_needs_no_key(use: Keys) -> None:
    use("lost")
    replaced = timezone.now() - dt.timedelta(days=2)
    PaymentAccount.objects.create(uid="acc_1", previous_webhook_secret="x", webhook_secret_replaced_at=replaced)
    use("new")
    rotate()
    assert PaymentAccount.objects.get().previous_webhook_secret is None


def test_a_lost_key_names_the_row_where_it_is_used(use: Keys) -> None:
    use("old")
    fill(1)
    use("new")
    with pytest.raises(EncryptionError, match="webhook secret of PaymentAccount acc_0 cannot be read"):
        PaymentAccount.objects.get().webhook_secret.reveal()
    operation = Operation.objects.defer("validated_method").get()
    with pytest.raises(EncryptionError, match=f"of Operation no. {operation.pk} cannot be read"):
        operation.validated_method.reveal()


def test_the_token_in_the_cache_is_fetched_anew(sandbox: Any, use: Keys) -> None:
    use("old")
    get_authorizer().token()
    use("new")
    assert get_authorizer().token()
    assert sandbox.token_requests == 2


def test_malformed_keys_are_one_line_and_nothing_is_written(settings: Any, use: Keys) -> None:
    use("old")
    fill(1)
    settings.GOVPAY = {**settings.GOVPAY, "ENCRYPTION_KEYS": ["canary"]}
    with pytest.raises(CommandError, match="must hold Fernet keys") as caught:
        rotate()
    assert "canary" not in str(caught.value)

"""Column types: sealed text at rest, and identifiers compared by code point."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import connection

from govpay.exceptions import EncryptionError
from govpay.models import Client, PaymentAccount
from govpay.security.encryption import seal


@pytest.mark.django_db
def test_a_secret_lies_encrypted_and_never_shows(settings: object) -> None:
    row = PaymentAccount.objects.create(uid="acc_1", webhook_secret="whsec_canary")
    row.refresh_from_db()
    with connection.cursor() as cursor:
        cursor.execute("SELECT webhook_secret FROM govpay_paymentaccount")
        (stored,) = cursor.fetchone()
    assert "canary" not in stored
    assert row.webhook_secret.reveal() == "whsec_canary"
    assert "canary" not in repr(row.__dict__)
    assert "canary" not in serializers.serialize("json", [row])


@pytest.mark.django_db
@pytest.mark.parametrize("form", ["json", "xml"])
def test_a_secret_that_is_dumped_and_loaded_is_sealed_once(tmp_path: Path, form: str) -> None:
    PaymentAccount.objects.create(uid="acc_1", webhook_secret="whsec_canary")
    file = tmp_path / f"accounts.{form}"
    call_command("dumpdata", "govpay.paymentaccount", format=form, output=str(file))
    PaymentAccount.objects.all().delete()
    call_command("loaddata", str(file), verbosity=0)
    row = PaymentAccount.objects.get()
    assert row.webhook_secret.reveal() == "whsec_canary"
    assert row.previous_webhook_secret is None


@pytest.mark.parametrize("text", ["whsec_1", "sealed:", "sealed:whsec_1", "sealed:gAAAA secret"])
def test_text_that_was_not_dumped_is_text(text: str) -> None:
    assert PaymentAccount._meta.get_field("webhook_secret").to_python(text) == text


def test_a_bare_token_is_text() -> None:
    """The value may be a secret."""
    token = seal("x")
    assert PaymentAccount._meta.get_field("webhook_secret").to_python(token) == token


@pytest.mark.django_db
def test_a_lost_key_breaks_the_secret_and_not_the_list(settings: object) -> None:
    """Faults S3."""
    PaymentAccount.objects.create(uid="acc_1", webhook_secret="x")
    settings.SECRET_KEY = "lost"  # type: ignore[attr-defined]
    (row,) = PaymentAccount.objects.all()
    with pytest.raises(EncryptionError):
        row.webhook_secret.reveal()


@pytest.mark.django_db
def test_identifiers_sort_by_code_point() -> None:
    for uid in ("b", "B", "a_1", "a-1", "Z"):
        Client.objects.create(uid=uid)
    uids = list(Client.objects.order_by("uid").values_list("uid", flat=True))
    assert uids == sorted(uids)
    assert list(Client.objects.filter(uid__gt="Z").order_by("uid").values_list("uid", flat=True)) == ["a-1", "a_1", "b"]

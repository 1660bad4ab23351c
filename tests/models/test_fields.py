"""Column types: sealed text at rest, and identifiers compared by code point."""

from __future__ import annotations

import pytest
from django.core import serializers
from django.db import connection

from govpay.exceptions import EncryptionError
from govpay.models import Client, PaymentAccount


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

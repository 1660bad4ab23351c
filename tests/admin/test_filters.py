"""List filters of the admin that offer known values."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from govpay.models import PaymentAccount, SavedPaymentMethod
from tests.admin.rows import payment

pytestmark = pytest.mark.django_db


def listed(client: Client, model: str, query: str) -> str:
    html = client.get(reverse(f"admin:govpay_{model}_changelist") + query).content.decode()
    return html.partition('id="result_list"')[2].partition("</table>")[0]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("?expiry=past", {"0001", "0002"}),
        ("?expiry=soon", {"0003", "0004", "0005"}),
        ("?expiry=later", {"0006", "0007"}),
        ("?expiry=nonsense", {"0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008"}),
    ],
)
def test_expiry(query: str, wanted: set[str], counter: Client) -> None:
    dates: list[Any] = [(2025, 12), (2026, 9), (2026, 10), (2026, 12), (2027, 1), (2027, 2), (2030, 1), (None, None)]
    for number, (year, month) in enumerate(dates, 1):
        SavedPaymentMethod.objects.create(uid=f"m{number}", last4=f"000{number}", exp_year=year, exp_month=month)
    with time_machine.travel(dt.datetime(2026, 10, 31, 12, tzinfo=dt.UTC), tick=False):
        table = listed(counter, "savedpaymentmethod", query)
    assert {f"000{number}" for number in range(1, 9) if f"····000{number}" in table} == wanted


def test_many_accounts_do_not_make_a_long_list(counter: Client) -> None:
    PaymentAccount.objects.bulk_create(PaymentAccount(uid=f"acc_{n}", name=f"A{n:03d}") for n in range(300))
    payment(account_id="acc_299", reference_id="HERE")
    html = counter.get(reverse("admin:govpay_payment_changelist")).content.decode()
    assert html.count("?account=acc_") == 50
    assert "HERE" in listed(counter, "payment", "?account=acc_299")

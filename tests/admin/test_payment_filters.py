"""Filters of the payment list: method, brand, amounts, days, refunds and disputes, and people who acted."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from govpay.models import Client as Tenant
from govpay.models import Payment, PaymentAccount, Transaction
from tests.admin.rows import operation, payment

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rows(db: Any, finance: Any) -> None:
    """Payments in two zones: acc_d is in Denver, by its Windows name; acc_u has no client and is in Django's zone."""
    Tenant.objects.create(uid="cl_d", timezone="Mountain Standard Time")
    PaymentAccount.objects.create(uid="acc_d", client_id="cl_d", name="Denver")
    PaymentAccount.objects.create(uid="acc_u", name="Site")
    late = dt.datetime(2026, 3, 2, 5, 30, tzinfo=dt.UTC)  # 1 March, 22:30 in Denver
    payment(
        uid="denver", reference_id="DENVER", account_id="acc_d", remote_created_at=late, total_amount=5186, brand="VISA"
    )
    payment(
        uid="site", reference_id="SITE", account_id="acc_u", remote_created_at=late, total_amount=9900, brand="amex"
    )
    payment(uid="yen", reference_id="YEN", account_id="acc_u", remote_created_at=late, total_amount=60, currency="JPY")
    payment(
        uid="bank",
        reference_id="BANK",
        account_id="acc_u",
        remote_created_at=late,
        total_amount=20000,
        refunded_amount=5,
        method_type="ach",
        brand="",
    )
    for uid, kind, status in (
        ("site", "chargeback", "succeeded"),
        ("denver", "chargeback", "failed"),
        ("yen", "refund", ""),
    ):
        Transaction.objects.create(uid=f"t_{uid}", payment_id=uid, type=kind, status=status)


ALL = {"DENVER", "SITE", "YEN", "BANK"}


def listed(client: Client, query: str) -> set[str]:
    response = client.get(reverse("admin:govpay_payment_changelist") + query)
    assert response.status_code == 200
    table = response.content.decode().partition('id="result_list"')[2].partition("</table>")[0]
    return {name for name in ALL if f">{name}<" in table}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?amount_from=51.86", {"DENVER", "SITE", "YEN", "BANK"}),
        ("?amount_from=51.87", {"SITE", "YEN", "BANK"}),
        ("?amount_to=60", {"DENVER", "YEN"}),
        ("?amount_from=$60&amount_to=1,000", {"SITE", "YEN", "BANK"}),
        ("?amount_from=USD60", {"SITE", "BANK"}),
        ("?amount_from=61&amount_to=99&status=captured", {"SITE"}),
        ("?day_from=2026-03-02", {"SITE", "YEN", "BANK"}),
        ("?day_to=2026-03-01", {"DENVER"}),
        ("?day_from=2026-03-01&day_to=2026-03-01&account=acc_d", {"DENVER"}),
        ("?day_from=2026-03-02&day_to=2026-03-02&account=acc_u&amount_to=99", {"SITE", "YEN"}),
        ("?method_type=ach", {"BANK"}),
        ("?brand=visa", {"DENVER", "YEN"}),
        ("?refunded=1", {"BANK"}),
        ("?refunded=0", {"DENVER", "SITE", "YEN"}),
        ("?disputed=1", {"SITE"}),
        ("?disputed=0", {"DENVER", "YEN", "BANK"}),
        ("?disputed=1&brand=amex&amount_from=99&q=site", {"SITE"}),
        ("?disputed=1&q=denver", set()),
        ("?refunded=x&disputed=x", ALL),
    ],
)
def test_filters_combine(query: str, expected: set[str], desk: Client) -> None:
    assert listed(desk, query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "?amount_from=x",
        "?amount_to=1%00",
        "?day_from=2026-13-01",
        "?day_to=yesterday",
        "?day_to=9999-12-31",
        "?day_from=0001-01-01",
    ],
)
def test_nonsense_leads_back_to_the_list(query: str, desk: Client) -> None:
    assert desk.get(reverse("admin:govpay_payment_changelist") + query)["Location"].endswith("?e=1")


def test_a_form_keeps_the_other_filters_and_the_search(desk: Client) -> None:
    address = reverse("admin:govpay_payment_changelist") + "?status=captured&q=site&day_from=2026-03-01"
    form = desk.get(address).content.decode().partition('data-filter-title="amount"')[2].partition("</form>")[0]
    for name, value in (("status", "captured"), ("q", "site"), ("day_from", "2026-03-01")):
        assert f'<input type="hidden" name="{name}" value="{value}">' in form
    assert 'name="amount_from"' in form
    assert 'name="amount_from" value="" type="hidden"' not in form


def test_operations_of_one_person(desk: Client, finance: Any, support: Any) -> None:

    row = Payment.objects.get(uid="site")
    operation(row, reference_id="by-finance", actor=finance, state="succeeded")
    operation(row, reference_id="by-nobody", state="succeeded")
    address = reverse("admin:govpay_operation_changelist")
    assert f'href="?actor={finance.pk}"' in desk.get(address).content.decode()
    assert desk.get(f"{address}?actor={finance.pk}").context["cl"].result_count == 1
    assert desk.get(f"{address}?actor={support.pk}").context["cl"].result_count == 0
    assert desk.get(f"{address}?actor=x")["Location"].endswith("?e=1")

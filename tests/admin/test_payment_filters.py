"""Filters of the payment list: method, brand, amounts, days, refunds and disputes, and people who acted."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from govpay.models import Client as Tenant
from govpay.models import Payment, PaymentAccount, Transaction
from tests.admin.conftest import Page
from tests.admin.rows import fill, operation, payment

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


def test_the_foot_sums_what_is_filtered(desk: Client) -> None:
    address = reverse("admin:govpay_payment_changelist")
    foot = desk.get(f"{address}?amount_from=60&amount_to=1000").content.decode().partition("govpay-sums")[2]
    lines = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", foot)
    assert lines == [("Total (USD, 2)", "$299.00"), ("Refunded", "$0.05"), ("Total (JPY, 1)", "¥60")]
    foot = desk.get(f"{address}?brand=amex").content.decode().partition("govpay-sums")[2]
    assert re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", foot) == [("Total", "$99.00")]
    assert "govpay-sums" not in desk.get(f"{address}?q=nobody").content.decode()


def test_the_foot_sums_all_pages_and_says_when_there_are_too_many(
    desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    Payment.objects.all().delete()
    fill(Payment, 250)
    Payment.objects.update(total_amount=100, refunded_amount=0, currency="USD")
    address = reverse("admin:govpay_payment_changelist")
    for page in ("", "?p=2", "?p=3"):
        assert "<dd>$250.00</dd>" in desk.get(address + page).content.decode()
    monkeypatch.setattr("govpay.admin.changelist.COUNTED", 10)
    Payment.objects.bulk_create(Payment(uid=f"more_{n}") for n in range(400))
    html = desk.get(address).content.decode()
    assert "<dd>" not in html.partition("govpay-sums")[2]
    assert "More than 400: filter the list to see its sum." in html


def test_a_frequent_word_is_counted_only_one_page_ahead(
    desk: Client, look: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(Payment, 350)
    monkeypatch.setattr("govpay.reports.search.MAX_KEYS", 300)
    for page, counted in (("", "200+"), ("&p=2", "300+"), ("&p=3", "350"), ("&p=4", "350")):
        seen = look(desk, reverse("admin:govpay_payment_changelist") + f"?q=pat{page}")
        assert f"{counted} results" in seen.html
        assert len(seen.statements) <= 7


def test_the_list_shows_payer_method_and_what_was_refunded(desk: Client) -> None:
    payment(uid="p1", customer_id=None, holder_name="Holder Only", total_amount=2000, refunded_amount=150)
    html = desk.get(reverse("admin:govpay_payment_changelist") + "?q=holder").content.decode()
    assert '<td class="field-payer">Holder Only</td>' in html
    assert '$20.00<small class="govpay-below">$1.50 refunded</small>' in html

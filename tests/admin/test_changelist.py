"""Lists in the admin: statement counts, row counts, sorting and date drill-down."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin import site
from django.db import connection, models
from django.test import Client
from django.urls import reverse
from django.utils.formats import number_format, reset_format_cache

from govpay.models import Customer, Operation, Payment, PaymentLink, SyncRun, Transaction, WebhookEvent
from tests.admin.conftest import Page
from tests.admin.rows import ALL_MODELS, SECRET, START, XSS, fill, payment, relatives

pytestmark = pytest.mark.django_db

STATEMENTS = 7
BYTES = 150 * 1024

each_model = pytest.mark.parametrize("model", ALL_MODELS, ids=lambda model: model.__name__)


def list_of(model: type[models.Model], query: str = "") -> str:
    return reverse(f"admin:govpay_{model._meta.model_name}_changelist") + query


def rows_of(page: Page) -> int:
    body = page.html.partition('id="result_list"')[2].partition("<tbody>")[2].partition("</tbody>")[0]
    return body.count("<tr")


def assert_cheap(page: Page) -> None:
    assert page.status == 200
    assert len(page.statements) <= STATEMENTS, page.statements
    assert page.size <= BYTES
    for sql in page.statements:
        assert "DISTINCT" not in sql.upper()
        assert not re.search(r"\b(MIN|MAX)\(", sql), "bounds come from the ends of the index"
        if "COUNT(" in sql:
            assert " LIMIT " in sql, "a count must be bounded"


@each_model
def test_list_keeps_its_budget(
    model: type[models.Model], desk: Client, look: Callable[..., Page], finance: Any
) -> None:
    relatives()
    fill(model, 130, actor=finance)
    page = look(desk, list_of(model))
    assert_cheap(page)
    assert rows_of(page) == 100
    again = look(desk, list_of(model, "?p=2"))
    assert_cheap(again)
    assert rows_of(again) == model._default_manager.count() - 100


@each_model
def test_list_keeps_its_size_whatever_the_texts(
    model: type[models.Model], desk: Client, look: Callable[..., Page]
) -> None:
    relatives()
    fill(model, 110, text="Ж<&>" * 500)
    page = look(desk, list_of(model))
    assert_cheap(page)
    assert rows_of(page) == 100


@each_model
def test_list_shows_no_secret_and_runs_no_script(
    model: type[models.Model], desk: Client, look: Callable[..., Page]
) -> None:
    relatives()
    fill(model, 12, text=XSS)
    Customer.objects.update(name=XSS)
    page = look(desk, list_of(model))
    assert XSS not in page.html
    assert SECRET not in page.html
    assert not any('webhook_secret"' in sql or 'validated_method"' in sql for sql in page.statements)


@pytest.mark.parametrize(
    ("model", "query"),
    [
        (Payment, "?status=captured"),
        (Payment, "?status__exact=captured"),
        (Payment, "?status=never_heard_of&account=acc_1"),
        (Payment, "?q=BILL-0"),
        (Payment, "?q=pat"),
        (Payment, "?q=pat+example+107.50+1111"),
        (Payment, "?q=pat+bill&status=captured"),
        (Transaction, "?q=pat+example+1111"),
        (Operation, "?q=pat+finance"),
        (PaymentLink, "?q=pat+12.34"),
        (Payment, "?customer=cus_0"),
        (Payment, "?session=hs_0"),
        (Payment, "?o=6"),
        (Payment, "?o=-6.1"),
        (Payment, "?remote_created_at__year=2026"),
        (Payment, "?remote_created_at__year=2026&remote_created_at__month=2&status=captured"),
        (Payment, "?remote_created_at__year=2026&remote_created_at__month=2&remote_created_at__day=28"),
        (Transaction, "?payment=pay_0&type=refund&status=pending"),
        (Operation, "?state=unknown&action=refund"),
        (Operation, "?q=7f1c2c9e-6f5e-4a8f-9d53-7a60e1c3b111"),
        (SyncRun, "?resource=payments&state=failed"),
        (Customer, "?q=Pat@Example.com"),
        (Payment, "?flag=chargeback"),
        (Payment, "?flag=any&status=captured"),
        (Payment, "?flag=never_heard_of"),
        (WebhookEvent, "?state=failed&age=day&event_type=payment.refunded&account=acc_1"),
        (WebhookEvent, "?age=older"),
        (WebhookEvent, "?payment=pay_0"),
        (WebhookEvent, "?q=wh-7"),
    ],
)
def test_filtered_list_keeps_its_budget(
    model: type[models.Model], query: str, desk: Client, look: Callable[..., Page]
) -> None:
    relatives()
    fill(model, 110)
    assert_cheap(look(desk, list_of(model, query)))


def test_status_filter_lists_known_values_and_keeps_unknown_ones(desk: Client, look: Callable[..., Page]) -> None:
    relatives()
    payment(status="never_heard_of", reference_id="NEW-STATUS")
    assert "?status=never_heard_of" not in look(desk, list_of(Payment)).html
    page = look(desk, list_of(Payment, "?status=never_heard_of"))
    assert rows_of(page) == 1
    assert "NEW-STATUS" in page.html
    assert '<a href="?status=never_heard_of">never_heard_of</a>' in page.html


def test_missing_relatives_are_named_by_uid(desk: Client, look: Callable[..., Page]) -> None:
    payment(account_id="acc_nowhere", customer_id="cus_nowhere")
    page = look(desk, list_of(Payment))
    assert "acc_nowhere" in page.html
    assert "cus_nowhere" in page.html


@pytest.mark.ci
def test_big_list_counts_no_further_than_it_must(desk: Client, look: Callable[..., Page]) -> None:
    """100 000 rows: the budget holds, deep pages work, and no statement sorts."""
    relatives()
    Payment.objects.all().delete()
    many(100_000)
    page = look(desk, list_of(Payment))
    assert_cheap(page)
    assert "10,000+ payments" in page.html
    assert rows_of(page) == 100
    deep = look(desk, list_of(Payment, "?p=1000"))
    assert_cheap(deep)
    assert rows_of(deep) == 100
    assert "100,000 payments" in deep.html
    assert look(desk, list_of(Payment, "?p=1001")).response["Location"].endswith("?e=1")
    assert look(desk, list_of(Payment, "?p=99999999999999999999")).response["Location"].endswith("?e=1")
    for query in (
        "?status=captured",
        "?account=acc_0",
        "?o=6",
        "?o=-6",
        "?remote_created_at__year=2026",
        "?q=BILL-7",
        "?q=nothing",
    ):
        page = look(desk, list_of(Payment, query))
        assert_cheap(page)
        assert_no_sort(page, query)


def many(count: int) -> None:
    """That many payments, by doubling: one statement a step."""
    table = Payment._meta.db_table
    Payment.objects.bulk_create(
        Payment(
            uid=f"p{number}",
            account_id=f"acc_{number % 3}",
            customer_id="cus_0",
            reference_id=f"BILL-{number}",
            total_amount=number,
            currency="USD",
            status=("captured", "failed")[number % 2],
            remote_created_at=START - dt.timedelta(minutes=number),
        )
        for number in range(3125)
    )
    columns = [field.column for field in Payment._meta.concrete_fields if field.column not in ("id", "uid")]
    listed = ", ".join(f'"{name}"' for name in columns)
    with connection.cursor() as cursor:
        made, step = 3125, 0
        while made < count:
            cursor.execute(
                f'INSERT INTO "{table}" ("uid", {listed}) SELECT "uid" || \'-{step}\', {listed} FROM "{table}"'
            )
            made, step = made * 2, step + 1
        cursor.execute("ANALYZE")
    assert made == count


def assert_no_sort(page: Page, what: str) -> None:
    """SQLite reports when it sorts; the list's rows must come in order from an index."""
    if connection.vendor != "sqlite":
        return
    for statement in page.statements:
        if 'FROM "govpay_payment"' not in statement:
            continue
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + statement)
            plan = " / ".join(str(row[-1]) for row in cursor.fetchall())
        # The sums of the list group at most as many rows as are counted.
        plan = plan.replace("USE TEMP B-TREE FOR GROUP BY", "")
        assert not re.search(r"SCAN govpay_payment\b(?! USING)", plan), (what, statement, plan)
        assert "TEMP B-TREE" not in plan or "q=" in what, (what, statement, plan)


def test_columns_without_an_index_do_not_sort(desk: Client, look: Callable[..., Page]) -> None:
    relatives()
    fill(Payment, 5)
    for column in range(12):
        page = look(desk, list_of(Payment, f"?o={column}"))
        ordering = next(sql for sql in page.statements if "JOIN" in sql and "ORDER BY" in sql)
        assert re.search(r'ORDER BY "govpay_payment"."(remote_created_at|id)" ', ordering), ordering


@pytest.mark.parametrize(
    "query",
    [
        "?raw__uid=x",
        "?digest=x",
        "?account__webhook_secret__startswith=g",
        "?account__name=x",
        "?reference_id__icontains=x",
        "?remote_created_at__month=3",
        "?remote_created_at__gte=2026-01-01",
        "?remote_created_at__year=9999",
        "?remote_created_at__year=1",
        "?remote_created_at__year=x",
    ],
)
def test_columns_cannot_be_probed_through_the_address(query: str, desk: Client) -> None:
    answer = desk.get(list_of(Payment, query))
    assert answer.status_code == 400
    assert f"<code>{query[1:].partition('=')[0]}</code>" in answer.content.decode()


def test_number_formats_of_the_host_reach_no_address_and_no_amount(desk: Client, settings: Any) -> None:
    settings.USE_THOUSAND_SEPARATOR, settings.FORMAT_MODULE_PATH = True, "tests.formats"
    reset_format_cache()
    try:
        relatives()
        row = payment(pk=1234567, total_amount=123456789)
        assert number_format(row.pk) == "1;23;45;67"
        for address in (
            list_of(Payment),
            reverse("admin:govpay_payment_change", args=[row.pk]),
            f"{reverse('admin:govpay_payment_refund')}?ids={row.pk}",
            f"{reverse('admin:govpay_payment_capture')}?ids={row.pk}",
        ):
            html = desk.get(address).content.decode()
            assert "1234567" in html
            assert "1;23;45;67" not in html
            assert "$1,234,567.89" in html or "refund" in address
    finally:
        reset_format_cache()


def test_a_bad_address_of_any_page_is_explained(browse: Callable[..., Client], admin_user: Any) -> None:
    """Django's own page says *Bad Request* and nothing else."""
    client = browse(admin_user)
    site_pages = [admin for admin in site._registry.values() if admin.opts.app_label == "govpay"]
    assert len(site_pages) > 10
    for admin in site_pages:
        name = f"admin:govpay_{admin.opts.model_name}"
        for view, query in (("changelist", "?user__password__startswith=x&q=&<b>=2"), ("add", "?_to_field=x")):
            address = reverse(f"{name}_{view}") + query
            answer = client.get(address)
            if answer.status_code == 403:  # nobody adds such rows
                continue
            html = answer.content.decode()
            assert answer.status_code == 400, address
            assert "<code>user__password__startswith</code>" in html or "<code>_to_field</code>" in html
            assert "<b>" not in html
            assert "<code>q</code>" not in html


@pytest.mark.parametrize("query", ["?status=%00", "?account=a%00b", "?p=0", "?p=-3", "?p=2"])
def test_nonsense_in_the_address_leads_back_to_the_list(query: str, desk: Client) -> None:
    relatives()
    fill(Payment, 101)
    response = desk.get(list_of(Payment, query))
    assert response.status_code == (200 if query == "?p=2" else 302)


def test_drilldown_goes_from_years_to_days_and_keeps_filters(desk: Client, look: Callable[..., Page]) -> None:
    payment(remote_created_at=dt.datetime(2024, 11, 5, 12, tzinfo=dt.UTC))
    payment(remote_created_at=dt.datetime(2026, 2, 3, 12, tzinfo=dt.UTC))
    payment(remote_created_at=None)
    years = toplinks(look(desk, list_of(Payment, "?status=captured")))
    assert [text for _, text in years] == ["2024", "2025", "2026"]
    assert all("status=captured" in link for link, _ in years)
    months = toplinks(look(desk, list_of(Payment) + years[0][0]))
    assert [text for _, text in months] == ["‹ All dates", "November 2024", "December 2024"]
    days = toplinks(look(desk, list_of(Payment) + months[1][0]))
    assert days[0][1] == "‹ 2024"
    assert days[1][1] == "November 5"
    page = look(desk, list_of(Payment) + days[1][0])
    assert rows_of(page) == 1
    assert "status=captured" in days[1][0]


def test_drilldown_survives_nonsense_dates(desk: Client, look: Callable[..., Page]) -> None:
    payment(remote_created_at=dt.datetime(1, 1, 2, tzinfo=dt.UTC))
    payment(remote_created_at=dt.datetime(9999, 12, 30, tzinfo=dt.UTC))
    page = look(desk, list_of(Payment))
    assert_cheap(page)
    assert len(toplinks(page)) <= 15


def toplinks(page: Page) -> list[tuple[str, str]]:
    nav = re.search(r'<nav class="toplinks.*?</nav>', page.html, re.S)
    assert nav
    return [
        (link.replace("&amp;", "&"), text.replace("&lsaquo;", "‹"))
        for link, text in re.findall(r'<a href="([^"]*)"[^>]*>([^<]*)</a>', nav[0])
    ]


def test_search_finds_the_start_of_a_reference(desk: Client, look: Callable[..., Page]) -> None:
    payment(uid="pay_a", reference_id="WATER 2026/17")
    payment(uid="pay_b", reference_id="WATER")
    for term, found in (("WATER+2026/17", 1), ("pay_b", 1), ("wat", 2), ("ATER", 0), ("  pay_a  ", 1)):
        assert rows_of(look(desk, list_of(Payment, f"?q={term}"))) == found, term


def test_search_by_address_forgives_capitals(desk: Client, look: Callable[..., Page]) -> None:
    Customer.objects.create(uid="cus_a", email="pat@example.com")
    assert rows_of(look(desk, list_of(Customer, "?q=Pat@Example.COM"))) == 1


def test_search_that_finds_too_much_still_finds_all(desk: Client, look: Callable[..., Page]) -> None:
    relatives()
    fill(Payment, 1000, text="SAME")
    page = look(desk, list_of(Payment, "?q=SAME"))
    assert_cheap(page)
    assert "1,000 payments" in page.html
    assert rows_of(look(desk, list_of(Payment, "?q=SAME&status=failed"))) == 100


def test_operations_without_an_outcome_stand_out(desk: Client, look: Callable[..., Page]) -> None:
    relatives()
    fill(Operation, 12)
    assert "govpay-alarm" in look(desk, list_of(Operation)).html

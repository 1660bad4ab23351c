"""Pages of REST lists: each row once, newest first, also while rows are added and with any dates."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from govpay.models import Client, Customer, Payment, SyncRun
from tests.admin.rows import START, fill, payment, relatives
from tests.rest.conftest import Program, problem

pytestmark = pytest.mark.django_db


def walk(program: Program, path: str) -> list[list[Any]]:
    pages = []
    while path:
        answer = program.get(path)
        assert answer.status_code == 200, answer.content
        pages.append(answer.json()["results"])
        path = answer.json()["next"]
        assert len(pages) < 100
    return pages


def uids(pages: list[list[Any]]) -> list[str]:
    return [row["uid"] for page in pages for row in page]


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_every_row_comes_once_and_in_order(size: int, finance_program: Program) -> None:
    """Many of the same instant, and some without any."""
    relatives()
    for number in range(12):
        payment(uid=f"a{number}", remote_created_at=START)
        payment(uid=f"b{number}", remote_created_at=None)
        payment(uid=f"c{number}", remote_created_at=START - dt.timedelta(seconds=number // 4))
    pages = walk(finance_program, f"payments?page_size={size}&account=acc_0")
    assert {len(page) for page in pages[:-1]} <= {size}
    expected = list(Payment.objects.order_by("-remote_created_at", "-pk").values_list("uid", flat=True))
    assert uids(pages) == expected
    assert len(set(expected)) == 37


def test_rows_that_come_meanwhile_neither_repeat_nor_hide_one(finance_program: Program) -> None:
    fill(Payment, 30)
    before = set(Payment.objects.values_list("uid", flat=True))
    first = finance_program.get("payments?page_size=10").json()
    for number in range(5):
        payment(uid=f"new{number}")
    rest = uids(walk(finance_program, first["next"]))
    assert sorted([row["uid"] for row in first["results"]] + rest) == sorted(before)


def test_filters_and_fields_go_along(finance_program: Program) -> None:
    fill(Payment, 40)
    path = "payments?status=captured&page_size=5&fields=uid,status"
    pages = walk(finance_program, path)
    assert len(uids(pages)) == Payment.objects.filter(status="captured").count() > 5
    assert all(set(row) == {"uid", "status"} for page in pages for row in page)


def test_lists_without_a_date_go_by_their_key(finance_program: Program) -> None:
    fill(Client, 11)
    assert uids(walk(finance_program, "clients?page_size=4")) == list(
        Client.objects.order_by("-pk").values_list("uid", flat=True)
    )
    fill(SyncRun, 11)
    assert [row["id"] for page in walk(finance_program, "sync-runs?page_size=4") for row in page] == list(
        SyncRun.objects.order_by("-started_at", "-pk").values_list("pk", flat=True)
    )


def test_a_deep_page_costs_what_the_first_costs(finance_program: Program) -> None:
    fill(Payment, 60)
    path = finance_program.get("payments?page_size=50").json()["next"]
    with CaptureQueriesContext(connection) as context:
        finance_program.get(path)
    assert all("OFFSET" not in each["sql"] for each in context.captured_queries)
    assert len(context) <= 6, "one more where rows without a date may follow"


#: Statements of a list and of one row: at most, by any way to sign in beside the session and its user.
OF_LIST, OF_ROW = 6, 8


@pytest.mark.parametrize("way", ["token", "session"])
def test_reading_costs_few_statements(way: str, finance_program: Program, browse: Callable[[Any], Any]) -> None:
    """The statements that identify the user by a session are Django's, as with the pages of the admin."""
    relatives()
    fill(Payment, 250, actor=finance_program.user)
    payment(uid="undated", remote_created_at=None)
    row = payment(uid="shown")
    customer = Customer.objects.first()
    assert customer is not None
    asking = finance_program.client if way == "token" else browse(finance_program.user)

    def costs(address: str) -> tuple[int, dict[str, Any]]:
        with CaptureQueriesContext(connection) as context:
            answer = asking.get(address)
        assert answer.status_code == 200, answer.content
        asked = [each["sql"] for each in context.captured_queries]
        signing_in = [sql for sql in asked if 'FROM "django_session"' in sql or 'FROM "auth_user" ' in sql]
        assert len(signing_in) == (2 if way == "session" else 0)
        return len(asked) - len(signing_in), answer.json()

    page, found, pages = "/govpay/api/v1/payments?page_size=100", [], 0
    while page:
        count, answer = costs(page)
        found, page, pages = [*found, *answer["results"]], answer["next"], pages + 1
        assert count <= OF_LIST, page
    assert (pages, len(found)) == (3, Payment.objects.count())
    assert costs(f"/govpay/api/v1/payments/{row.uid}")[0] <= OF_ROW
    assert costs(f"/govpay/api/v1/customers/{customer.uid}/payment-methods?page_size=100")[0] <= OF_LIST


def cursor(*place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "given",
    [
        "x",
        "!!!",
        "\x00",
        "Ж",
        "4111111111111111",
        cursor(),
        cursor("2026-03-01T00:00:00Z", "5"),
        cursor("yesterday", 5),
        cursor(5, 5),
        cursor("2026-03-01T00:00:00Z", True),
        cursor("2026-03-01T00:00:00Z", 2**63),
        cursor({}, 5),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_a_cursor_that_is_none(given: str, finance_program: Program) -> None:
    found = problem(finance_program.get("payments", data={"cursor": given}), 400, "invalid")
    assert found["errors"] == [{"field": "cursor", "detail": "This cursor is not valid; start again without a cursor."}]


@pytest.mark.parametrize("place", [("0001-01-01T00:00:00+14:00", 1), ("9999-12-31T23:59:59-14:00", 1), (None, -5)])
def test_a_cursor_at_the_end_of_time(place: Any, finance_program: Program) -> None:
    assert finance_program.get("payments", data={"cursor": cursor(*place)}).status_code in (200, 400)


@pytest.mark.parametrize("size", ["0", "101", "-1", "ten", "1.5", "²", "99999999999999999999"])
def test_a_page_size_that_is_none(size: str, finance_program: Program) -> None:
    found = problem(finance_program.get("payments", data={"page_size": size}), 400, "invalid")
    assert found["errors"][0]["field"] == "page_size"

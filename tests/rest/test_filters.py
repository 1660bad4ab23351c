"""REST filters: the rows that each finds, and the refusal of unknown filters."""

from __future__ import annotations

from typing import Any

import pytest

from govpay.models import Payment
from govpay.rest import urls
from govpay.rest.base import Rows
from tests.admin.neighbours import FOREIGN, OWN, Side, own_side
from tests.admin.rows import START, payment, relatives
from tests.rest.conftest import Program, problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(db: None) -> None:
    relatives()
    Payment.objects.all().delete()
    payment(uid="small", total_amount=100, currency="USD", status="captured", remote_created_at=START)
    payment(uid="large", total_amount=900, currency="CAD", status="failed", account_id="acc_1", reference_id="R-1")
    payment(uid="flagged", total_amount=500, status="new_status", flag="chargeback", customer_id="cus_1")
    payment(uid="gone", total_amount=None, session_id="hs_0", saved_method_id="spm_0", deleted_at=START)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=captured", "small gone"),
        ("status=new_status", "flagged"),
        ("status=captured&currency=USD&amount_to=100", "small"),
        ("account=acc_1", "large"),
        ("customer=cus_1", "flagged"),
        ("session=hs_0", "gone"),
        ("saved_method=spm_0", "gone"),
        ("reference_id=R-1", "large"),
        ("reference_id=R", ""),
        ("currency=CAD", "large"),
        ("flag=chargeback", "flagged"),
        ("amount_from=500", "large flagged"),
        ("amount_from=101&amount_to=899", "flagged"),
        ("created_before=2026-03-02T00:00:00Z", "small"),
        ("created_from=2026-03-01T12:00:00Z&created_before=2026-03-01T12:00:01%2B00:00", "small"),
        ("created_before=2026-03-01T12:00:00Z", ""),
        ("created_from=2026-03-02", "large flagged gone"),
        ("deleted=true", "gone"),
        ("deleted=false", "small large flagged"),
        ("created_before=0001-01-01T00:00:00%2B14:00", ""),
        ("created_before=9999-12-31T23:59:59-14:00", "small large flagged gone"),
    ],
)
def test_payments(query: str, expected: str, rows: None, finance_program: Program) -> None:
    answer = finance_program.get(f"payments?{query}&fields=uid")
    assert answer.status_code == 200, answer.content
    assert {row["uid"] for row in answer.json()["results"]} == set(expected.split())


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("amount_from=1.5", "amount_from"),
        ("amount_from=-1", "amount_from"),
        ("amount_to=99999999999999999999", "amount_to"),
        ("created_from=yesterday", "created_from"),
        ("created_from=2026-02-30T00:00:00Z", "created_from"),
        ("deleted=maybe", "deleted"),
        ("status=%00", "status"),
        ("reference_id=" + "x" * 256, "reference_id"),
        ("statsu=captured", "statsu"),
        ("raw__uid=x", "raw__uid"),
        ("webhook_secret=x", "webhook_secret"),
        ("status__in=captured", "status__in"),
        ("status=captured&status=failed", "status"),
        ("amount_from=1_000", "amount_from"),
        ("amount_from=1,000", "amount_from"),
        ("amount_from=1.0", "amount_from"),
        ("amount_from=%D9%A1", "amount_from"),
        ("4111111111111111=x", "…"),
    ],
)
def test_what_is_no_filter_is_refused(query: str, field: str, finance_program: Program) -> None:
    found = problem(finance_program.get(f"payments?{query}"), 400, "invalid")
    assert [each["field"] for each in found["errors"]] == [field]
    assert "4111" not in str(found)


@pytest.mark.parametrize("value", ["", "%20", "%09"])
def test_an_empty_parameter_is_refused_by_name(value: str, superuser: Program) -> None:
    """A variable without a value must not mean all rows."""
    count = 0
    for each in urls.V1:
        view = each.callback.cls
        if issubclass(view, Rows) and "<" not in str(each.pattern):
            for name in [*view.filterset_class.base_filters, "cursor", "page_size", "fields"]:
                path = f"{str(each.pattern).removeprefix('v1/')}?{name}={value}"
                found = problem(superuser.get(path), 400, "invalid")
                assert [error["field"] for error in found["errors"]] == [name], path
                count += 1
    assert count > 60


def test_no_filter_repeats_what_it_was_given(finance_program: Program) -> None:
    given = "yesterday4111111111111111"
    for each in urls.V1:
        view = each.callback.cls
        if issubclass(view, Rows) and "<" not in str(each.pattern):
            for name in [*view.filterset_class.base_filters, "cursor", "page_size", "fields"]:
                assert (
                    given
                    not in finance_program.get(
                        str(each.pattern).removeprefix("v1/"), data={name: given}
                    ).content.decode()
                )


def value_of(row: Any, each: Any) -> str:
    value = getattr(row, f"{each.field_name}_id", None) or getattr(row, each.field_name)
    if each.lookup_expr == "isnull":
        return str(value is not None).lower()
    if each.lookup_expr == "lt":
        return "2999-01-01T00:00:00Z"
    return {True: "true", False: "false"}.get(value) or getattr(value, "isoformat", lambda: str(value))()


def test_every_filter_of_every_list_finds_its_row(superuser: Program) -> None:
    own: Side = own_side()
    Side(FOREIGN, 5).fill()
    count = 0
    for pattern in urls.V1:
        view = pattern.callback.cls
        if not issubclass(view, Rows) or "<" in str(pattern.pattern):
            continue
        row = own.rows[str(view.model._meta.model_name)]
        row.refresh_from_db()
        for name, each in view.filterset_class.base_filters.items():
            if getattr(row, str(each.field_name)) is None and each.lookup_expr == "exact":
                continue
            answer = superuser.get(str(pattern.pattern).removeprefix("v1/"), data={name: value_of(row, each)})
            assert answer.status_code == 200, (pattern, name, answer.content)
            found = answer.json()["results"]
            assert OWN in str(found), (pattern, name)
            count += 1
    assert count > 60

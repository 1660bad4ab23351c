"""Bulk import: row by row, in chunks, each sent once, and chunks whose answer was lost."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from govpay import operations
from govpay.exceptions import AuthenticationError, InvalidRequest, OperationRefused
from govpay.models import Customer, Operation, SavedPaymentMethod
from govpay.operations.imports import RowResult
from tests.operations.merchant import Merchant, bank_account, card, only
from tests.operations.test_wallets import everything, writes

pytestmark = pytest.mark.django_db(transaction=True)

IMPORT = "POST /api/saved-payment-methods/import"


@pytest.fixture
def people(merchant: Merchant) -> list[str]:
    """Customers that are known here, by uid; their references are CUST-0 and so on."""
    found = [merchant.sandbox.add_customer(merchant.account.uid, reference_id=f"CUST-{n}")["uid"] for n in range(3)]
    merchant.sync("customers", "methods")
    return found


def row(number: int = 0, method: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"customer_reference_id": f"CUST-{number}", "payment_method": method or card()}


def there(merchant: Merchant) -> int:
    return len(merchant.sandbox.all("method"))


def test_rows_are_imported_or_refused_each_by_itself(merchant: Merchant, people: list[str]) -> None:
    merchant.sandbox.add_customer(merchant.account.uid, reference_id="CUST-9")  # not synced yet
    rows = [
        row(0),
        row(7),
        row(1, bank_account()),
        row(2, card(exp_month=13)),
        row(9),
        row(2, card(fingerprint="4111 1111 1111 1111")),
    ]
    key = uuid.uuid4()
    found = operations.import_payment_methods(account=merchant.account, rows=rows, key=key)
    assert [each.index for each in found] == [0, 1, 2, 3, 4, 5]
    assert [each.state for each in found] == ["imported", "refused", "imported", "refused", "imported", "refused"]
    assert {each.uid for each in found if each.uid} == {
        each["saved_payment_method_uid"] for each in merchant.sandbox.all("method")
    }
    assert "names no customer" in found[1].error
    assert "exp_month" in found[3].error
    assert "looks like a card number" in found[5].error
    operation = only()
    assert (operation.action, operation.state, operation.validated_method) == ("import_methods", "succeeded", None)
    assert operation.reason.startswith("3 imported, 3 refused\nrow 1: ")
    for secret in ("tok_", "1111 1111"):
        assert secret not in everything()
    # The same key: the first result, without HTTP.
    again = operations.import_payment_methods(account=merchant.account, rows=rows, key=key)
    assert [(each.state, each.error) for each in again] == [(each.state, each.error) for each in found]
    assert len(writes(merchant)) == 1
    assert {row.customer_id for row in SavedPaymentMethod.objects.filter(last4="1111")} == {
        people[0],
        *_owners(merchant, "CUST-9"),
    }
    merchant.sync("customers", "methods")
    assert SavedPaymentMethod.objects.count() == 3


def _owners(merchant: Merchant, reference: str) -> list[str]:
    return [each["uid"] for each in merchant.sandbox.all("customer") if each["reference_id"] == reference]


@pytest.mark.parametrize("lost", [False, True])
def test_hosts_hear_once_of_each_method(merchant: Merchant, people: list[str], heard: list[Any], lost: bool) -> None:
    if lost:
        merchant.sandbox.fault(IMPORT, times=1, close="after")
    operations.import_payment_methods(account=merchant.account, rows=[row(0), row(1)])
    operations.reconcile()
    assert SavedPaymentMethod.objects.count() == 2
    for _ in range(2):
        merchant.sync("customers", "methods")
    changed = [uid for name, uid, _ in heard if name == "saved_method_changed"]
    assert sorted(changed) == sorted(SavedPaymentMethod.objects.values_list("uid", flat=True))
    assert "tok_" not in everything()


def test_what_an_earlier_import_brought_is_not_taken_for_a_lost_one(merchant: Merchant, people: list[str]) -> None:
    """The same card for the same customer: only the token tells them apart, and that is not kept."""
    operations.import_payment_methods(account=merchant.account, rows=[row(0)])
    merchant.sandbox.fault(IMPORT, times=1, close="before")
    operations.import_payment_methods(account=merchant.account, rows=[row(0)])
    merchant.sync("customers", "methods")
    assert merchant.reconcile_all().failed == 1


def test_what_the_platform_refuses_of_a_row_is_told_on_one_line(merchant: Merchant, people: list[str]) -> None:
    error = {"code": "validation_error", "message": "No such\ntoken 4111 1111 1111 1111."}
    body = {"imported": 1, "results": [{"index": 0, "error": error}, {"index": 1, "saved_payment_method_uid": "spm_1"}]}
    merchant.sandbox.fault(IMPORT, times=1, status=200, body=json.dumps(body))
    found = operations.import_payment_methods(account=merchant.account, rows=[row(0), row(1)])
    assert found == [RowResult(0, "refused", error="No such token ***."), RowResult(1, "imported", uid="spm_1")]
    assert only().reason == "1 imported, 1 refused\nrow 0: No such token ***."


def test_chunks_of_five_hundred(merchant: Merchant, people: list[str]) -> None:
    rows = [row(n % 3) for n in range(1001)]
    found = operations.import_payment_methods(account=merchant.account, rows=iter(rows), key=uuid.uuid4())
    assert {each.state for each in found} == {"imported"}
    assert len({each.uid for each in found}) == 1001 == there(merchant)
    assert len(writes(merchant)) == Operation.objects.count() == 3


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("x", "customer_reference_id and payment_method"),
        ({}, "customer_reference_id and payment_method"),
        ({**row(), "extra": 1}, "nothing else"),
        (row(method={"payment_method_type": "wallet_ach", "wallet": {}}), "credit or ach"),
        (row(method=card(exp_year=2020)), "expired"),
        (row(method={"payment_method_type": "credit", "credit": {"fingerprint": "tok"}}), "last4 is missing"),
        ({**row(), "customer_reference_id": ""}, "customer_reference_id"),
        ({**row(), "customer_reference_id": "4111111111111111"}, "looks like a card"),
    ],
)
def test_bad_row_is_refused_by_name_before_anything(merchant: Merchant, wrong: Any, named: str) -> None:
    (found,) = operations.import_payment_methods(account=merchant.account, rows=[wrong])
    assert found.state == "refused"
    assert named in found.error
    assert "1111" not in found.error
    assert not writes(merchant)
    assert not Operation.objects.exists()


def test_card_is_good_to_the_end_of_its_month(merchant: Merchant, people: list[str]) -> None:
    today = timezone.now()
    rows = [row(0, card(exp_month=today.month, exp_year=today.year))]
    assert operations.import_payment_methods(account=merchant.account, rows=rows)[0].state == "imported"


def test_bad_key_is_refused(merchant: Merchant, people: list[str]) -> None:
    with pytest.raises(OperationRefused, match="UUID"):
        operations.import_payment_methods(account=merchant.account, rows=[row()], key="no")


@pytest.mark.parametrize("acted", [True, False])
def test_lost_chunk_is_looked_up_and_never_sent_again(merchant: Merchant, people: list[str], acted: bool) -> None:
    rows = [row(0), row(0), row(1), row(7)]
    key = uuid.uuid4()
    load = partial(operations.import_payment_methods, account=merchant.account, rows=rows, key=key)
    merchant.sandbox.fault(IMPORT, times=1, close="after" if acted else "before")
    found = load()
    assert [each.state for each in found] == ["unknown"] * 4
    assert "looked up, not repeated" in found[0].error
    assert "tok_" not in everything()
    if acted:
        assert operations.reconcile().succeeded == 1
        assert [each.state for each in load()] == ["imported"] * 3 + ["refused"]
        assert "names no customer" in only().reason
    else:
        assert [each.state for each in load()] == ["unknown"] * 4
        assert merchant.reconcile_all().failed == 1
        assert [each.state for each in load()] == ["imported"] * 3 + ["refused"], "the same key tries it again"
        assert (only().state, only().attempts) == ("succeeded", 2)
    assert only().validated_method is None
    assert len(writes(merchant)) == (1 if acted else 2)
    assert there(merchant) == 3


def test_half_a_lost_chunk_counts_only_when_the_call_is_long_over(merchant: Merchant, people: list[str]) -> None:
    merchant.sandbox.fault(IMPORT, times=1, close="before")
    key = uuid.uuid4()
    rows = [row(0), row(1)]
    operations.import_payment_methods(account=merchant.account, rows=rows, key=key)
    # The platform did the first row before it fell over.
    merchant.sandbox.add_method(people[0], exp_month=12, exp_year=2040)
    assert operations.reconcile().waiting == 1
    merchant.pass_deadlines()
    assert operations.reconcile().waiting == 1
    Operation.objects.update(deadline_at=timezone.now() - dt.timedelta(seconds=61))
    assert operations.reconcile().succeeded == 1
    found = operations.import_payment_methods(account=merchant.account, rows=rows, key=key)
    assert [each.state for each in found] == ["imported", "refused"]
    assert "no trace of this row" in found[1].error


def test_methods_of_before_are_not_taken_for_the_lost_ones(merchant: Merchant, people: list[str]) -> None:
    merchant.sandbox.add_method(people[0], exp_month=12, exp_year=2040)
    merchant.sync("customers", "methods")
    other = merchant.sandbox.add_method(people[0], exp_month=12, exp_year=2040)["saved_payment_method_uid"]
    merchant.sandbox.touch("method", other, created_at="2020-01-01T00:00:00Z")
    merchant.sandbox.fault(IMPORT, times=1, close="before")
    operations.import_payment_methods(account=merchant.account, rows=[row(0)])
    assert merchant.reconcile_all().failed == 1


def test_loss_ends_the_import(merchant: Merchant, people: list[str]) -> None:
    merchant.sandbox.fault(IMPORT, skip=1, times=1, close="after")
    found = operations.import_payment_methods(account=merchant.account, rows=[row(n % 3) for n in range(1002)])
    states = [each.state for each in found]
    assert states == ["imported"] * 500 + ["unknown"] * 500 + ["not_sent"] * 2
    assert len(writes(merchant)) == 2


def test_answer_that_leaves_rows_out_is_none(merchant: Merchant, people: list[str]) -> None:
    body = {"imported": 1, "results": [{"index": 0, "saved_payment_method_uid": "spm_1"}]}
    merchant.sandbox.fault(IMPORT, times=1, status=200, body=json.dumps(body), act=True)
    found = operations.import_payment_methods(account=merchant.account, rows=[row(0), row(1)])
    assert [each.state for each in found] == ["imported"] * 2, "the customers' methods were read instead"
    assert len(writes(merchant)) == 1


@pytest.mark.parametrize(("status", "error"), [(422, InvalidRequest), (403, AuthenticationError)])
def test_platform_that_refuses_all_is_an_error(
    merchant: Merchant, people: list[str], status: int, error: type[Exception]
) -> None:
    merchant.sandbox.fault(IMPORT, times=1, status=status)
    with pytest.raises(error):
        operations.import_payment_methods(account=merchant.account, rows=[row(0)])
    assert (only().state, only().validated_method) == ("failed", None)
    merchant.sandbox.fault(IMPORT, skip=1, times=1, status=status)
    found = operations.import_payment_methods(account=merchant.account, rows=[row(n % 3) for n in range(501)])
    assert [each.state for each in found[499:]] == ["imported", "not_sent"]
    assert Customer.objects.filter(methods_stale=True).count() == 3

"""``govpay.sync.wallets``: methods are read only of customers that changed."""

from __future__ import annotations

from typing import Any

import pytest

from govpay.models import Customer, SavedPaymentMethod, SyncCursor, SyncRun
from govpay.sync.pull import pull
from tests.reading import Heard, counts, cursor_of, read, watch

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def customers(sandbox: Any, account: str) -> list[str]:
    """Five customers in uid order, the first with two methods, the others with one."""
    uids = sorted(sandbox.add_customer(account)["uid"] for _ in range(5))
    for uid in [uids[0], *uids]:
        sandbox.add_method(uid)
    both(account)
    return uids


def both(account: str, **options: Any) -> SyncRun:
    read("customers", account)
    return read("methods", account, **options)


def asked(calls: Any) -> list[str]:
    """The customers whose methods were asked for."""
    return [call["path"].split("/")[3] for call in calls.all if call["path"].endswith("/payment-methods")]


def test_a_first_run_reads_all(customers: list[str], account: str) -> None:
    assert SyncRun.objects.get(resource="methods").created == 6
    rows = SavedPaymentMethod.objects.filter(customer=customers[0])
    assert rows.count() == 2
    assert {(row.account_id, row.method_type, row.last4) for row in rows} == {(account, "credit", "1111")}
    assert not Customer.objects.filter(methods_stale=True).exists()


def test_nothing_changed_is_no_call(sandbox: Any, account: str, customers: list[str]) -> None:
    calls = watch(sandbox)
    read("methods", account)
    assert len(calls) == 0


def test_only_changed_customers_are_read_again(sandbox: Any, account: str, customers: list[str], heard: Heard) -> None:
    """Assumption A14: a change of a method touches its customer."""
    method = sandbox.methods(customers[2])[0]
    sandbox.touch("method", method["saved_payment_method_uid"], is_default=True)
    new = sandbox.add_method(customers[3], "ach")
    calls = watch(sandbox)
    assert counts(both(account)) == {"created": 1, "updated": 1, "unchanged": 1}
    assert asked(calls) == [customers[2], customers[3]]
    assert SavedPaymentMethod.objects.get(uid=method["saved_payment_method_uid"]).is_default is True
    assert sorted(heard.signals) == sorted(
        ("saved_method_changed", document["saved_payment_method_uid"], "sync") for document in (method, new)
    )


def test_a_method_that_the_whole_list_lacks_is_gone(
    sandbox: Any, account: str, customers: list[str], heard: Heard
) -> None:
    uid = sandbox.methods(customers[0])[0]["saved_payment_method_uid"]
    sandbox.remove("method", uid)
    assert counts(both(account)) == {"unchanged": 1, "deleted": 1}
    assert SavedPaymentMethod.objects.get(uid=uid).deleted_at is not None
    assert heard.signals == [("saved_method_changed", uid, "sync")]


def test_a_method_that_a_list_lacked_for_a_moment_is_not_gone(sandbox: Any, account: str, customers: list[str]) -> None:
    """The list is asked for again before its methods are marked."""
    sandbox.fault(f"GET /api/customers/{customers[0]}/payment-methods", body="[]", status=200, times=1)
    assert counts(read("methods", account, full=True)) == {"unchanged": 4}
    assert SavedPaymentMethod.objects.filter(deleted_at=None).count() == 6


@pytest.mark.parametrize(
    "body",
    [
        '[{"payment_method_type": "credit"}]',
        '{"value": [], "@odata.nextLink": "/api/customers/x/payment-methods?$skip=100"}',
    ],
    ids=["a method without a uid", "a list that goes on"],
)
def test_of_a_list_that_may_not_be_whole_nothing_is_buried(
    sandbox: Any, account: str, customers: list[str], body: str
) -> None:
    sandbox.touch("customer", customers[0], name="Changed")
    sandbox.fault(f"GET /api/customers/{customers[0]}/payment-methods", body=body, status=200)
    read("customers", account)
    assert pull("methods", account).deleted == 0
    assert SavedPaymentMethod.objects.filter(deleted_at=None).count() == 6


def test_a_method_with_a_wrong_value_is_kept_and_marked(sandbox: Any, account: str, customers: list[str]) -> None:
    uid = sandbox.methods(customers[0])[0]["saved_payment_method_uid"]
    credit = {**sandbox.methods(customers[0])[0]["credit"], "exp_year": "soon"}
    sandbox.touch("method", uid, credit=credit)
    run = both(account)
    assert counts(run) == {"unchanged": 1, "updated": 1}
    row = SavedPaymentMethod.objects.get(uid=uid)
    assert (row.exp_year, row.mended, row.deleted_at) == (None, "exp_year", None)


def test_a_customer_that_changes_while_its_methods_are_read_stays_stale(
    sandbox: Any, account: str, customers: list[str]
) -> None:
    for uid in customers[:2]:
        sandbox.touch("customer", uid, name="Changed")
    read("customers", account)

    def change(run: SyncRun) -> None:
        if run.pages == 1:
            sandbox.add_method(customers[1])
            read("customers", account)

    read("methods", account, progress=change)
    assert list(Customer.objects.filter(methods_stale=True).values_list("uid", flat=True)) == [customers[1]]
    assert counts(read("methods", account)) == {"unchanged": 2}


def test_a_customer_that_is_gone_has_no_methods(sandbox: Any, account: str, customers: list[str]) -> None:
    """The sync of customers marks its row as deleted; its methods are not requested again."""
    sandbox.touch("customer", customers[0], name="Changed")
    read("customers", account)
    sandbox.remove("customer", customers[0])
    run = read("methods", account)
    assert run.error == ""
    assert run.deleted == 2
    assert Customer.objects.get(uid=customers[0]).deleted_at is None
    read("customers", account, full=True)
    assert Customer.objects.get(uid=customers[0]).deleted_at is not None


def test_an_interrupted_run_goes_on_with_the_stale_ones(
    sandbox: Any, account: str, customers: list[str], settings: Any
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    for uid in customers:
        sandbox.touch("customer", uid, name="Changed")
    read("customers", account)
    sandbox.fault(f"GET /api/customers/{customers[3]}/payment-methods", status=500, times=1)
    assert pull("methods", account).state == "failed"
    calls = watch(sandbox)
    read("methods", account)
    assert asked(calls) == customers[3:]


def test_a_full_run_reads_all_and_is_resumed(sandbox: Any, account: str, customers: list[str], settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    sandbox.fault(f"GET /api/customers/{customers[3]}/payment-methods", status=500, times=1)
    assert pull("methods", account, full=True).state == "failed"
    calls = watch(sandbox)
    assert counts(read("methods", account, full=True)) == {"unchanged": 2}
    assert asked(calls) == customers[3:]
    assert cursor_of("methods", account).full_position is None


def test_one_customer_without_a_list_is_reported_and_the_others_are_read(
    sandbox: Any, account: str, customers: list[str]
) -> None:
    sandbox.fault(f"GET /api/customers/{customers[0]}/payment-methods", status=404)
    run = read("methods", account, full=True)
    assert run.error == ""
    assert counts(run) == {"unchanged": 4, "rejected_count": 1}
    assert run.rejected[0]["uid"] == customers[0]


@pytest.mark.parametrize("status", [404, 405])
def test_an_api_without_such_lists_does_not_offer_them(
    sandbox: Any, account: str, customers: list[str], status: int
) -> None:
    SyncCursor.objects.filter(resource="methods").delete()  # as if they had never been read
    sandbox.fault("GET /api/customers/{uid}/payment-methods", status=status)
    run = read("methods", account, full=True)
    assert run.error == "Not offered by this API."
    assert SavedPaymentMethod.objects.filter(deleted_at=None).count() == 6
    assert cursor_of("methods", account).not_offered_at is not None

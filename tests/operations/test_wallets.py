"""Customers and saved methods: found or created, stored without tokens, removed, set as default."""

from __future__ import annotations

import datetime as dt
import json
import logging
import uuid
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from govpay import operations
from govpay.exceptions import Conflict, InvalidRequest, NotFound, OperationRefused, OutcomeUnknown
from govpay.models import Customer, Operation, PaymentAccount, SavedPaymentMethod
from tests.operations.merchant import Merchant, at_once, bank_account, card, only
from tests.processes import start_python

pytestmark = pytest.mark.django_db(transaction=True)

CREATE = "POST /api/customers"
SAVE = "POST /api/customers/{uid}/payment-methods"
REMOVE = "DELETE /api/customers/{uid}/payment-methods/{method}"
DEFAULT = "PUT /api/customers/{uid}/default-payment-method"
LIST = "GET /api/customers/{uid}/payment-methods"
PAN = "4111 1111 1111 1111"


@pytest.fixture
def pat(merchant: Merchant) -> Customer:
    return operations.create_customer(
        account=merchant.account, reference_id="CUST-1", name="Pat", email="pat@example.org"
    )


def writes(merchant: Merchant, part: str = "") -> list[str]:
    """The writes to wallets that reached the platform."""
    found = [f"{each['method']} {each['path']}" for each in merchant.sandbox.requests() if each["method"] != "GET"]
    return [each for each in found if " /api/" in each and part in each]


def everything() -> str:
    """All that lies in the tables of the app."""
    with connection.cursor() as cursor:
        text = []
        for table in connection.introspection.table_names(cursor):
            if table.startswith("govpay_"):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                text.append(repr(cursor.fetchall()))
    return "\n".join(text)


# --- Customers ------------------------------------------------------------------------------------


def test_customer_is_created_once_and_then_found_here(merchant: Merchant, pat: Customer, heard: list[Any]) -> None:
    assert (pat.reference_id, pat.name, pat.email, pat.account_id) == (
        "CUST-1",
        "Pat",
        "pat@example.org",
        merchant.account.uid,
    )
    again = operations.create_customer(account=merchant.account, reference_id="CUST-1", name="Another")
    assert (again, again.name) == (pat, "Pat")
    assert len(writes(merchant)) == 1
    operation = only()
    assert (operation.action, operation.state, operation.reference_id) == ("create_customer", "succeeded", "CUST-1")
    assert (operation.customer_id, operation.result_uid) == (pat.uid, pat.uid)


def test_same_reference_of_another_account_is_another_customer(merchant: Merchant, pat: Customer) -> None:
    other = operations.create_customer(account=merchant.add_account(name="Courts"), reference_id="CUST-1")
    assert other.uid != pat.uid


def test_conflict_finds_the_one_that_exists(merchant: Merchant) -> None:
    there = merchant.sandbox.add_customer(merchant.account.uid, reference_id="it's 1", name="Sam")
    found = operations.create_customer(account=merchant.account, reference_id="it's 1")
    assert (found.uid, found.name, found.account_id) == (there["uid"], "Sam", merchant.account.uid)
    assert only().state == "succeeded"


def test_conflict_finds_an_old_one_where_filters_are_refused(merchant: Merchant) -> None:
    there = merchant.sandbox.add_customer(merchant.account.uid, reference_id="OLD")
    merchant.sandbox.touch("customer", there["uid"], updated_at="2021-01-01T00:00:00.000000Z")
    merchant.sandbox.fault("GET /api/customers", times=1, status=400)
    assert operations.create_customer(account=merchant.account, reference_id="OLD").uid == there["uid"]


def test_conflict_that_cannot_be_looked_up_is_one(merchant: Merchant, impatient: None) -> None:
    merchant.sandbox.add_customer(merchant.account.uid, reference_id="CUST-1")
    merchant.sandbox.fault("GET /api/customers", status=503)
    with pytest.raises(Conflict):
        operations.create_customer(account=merchant.account, reference_id="CUST-1")
    assert (only().state, Customer.objects.count()) == ("failed", 0)


def test_threads_at_once_make_one(merchant: Merchant) -> None:
    job = partial(operations.create_customer, account=merchant.account, reference_id="CUST-1")
    found = at_once(*[job] * 5)
    assert {getattr(each, "uid", each) for each in found} == {Customer.objects.get().uid}
    assert len(merchant.sandbox.all("customer")) == 1


def test_processes_at_once_make_one(merchant: Merchant) -> None:
    code = (
        "import sys; from govpay import operations; from govpay.models import PaymentAccount\n"
        "account = PaymentAccount.objects.get(uid=sys.argv[1]); sys.stdin.readline()\n"
        "print(operations.create_customer(account=account, reference_id='CUST-1').uid)"
    )
    processes = [start_python(code, merchant.account.uid, stdin=-1) for _ in range(2)]
    answers = []
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        answers.append(out.strip())
    assert set(answers) == {Customer.objects.get().uid} == {each["uid"] for each in merchant.sandbox.all("customer")}


@pytest.mark.parametrize(("close", "settled"), [("after", "succeeded"), ("before", "failed")])
def test_lost_creation_is_looked_up_by_its_reference(merchant: Merchant, close: str, settled: str) -> None:
    key = uuid.uuid4()
    create = partial(operations.create_customer, account=merchant.account, reference_id="CUST-1", key=key)
    merchant.sandbox.fault(CREATE, times=1, close=close)
    with pytest.raises(OutcomeUnknown):
        create()
    with pytest.raises(OutcomeUnknown):
        create()
    merchant.reconcile_all()
    assert only().state == settled
    assert len(writes(merchant)) == 1
    if settled == "succeeded":
        assert create() == Customer.objects.get()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"reference_id": ""}, "reference_id"),
        ({"reference_id": "  "}, "reference_id"),
        ({"reference_id": None}, "reference_id"),
        ({"reference_id": 7}, "reference_id"),
        ({"reference_id": "x" * 256}, "reference_id"),
        ({"reference_id": "a\x00"}, "reference_id"),
        ({"reference_id": PAN}, "reference_id looks like a card"),
        ({"name": 5}, "name"),
        ({"name": PAN}, "name looks like a card"),
        ({"email": "pat"}, "email"),
        ({"email": "4111111111111111@example.org"}, "email looks like a card"),
        ({"key": "no"}, "UUID"),
    ],
)
def test_bad_customer_is_refused_by_name_before_anything(merchant: Merchant, wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(OperationRefused, match=named) as error:
        operations.create_customer(**{"account": merchant.account, "reference_id": "CUST-1", **wrong})
    assert "1111" not in str(error.value)
    assert not writes(merchant)
    assert not Operation.objects.exists()


def test_unknown_account_is_refused(merchant: Merchant) -> None:
    with pytest.raises(OperationRefused, match="no such payment account"):
        operations.create_customer(account=PaymentAccount(uid="acc_none"), reference_id="1")


# --- Saving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["card", "bank"])
def test_method_is_saved_once_and_without_its_token(
    merchant: Merchant, pat: Customer, heard: list[Any], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.DEBUG)
    asked = (
        card(fingerprint="tok_canary_15", holder_name="Pat", card_brand="VISA")
        if kind == "card"
        else bank_account(fingerprint="tok_canary_15", holder_name="Pat")
    )
    key = uuid.uuid4()
    method = operations.save_payment_method(customer=pat, payment_method=asked, key=key)
    assert (method.customer_id, method.account_id, method.holder_name) == (pat.uid, merchant.account.uid, "Pat")
    if kind == "card":
        assert (method.brand, method.last4, method.exp_month, method.exp_year) == ("VISA", "1111", 12, 2040)
    else:
        assert (method.method_type, method.last4, method.account_type) == ("ach", "9992", "checking")
    assert operations.save_payment_method(customer=pat, payment_method=asked, key=key) == method
    assert len(writes(merchant, "payment-methods")) == 1
    operation = only(action="save_method")
    assert (operation.state, operation.result_uid, operation.customer_id) == ("succeeded", method.uid, pat.uid)
    permanent = json.dumps(merchant.sandbox.platform.store.get("method", method.uid).private)
    assert "perm_" in permanent
    for where in (everything(), caplog.text):
        assert "canary" not in where
        assert "perm_" not in where
    assert heard == [
        ("saved_method_changed", method.uid, "operation"),
        ("operation_finished", "save_method succeeded", "operation"),
    ]
    # Neither sync finds anything new.
    merchant.sync("customers", "methods")
    assert len(heard) == 2
    operations.quote_payment(account=merchant.account, base_amount=100, saved_method=method)


def test_other_arguments_under_the_same_key_are_refused(merchant: Merchant, pat: Customer) -> None:
    key = uuid.uuid4()
    operations.save_payment_method(customer=pat, payment_method=card(), key=key)
    with pytest.raises(OperationRefused, match="used for another"):
        operations.save_payment_method(customer=pat, payment_method=card(), key=key)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (card(fingerprint=PAN), "fingerprint looks like a card"),
        (card(holder_name=f"Pat {PAN}"), "holder_name looks like a card"),
        (card(cvv="123"), "cvv is not known"),
        (card(last4="12345"), "last4"),
        ({"payment_method_type": "wallet_credit", "wallet": {"saved_payment_method_uid": "spm_1"}}, "credit or ach"),
        ({"payment_method_type": "credit"}, "credit is missing"),
        (None, "must be an object"),
    ],
)
def test_bad_method_is_refused_by_name_before_anything(
    merchant: Merchant, pat: Customer, caplog: pytest.LogCaptureFixture, wrong: Any, named: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(OperationRefused, match=named) as error:
        operations.save_payment_method(customer=pat, payment_method=wrong)
    assert not writes(merchant, "payment-methods")
    for where in (str(error.value), caplog.text, everything()):
        assert "1111 1111" not in where


def test_foreign_gone_or_unknown_customer_is_refused(merchant: Merchant, pat: Customer) -> None:
    save = partial(operations.save_payment_method, payment_method=card())
    with pytest.raises(OperationRefused, match="sync first"):
        save(customer=Customer(uid="cus_none", account=merchant.account))
    with pytest.raises(OperationRefused, match="another payment account"):
        save(customer=Customer(uid=pat.uid, account=merchant.add_account(name="Courts")))
    Customer.objects.update(deleted_at="2026-01-01T00:00:00Z")
    with pytest.raises(OperationRefused, match="no longer has this customer"):
        save(customer=pat)


def test_saved_method_stands_although_the_list_cannot_be_read(
    merchant: Merchant, pat: Customer, impatient: None
) -> None:
    merchant.sandbox.fault(LIST, status=503)
    method = operations.save_payment_method(customer=pat, payment_method=card(fingerprint="tok_canary"))
    assert (method.last4, method.exp_year, method.customer_id) == ("1111", 2040, pat.uid)
    assert "canary" not in everything()
    assert Customer.objects.get().methods_stale


def test_refused_token_is_a_plain_failure(merchant: Merchant, pat: Customer) -> None:
    merchant.sandbox.fault(SAVE, times=1, status=422)
    with pytest.raises(InvalidRequest):
        operations.save_payment_method(customer=pat, payment_method=card())
    row = only(action="save_method")
    assert (row.state, row.validated_method) == ("failed", None)


@pytest.mark.parametrize(("close", "settled"), [("after", "succeeded"), ("before", "failed")])
def test_lost_saving_is_found_among_the_customers_methods(
    merchant: Merchant, pat: Customer, close: str, settled: str
) -> None:
    earlier = operations.save_payment_method(customer=pat, payment_method=card())
    # The same card, saved by somebody else long ago and not known here.
    old = merchant.sandbox.add_method(pat.uid)["saved_payment_method_uid"]
    merchant.sandbox.touch("method", old, exp_month=12, exp_year=2040, created_at="2020-01-01T00:00:00Z")
    merchant.sandbox.fault(SAVE, times=1, close=close)
    with pytest.raises(OutcomeUnknown) as error:
        operations.save_payment_method(customer=pat, payment_method=card(fingerprint="tok_canary"))
    assert "canary" not in str(error.value) + everything()
    merchant.reconcile_all()
    operation = only(key=error.value.operation_key)
    assert operation.state == settled
    assert (operation.validated_method is None) == (settled == "succeeded"), "it may still arrive, and is known by that"
    Operation.objects.update(finished_at=timezone.now() - dt.timedelta(hours=25))
    operations.reconcile()
    assert only(pk=operation.pk).validated_method is None
    assert len(writes(merchant, "payment-methods")) == 2
    if settled == "succeeded":
        assert operation.result_uid not in ("", earlier.uid, old)
        assert SavedPaymentMethod.objects.get(uid=operation.result_uid).customer_id == pat.uid


@pytest.mark.parametrize("more", [{"@odata.nextLink": "/api/x?$skip=1"}, {"@odata.count": 7}], ids=["link", "count"])
def test_lost_saving_may_be_in_the_rest_of_the_list(merchant: Merchant, pat: Customer, more: dict[str, Any]) -> None:
    merchant.sandbox.fault(SAVE, times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        operations.save_payment_method(customer=pat, payment_method=card())
    merchant.sandbox.fault(LIST, status=200, body=json.dumps({"value": [], **more}))
    merchant.reconcile_all()
    assert only(action="save_method").state == "unknown"


def test_lost_saving_is_found_although_its_method_has_an_odd_date(merchant: Merchant, pat: Customer) -> None:
    merchant.sandbox.fault(SAVE, times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        operations.save_payment_method(customer=pat, payment_method=card())
    [method] = merchant.sandbox.methods(pat.uid)
    merchant.sandbox.touch("method", method["saved_payment_method_uid"], created_at="31/12/2026")
    merchant.reconcile_all()
    assert only(action="save_method").result_uid == method["saved_payment_method_uid"]


def test_lost_saving_is_not_executed_although_another_method_has_an_odd_date(merchant: Merchant, pat: Customer) -> None:
    other = operations.save_payment_method(customer=pat, payment_method=card("0002"))
    merchant.sandbox.touch("method", other.uid, updated_at="31/12/2026")
    merchant.sandbox.fault(SAVE, times=1, close="before")
    with pytest.raises(OutcomeUnknown) as error:
        operations.save_payment_method(customer=pat, payment_method=card())
    merchant.reconcile_all()
    assert only(key=error.value.operation_key).state == "failed"


def test_lost_saving_is_found_although_its_method_was_made_the_default_meanwhile(
    merchant: Merchant, pat: Customer
) -> None:
    """M3: the sync brings the method before reconciliation looks, and staff go on with it."""
    merchant.sandbox.fault(SAVE, times=1, close="after")
    with pytest.raises(OutcomeUnknown) as error:
        operations.save_payment_method(customer=pat, payment_method=card())
    merchant.sync("customers", "methods")
    method = operations.set_default_payment_method(method=SavedPaymentMethod.objects.get())
    merchant.reconcile_all()
    operation = only(key=error.value.operation_key)
    assert (operation.state, operation.result_uid) == ("succeeded", method.uid)


# --- Removing and the default ---------------------------------------------------------------------


@pytest.fixture
def two(merchant: Merchant, pat: Customer) -> list[SavedPaymentMethod]:
    return [operations.save_payment_method(customer=pat, payment_method=card()) for _ in range(2)]


def test_removed_method_is_a_tombstone_and_keeps_its_payments(
    merchant: Merchant, two: list[SavedPaymentMethod], heard: list[Any]
) -> None:
    method = two[0]
    payment = operations.quote_payment(account=merchant.account, base_amount=100, saved_method=method)
    heard.clear()
    gone = operations.remove_payment_method(method=method)
    assert gone == method
    assert gone.deleted_at is not None
    payment.refresh_from_db()
    assert payment.saved_method == gone
    assert [each["saved_payment_method_uid"] for each in merchant.sandbox.methods(method.customer_id)] == [two[1].uid]
    assert heard == [
        ("saved_method_changed", method.uid, "operation"),
        ("operation_finished", "remove_method succeeded", "operation"),
    ]
    with pytest.raises(OperationRefused, match="was removed"):
        operations.remove_payment_method(method=method)
    merchant.sync("customers", "methods")
    assert len(heard) == 2
    assert len(writes(merchant, "DELETE")) == 1


def test_method_that_the_platform_no_longer_has_counts_as_removed(
    merchant: Merchant, two: list[SavedPaymentMethod]
) -> None:
    merchant.sandbox.remove("method", two[0].uid)
    assert operations.remove_payment_method(method=two[0]).deleted_at is not None
    assert only(action="remove_method").state == "succeeded"


def test_missing_route_removes_nothing(merchant: Merchant, two: list[SavedPaymentMethod]) -> None:
    for status in (404, 405):
        merchant.sandbox.fault(REMOVE, times=1, status=status)
        with pytest.raises(NotFound):
            operations.remove_payment_method(method=two[0])
    assert not SavedPaymentMethod.objects.exclude(deleted_at=None).exists()


def test_locked_method_is_refused_in_the_platforms_words(merchant: Merchant, two: list[SavedPaymentMethod]) -> None:
    body = json.dumps({"code": "conflict", "message": "Autopay uses this card.", "request_id": "req_9"})
    merchant.sandbox.fault(REMOVE, times=1, status=409, body=body)
    with pytest.raises(Conflict, match="Autopay uses this card"):
        operations.remove_payment_method(method=two[0])
    assert SavedPaymentMethod.objects.get(uid=two[0].uid).deleted_at is None


@pytest.mark.parametrize(("close", "settled"), [("after", "succeeded"), ("before", "failed")])
def test_lost_removal_is_looked_up(merchant: Merchant, two: list[SavedPaymentMethod], close: str, settled: str) -> None:
    merchant.sandbox.fault(REMOVE, times=1, close=close)
    with pytest.raises(OutcomeUnknown):
        operations.remove_payment_method(method=two[0])
    merchant.reconcile_all()
    operation = only(action="remove_method")
    assert operation.state == settled
    assert (SavedPaymentMethod.objects.get(uid=two[0].uid).deleted_at is not None) == (settled == "succeeded")
    assert SavedPaymentMethod.objects.get(uid=two[1].uid).deleted_at is None
    assert len(writes(merchant, "DELETE")) == 1


def test_default_moves_from_one_to_the_other(
    merchant: Merchant, two: list[SavedPaymentMethod], heard: list[Any]
) -> None:
    def defaults() -> dict[str, bool]:
        return dict(SavedPaymentMethod.objects.values_list("uid", "is_default"))

    assert operations.set_default_payment_method(method=two[0]).is_default is True
    assert defaults() == {two[0].uid: True, two[1].uid: False}
    heard.clear()
    assert operations.set_default_payment_method(method=two[1]) == two[1]
    assert defaults() == {two[0].uid: False, two[1].uid: True}
    merchant.sync("customers", "methods")
    changed = [uid for name, uid, _ in heard if name == "saved_method_changed"]
    assert sorted(changed) == sorted(each.uid for each in two)


@pytest.mark.parametrize(("close", "settled"), [("after", "succeeded"), ("before", "failed")])
def test_lost_default_is_looked_up(merchant: Merchant, two: list[SavedPaymentMethod], close: str, settled: str) -> None:
    merchant.sandbox.fault(DEFAULT, times=1, close=close)
    with pytest.raises(OutcomeUnknown):
        operations.set_default_payment_method(method=two[0])
    merchant.reconcile_all()
    assert only(action="set_default_method").state == settled
    assert SavedPaymentMethod.objects.get(uid=two[0].uid).is_default is (settled == "succeeded")


def test_list_read_before_a_removal_does_not_bring_it_back(merchant: Merchant, two: list[SavedPaymentMethod]) -> None:
    SavedPaymentMethod.objects.filter(uid=two[0].uid).update(deleted_at="2026-01-01T00:00:00Z")
    operations.set_default_payment_method(method=two[1])
    assert SavedPaymentMethod.objects.get(uid=two[0].uid).deleted_at is not None


def test_method_that_turns_out_to_be_gone_is_marked_so(merchant: Merchant, two: list[SavedPaymentMethod]) -> None:
    merchant.sandbox.remove("method", two[0].uid)
    with pytest.raises(InvalidRequest, match="no method of this customer"):
        operations.set_default_payment_method(method=two[0])
    assert only(action="set_default_method").state == "failed"
    gone = SavedPaymentMethod.objects.exclude(deleted_at=None)
    assert list(gone) == [two[0]]


@pytest.mark.parametrize("action", ["remove_payment_method", "set_default_payment_method"])
def test_unknown_foreign_or_ownerless_method_is_refused(
    merchant: Merchant, two: list[SavedPaymentMethod], action: str
) -> None:
    run, before = getattr(operations, action), len(writes(merchant))
    with pytest.raises(OperationRefused, match="sync first"):
        run(method=SavedPaymentMethod(uid="spm_none", account=merchant.account, customer_id=two[0].customer_id))
    with pytest.raises(OperationRefused, match="not known here"):
        run(method=SavedPaymentMethod(uid=two[0].uid))
    other = operations.create_customer(account=merchant.account, reference_id="CUST-2")
    with pytest.raises(OperationRefused, match="another customer"):
        run(method=SavedPaymentMethod(uid=two[0].uid, account=merchant.account, customer=other))
    assert len(writes(merchant)) == before + 1

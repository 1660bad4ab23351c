"""Customers and saved methods over REST."""

from __future__ import annotations

import pytest

from govpay.models import Customer, Operation, SavedPaymentMethod
from tests.operations.merchant import Merchant, bank_account, card, only
from tests.rest.conftest import Program, problem

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_customer_is_created_once(finance_program: Program, merchant: Merchant) -> None:
    body = {
        "account": merchant.account.uid,
        "reference_id": "CUST-1",
        "name": "Pat Example",
        "email": "pat@example.org",
    }
    first, again = (finance_program.act("customers", body, key="c") for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert Customer.objects.get().reference_id == "CUST-1"
    assert finance_program.get(first["Location"]).json()["email"] == "pat@example.org"
    assert first["Operation-Id"] == str(only().key)
    known = finance_program.act("customers", {**body, "name": "Another"})
    assert (known.status_code, known.json()) == (201, first.json())
    assert known["Operation-Id"] != first["Operation-Id"], "the key stands for it all the same"
    posts = [each for each in merchant.sandbox.requests() if each["method"] == "POST" and "customers" in each["path"]]
    assert len(posts) == 1


def test_methods_are_saved_chosen_and_removed(finance_program: Program, merchant: Merchant) -> None:
    uid = finance_program.act("customers", {"account": merchant.account.uid, "reference_id": "CUST-1"}).json()["uid"]
    path = f"customers/{uid}/payment-methods"
    made = [finance_program.act(path, {"payment_method": each}) for each in (card(), bank_account())]
    assert [answer.status_code for answer in made] == [201, 201], [answer.content for answer in made]
    first, second = (answer.json() for answer in made)
    assert (first["last4"], first["customer"]) == ("1111", uid)
    assert "tok_" not in str(first)
    listed = finance_program.get(path).json()["results"]
    assert [each["uid"] for each in listed] == [second["uid"], first["uid"]]

    chosen = finance_program.act(f"{path}/{second['uid']}/default")
    assert (chosen.status_code, chosen.json()["is_default"]) == (200, True)
    assert finance_program.get(f"{path}?is_default=true").json()["results"][0]["uid"] == second["uid"]

    answers = [finance_program.act(f"{path}/{first['uid']}", method="delete", key="d") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["deleted_at"]
    assert SavedPaymentMethod.objects.get(uid=first["uid"]).deleted_at
    assert Operation.objects.filter(action="remove_method", state="succeeded").count() == 1
    problem(finance_program.act(f"{path}/{first['uid']}", method="delete"), 422, "refused")
    assert [each["uid"] for each in finance_program.get(f"{path}?deleted=false").json()["results"]] == [second["uid"]]


def test_a_saved_method_is_charged(finance_program: Program, merchant: Merchant) -> None:
    method = merchant.saved_method()
    body = {"account": merchant.account.uid, "base_amount": 900, "saved_method": method.uid, "description": "Permit"}
    quote = finance_program.act("payments/quote", body)
    assert quote.status_code == 201, quote.content
    assert (quote.json()["saved_method"], quote.json()["customer"]) == (method.uid, method.customer_id)
    captured = finance_program.act(f"payments/{quote.json()['uid']}/capture")
    assert captured.json()["status"] == "captured"
    assert only(action="quote").reason == "Permit"


def test_the_vendors_object_is_refused_by_its_property(finance_program: Program, merchant: Merchant) -> None:
    customer = merchant.saved_method().customer_id
    for method, field in (
        ({"payment_method_type": "credit"}, "payment_method.credit"),
        ({"payment_method_type": "wallet_credit", "wallet": {}}, "payment_method.payment_method_type"),
        (card(exp_month=13), "payment_method.credit.exp_month"),
    ):
        answer = finance_program.act(f"customers/{customer}/payment-methods", {"payment_method": method})
        assert problem(answer, 400, "invalid")["errors"][0]["field"] == field

"""Dates and texts of the platform that cannot be read, in documents that the journal is closed with (faults R13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from govpay import operations
from govpay.client import CustomerResource, PaymentResource, Resource, SavedMethodResource, TransactionResource
from govpay.client.values import Optional
from govpay.exceptions import OutcomeUnknown
from govpay.models import Customer, Transaction
from tests.operations.merchant import Merchant, card, only

pytestmark = pytest.mark.django_db(transaction=True)

RESOURCES: dict[str, type[Resource]] = {
    "payment": PaymentResource,
    "transaction": TransactionResource,
    "customer": CustomerResource,
    "method": SavedMethodResource,
}

#: Properties that say which object it is.
IDENTITY = {"uid", "id", "saved_payment_method_uid", "payment_uid", "customer_uid", "reference_id"}

#: Values that no property takes. A text with NUL is no date either.
ODD = [7.5, ["31/12/2026"], "31/12/2026\0"]


def spoil(merchant: Merchant, kind: str, value: Any) -> None:
    """Set every property but identity, amounts, currency and status of all objects of this kind to ``value``."""
    resource = RESOURCES[kind]
    readers = [getattr(resource, name) for name in dir(resource) if isinstance(getattr(resource, name), Optional)]
    names = {name for each in readers for name in each.names} - IDENTITY - set(resource.VITAL)
    assert {"created_at", "updated_at"} <= names
    for document in merchant.sandbox.all(kind):
        uid = document.get("uid") or document["saved_payment_method_uid"]
        card = {name: dict.fromkeys(document[name], value) for name in ("credit", "payment_method") if name in document}
        merchant.sandbox.touch(kind, uid, **dict.fromkeys(names, value), **card)


def capture(merchant: Merchant) -> None:
    operations.capture_payment(payment=merchant.quoted())


def void(merchant: Merchant) -> None:
    operations.void_payment(payment=merchant.captured())


def refund(merchant: Merchant) -> None:
    operations.refund_payment(payment=merchant.captured(), amount=100)


def quote(merchant: Merchant) -> None:
    merchant.quoted()


def customer(merchant: Merchant) -> Customer:
    return operations.create_customer(account=merchant.account, reference_id="pat")


def save(merchant: Merchant) -> None:
    operations.save_payment_method(customer=merchant.saved_method().customer, payment_method=card("0009"))


def remove(merchant: Merchant) -> None:
    operations.remove_payment_method(method=merchant.saved_method())


CASES: dict[str, tuple[Callable[[Merchant], Any], str, tuple[str, ...]]] = {
    "quote": (quote, "POST /api/payments", ("payment",)),
    "capture": (capture, "POST /api/payments/{uid}/capture", ("payment", "transaction")),
    "void": (void, "POST /api/payments/{uid}/void", ("payment", "transaction")),
    "refund": (refund, "POST /api/payments/{uid}/refund", ("payment", "transaction")),
    "create_customer": (customer, "POST /api/customers", ("customer",)),
    "save_method": (save, "POST /api/customers/{uid}/payment-methods", ("method", "customer")),
    "remove_method": (remove, "DELETE /api/customers/{uid}/payment-methods/{method}", ("method", "customer")),
}


@pytest.mark.parametrize("odd", ODD, ids=["number", "list", "NUL"])
@pytest.mark.parametrize("close", ["after", "before"])
@pytest.mark.parametrize("action", CASES)
def test_outcome_is_found_whatever_the_other_properties_are(
    merchant: Merchant, action: str, close: str, odd: Any
) -> None:
    """An operation whose answer was lost does not stay open because of a property that does not matter to it."""
    act, route, kinds = CASES[action]
    lost = merchant.sandbox.fault(route, times=1, close=close)
    with pytest.raises(OutcomeUnknown):
        act(merchant)
    assert lost.hits == 1
    for kind in kinds:
        spoil(merchant, kind, odd)
    merchant.reconcile_all()
    operation = only(action=action)
    assert operation.state == ("succeeded" if close == "after" else "failed"), operation.look_up_error


@pytest.mark.parametrize(
    "reasons", [{"reason_code": 7, "reason": "closed"}, {"reason_code": None, "reason": ["closed"]}]
)
def test_failed_refund_is_found_whatever_its_reason_is(merchant: Merchant, reasons: dict[str, Any]) -> None:
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        refund(merchant)
    [found] = [row for row in merchant.sandbox.all("transaction") if row["type"] == "refund"]
    merchant.sandbox.touch("transaction", found["uid"], status="failed", **reasons)
    merchant.reconcile_all()
    assert only(action="refund").state == "failed"
    assert Transaction.objects.get(uid=found["uid"]).status == "failed"


def test_default_is_found_whatever_the_methods_say(merchant: Merchant) -> None:
    """The customer names its default."""
    method = merchant.saved_method()
    merchant.sandbox.fault("PUT /api/customers/{uid}/default-payment-method", times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        operations.set_default_payment_method(method=method)
    merchant.sandbox.touch("method", method.uid, is_default="yes")
    merchant.reconcile_all()
    assert only().state == "succeeded"

"""Typed resources: missing and new properties are accepted, wrong values refused; they are cheap (faults R7)."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
import sys
from typing import Any

import pytest

from govpay.client import (
    BadValue,
    CustomerResource,
    HostedSessionResource,
    PaymentAccountResource,
    PaymentResource,
    SavedMethodResource,
    SubscriptionResource,
    TransactionResource,
)
from tests.client.test_values import KINDS

PAYMENT: dict[str, Any] = {
    "uid": "pay_1",
    "reference_id": "R-1",
    "customer_uid": "cus_1",
    "base_amount": 14227,
    "tax_amount": 0,
    "processing_fee_amount": 423,
    "total_amount": 14650,
    "refunded_amount": None,
    "currency": "USD",
    "status": "captured",
    "payment_method": {
        "payment_method_type": "credit",
        "credit": {"last4": "1111", "exp_month": 12, "exp_year": 2027, "bin": "411111", "holder_name": "A B"},
    },
    "created_at": "2026-06-11T10:00:00Z",
    "captured_at": "2026-06-11T10:00:05Z",
    "updated_at": "2026-06-11T10:00:05.1234567Z",
    "something_new": {"a": [1, 2]},
}


def without(name: str, document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


def test_a_payment_is_read_property_by_property() -> None:
    payment = PaymentResource(PAYMENT, "req_1")
    assert (payment.uid, payment.base_amount, payment.total_amount) == ("pay_1", 14227, 14650)
    assert (payment.status, payment.currency, payment.refunded_amount) == ("captured", "USD", None)
    assert (payment.method_type, payment.brand, payment.last4) == ("credit", None, "1111")
    assert payment.captured_at == dt.datetime(2026, 6, 11, 10, 0, 5, tzinfo=dt.UTC)
    assert payment.updated_at == dt.datetime(2026, 6, 11, 10, 0, 5, 123456, tzinfo=dt.UTC)
    assert payment.updated_at_raw == "2026-06-11T10:00:05.1234567Z"
    assert (payment.session_id, payment.decline_code, payment.saved_payment_method_uid) == (None, None, None)
    assert payment.raw is PAYMENT
    assert payment.request_id == "req_1"


@pytest.mark.parametrize("name", ["base_amount", "status", "created_at", "payment_method", "customer_uid"])
def test_a_missing_or_null_property_is_none(name: str) -> None:
    for document in (without(name, PAYMENT), {**PAYMENT, name: None}):
        payment = PaymentResource(document)
        assert (payment.last4 if name == "payment_method" else getattr(payment, name)) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_amount", "12.30"), ("base_amount", 12.0), ("total_amount", 2**53), ("tax_amount", -5),
        ("base_amount", True), ("status", 5), ("uid", ""), ("uid", None), ("uid", 5), ("created_at", "yesterday"),
        ("currency", ["USD"]), ("customer_uid", {"uid": "x"}), ("reference_id", "a\x00"),
    ],
)  # fmt: skip
def test_a_wrong_property_says_so_and_spoils_no_other(name: str, value: Any) -> None:
    payment = PaymentResource({**PAYMENT, name: value})
    with pytest.raises(BadValue) as caught:
        getattr(payment, name)
    assert caught.value.field == name
    assert isinstance(caught.value, ValueError)
    assert payment.processing_fee_amount == 423


def test_unknown_statuses_are_simply_there() -> None:
    assert PaymentResource({**PAYMENT, "status": "held_for_review"}).status == "held_for_review"


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ({"payment_method_type": "wallet_ach", "wallet": {"saved_payment_method_uid": "spm_1"}},
         ("wallet_ach", None, None, "spm_1")),
        ({"payment_method_type": "ach", "ach": {"account_number_suffix": "556789", "bank_name": "B"}},
         ("ach", None, "6789", None)),
        ({"payment_method_type": "credit", "credit": {"card_brand": "VISA", "last4": "4242"}},
         ("credit", "VISA", "4242", None)),
        ({"payment_method_type": "credit", "brand": "visa", "last4": "4242"}, ("credit", "visa", "4242", None)),
        ({"payment_method_type": "credit", "credit": None}, ("credit", None, None, None)),
        ({}, (None, None, None, None)),
    ],
)  # fmt: skip
def test_the_method_of_a_payment_in_every_form(method: Any, expected: Any) -> None:
    payment = PaymentResource({**PAYMENT, "payment_method": method})
    assert (payment.method_type, payment.brand, payment.last4, payment.saved_payment_method_uid) == expected


@pytest.mark.parametrize(
    "method",
    ["credit", [], 5, {"credit": "x"}, {"last4": 1111}, {"last4": "4111111111111111"}, {"credit": {"last4": []}}],
)
def test_a_method_of_a_wrong_form_is_a_bad_value(method: Any) -> None:
    with pytest.raises(BadValue) as caught:
        _ = PaymentResource({**PAYMENT, "payment_method": method}).last4
    assert "1111" not in str(caught.value)


@pytest.mark.parametrize("name", ["saved_payment_method_uid", "uid", "id"])
def test_a_saved_method_by_any_of_its_names(name: str) -> None:
    assert SavedMethodResource({name: "spm_1"}).uid == "spm_1"


def test_a_saved_card_and_a_saved_bank_account() -> None:
    card = SavedMethodResource(
        {
            "saved_payment_method_uid": "spm_1",
            "uid": "another",
            "payment_method_type": "credit",
            "credit": {"last4": "1111", "exp_month": 2, "exp_year": 2029, "card_brand": "VISA", "holder_name": "A"},
            "is_default": True,
        }
    )
    assert (card.uid, card.method_type, card.brand, card.last4) == ("spm_1", "credit", "VISA", "1111")
    assert (card.exp_month, card.exp_year, card.holder_name, card.is_default) == (2, 2029, "A", True)
    bank = SavedMethodResource(
        {
            "id": "spm_2",
            "payment_method_type": "ach",
            "ach": {"bank_name": "First", "account_number_suffix": "6789", "account_type": "checking"},
        }
    )
    assert (bank.bank_name, bank.last4, bank.account_type, bank.exp_month) == ("First", "6789", "checking", None)
    flat = SavedMethodResource({"id": "spm_3", "type": "card", "brand": "amex", "last4": "0005", "exp_month": 1})
    assert (flat.method_type, flat.brand, flat.last4, flat.exp_month) == ("card", "amex", "0005", 1)
    nested = SavedMethodResource(
        {"id": "spm_4", "payment_method": {"payment_method_type": "credit", "credit": {"last4": "1"}}}
    )
    assert (nested.method_type, nested.last4) == ("credit", "1")


def test_account_limits_are_dollars_on_the_wire_and_cents_here() -> None:
    account = PaymentAccountResource(
        {"uid": "acc_1", "minimum_payment_amount": 0.0, "maximum_payment_amount": 999999.99, "active": False}
    )
    assert (account.minimum_payment_amount, account.maximum_payment_amount, account.active) == (0, 99999999, False)
    with pytest.raises(BadValue):
        _ = PaymentAccountResource({"uid": "a", "maximum_payment_amount": 1.005}).maximum_payment_amount


def test_the_other_shapes() -> None:
    assert CustomerResource({"uid": "cus_1", "email": "a@example.com"}).email == "a@example.com"
    assert TransactionResource({"uid": "t", "amount": 5, "type": "refund"}).amount == 5
    assert SubscriptionResource({"event_type": "payment.failed", "enabled": False}).enabled is False
    session = HostedSessionResource({"session_id": "cs_1", "allowed_methods": ["card"], "challenge": None, "amount": 1})
    assert (session.session_id, session.allowed_methods, session.challenge) == ("cs_1", ("card",), None)
    with pytest.raises(BadValue):
        _ = SubscriptionResource({"enabled": True}).event_type


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_view_is_frozen_hides_its_document_and_travels(kind: Any) -> None:
    view = kind({"uid": "canary", "client_secret": "canary", "session_id": "canary"}, "req_1")
    for name in ("raw", "uid", "anything"):
        with pytest.raises(AttributeError):
            setattr(view, name, 1)
    with pytest.raises(AttributeError):
        del view.raw
    assert "canary" not in repr(view)
    assert not hasattr(view, "__dict__")
    again = pickle.loads(pickle.dumps(view))
    assert again == view == copy.copy(view)
    assert (again.raw, again.request_id) == (view.raw, "req_1")
    assert hash(again) == hash(view)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_making_a_view_parses_and_copies_nothing(kind: Any) -> None:
    class Untouched(dict[str, Any]):
        """A document that raises when it is read."""

        def _touched(self, *_: Any) -> Any:
            raise AssertionError("the document was looked at")

        __getitem__ = __iter__ = __contains__ = get = items = keys = values = copy = __len__ = _touched  # type: ignore[assignment]

    document = Untouched(base_amount="wrong", created_at="wrong")
    calls: list[str] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        view = kind(document)
    finally:
        sys.setprofile(None)
    assert view.raw is document
    assert calls == ["__init__"]

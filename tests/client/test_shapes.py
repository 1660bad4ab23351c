"""Bodies of writes: an error names the wrong property and never quotes a value (A17, A24)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from govpay.client.shapes import (
    CapturePayment,
    RefundPayment,
    Shape,
    ValidatePayment,
    payment_method_from_dict,
)
from govpay.client.tenant_shapes import (
    Branding,
    CheckoutConfig,
    CreateClient,
    CreateCustomer,
    CreateHostedSession,
    CreatePaymentAccount,
    ImportedMethod,
    ImportPaymentMethods,
    LineItem,
    SavePaymentMethod,
    SetSubscriptions,
    Subscription,
    UpdateHostedSession,
)
from govpay.exceptions import OperationRefused

CARD: dict[str, Any] = {
    "payment_method_type": "credit",
    "credit": {
        "fingerprint": "tok_canary",
        "last4": "1111",
        "exp_month": 12,
        "exp_year": 2027,
        "bin": "411111",
        "holder_name": "Ann Canary",
    },
}
BANK: dict[str, Any] = {
    "payment_method_type": "ach",
    "ach": {"routing_number": "021000021", "account_number_suffix": "6789", "account_type": "checking"},
}
WALLET: dict[str, Any] = {"payment_method_type": "wallet_credit", "wallet": {"saved_payment_method_uid": "spm_1"}}


@pytest.mark.parametrize("given", [CARD, BANK, WALLET, {**WALLET, "payment_method_type": "wallet_ach"}])
def test_the_vendors_request_object_goes_through_unchanged(given: dict[str, Any]) -> None:
    method = payment_method_from_dict(given)
    assert method.to_wire() == given
    assert json.loads(json.dumps(method.to_wire())) == given
    assert "anary" not in repr(method)


def card(**changed: Any) -> dict[str, Any]:
    block = {**CARD["credit"], **changed}
    return {**CARD, "credit": {name: value for name, value in block.items() if value is not ...}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "payment_method must be an object"),
        ([], "payment_method must be an object"),
        ({}, "payment_method.payment_method_type must be one of credit"),
        ({**CARD, "payment_method_type": "card"}, "payment_method.payment_method_type must be one of"),
        ({**CARD, "payment_method_type": ["credit"]}, "payment_method.payment_method_type must be one of"),
        ({"payment_method_type": "credit"}, "payment_method.credit is missing"),
        ({**CARD, "credit": None}, "payment_method.credit must be an object"),
        ({**CARD, "credit": "tok_canary"}, "payment_method.credit must be an object"),
        ({**CARD, "ach": BANK["ach"]}, "payment_method.ach"),
        ({**CARD, "cvv": "123"}, "payment_method.cvv is not known"),
        ({**CARD, "canary value": "123"}, "payment_method.a property is not known"),
        (card(fingerprnt="tok_canary", fingerprint=...), "payment_method.credit.fingerprnt is not known"),
        (card(cvv="123"), "payment_method.credit.cvv is not known"),
        (card(card_number="4111111111111111"), "payment_method.credit.card_number is not known"),
        (card(fingerprint=...), "payment_method.credit.fingerprint is missing"),
        (card(fingerprint=""), "payment_method.credit.fingerprint must be a text"),
        (card(fingerprint=None), "payment_method.credit.fingerprint is missing"),
        (card(holder_name=None), "payment_method.credit.holder_name must not be null"),
        (card(last4="4111111111111111"), "payment_method.credit.last4 must be a text of four digits"),
        (card(last4=1111), "payment_method.credit.last4 must be"),
        (card(bin="4111111111111111"), "payment_method.credit.bin must be"),
        (card(exp_month=13), "payment_method.credit.exp_month must be"),
        (card(exp_month="12"), "payment_method.credit.exp_month must be"),
        (card(exp_year=27), "payment_method.credit.exp_year must be"),
        (card(exp_year=True), "payment_method.credit.exp_year must be"),
        (card(holder_name="a\x00"), "payment_method.credit.holder_name is too long or contains control"),
        (card(card_brand="VISA"), "payment_method.credit.card_brand belongs to saving"),
        ({**BANK, "ach": {**BANK["ach"], "routing_number": "12"}}, "payment_method.ach.routing_number must be"),
        ({**BANK, "ach": {**BANK["ach"], "account_number": "1"}}, "payment_method.ach.account_number is not known"),
        ({**WALLET, "wallet": {}}, "payment_method.wallet.saved_payment_method_uid is missing"),
    ],
)
def test_what_is_wrong_is_named_and_never_quoted(given: Any, words: str) -> None:
    with pytest.raises(OperationRefused) as caught:
        payment_method_from_dict(given)
    assert str(caught.value).startswith(words)
    for canary in ("anary", "4111", "021000021"):
        assert canary not in str(caught.value)


def test_saving_takes_the_brand_and_no_wallet() -> None:
    saving = card(card_brand="VISA")
    body = SavePaymentMethod(payment_method=payment_method_from_dict(saving, saving=True))
    assert body.to_wire() == {"payment_method": saving}
    with pytest.raises(OperationRefused, match="must be credit or ach"):
        payment_method_from_dict(WALLET, saving=True)


def test_a_validation_and_its_capture() -> None:
    method = payment_method_from_dict(CARD)
    validation = ValidatePayment(
        base_amount=14227, tax_amount=0, currency="USD", reference_id="R-1", payment_method=method
    )
    assert validation.to_wire() == {
        "base_amount": 14227, "tax_amount": 0, "currency": "USD", "reference_id": "R-1", "payment_method": CARD,
    }  # fmt: skip
    capture = CapturePayment(
        base_amount=14227, processing_fee_amount=423, total_amount=14650, currency="USD", reference_id="R-1",
        payment_method=payment_method_from_dict(WALLET),
    )  # fmt: skip
    assert capture.to_wire() == {
        "base_amount": 14227, "processing_fee_amount": 423, "total_amount": 14650, "currency": "USD",
        "reference_id": "R-1", "payment_method": WALLET,
    }  # fmt: skip


@pytest.mark.parametrize("amount", [0, -1, 12.0, "12", "12.30", True, None, 2**53, float("nan")])
def test_amounts_are_positive_whole_cents(amount: Any) -> None:
    with pytest.raises(OperationRefused, match=r"^amount must be"):
        RefundPayment(amount=amount, reference_id="rf-1")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"tax_amount": -1}, "tax_amount"), ({"tax_amount": 1.5}, "tax_amount"), ({"currency": "usd"}, "currency"),
        ({"currency": "US"}, "currency"), ({"currency": None}, "currency"), ({"reference_id": " "}, "reference_id"),
        ({"reference_id": "x" * 2001}, "reference_id"), ({"payment_method": CARD}, "payment_method has the wrong form"),
    ],
)  # fmt: skip
def test_the_other_properties_of_a_validation(changed: Any, words: str) -> None:
    good = {"base_amount": 1, "currency": "USD", "reference_id": "R", "payment_method": payment_method_from_dict(CARD)}
    with pytest.raises(OperationRefused, match=f"^{words}"):
        ValidatePayment(**{**good, **changed})


def test_a_misspelt_property_of_a_shape_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="referenceid"):
        RefundPayment(amount=1, referenceid="x")  # type: ignore[call-arg]


def test_a_reason_is_optional_and_left_out() -> None:
    assert RefundPayment(amount=1, reference_id="r").to_wire() == {"amount": 1, "reference_id": "r"}
    assert RefundPayment(amount=1, reference_id="r", reason="Twice").to_wire()["reason"] == "Twice"


def test_tenants_and_wallets() -> None:
    assert CreateClient(name="City").to_wire() == {"name": "City"}
    account = CreatePaymentAccount(
        client_id="c", name="n", processor="zift", maximum_payment_amount=999999.99, active=False,
        callback_url="https://pay.example.gov/hook/",
    )  # fmt: skip
    assert account.to_wire()["maximum_payment_amount"] == 999999.99
    assert account.to_wire()["active"] is False
    assert CreateCustomer(reference_id="r", email="a@example.com").to_wire() == {
        "reference_id": "r",
        "email": "a@example.com",
    }
    assert CheckoutConfig(allowed_origins=("https://pay.example.gov",)).to_wire() == {
        "allowed_origins": ["https://pay.example.gov"]
    }
    row = ImportedMethod(
        customer_reference_id="r", payment_method=payment_method_from_dict(card(card_brand="VISA"), saving=True)
    )
    assert len(ImportPaymentMethods(payment_methods=[row] * 500).to_wire()["payment_methods"]) == 500
    switches = SetSubscriptions(subscriptions=[Subscription(event_type="payment.failed", enabled=True)])
    assert switches.to_wire() == {"subscriptions": [{"event_type": "payment.failed", "enabled": True}]}
    for wrong in (
        lambda: CreatePaymentAccount(client_id="c", name="n", processor="z", callback_url="http://x.example/"),
        lambda: CreatePaymentAccount(client_id="c", name="n", processor="z", maximum_payment_amount=1.005),
        lambda: CreatePaymentAccount(client_id="c", name="n", processor="z", active="yes"),  # type: ignore[arg-type]
        lambda: CheckoutConfig(allowed_origins=["https://pay.example.gov/path"]),
        lambda: CheckoutConfig(allowed_origins="https://pay.example.gov"),
        lambda: ImportPaymentMethods(payment_methods=[]),
        lambda: ImportPaymentMethods(payment_methods=[row] * 501),
        lambda: SetSubscriptions(subscriptions=[{"event_type": "x", "enabled": True}]),  # type: ignore[list-item]
    ):
        with pytest.raises(OperationRefused):
            wrong()


SESSION: dict[str, Any] = {
    "amount": 100,
    "currency": "USD",
    "success_url": "https://city.example/ok?s={CHECKOUT_SESSION_ID}",
    "cancel_url": "https://city.example/no",
}


def test_sessions() -> None:
    assert CreateHostedSession(**SESSION).to_wire() == SESSION
    full = CreateHostedSession(
        **SESSION,
        line_items=[LineItem(description="Water", amount=100)],
        branding=Branding(accent_color="#1a2B3c"),
        metadata={"invoice": 5},
        layout="hosted",
    ).to_wire()
    assert full["line_items"] == [{"description": "Water", "amount": 100}]
    assert full["branding"] == {"accent_color": "#1a2B3c"}
    assert CreateHostedSession(scope="wallet", customer_id="cus_1").to_wire() == {
        "scope": "wallet",
        "customer_id": "cus_1",
    }
    assert UpdateHostedSession(amount=5).to_wire() == {"amount": 5}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"amount": None}, "amount is missing"), ({"amount": 0}, "amount must be above zero"),
        ({"success_url": None}, "success_url is missing"), ({"cancel_url": "javascript:alert(1)"}, "cancel_url"),
        ({"layout": "popup"}, "layout must be one of"), ({"setup_future_usage": "on"}, "setup_future_usage"),
        ({"line_items": []}, "line_items"), ({"line_items": [{"description": "x", "amount": 1}]}, "line_items"),
        ({"allowed_methods": "card"}, "allowed_methods"), ({"metadata": []}, "metadata"),
        ({"scope": "wallet"}, "customer_id is missing"), ({"expires_in_seconds": 0}, "expires_in_seconds"),
        ({"branding": {"accent_color": "#fff"}}, "branding has the wrong form"),
    ],
)  # fmt: skip
def test_sessions_that_cannot_be(changed: Any, words: str) -> None:
    with pytest.raises(OperationRefused, match=f"^{words}"):
        CreateHostedSession(**{**SESSION, **changed})
    with pytest.raises(OperationRefused):
        UpdateHostedSession()


def test_no_shape_sends_null() -> None:
    def nulls(value: Any) -> bool:
        if isinstance(value, dict):
            return any(nulls(item) for item in value.values())
        return value is None or (isinstance(value, list) and any(nulls(item) for item in value))

    for shape in (CreateHostedSession(**SESSION), CreateClient(name="x"), RefundPayment(amount=1, reference_id="r")):
        assert isinstance(shape, Shape)
        assert not nulls(shape.to_wire())

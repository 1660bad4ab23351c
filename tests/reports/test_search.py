"""``govpay.reports.search``: what can be typed, what it finds, and that indexes answer it."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from django.db.models import Model
from django.utils import timezone, translation

from govpay.models import Customer, HostedSession, Operation, Payment, PaymentLink, SavedPaymentMethod, Transaction
from govpay.models.money import format_money
from govpay.reports import search_payments
from govpay.reports.search import search
from govpay.sync import mapping
from govpay.sync.upsert import save_documents
from tests.admin.rows import operation, payment

pytestmark = pytest.mark.django_db

LATER = dt.timedelta(days=7)


def found(text: str, model: type[Model] = Payment) -> set[str]:
    rows, _is_frequent = search(model, text, model._default_manager.all())
    assert rows.count() == len(set(rows.values_list("pk", flat=True))), "no row is found twice"
    return {getattr(row, "uid", None) or getattr(row, "public_id", None) or row.reference_id for row in rows}


@pytest.fixture(autouse=True)
def rows(db: Any, finance: Any) -> None:
    """One payment that every test looks for, and one that differs in everything."""
    Customer.objects.create(
        uid="cus_1",
        account_id="acc_0",
        name="José María Núñez-O’Brien",
        email="Jose.Nunez@Example.com",
        reference_id="C–77",
    )
    SavedPaymentMethod.objects.create(
        uid="spm_1", account_id="acc_0", customer_id="cus_1", last4="9876", holder_name="Œuvre Straße"
    )
    HostedSession.objects.create(uid="cs_1", public_id="public_session", account_id="acc_0")
    wanted = payment(
        uid="pay_Wanted",
        reference_id="WATER 2026–17",
        customer_id="cus_1",
        saved_method_id="spm_1",
        session_id="cs_1",
        holder_name="Åsa Łukasz",
        last4="4242",
        total_amount=105186,
        currency="USD",
    )
    PaymentLink.objects.create(
        public_id="link_1",
        account_id="acc_0",
        customer_id="cus_1",
        session_id="cs_1",
        amount=2500,
        currency="USD",
        reference_id="LINK-9",
        expires_at=timezone.now() + LATER,
    )
    PaymentLink.objects.create(
        public_id="link_2",
        account_id="acc_0",
        payment_id="pay_Wanted",
        amount=2501,
        reference_id="Lïnk-paid",
        expires_at=timezone.now() + LATER,
    )
    Transaction.objects.create(
        uid="txn_1",
        account_id="acc_0",
        payment_id="pay_Wanted",
        type="refund",
        amount=1234,
        currency="USD",
        processor_transaction_id="ZFT-00123",
        reference_id="rf-abc",
    )
    operation(wanted, reference_id="op-1", amount=1234, actor=finance, key=uuid.UUID(int=7))
    payment(
        uid="pay_other",
        reference_id="TAX-1",
        customer_id="cus_2",
        holder_name="Pat Example",
        last4="1111",
        total_amount=100,
    )
    Customer.objects.create(uid="cus_2", account_id="acc_0", name="Pat Example", email="pat@example.com")
    Transaction.objects.create(uid="txn_2", account_id="acc_0", payment_id="pay_other", amount=100, currency="USD")


WANTED = [
    "pay_Wanted",
    "WATER 2026-17",
    "water 2026",
    "water",
    '"water 2026"',
    "“water 2026”",
    "WATER 2026\u201117",  # a non-breaking hyphen
    "WA\u200bTER\u00ad 2026\u221217",  # invisible characters and a minus sign
    "jose",
    "JOSÉ",
    "nun",
    "nunez-obrien",
    "o'brien",
    "brien",
    "obri",
    "maria jose",
    "asa",
    "lukasz",
    "oeuvre",
    "STRASSE",
    "jose.nunez@example.com",
    "JOSE.NUNEZ@EXAMPLE.COM",
    "4242",
    "····4242",
    "9876",
    "1051.86",
    "$1051.86",
    "1,051.86",
    "$1,051.86",
    "US$1,051.86",
    "$ 1,051.86",
    "USD 1,051.86",
    "1051.86 USD",
    "1,051.86\u00a0$",
    "ZFT-00123",
    "ZFT\u201300123",
    "LINK-9",
    "link-p",
    "link_1",
    "link_2",
    "cs_1",
    "public_session",
    "cus_1",
    "jose 1051.86",
    "nunez 4242 water",
    "nunez \u2013 1051.86",
    "jose:*",
    "\u200b jose \u200b",
]


@pytest.fixture(params=["by key", "row by row"])
def both_ways(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search for a frequent term tests row by row. Without this, only a large table shows that."""
    if request.param == "row by row":
        monkeypatch.setattr("govpay.reports.search.MAX_KEYS", 0)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("text", WANTED)
def test_each_way_to_name_the_payment_finds_it_alone(text: str) -> None:
    assert found(text) == {"pay_Wanted"}


@pytest.mark.parametrize(
    "text",
    [
        "ose",
        "ukasz",
        "ater",
        "pay_want",
        "ZFT-0012",
        "424",
        "1051.87",
        "EUR 1051.86",
        "jose 1111",
        "jose pat",
        "1,05186",
    ]
    + ["nobody", "%", "_", "pay\x00Wanted'", "'; drop", "\\", "jose & pat", "9" * 40, "1" * 400, '""', "-"],
)
def test_what_does_not_match_finds_nothing(text: str) -> None:
    assert found(text) == set()


@pytest.mark.parametrize("text", ["", "  ", "\u200b", "\u0301"])
def test_no_text_is_no_search(text: str) -> None:
    assert found(text) == {"pay_Wanted", "pay_other"}


def test_only_rows_of_the_queryset_are_found() -> None:
    assert not search_payments("jose", Payment.objects.filter(status="failed")).exists()
    assert search_payments("jose", Payment.objects.filter(status="captured")).get().uid == "pay_Wanted"


@pytest.mark.parametrize("language", ["en", "es", "de", "fr", "sv", "de-ch", "hi"])
@pytest.mark.parametrize("minor", [5186, 105186, 123456789])
def test_an_amount_is_found_as_the_list_shows_it(language: str, minor: int) -> None:
    Payment.objects.filter(uid="pay_Wanted").update(total_amount=minor)
    with translation.override(language):
        shown = format_money(minor, "USD")
        assert found(shown) == {"pay_Wanted"}, shown
        assert found(f"jose {shown}") == {"pay_Wanted"}, shown
        assert "pay_Wanted" in found(f"{minor / 100:.2f}"), "with a decimal point in every language"


@pytest.mark.parametrize(
    ("currency", "minor", "text"), [("JPY", 5186, "5186"), ("KWD", 51860, "51.86"), ("XYZ", 5186, "51.86")]
)
def test_an_amount_counts_in_the_currency_of_the_payment(currency: str, minor: int, text: str) -> None:
    Payment.objects.filter(uid="pay_Wanted").update(total_amount=minor, currency=currency)
    assert found(text) == {"pay_Wanted"}
    Payment.objects.filter(uid="pay_Wanted").update(currency="USD" if currency != "XYZ" else "JPY")
    assert found(text) == set()


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("model", "text", "expected"),
    [
        (Customer, "nun", {"cus_1"}),
        (Customer, "pat@EXAMPLE.com", {"cus_2"}),
        (Customer, "c-7", {"cus_1"}),
        (Customer, "cus_2", {"cus_2"}),
        (Customer, "strasse", {"cus_1"}),
        (Customer, "9876", {"cus_1"}),
        (Customer, "jose pat", set()),
        (Transaction, "txn_1", {"txn_1"}),
        (Transaction, "ZFT-00123", {"txn_1"}),
        (Transaction, "rf-a", {"txn_1"}),
        (Transaction, "12.34", {"txn_1"}),
        (Transaction, "nunez 12.34", {"txn_1"}),
        (Transaction, "water 2026", {"txn_1"}),
        (Transaction, "pat", {"txn_2"}),
        (PaymentLink, "link-", {"link_1"}),
        (PaymentLink, "LINK-P", {"link_2"}),
        (PaymentLink, "25.01", {"link_2"}),
        (PaymentLink, "jose", {"link_1"}),
        (PaymentLink, "pay_Wanted", {"link_2"}),
        (Operation, "op-", {"op-1"}),
        (Operation, "00000000-0000-0000-0000-000000000007", {"op-1"}),
        (Operation, "12.34 nunez", {"op-1"}),
        (Operation, "FINANCE", {"op-1"}),
        (Operation, "water 2026", {"op-1"}),
        (Operation, "pat", set()),
    ],
)
def test_other_lists_search_their_own_columns(model: type[Model], text: str, expected: set[str]) -> None:
    if text == "link-":
        PaymentLink.objects.filter(public_id="link_2").delete()
    assert found(text, model) == expected


def test_the_sync_fills_the_columns(db: Any) -> None:
    """A document has the holder's name inside its payment method."""
    method = {"payment_method_type": "credit", "credit": {"holder_name": "Zoë  Quill", "last4": "5555"}}
    document = {"uid": "pay_new", "reference_id": "Gas–5", "payment_method": method}
    save_documents(mapping.PAYMENT, [document], extra={"account_id": "acc_0"})
    assert Payment.objects.get(uid="pay_new").holder_name == "Zoë  Quill"
    assert found("zoe quill") == found("gas-5") == {"pay_new"}
    method["credit"] = {"holder_name": "Ann Reed", "last4": "5555"}
    save_documents(mapping.PAYMENT, [document], extra={"account_id": "acc_0"})
    assert (found("zoe"), found("ann")) == (set(), {"pay_new"})
    save_documents(
        mapping.CUSTOMER, [{"uid": "cus_9", "name": "Ng", "email": "NG@x.org"}], extra={"account_id": "acc_0"}
    )
    save_documents(
        mapping.SAVED_METHOD,
        [{"uid": "spm_9", "customer_uid": "cus_9", "credit": {"holder_name": "Li"}}],
        extra={"customer_id": "cus_9"},
    )
    assert found("ng", Customer) == found("li", Customer) == found("ng@X.org", Customer) == {"cus_9"}

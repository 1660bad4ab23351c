"""``govpay.sync.mapping``: from documents to columns, and values that do not fit."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from govpay.sync import mapping
from govpay.sync.mapping import Unmappable, digests, scrub

HERE = {"account_id": "account_1"}
MOMENT = dt.datetime(2026, 2, 3, 4, 5, 6, 789000, tzinfo=dt.UTC)

PAYMENT: dict[str, Any] = {
    "uid": "pay_1",
    "reference_id": "INV-1",
    "customer_uid": "cus_1",
    "base_amount": 1000,
    "tax_amount": 50,
    "processing_fee_amount": 25,
    "total_amount": 1075,
    "refunded_amount": 0,
    "currency": "USD",
    "status": "captured",
    "payment_method": {
        "payment_method_type": "credit",
        "credit": {"last4": "4242", "card_brand": "visa", "holder_name": "Zoë Q"},
    },
    "session_id": None,
    "decline_code": None,
    "created_at": "2026-02-03T04:05:06.789Z",
    "captured_at": "2026-02-03T04:05:06.789Z",
    "updated_at": "2026-02-03T04:05:06.789Z",
}


def mapped(**changes: Any) -> dict[str, Any]:
    return mapping.PAYMENT.map({**PAYMENT, **changes}, HERE)


def test_payment_fills_its_columns() -> None:
    assert mapped() == {
        "uid": "pay_1",
        "raw": PAYMENT,
        "account_id": "account_1",
        "customer_id": "cus_1",
        "saved_method_id": None,
        "session_id": None,
        "reference_id": "INV-1",
        "base_amount": 1000,
        "tax_amount": 50,
        "processing_fee_amount": 25,
        "total_amount": 1075,
        "refunded_amount": 0,
        "currency": "USD",
        "status": "captured",
        "method_type": "credit",
        "brand": "visa",
        "last4": "4242",
        "holder_name": "Zoë Q",
        "search_name": " zoe q",
        "search_reference": "inv-1",
        "decline_code": "",
        "captured_at": MOMENT,
        "remote_created_at": MOMENT,
        "remote_updated_at": MOMENT,
        "mended": "",
    }


def test_every_mapper_names_columns_of_its_model_only() -> None:
    documents = {
        mapping.CLIENT: {"uid": "client_1"},
        mapping.ACCOUNT: {"uid": "account_1", "minimum_payment_amount": 0.5, "maximum_payment_amount": 999999.99},
        mapping.CUSTOMER: {"uid": "cus_1"},
        mapping.SAVED_METHOD: {"saved_payment_method_uid": "spm_1", "credit": {"exp_month": 1, "exp_year": 2030}},
        mapping.PAYMENT: PAYMENT,
        mapping.TRANSACTION: {"uid": "trx_1", "payment_uid": "pay_1", "amount": 5},
        mapping.TERMINAL: {"uid": "trm_1"},
        mapping.SESSION: {"session_id": "cs_1", "status": "active", "amount": 5},
        mapping.subscription_of("account_1"): {"event_type": "payment.failed", "enabled": True},
    }
    for mapper, document in documents.items():
        row = mapper.map(document, {})
        columns = {field.attname for field in mapper.model.mirrored_fields()}
        assert set(row) <= columns, mapper.model
        assert row["uid"]
        assert row["raw"] == document


def test_account_limits_are_dollars_there_and_cents_here() -> None:
    """Assumption A27."""
    row = mapping.ACCOUNT.map({"uid": "a", "minimum_payment_amount": 0.29, "maximum_payment_amount": 1000000}, {})
    assert (row["minimum_payment_amount"], row["maximum_payment_amount"]) == (29, 100_000_000)


@pytest.mark.parametrize("name", ["saved_payment_method_uid", "uid", "id"])
def test_a_saved_method_is_known_by_any_of_its_names(name: str) -> None:
    """Assumption A14."""
    assert mapping.SAVED_METHOD.uid({name: "spm_1"}) == "spm_1"


def test_a_subscription_gets_an_identity_of_its_account() -> None:
    mapper = mapping.subscription_of("account_1")
    assert mapper.uid({"event_type": "payment.failed"}) == "account_1:payment.failed"


# --- Unknown values (faults R7) --------------------------------------------------------------------


def test_an_unknown_status_and_a_new_property_are_kept() -> None:
    row = mapped(status="half_captured", loyalty={"points": 3})
    assert row["status"] == "half_captured"
    assert row["raw"]["loyalty"] == {"points": 3}


def test_missing_and_null_properties_are_no_error() -> None:
    row = mapping.PAYMENT.map({"uid": "pay_1"}, HERE)
    nulls = mapping.PAYMENT.map({"uid": "pay_1", **dict.fromkeys(PAYMENT.keys() - {"uid"})}, HERE)
    assert {**row, "raw": None} == {**nulls, "raw": None}
    assert row["total_amount"] is None
    assert row["status"] == ""


@pytest.mark.parametrize(
    "amount", ["12.30", "1230", 12.0, 12.3, -1, 2**53, True, [1], {"cents": 1}], ids=lambda value: repr(value)
)
def test_an_amount_that_is_no_count_of_cents_is_refused(amount: Any) -> None:
    with pytest.raises(Unmappable, match="total_amount") as caught:
        mapped(total_amount=amount)
    assert "1230" not in str(caught.value)


def test_the_largest_amount_is_kept_exactly() -> None:
    assert mapped(total_amount=2**53 - 1)["total_amount"] == 9_007_199_254_740_991


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", 7),
        ("status", "x" * 65),
        ("status", "a\x00b"),
        ("currency", "DOLLARS-US"),
        ("currency", "\ud800"),
    ],
    ids=lambda value: str(value)[:24].encode("ascii", "replace").decode(),
)
def test_a_wrong_status_or_currency_is_refused_by_name(name: str, value: Any) -> None:
    """Faults R13: these may reject a row, as the uid and the amounts may."""
    with pytest.raises(Unmappable) as caught:
        mapped(**{name: value})
    assert caught.value.args[0].split()[0] == name


def test_a_transaction_without_a_usable_payment_is_refused() -> None:
    with pytest.raises(Unmappable, match="payment_uid"):
        mapping.TRANSACTION.map({"uid": "trx_1", "payment_uid": "pay\n1", "amount": 5}, {})


@pytest.mark.parametrize(
    ("name", "value", "column", "stored", "shown"),
    [
        ("reference_id", "x" * 256, "reference_id", "x" * 255, "x" * 256),
        ("reference_id", "x" * 20_000, "reference_id", "x" * 255, "x" * 10_000),
        ("reference_id", "a\x00b", "reference_id", "a\ufffdb", "a\ufffdb"),
        ("reference_id", "half \ud800 pair", "reference_id", "half \ufffd pair", "half \ufffd pair"),
        ("updated_at", "yesterday", "remote_updated_at", None, "yesterday"),
        ("updated_at", "2026-02-30T00:00:00Z", "remote_updated_at", None, "2026-02-30T00:00:00Z"),
        ("created_at", "0001-01-01T00:00:00+14:00", "remote_created_at", None, "0001-01-01T00:00:00+14:00"),
        ("captured_at", 1_770_000_000, "captured_at", None, 1_770_000_000),
        ("captured_at", "4111 1111 1111 1111", "captured_at", None, None),
        ("captured_at", ["4111111111111111"], "captured_at", None, None),
        ("customer_uid", "cus\n1", "customer_id", None, None),
        ("payment_method", "4111111111111111", "last4", "", None),
    ],
    ids=lambda value: str(value)[:24].encode("ascii", "replace").decode(),
)
def test_another_wrong_value_is_mended_and_marked(name: str, value: Any, column: str, stored: Any, shown: Any) -> None:
    """Faults R13: the text is mended or cut, another value becomes null. The row is kept."""
    row = mapped(**{name: value})
    assert (row[column], row["raw"][name], row["mended"]) == (stored, shown, name)
    assert row["total_amount"] == 1075


def test_several_wrong_values_are_all_mended() -> None:
    method = {"payment_method_type": "credit", "credit": {"last4": "4111111111111111", "card_brand": "v\x00isa"}}
    row = mapped(payment_method=method, captured_at="soon", session_id=7)
    assert (row["last4"], row["brand"], row["captured_at"], row["session_id"]) == ("", "v\ufffdisa", None, None)
    assert row["mended"] == "captured_at,card_brand,last4,session_id"
    assert "4111" not in json.dumps(row["raw"]), "it may be a whole card number"


@pytest.mark.parametrize(
    "method",
    [
        {"credit": {"last4": "4242", "card_brand": 4111111111111111}},
        {"credit": {"last4": "4242"}, "last4": "4111111111111111"},
        {"credit": {"last4": "4242"}, "last4": 4111111111111111},
        {"ach": {"account_number_suffix": "4111111111111111"}},
        {"credit": {"last4": "4242", "brand": ["4111111111111111"]}},
    ],
    ids=str,
)
def test_a_number_in_a_payment_method_is_not_stored(method: dict[str, Any]) -> None:
    """Faults S1: neither a wrong value, nor a long value beside a right one."""
    row = mapped(payment_method=method)
    assert row["last4"] == ("1111" if "ach" in method else "4242")
    assert "4111" not in json.dumps(row["raw"])
    assert list(row["raw"]["payment_method"]) == list(method)


def test_a_wrong_holder_name_is_not_stored() -> None:
    row = mapping.SAVED_METHOD.map({"uid": "spm_1", "credit": {"holder_name": ["4111111111111111"]}}, {})
    assert (row["raw"]["credit"], row["mended"]) == ({"holder_name": None}, "holder_name")


@pytest.mark.parametrize(("name", "value"), [("exp_year", 40_000), ("exp_year", -1), ("exp_month", 2**31 - 1)])
def test_a_number_that_no_column_holds_is_left_out(name: str, value: int) -> None:
    row = mapping.SAVED_METHOD.map({"uid": "spm_1", "credit": {name: value, "last4": "1111"}}, {})
    assert (row[name], row["last4"], row["mended"]) == (None, "1111", name)


@pytest.mark.parametrize("uid", [None, "", 5, " pay", "pay\n1", "p" * 129, ["pay_1"]])
def test_a_document_without_a_usable_uid_is_refused(uid: Any) -> None:
    with pytest.raises(Unmappable, match="uid"):
        mapping.PAYMENT.uid({**PAYMENT, "uid": uid})


def test_a_prefixed_identity_has_to_fit_as_well() -> None:
    with pytest.raises(Unmappable, match="event_type is too long"):
        mapping.subscription_of("a" * 100).uid({"event_type": "e" * 30})


# --- What is kept of the document ---------------------------------------------------------------


def test_secrets_never_reach_the_row() -> None:
    """Faults S1."""
    canary = "canary-4111"
    document = {
        "uid": "pay_1",
        "payment_method": {
            "credit": {"fingerprint": canary, "last4": "4242", "Card_Number": canary, "deeper": [{"CVV": canary}]}
        },
        "client_secret": canary,
        "hosted_url": canary,
    }
    row = mapping.PAYMENT.map(document, HERE)
    assert canary not in json.dumps(row, default=str)
    assert row["raw"]["payment_method"] == {"credit": {"last4": "4242", "deeper": [{}]}}


def test_text_that_no_database_takes_is_replaced_in_the_document() -> None:
    kept = scrub({"note": "a\x00b", "half\ud800": ["\udfff", "naïve 🏛"], "n": 1.5, "none": None, "yes": True})
    assert kept == {"note": "a\ufffdb", "half\ufffd": ["\ufffd", "naïve 🏛"], "n": 1.5, "none": None, "yes": True}
    json.dumps(kept).encode()


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [60, 5_000])
def test_a_document_nested_too_deeply_is_refused(depth: int) -> None:
    document = {**PAYMENT, "deep": nested(depth)}
    with pytest.raises(Unmappable, match="nested too deeply"):
        digests(HERE)(document)
        mapping.PAYMENT.map(document, HERE)


# --- Digests --------------------------------------------------------------------------------------


def test_a_digest_ignores_the_order_of_properties_and_nothing_else() -> None:
    digest = digests(HERE)
    turned = dict(reversed(PAYMENT.items()))
    assert digest(turned) == digest(PAYMENT)
    for change in ({"status": "refunded"}, {"total_amount": "1075"}, {"total_amount": 1075.0}, {"more": None}):
        assert digest({**PAYMENT, **change}) != digest(PAYMENT)


def test_a_digest_tells_where_the_document_was_found() -> None:
    assert digests(HERE)(PAYMENT) != digests({"account_id": "account_2"})(PAYMENT)


def test_a_digest_changes_with_the_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digests(HERE)(PAYMENT)
    monkeypatch.setattr(mapping, "REVISION", mapping.REVISION + 1)
    assert digests(HERE)(PAYMENT) != before


def test_a_digest_can_be_taken_of_any_text() -> None:
    assert len(digests(HERE)({"uid": "x", "note": "\ud800\x00🏛"})) == 32


@pytest.mark.parametrize(
    "name", ["webhook_secret", "signing_key", "SigningSecret", "api_key", "refresh_token", "db_password", "credentials"]
)
def test_whatever_names_itself_a_secret_is_left_out(name: str) -> None:
    document = {"uid": "acc_1", "name": "Utilities", name: "canary", "deep": [{name: "canary"}]}
    assert "canary" not in json.dumps(mapping.ACCOUNT.map(document, {}), default=str)

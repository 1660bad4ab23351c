"""The demo city: complete, consistent, repeatable."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from govpay.sandbox import Sandbox
from govpay.sandbox.control import city as city_module
from govpay.sandbox.control.city import DEPARTMENTS

from .conftest import Caller, capture_body

Doc = dict[str, Any]
STATUSES = {
    "validated", "captured", "failed", "voided", "partially_refunded", "refunded", "charged_back", "returned",
    "expired",
}  # fmt: skip


@pytest.fixture(scope="module")
def city() -> Iterator[Sandbox]:
    with Sandbox(size="demo") as sandbox:
        yield sandbox


def by_payment(city: Sandbox) -> dict[str, list[Doc]]:
    found = defaultdict(list)
    for row in city.all("transaction"):
        found[row["payment_uid"]].append(row)
    return found


def test_it_has_what_it_should(city: Sandbox) -> None:
    counts = city.stats()
    assert {
        "clients": 1, "accounts": 4, "customers": 240, "methods": 400, "payments": 1500, "terminals": 6,
    }.items() <= counts.items()  # fmt: skip
    assert set(counts["payments_by_status"]) == STATUSES
    assert counts["sessions"] > 20
    accounts = {row["name"]: row for row in city.all("account")}
    assert {"Utilities", "Courts", "Parks"} < set(accounts)
    assert [row["active"] for row in accounts.values()].count(False) == 1
    assert city.all("client")[0]["name"] == "City of Example"


def test_its_wallets(city: Sandbox) -> None:
    methods = city.all("method")
    brands = Counter(row["credit"]["card_brand"] for row in methods if "credit" in row)
    assert len(brands) == 4
    assert sum("ach" in row for row in methods) > 50
    now = datetime.now(UTC)
    expired = [
        row for row in methods
        if "credit" in row and (row["credit"]["exp_year"], row["credit"]["exp_month"]) < (now.year, now.month)
    ]  # fmt: skip
    assert 5 < len(expired) < 80
    owners = {row["uid"]: row for row in city.all("customer")}
    for row in methods:
        owner = owners[row["customer_uid"]]
        assert row["is_default"] == (owner["default_payment_method_uid"] == row["saved_payment_method_uid"])
        assert owner["updated_at"] >= row["updated_at"]


def test_its_money_adds_up(city: Sandbox) -> None:
    transactions = by_payment(city)
    for payment in city.all("payment"):
        fee = payment["processing_fee_amount"]
        assert payment["total_amount"] == payment["base_amount"] + payment["tax_amount"] + fee
        own = transactions[payment["uid"]]
        kinds = Counter(row["type"] for row in own)
        refunds = [row for row in own if row["type"] == "refund"]
        settled = sum(row["amount"] for row in refunds if row["status"] == "succeeded")
        reserved = sum(row["amount"] for row in refunds if row["status"] != "failed")
        assert payment["refunded_amount"] == settled
        assert reserved <= payment["total_amount"]
        assert kinds["capture"] <= 1
        assert (kinds["capture"] == 1) == (payment["captured_at"] is not None)
        status = payment["status"]
        assert (status == "failed") == (payment["decline_code"] is not None)
        assert (status == "voided") == (kinds["void"] == 1)
        assert (status == "returned") == (kinds["ach_return"] == 1)
        assert (status == "charged_back") == (kinds["chargeback"] > kinds["chargeback_reversal"])
        assert (status == "refunded") == (settled == payment["total_amount"])
        assert (status == "partially_refunded") == (0 < settled < payment["total_amount"])
        if status in ("validated", "failed", "expired"):
            assert own == []


def test_its_fees_are_the_platforms_rule(city: Sandbox) -> None:
    rates = {"411111": 276, "555555": 276, "371449": 325, "601100": 266}
    for payment in city.all("payment"):
        method = payment["payment_method"]
        amount = payment["base_amount"] + payment["tax_amount"]
        if method["payment_method_type"].endswith("ach"):
            assert payment["processing_fee_amount"] == 150
        elif "credit" in method:
            wanted = (amount * rates[method["credit"]["bin"]] + 5000) // 10_000 + 30
            assert payment["processing_fee_amount"] == wanted


def test_its_times_run_forward(city: Sandbox) -> None:
    now = datetime.now(UTC).replace(tzinfo=None).isoformat()
    oldest = (datetime.now(UTC) - timedelta(days=92)).replace(tzinfo=None).isoformat()
    transactions = by_payment(city)
    for payment in city.all("payment"):
        assert oldest < payment["created_at"] <= payment["updated_at"] <= now
        for row in transactions[payment["uid"]]:
            assert payment["created_at"] < row["created_at"] <= row["updated_at"] <= now
            # A pending refund has not changed its payment yet.
            assert row["status"] == "pending" or row["updated_at"] <= payment["updated_at"]
    at = [entry["at"] for entry in city.ledger()]
    assert at == sorted(at)


@pytest.mark.parametrize("hour", [0, 3, 6, 7, 12, 23])
def test_each_day_of_the_city_has_payments(hour: int) -> None:
    """By the city's own clock, up to today, in each open account; around midnight in the city and in UTC, too."""
    now = datetime(2026, 3, 9, hour, 20, tzinfo=UTC)  # the day after the clocks changed
    denver = ZoneInfo("America/Denver")
    with Sandbox(size="empty") as platform:
        platform.platform.clock.set_offset((now - datetime.now(UTC)).total_seconds())
        city_module.prepare(platform.platform, "demo", 1)
        today = now.astimezone(denver).date()
        wanted = {today - timedelta(days=number) for number in range(91)}
        for account in platform.all("account"):
            payments = platform.all("payment", account["uid"])
            captured = [datetime.fromisoformat(row["captured_at"]) for row in payments if row["captured_at"]]
            assert max(captured) <= platform.platform.clock.now()
            if account["active"]:
                assert {moment.astimezone(denver).date() for moment in captured} == wanted


def test_its_ledger_is_its_transactions(city: Sandbox) -> None:
    ledger = [entry for entry in city.ledger() if entry["kind"] not in ("refund_settled", "refund_failed")]
    entered = Counter((entry["kind"], entry["transaction_uid"], entry["amount"]) for entry in ledger)
    assert entered == Counter((row["type"], row["uid"], row["amount"]) for row in city.all("transaction"))
    pending = [row for row in city.all("transaction") if row["status"] == "pending"]
    assert pending
    assert all(row["type"] == "refund" for row in pending)


def test_references_and_customers_are_its_own(city: Sandbox) -> None:
    prefixes = {row["reference_id"].partition("-")[0] for row in city.all("payment")}
    assert prefixes == {"UB", "CIT", "RES", "PLOT"}
    references = [row["reference_id"] for row in city.all("payment")]
    assert len(set(references)) == len(references)
    assert len({row["reference_id"] for row in city.all("customer")}) == 240
    sessions = {row["session_id"]: row["status"] for row in city.all("session")}
    linked = [row["session_id"] for row in city.all("payment") if row["session_id"]]
    assert linked
    assert {sessions[uid] for uid in linked} == {"completed"}
    assert set(sessions.values()) == {"active", "completed", "expired"}


def test_no_card_number_anywhere(city: Sandbox, tmp_path: Path) -> None:
    for table in ("payments", "methods", "customers", "sessions"):
        for doc, private in city.platform.store.execute(f"SELECT doc, private FROM {table}"):
            assert not [word for word in (doc + private).split('"') if word.isdigit() and 13 <= len(word) <= 19]


@pytest.mark.ci
def test_same_seed_same_city(city: Sandbox) -> None:
    with Sandbox(size="demo") as again:
        for kind in ("account", "customer", "payment", "transaction", "terminal"):
            first, second = (
                [(row["uid"], row.get("amount"), row.get("total_amount")) for row in platform.all(kind)]
                for platform in (city, again)
            )
            assert first == second


def waiting(sandbox: Sandbox) -> list[Doc]:
    return [row for row in sandbox.all("payment") if row["status"] == "validated"]


def capture(sandbox: Sandbox, payment: Doc) -> int:
    """Capture over HTTP. A payment by saved method needs only the data that a read returns."""
    row = sandbox.platform.store.get("payment", payment["uid"])
    assert row is not None
    assert sandbox.address is not None
    assert payment["payment_method"]["payment_method_type"].startswith("wallet_")
    call = Caller(sandbox.address, row.account_uid or "")
    body = capture_body(payment, payment["payment_method"])
    return call("POST", f"/api/payments/{payment['uid']}/capture", body).status_code


def test_six_wait_for_capture_at_each_start(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite3"
    with Sandbox(state=file, size="demo") as sandbox, sandbox.serve():
        first = waiting(sandbox)
        assert len(first) == 6
        assert capture(sandbox, first[0]) == 200
        sandbox.touch("payment", first[1]["uid"], created_at="2026-01-01T00:00:00.000000Z")
    with Sandbox(state=file, size="demo") as sandbox, sandbox.serve():
        second = waiting(sandbox)
        assert len(second) == 6
        assert {row["uid"] for row in first[2:]} < {row["uid"] for row in second}
        stale = sandbox.get("payment", first[1]["uid"])
        assert stale is not None
        assert stale["status"] == "expired"
        assert sandbox.stats()["payments"] == 1502
        sandbox.add_payment(sandbox.all("account")[0]["uid"])
        assert len(waiting(sandbox)) == 7
    with Sandbox(state=file, size="demo") as sandbox, sandbox.serve():
        assert [capture(sandbox, payment) for payment in waiting(sandbox)] == [200] * 6


def test_a_number_of_payments() -> None:
    with Sandbox(size=100) as sandbox:
        counts = sandbox.stats()
        assert (counts["payments"], counts["transactions"], counts["accounts"]) == (100, 100, 3)


def founded(sandbox: Sandbox) -> None:
    """The city's accounts, created through the API."""
    client = sandbox.add_client()["uid"]
    for number, department in enumerate(DEPARTMENTS):
        sandbox.add_account(
            client,
            name=department.name,
            active=department.active,
            external_account_id=f"EX-{department.slug.upper()}-01",
            external_merchant_id=str(number),
            callback_url="http://127.0.0.1:9/hooks/",
            webhook_enabled=True,
        )


def test_it_fills_existing_accounts(city: Sandbox) -> None:
    with Sandbox() as sandbox:
        founded(sandbox)
        with sandbox.serve() as address:
            call = Caller(address)
            assert call("POST", "/_sandbox/city", {}).json() == {"payments": 1500}
            again = sandbox.stats()
            assert call("POST", "/_sandbox/city", {"seed": 2}).json() == {"payments": 1500}
            call.close()
        counts = sandbox.stats()
        assert counts["payments"] == again["payments"]
        for name in ("clients", "accounts", "customers", "methods", "payments", "terminals", "payments_by_status"):
            assert counts[name] == city.stats()[name], name
        assert {row["uid"] for row in sandbox.all("customer")} == {row["uid"] for row in city.all("customer")}
        # Earlier changes send no webhooks, and from now on time runs forward.
        assert sandbox.deliveries() == []
        uids = {row["uid"] for row in sandbox.all("account")}
        assert {row["callback_url"] for row in sandbox.all("account")} == {"http://127.0.0.1:9/hooks/"}
        tenants = [*sandbox.all("account"), *sandbox.all("client")]
        assert all(row["created_at"] < sandbox.all("payment")[0]["created_at"] < row["updated_at"] for row in tenants)
        newest = max(row["updated_at"] for row in sandbox.all("payment"))
        assert min(row["created_at"] for row in sandbox.all("payment")) < newest
        assert sandbox.add_customer(uids.pop())["created_at"] > newest


@pytest.mark.ci
def test_the_same_seed_gives_the_same_people() -> None:
    names = []
    for _ in range(2):
        with Sandbox() as sandbox:
            founded(sandbox)
            city_module.fill(sandbox.platform, 7)
            names.append([(row["uid"], row["name"]) for row in sandbox.all("customer")])
    assert names[0] == names[1]


def test_it_fails_if_an_account_is_missing() -> None:
    with Sandbox() as sandbox, sandbox.serve() as address:
        call = Caller(address)
        answer = call("POST", "/_sandbox/city", {})
        assert (answer.status_code, "EX-UTILITIES-01" in answer.text) == (400, True)
        assert call("POST", "/_sandbox/city", {"seed": "x"}).status_code == 400
        call.close()
        assert sandbox.stats()["payments"] == 0

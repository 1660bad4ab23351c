"""``govpay.sync.contract``: unknown properties are recorded by name, cheaply, and without their values."""

from __future__ import annotations

import time
from typing import Any

import pytest

from govpay.models import ContractNotice, HostedSession, OutboxSignal, Payment, SavedPaymentMethod
from govpay.models.choices import Source
from govpay.sync import contract, mapping
from govpay.sync.inbox import claim
from govpay.sync.transactions import in_transaction
from govpay.sync.upsert import save_document
from tests.reading import read, statements

pytestmark = pytest.mark.django_db(transaction=True)


def noticed() -> dict[str, int]:
    return {str(row): row.count for row in ContractNotice.objects.order_by("kind", "name", "value")}


@pytest.mark.ci
def test_the_documented_contract_gives_no_notice(city: Any) -> None:
    """The sandbox sends no property or value that is unknown here."""
    from govpay.sync.pull import GLOBAL, SCOPED, account_uids

    for name in GLOBAL:
        read(name)
    for uid in account_uids():
        for name in SCOPED:
            read(name, uid)
    assert Payment.objects.exists()
    assert SavedPaymentMethod.objects.exists()
    assert noticed() == {}


def test_an_unknown_property_and_value_are_counted_with_where_and_since_when(sandbox: Any, account: str) -> None:
    for _ in range(3):
        uid = sandbox.add_payment(account)["uid"]
        sandbox.touch("payment", uid, status="settling", risk_score={"secret": "canary"})
    document = sandbox.add_payment(account)
    method = document["payment_method"]
    nested = {**method, "credit": {**method["credit"], "network": "canary"}}
    sandbox.touch("payment", document["uid"], payment_method=nested)
    read("payments", account)
    assert noticed() == {
        "payment.payment_method.credit.network": 1,
        "payment.risk_score": 3,
        "payment.status = settling": 3,
    }
    row = ContractNotice.objects.get(name="risk_score")
    assert row.route == "GET /api/payments"
    assert row.source == Source.SYNC
    assert row.first_seen <= row.last_seen
    assert not ContractNotice.objects.filter(value__contains="canary").exists()


def test_written_at_most_once_in_ten_minutes(sandbox: Any, account: str, monkeypatch: Any) -> None:
    sandbox.add_payment(account, risk_score=1)
    read("payments", account, full=True)
    with statements() as sql:
        read("payments", account, full=True)
    assert not [each for each in sql.all if "contractnotice" in each]
    assert noticed() == {"payment.risk_score": 1}
    before = ContractNotice.objects.get().first_seen
    later = time.monotonic() + contract.WRITE_EVERY
    monkeypatch.setattr(contract.time, "monotonic", lambda: later)
    sandbox.touch("payment", sandbox.all("payment")[0]["uid"], risk_score=2)
    read("payments", account, full=True)
    row = ContractNotice.objects.get()
    assert row.count == 3
    assert row.first_seen == before < row.last_seen


def test_a_page_with_what_is_known_costs_nothing_more(sandbox: Any, account: str) -> None:
    sandbox.add_payments(account, 5)
    with statements() as sql:
        read("payments", account)
    assert not [each for each in sql.all if "contractnotice" in each]


@pytest.mark.parametrize("name", ["4111111111111111", "a b", "x" * 65, "customer_8842017", "né"])
def test_a_name_that_could_be_anything_is_not_kept(name: str) -> None:
    in_transaction(lambda: contract.watch(Payment, [{"uid": "pay_1", name: 1}], Source.SYNC))
    assert noticed() == {"payment.(not shown)": 1}


@pytest.mark.parametrize("value", ["4111 1111 1111 1111", "x" * 65, "Bearer eyJhbGciOiJIUzI1NiJ9.e30.abcdefgh", "a\nb"])
def test_a_value_that_could_be_anything_is_not_kept(value: str) -> None:
    in_transaction(lambda: contract.watch(Payment, [{"uid": "pay_1", "status": value}], Source.SYNC))
    assert noticed() == {"payment.status = (not shown)": 1}


@pytest.mark.parametrize("value", [{}, [], 7, None, "", True])
def test_a_value_of_another_type_is_left_to_the_mapping(value: Any) -> None:
    document = {"uid": "pay_1", "status": value, "payment_method": value}
    in_transaction(lambda: contract.watch(Payment, [document], Source.SYNC))
    assert noticed() == {}


def test_names_without_end_do_not_fill_memory_or_table(monkeypatch: Any) -> None:
    monkeypatch.setattr(contract, "MAX_PENDING_NOTICES", 20)
    for number in range(200):
        document = {"uid": "pay_1", f"p{number}": 1}
        in_transaction(lambda document=document: contract.watch(Payment, [document], Source.SYNC))  # type: ignore[misc]
    assert 0 < ContractNotice.objects.count() <= 22
    assert len(contract._pending) + len(contract._quiet_until) <= 23


def test_a_rolled_back_page_is_written_with_the_next(sandbox: Any, account: str) -> None:
    def fail() -> None:
        contract.watch(Payment, [{"uid": "pay_1", "odd": 1}], Source.SYNC)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_transaction(fail)
    assert noticed() == {}
    in_transaction(lambda: contract.watch(Payment, [{"uid": "pay_1", "odd": 1}], Source.SYNC))
    assert noticed() == {"payment.odd": 2}


def test_a_notice_that_cannot_be_written_stops_nothing(sandbox: Any, account: str, monkeypatch: Any) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(contract, "_save", broken)
    sandbox.add_payment(account, odd=1)
    assert read("payments", account).created == 1


def test_sessions_are_watched_and_what_is_free_within_them_is_not() -> None:
    document = {"session_id": "cs_1", "status": "parked", "metadata": {"anything": 1}, "branding": {"x": 1}}
    in_transaction(lambda: save_document(mapping.SESSION, document, extra={}, source=Source.OPERATION))
    assert noticed() == {"hostedsession.status = parked": 1}
    assert HostedSession.objects.get().status == "parked"
    assert ContractNotice.objects.get().source == Source.OPERATION
    assert not OutboxSignal.objects.filter(model="contractnotice").exists()


def test_an_event_of_an_unknown_type_is_noted(sandbox: Any, account: str) -> None:
    from govpay.models import WebhookEvent
    from govpay.sync.events import work_on

    event = WebhookEvent.objects.create(account_id=account, webhook_id="evt_1", event_type="payment.pondered")
    claimed = claim(event.pk)
    assert claimed is not None
    work_on(claimed)
    assert noticed() == {"webhookevent.event_type = payment.pondered": 1}


def test_known_items_are_removed_in_favour_of_unknown_ones(sandbox: Any, account: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(contract, "MAX_NOTICE_ROWS", 2)
    ContractNotice.objects.create(kind="payment", name="base_amount")
    ContractNotice.objects.create(kind="payment", name="older")
    sandbox.touch("payment", sandbox.add_payment(account)["uid"], risk_score=1)
    read("payments", account)
    assert set(noticed()) == {"payment.older", "payment.risk_score"}

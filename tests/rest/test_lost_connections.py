"""A database that ends all connections: a read is done once more, anything else is not (faults D1)."""

from __future__ import annotations

import pytest
from django.db import transaction

from tests.lost_connections import call_it_lost, end_all, failing
from tests.operations.merchant import Merchant
from tests.rest.conftest import Program, problem

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def finance_program(finance_program: Program) -> Program:
    """Gets the answer of an error, not the error."""
    finance_program.client.raise_request_exception = False
    return finance_program


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> None:
    call_it_lost(monkeypatch)


@pytest.mark.usefixtures("lost")
def test_a_read_is_done_once_more(merchant: Merchant, finance_program: Program) -> None:
    uid = merchant.captured().uid
    with failing(1) as failed:
        assert [row["uid"] for row in finance_program.get("payments").json()["results"]] == [uid]
    assert len(failed) == 1


@pytest.mark.usefixtures("lost")
def test_it_is_done_no_third_time(merchant: Merchant, finance_program: Program) -> None:
    with failing(9) as failed:
        problem(finance_program.get("payments"), 500, "fault")
    assert len(failed) == 2


def test_a_failure_on_a_live_connection_is_not_repeated(merchant: Merchant, finance_program: Program) -> None:
    with failing(1) as failed:
        assert finance_program.get("payments").status_code == 500
    assert len(failed) == 1


@pytest.mark.usefixtures("lost")
def test_an_action_is_not_repeated(merchant: Merchant, finance_program: Program) -> None:
    payment = merchant.captured()
    with failing(1) as failed:
        assert finance_program.act(f"payments/{payment.uid}/refund", {"amount": 100}).status_code == 500
    assert len(failed) == 1
    assert merchant.posts() == []


@pytest.mark.usefixtures("lost")
def test_within_a_transaction_nothing_is_repeated(merchant: Merchant, finance_program: Program) -> None:
    with transaction.atomic(), failing(1) as failed:
        assert finance_program.get("payments").status_code == 500
    assert len(failed) == 1


@pytest.mark.postgres
def test_postgresql_ends_the_connection(merchant: Merchant, finance_program: Program) -> None:
    merchant.captured()
    assert end_all() >= 1
    assert len(finance_program.get("payments").json()["results"]) == 1

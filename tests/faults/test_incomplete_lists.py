"""R12: the platform refuses every option of a list, and may have cut it. Such a list does not count as read."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from govpay import operations
from govpay.doctor.findings import CheckContext, Level
from govpay.doctor.queues import check_sync
from govpay.models import Payment, SyncRun
from govpay.operations.restoring import begin_restore
from govpay.sync.pull import pull
from tests.reading import agree, counts, cursor_of, picky, read, watch

pytestmark = pytest.mark.django_db(transaction=True)

SENT, ROWS = 20, 46
PAGED = ("customers", "payments", "transactions", "terminals")


@pytest.fixture
def account(sandbox: Any) -> str:
    return str(sandbox.add_account()["uid"])


@pytest.fixture
def unpaged(settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "UNPAGED_LISTS": list(PAGED)}


def fill(sandbox: Any, account: str) -> None:
    sandbox.add_payments(account, ROWS)
    sandbox.add_customer(account)
    sandbox.add_terminal(account)


@pytest.mark.parametrize("name", PAGED)
@pytest.mark.parametrize("full", [False, True], ids=["incremental", "full"])
def test_a_list_that_may_be_cut_is_unproved(sandbox: Any, account: str, name: str, full: bool) -> None:
    """R12: what was sent is stored; the run and the list say that it may not be all."""
    fill(sandbox, account)
    sandbox.fault(f"GET /api/{name}", no_options=True, page_cap=SENT)
    first = pull(name, account, full=full)
    since = cursor_of(name, account).unproved_at
    assert (first.state, first.created) == ("unproved", min(SENT, len(sandbox.all(name[:-1]))))
    assert "UNPAGED_LISTS" in first.error
    assert since is not None
    assert pull(name, account, full=full).state == "unproved"
    assert cursor_of(name, account).unproved_at == since
    sandbox.clear_faults()
    read(name, account, full=True)
    assert cursor_of(name, account).unproved_at is None


def test_a_list_that_may_be_cut_shows_no_row_as_missing(sandbox: Any, account: str) -> None:
    """R12: a mirror of many rows is not read row by row because the platform sent only the first ones."""
    fill(sandbox, account)
    read("payments", account)
    sandbox.fault("GET /api/payments", no_options=True, page_cap=SENT)
    calls = watch(sandbox)
    assert pull("payments", account, full=True).state == "unproved"
    assert {call["path"] for call in calls.all} == {"/api/payments"}


def test_the_command_and_the_doctor_name_it(sandbox: Any, account: str) -> None:
    """R12: exit status 1."""
    fill(sandbox, account)
    call_command("govpay_sync", stdout=StringIO())
    sandbox.fault("GET /api/payments", no_options=True, page_cap=SENT)
    with pytest.raises(CommandError, match="1 of the lists"):
        call_command("govpay_sync", full=True, stdout=(out := StringIO()), stderr=(err := StringIO()))
    assert f"payments account={account}" in out.getvalue()
    assert f"payments account={account}: The list may be incomplete" in err.getvalue()
    [found] = check_sync(CheckContext())
    assert (found.level, found.subject) == (Level.ERROR, account)
    assert found.what == "Lists that may be incomplete: payments."


def test_an_incremental_pass_does_not_prove_the_whole_list(sandbox: Any, account: str) -> None:
    """R12: the options work again, and only the next full pass shows that nothing is missing."""
    fill(sandbox, account)
    sandbox.fault("GET /api/payments", no_options=True, page_cap=SENT)
    pull("payments", account, full=True)
    sandbox.clear_faults()
    read("payments", account)
    assert cursor_of("payments", account).unproved_at is not None


@pytest.mark.usefixtures("unpaged")
def test_a_list_that_is_known_to_come_whole_is_complete(sandbox: Any, account: str) -> None:
    """R12: the setting ``UNPAGED_LISTS``."""
    fill(sandbox, account)
    sandbox.fault("GET /api/payments", no_options=True)
    assert counts(read("payments", account, full=True)) == {"created": ROWS}
    assert cursor_of("payments", account).unproved_at is None
    assert agree(sandbox, "payment", Payment)


def test_pages_without_an_order_are_unproved(sandbox: Any, account: str, settings: Any) -> None:
    """R12: a row may have moved to a page that was already read."""
    settings.GOVPAY = {**settings.GOVPAY, "PAGE_SIZE": SENT}
    fill(sandbox, account)
    with picky(sandbox, settings, "$orderby"):
        run = pull("payments", account, full=True)
    assert (run.state, run.created) == ("unproved", ROWS)
    assert cursor_of("payments", account).unproved_at is not None


def test_a_count_proves_the_end(sandbox: Any, account: str) -> None:
    """R12: the platform refuses the options and says how many rows there are."""
    fill(sandbox, account)
    rows = sandbox.all("payment")
    sandbox.fault("GET /api/payments", status=400, times=3)
    body = json.dumps({"value": rows, "@odata.count": len(rows)})
    sandbox.fault("GET /api/payments", status=200, body=body, times=1)
    assert counts(read("payments", account, full=True)) == {"created": ROWS}


def test_an_empty_list_is_complete(sandbox: Any, account: str) -> None:
    """R12: there is nothing that could have been cut."""
    sandbox.fault("GET /api/payments", no_options=True)
    read("payments", account, full=True)


@pytest.mark.parametrize(
    ("name", "route"),
    [("methods", "/api/customers/{uid}/payment-methods"), ("subscriptions", "/api/webhooks/subscriptions")],
)
@pytest.mark.parametrize("more", [{"@odata.nextLink": "/api/x?$skip=1"}, {"@odata.count": 7}], ids=["link", "count"])
def test_a_short_list_that_says_that_it_goes_on_is_unproved(
    sandbox: Any, account: str, name: str, route: str, more: dict[str, Any]
) -> None:
    """R12: these lists are not paged, so the rest cannot be read. No row is marked as gone."""
    sandbox.add_customer(account)
    read("customers", account)
    sandbox.fault(f"GET {route}", status=200, body=json.dumps({"value": [], **more}))
    assert pull(name, account).state == "unproved"


def test_a_restore_waits_for_such_a_list(sandbox: Any, account: str) -> None:
    """R12: operations stay held, because a refund may be in the part that was not sent."""
    fill(sandbox, account)
    call_command("govpay_sync", stdout=StringIO())
    begin_restore()
    sandbox.fault("GET /api/transactions", no_options=True, page_cap=SENT)
    with pytest.raises(CommandError):
        call_command("govpay_sync", full=True, stdout=StringIO(), stderr=StringIO())
    assert SyncRun.objects.filter(state="unproved").count() == 1
    assert list(operations.unread_lists()) == [("transactions", account)]

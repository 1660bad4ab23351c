"""R11: an account that is answered as another one. That is a failure, and no row is marked as gone."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from govpay.doctor.findings import CheckContext, Level
from govpay.doctor.queues import check_sync
from govpay.models import Customer, Payment, SavedPaymentMethod, SyncCursor, Terminal, Transaction, WebhookSubscription
from govpay.models.base import Mirror
from govpay.sync.pull import pull
from tests.reading import agree, counts, cursor_of, read, watch

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 30
ALL = "GET /api/*"


@pytest.fixture
def account(sandbox: Any) -> str:
    return str(sandbox.add_account()["uid"])


def fill(sandbox: Any, account: str, count: int = ROWS) -> None:
    """``count`` rows in each list of the account."""
    sandbox.add_payments(account, count)
    for number in range(count):
        sandbox.add_terminal(account, name=f"Counter {number}")
        sandbox.add_method(sandbox.add_customer(account)["uid"])


LISTS: dict[str, type[Mirror]] = {
    "customers": Customer,
    "methods": SavedPaymentMethod,
    "payments": Payment,
    "transactions": Transaction,
    "terminals": Terminal,
}


def present(model: type[Mirror], account: str) -> int:
    return model._default_manager.filter(account=account, deleted_at=None).count()


def test_lists_of_another_account_mark_nothing(sandbox: Any, account: str) -> None:
    """R11: each list is empty and each row's own read answers 404. Whoever asks again gets the same answer."""
    fill(sandbox, account)
    for name in LISTS:
        read(name, account)
    other = str(sandbox.add_account()["uid"])
    sandbox.fault(ALL, account=other)
    for name, model in LISTS.items():
        for _ in range(2):
            run = pull(name, account, full=True)
            assert run.state == "failed", name
            assert "At least 21 of 30 rows are gone; none was marked." in run.error
            assert "--accept-gone" in run.error
            assert present(model, account) == ROWS, name
    assert all(cursor_of(name, account).error for name in LISTS)
    sandbox.clear_faults()
    for name in LISTS:
        assert counts(read(name, account, full=True)) == {"unchanged": ROWS}, name
        assert cursor_of(name, account).missing is None


def test_a_few_rows_that_are_gone_are_marked_at_the_end(sandbox: Any, account: str) -> None:
    """R11: twenty rows, however small the list is."""
    uids = sandbox.add_payments(account, 25)
    read("payments", account)
    for uid in uids[:20]:
        sandbox.remove("payment", uid)
    assert read("payments", account, full=True).deleted == 20


def test_a_twentieth_of_a_long_list_is_marked(sandbox: Any, account: str) -> None:
    """R11: five percent of the list, if that is more than twenty rows."""
    uids = sandbox.add_payments(account, 440)
    read("payments", account)
    for uid in uids[:22]:
        sandbox.remove("payment", uid)
    assert read("payments", account, full=True).deleted == 22
    for uid in uids[22:43]:
        sandbox.remove("payment", uid)
    assert pull("payments", account, full=True).state == "failed"


def test_staff_say_that_many_rows_are_gone(sandbox: Any, account: str) -> None:
    """R11: ``govpay_sync --accept-gone``."""
    uids = sandbox.add_payments(account, ROWS)
    call_command("govpay_sync", stdout=StringIO())
    for uid in uids[:25]:
        sandbox.remove("payment", uid)
    with pytest.raises(CommandError, match="could not be read completely"):
        call_command("govpay_sync", "payments", full=True, stdout=StringIO(), stderr=StringIO())
    with pytest.raises(CommandError, match="without --fan-out"):
        call_command("govpay_sync", "payments", accept_gone=True, fan_out=True)
    call_command("govpay_sync", "payments", accept_gone=True, stdout=(out := StringIO()))
    assert "deleted=25 " in out.getvalue()
    assert agree(sandbox, "payment", Payment)


def test_rows_are_back_at_once_when_they_are_read_again(sandbox: Any, account: str) -> None:
    """R11: also with an older document than the one that was marked as gone."""
    uid = sandbox.add_payments(account, 1)[0]
    before = sandbox.platform.store.get("payment", uid)
    sandbox.touch("payment", uid, status="voided")
    read("payments", account)
    sandbox.remove("payment", uid)
    assert read("payments", account, full=True).deleted == 1
    sandbox.platform.store.put(before)
    assert read("payments", account, full=True).updated == 1
    assert agree(sandbox, "payment", Payment)


@pytest.mark.parametrize("name", [*LISTS, "subscriptions"])
def test_a_list_that_had_rows_and_answers_404_is_a_failure(sandbox: Any, account: str, name: str) -> None:
    """R11: "not offered" is only what was never there."""
    fill(sandbox, account, 4)
    WebhookSubscription.objects.create(uid=f"{account}:x", account_id=account, event_type="x")
    for each in ("customers", name):
        read(each, account)
    WebhookSubscription.objects.update(deleted_at=None)
    path = {"methods": "/api/customers/{uid}/payment-methods", "subscriptions": "/api/webhooks/subscriptions"}
    sandbox.fault(f"GET {path.get(name, f'/api/{name}')}", status=404)
    for _ in range(2):
        run = pull(name, account, full=True)
        assert run.state == "failed"
        assert "was there before" in run.error
    assert cursor_of(name, account).not_offered_at is None
    assert pull(name, account, full=True, accept_gone=True).state == "succeeded"
    assert read(name, account, full=True).error == "Not offered by this API."


def test_the_doctor_names_the_list(sandbox: Any, account: str) -> None:
    """R11: with what can be done about it."""
    sandbox.add_payments(account, 3)
    call_command("govpay_sync", stdout=StringIO())
    sandbox.fault("GET /api/payments", status=404)
    with pytest.raises(CommandError):
        call_command("govpay_sync", "payments", stdout=StringIO(), stderr=(err := StringIO()))
    assert "was there before" in err.getvalue()
    [found] = check_sync(CheckContext())
    assert found.level == Level.WARNING
    assert "payments" in found.what
    assert "was there before" in found.what


def test_a_walk_that_is_resumed_counts_what_it_found_before(
    sandbox: Any, account: str, settings: Any, transactional_db: None
) -> None:
    """R11: twelve rows before an outage and twelve after it are too many together."""
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0, "PAGE_SIZE": 10}
    uids = sorted(sandbox.add_payments(account, ROWS))
    read("payments", account)
    for uid in uids[:24]:
        sandbox.remove("payment", uid)
    sandbox.fault(f"GET /api/payments/{uids[12]}", status=503, times=1)
    assert pull("payments", account, full=True).state == "failed"
    assert cursor_of("payments", account).missing == uids[:12]
    calls = watch(sandbox)
    assert "21 of 30" in pull("payments", account, full=True).error
    assert not any(call["path"].endswith(tuple(uids[:12])) for call in calls.all)
    assert present(Payment, account) == ROWS
    assert SyncCursor.objects.get(resource="payments").missing is None

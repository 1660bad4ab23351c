"""Clients, payment accounts, and starting a sync by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from govpay import tasks
from govpay.models import PaymentAccount
from tests.admin.rows import SECRET

pytestmark = pytest.mark.django_db

SYNC = reverse("admin:govpay_paymentaccount_sync")
LIST = reverse("admin:govpay_paymentaccount_changelist")


@pytest.fixture
def accounts() -> list[PaymentAccount]:
    return [
        PaymentAccount.objects.create(uid=f"acc_{number}", name=f"Account <{number}>", webhook_secret=SECRET)
        for number in range(3)
    ]


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records the tasks sent to the broker, because no worker runs here."""
    sent: list[str] = []
    monkeypatch.setattr(tasks.sync_account, "apply_async", lambda args, kwargs, **_: sent.append(args[0]))
    return sent


def text(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


@pytest.fixture
def panel(operator: Any, browse: Callable[..., Client]) -> Client:
    """The browser of a user of the group *Operations*."""
    return browse(operator)


def test_action_leads_to_the_confirmation(panel: Client, accounts: list[PaymentAccount], queued: list[str]) -> None:
    chosen = [row.pk for row in accounts[:2]]
    response = panel.post(LIST, {"action": "sync_now", "_selected_action": chosen})
    where, _, ids = response["Location"].partition("?ids=")
    assert where == SYNC
    assert sorted(map(int, ids.split(","))) == chosen
    page = panel.get(response["Location"])
    assert "Account &lt;0&gt;" in page.content.decode()
    assert not queued


def test_confirmation_queues_one_task_an_account(
    panel: Client, accounts: list[PaymentAccount], queued: list[str]
) -> None:
    address = f"{SYNC}?ids={accounts[0].pk},{accounts[2].pk}"
    response = panel.post(address, follow=True)
    assert queued == ["acc_0", "acc_2"]
    assert "Queued for a worker: Account &lt;0&gt;, Account &lt;2&gt;" in text(response)


def test_broker_that_is_down_is_said_and_breaks_nothing(
    panel: Client, accounts: list[PaymentAccount], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise ConnectionRefusedError("amqp://guest:secret@broker")

    monkeypatch.setattr(tasks.sync_account, "apply_async", refuse)
    response = panel.post(f"{SYNC}?ids={accounts[0].pk}", follow=True)
    assert response.status_code == 200
    assert "the message broker cannot be reached. Is it running?" in text(response)
    assert "secret@broker" not in text(response)


@pytest.mark.parametrize("group", ["Support", "Cashier", "Finance"])
def test_only_those_who_may_sync(
    group: str, make_staff: Any, browse: Any, accounts: list[PaymentAccount], queued: list[str]
) -> None:
    client = browse(make_staff(group))
    address = f"{SYNC}?ids={accounts[0].pk}"
    assert client.get(address).status_code == 403
    assert client.post(address).status_code == 403
    assert "sync_now" not in client.get(LIST).content.decode()
    page = client.get(reverse("admin:govpay_paymentaccount_change", args=[accounts[0].pk]))
    assert "Sync now" not in page.content.decode()
    assert not queued


def test_strangers_and_forged_forms_are_turned_away(
    operator: Any, browse: Any, accounts: list[PaymentAccount], queued: list[str]
) -> None:
    address = f"{SYNC}?ids={accounts[0].pk}"
    assert Client().post(address).status_code == 302
    assert browse(operator, enforce_csrf_checks=True).post(address).status_code == 403
    assert browse(operator).put(address).status_code == 405
    assert not queued


@pytest.mark.parametrize("ids", ["", "x", "999999"])
def test_nonsense_leads_back(ids: str, panel: Client, queued: list[str]) -> None:
    assert panel.post(f"{SYNC}?ids={ids}")["Location"] == LIST
    assert not queued


def test_account_page_has_the_button_and_no_secret(panel: Client, accounts: list[PaymentAccount]) -> None:
    page = panel.get(reverse("admin:govpay_paymentaccount_change", args=[accounts[0].pk])).content.decode()
    assert f"{SYNC}?ids={accounts[0].pk}" in page
    assert SECRET not in page


def test_late_deliveries_are_counted_on_the_account(browse: Any, support: Any) -> None:
    """Faults W1c: refused, counted and shown."""
    from tests.events import deliver, envelope, known_account

    account = known_account()
    page = reverse("admin:govpay_paymentaccount_change", args=[PaymentAccount.objects.get().pk])
    deliver(account, envelope(age=15000))
    deliver(account, envelope(age=15000), secret="forged")
    assert "1 in a week" in browse(support).get(page).content.decode()

"""Webhook events in the admin: list, page, and *Process again*."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from govpay import tasks
from govpay.models import WebhookEvent
from govpay.models.choices import EventState
from tests.admin.conftest import Page
from tests.admin.rows import XSS, payment, relatives

pytestmark = pytest.mark.django_db

LIST = reverse("admin:govpay_webhookevent_changelist")
CARD = "4111111111111111"


def page_of(row: WebhookEvent) -> str:
    return reverse("admin:govpay_webhookevent_change", args=[row.pk])


def replay_of(row: WebhookEvent) -> str:
    return reverse("admin:govpay_webhookevent_replay", args=[row.pk])


def event(number: int = 0, **given: Any) -> WebhookEvent:
    """A processed event of a minute ago."""
    return WebhookEvent.objects.create(
        **{
            "account_id": "acc_0",
            "webhook_id": f"wh_{number}",
            "event_type": "payment.refunded",
            "payload": {"data": {"payment_uid": "pay_0"}},
            "state": "processed",
            "attempts": 1,
            "received_at": timezone.now() - dt.timedelta(minutes=1),
            **given,
        }
    )


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def listed(html: str) -> set[str]:
    table = html.partition('id="result_list"')[2].partition("</table>")[0]
    return set(re.findall(r">(wh_\w+)<", table))


def messages(response: Any) -> str:
    return " ".join(map(str, response.context["messages"]))


@pytest.fixture
def panel(operator: Any, browse: Callable[..., Client]) -> Client:
    """The browser of a user of the group *Operations*, who may process events again."""
    return browse(operator)


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Records the tasks sent to the broker, because no worker runs here."""
    sent: list[int] = []
    monkeypatch.setattr(tasks.process_event, "apply_async", lambda args, *_, **__: sent.append(args[0]))
    return sent


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A broker that refuses, and how often it was asked."""
    asked: list[int] = []

    def refuse(args: Any, *_: Any, **__: Any) -> None:
        asked.append(args[0])
        raise ConnectionRefusedError("amqp://guest:secret@broker")

    monkeypatch.setattr(tasks.process_event, "apply_async", refuse)
    return asked


# The list and the page


def test_list_filters_by_age(counter: Client) -> None:
    now = timezone.now()
    ages = {"minutes": 30, "hours": 5, "days": 3, "weeks": 2}
    for name, number in ages.items():
        event(webhook_id=f"wh_{name}", received_at=now - dt.timedelta(**{name: number}))
    for query, wanted in {
        "?age=hour": {"wh_minutes"},
        "?age=day": {"wh_minutes", "wh_hours"},
        "?age=week": {"wh_minutes", "wh_hours", "wh_days"},
        "?age=older": {"wh_weeks"},
        "?age=nonsense": {"wh_minutes", "wh_hours", "wh_days", "wh_weeks"},
        "?age=day&state=failed": set(),
    }.items():
        assert listed(counter.get(LIST + query).content.decode()) == wanted, query


def test_list_filters_by_type_state_account_and_payment(counter: Client) -> None:
    relatives()
    event(1, payment_id="pay_0")
    event(2, event_type="never.heard_of", state="ignored", account_id="acc_1")
    html = counter.get(LIST).content.decode()
    assert listed(html) == {"wh_1", "wh_2"}
    assert "?event_type=provider.chargeback" in html
    assert "?event_type=never.heard_of" not in html
    for query, wanted in {
        "?event_type=payment.refunded": {"wh_1"},
        "?event_type=never.heard_of": {"wh_2"},
        "?state=ignored": {"wh_2"},
        "?account=acc_1": {"wh_2"},
        "?payment=pay_0": {"wh_1"},
        "?q=wh_2": {"wh_2"},
        "?q=pay_0": {"wh_1"},
    }.items():
        assert listed(counter.get(LIST + query).content.decode()) == wanted, query


def test_list_links_to_the_payment_and_names_known_types(counter: Client) -> None:
    row = payment(reference_id="BILL-9")
    event(1, payment_id=row.uid)
    event(2, payment_id="pay_nowhere", event_type="never.heard_of")
    html = counter.get(LIST).content.decode()
    assert f'<a href="{reverse("admin:govpay_payment_change", args=[row.pk])}">BILL-9</a>' in html
    assert "pay_nowhere" in html
    assert ">Payment refunded</a>" in html
    assert ">never.heard_of</a>" in html


def test_filters_read_an_index_in_order(counter: Client, look: Callable[..., Page]) -> None:
    now = timezone.now()
    WebhookEvent.objects.bulk_create(
        WebhookEvent(
            webhook_id=f"wh_{number}",
            account_id=f"acc_{number % 3}",
            event_type=("payment.refunded", "payment.completed")[number % 2],
            state=("processed", "processed", "failed")[number % 3],
            received_at=now - dt.timedelta(minutes=5 * number),
        )
        for number in range(5_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    for query in ("", "?age=older", "?age=day", "?state=failed", "?event_type=payment.refunded"):
        page = look(counter, LIST + query)
        assert len(page.statements) <= 7, page.statements
        assert page.size <= 150 * 1024
        if connection.vendor == "sqlite":
            assert_in_index_order(page)


def assert_in_index_order(page: Page) -> None:
    for statement in page.statements:
        if 'FROM "govpay_webhookevent"' not in statement:
            continue
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + statement)
            plan = " / ".join(str(row[-1]) for row in cursor.fetchall())
        assert "TEMP B-TREE" not in plan, (statement, plan)
        assert not re.search(r"SCAN govpay_webhookevent\b(?! USING)", plan), (statement, plan)


def test_page_shows_the_event_and_masks_its_payload(counter: Client, look: Callable[..., Page]) -> None:
    payload = {
        "data": {"payment_uid": "1234567890123456", "note": f"paid with {CARD}", "client_secret": "cs_live_secret_abc"},
        "card_number": int(CARD),
        "x": XSS,
        "auth": "Bearer abcdefghijkl",
    }
    row = event(payload=payload, error=XSS, event_type="provider.nsf", payment_id=payment().uid, state="failed")
    page = look(counter, page_of(row))
    assert "Returned by the bank (provider.nsf)" in page.html
    assert "wh_0" in page.html
    assert "paid with ***" in page.html
    assert "1234567890123456" in page.html, "what names an object stays readable"
    for secret in (CARD, "cs_live_secret_abc", "abcdefghijkl", XSS):
        assert secret not in page.html
    assert "&lt;script&gt;" in page.html
    assert len(page.statements) <= 3, page.statements  # one of them asks which accounts the user sees


def test_page_survives_odd_payloads(counter: Client) -> None:
    deep: Any = {}
    for _ in range(200):
        deep = {"a": deep}
    for payload in ([1, "x"], "text", 5, {}, deep):
        row = event(payload=payload, webhook_id=f"wh_{len(str(payload))}", event_type="never.heard_of")
        assert counter.get(page_of(row)).status_code == 200


def test_failed_event_says_why_at_the_top(counter: Client) -> None:
    row = event(state="failed", attempts=8, error="[req_1] The platform said 500.")
    html = counter.get(page_of(row)).content.decode()
    alert = html.partition('class="govpay-alert"')[2].partition("</div>")[0]
    assert "Given up after 8 attempts" in alert
    assert "[req_1] The platform said 500." in alert


# Process again


def test_action_puts_back_and_queues_what_was_ticked(
    panel: Client, queued: list[int], look: Callable[..., Page]
) -> None:
    rows = [event(1, state="failed", attempts=8, error="No."), event(2, state="ignored"), event(3), event(4)]
    busy = event(5, state="received", claimed_until=timezone.now() + dt.timedelta(minutes=1), attempts=2)
    chosen = [row.pk for row in [*rows[:3], busy]]
    response = panel.post(LIST, {"action": "process_again", "_selected_action": chosen})
    assert response.status_code == 200
    assert sorted(queued) == sorted(chosen[:3])
    for row in rows[:3]:
        row.refresh_from_db()
        assert (row.state, row.attempts, row.error) == (EventState.RECEIVED, 0, "")
    rows[3].refresh_from_db()
    assert rows[3].state == "processed"
    busy.refresh_from_db()
    assert busy.attempts == 2
    said = text(response.content.decode())
    assert said.count("Queued A worker takes it next.") == 3
    assert said.count("Being processed already") == 1
    assert "Back to the events" in said


def test_action_says_when_the_broker_is_down_and_asks_it_once(panel: Client, no_broker: list[int]) -> None:
    rows = [event(number, state="failed") for number in range(5)]
    response = panel.post(LIST, {"action": "process_again", "_selected_action": [row.pk for row in rows]})
    said = text(response.content.decode())
    assert said.count("The message broker cannot be reached") == 5
    assert "secret@broker" not in said
    assert len(no_broker) == 1
    assert set(WebhookEvent.objects.values_list("state", flat=True)) == {"received"}


def test_result_of_a_full_page_is_small_and_cheap(panel: Client, queued: list[int]) -> None:
    rows = [event(number, event_type=XSS, state="failed") for number in range(100)]
    response = panel.post(LIST, {"action": "process_again", "_selected_action": [row.pk for row in rows]})
    assert len(queued) == 100
    assert len(response.content) <= 150 * 1024
    assert XSS not in response.content.decode()


@pytest.mark.parametrize("more", [{"select_across": "1"}, {}])
def test_action_takes_a_page_at_most(more: dict[str, str], panel: Client, queued: list[int]) -> None:
    rows = [event(number).pk for number in range(3)]
    chosen = rows if more else [*rows, *range(10_000, 10_100)]
    response = panel.post(LIST, {"action": "process_again", "_selected_action": chosen, "index": "0", **more})
    assert response["Location"] == LIST
    assert "100 at most" in panel.get(LIST).content.decode()
    assert not queued


def test_action_works_where_every_request_is_a_transaction(
    panel: Client, queued: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list's own URL is an exception, because a worker must find the requeued events."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    depths: list[int] = []
    monkeypatch.setattr(
        tasks.process_event, "apply_async", lambda *_, **__: depths.append(len(connection.savepoint_ids))
    )
    outside = len(connection.savepoint_ids)
    row = event(state="failed")
    panel.post(LIST, {"action": "process_again", "_selected_action": [row.pk]})
    panel.post(replay_of(row))
    assert depths == [outside, outside]


def test_button_processes_one_again(panel: Client, queued: list[int], look: Callable[..., Page]) -> None:
    row = event(state="failed", attempts=8, error="No.")
    html = look(panel, page_of(row)).html
    assert f'action="{replay_of(row)}"' in html
    assert not re.search(r"<form[^>]*>(?:(?!</form>).)*<form", html, re.S), "forms do not nest"
    response = panel.post(replay_of(row), follow=True)
    assert response.redirect_chain == [(page_of(row), 302)]
    assert "Queued: Payment refunded wh_0." in messages(response)
    assert queued == [row.pk]
    row.refresh_from_db()
    assert row.state == EventState.RECEIVED


def test_button_on_one_that_is_being_processed(panel: Client, queued: list[int]) -> None:
    row = event(state="received", claimed_until=timezone.now() + dt.timedelta(minutes=1))
    assert "Being processed already" in messages(panel.post(replay_of(row), follow=True))
    assert not queued


def test_button_without_a_broker(panel: Client, no_broker: list[int]) -> None:
    row = event(state="failed")
    response = panel.post(replay_of(row), follow=True)
    assert "The message broker cannot be reached" in messages(response)
    assert "secret@broker" not in response.content.decode()


@pytest.mark.parametrize("group", ["Support", "Cashier", "Finance"])
def test_only_those_who_may_replay(group: str, make_staff: Any, browse: Any, queued: list[int]) -> None:
    client = browse(make_staff(group))
    row = event(state="failed")
    assert client.get(page_of(row)).status_code == 200
    assert "replay" not in client.get(page_of(row)).content.decode()
    assert "process_again" not in client.get(LIST).content.decode()
    client.post(LIST, {"action": "process_again", "_selected_action": [row.pk]})
    assert client.post(replay_of(row)).status_code == 403
    assert client.get(replay_of(row)).status_code == 403
    row.refresh_from_db()
    assert row.state == "failed"
    assert not queued


def test_strangers_forged_forms_and_other_methods_are_turned_away(
    operator: Any, browse: Any, queued: list[int]
) -> None:
    row = event(state="failed")
    assert "login" in Client().post(replay_of(row))["Location"]
    strict = browse(operator, enforce_csrf_checks=True)
    assert strict.post(replay_of(row)).status_code == 403
    assert strict.post(LIST, {"action": "process_again", "_selected_action": [row.pk]}).status_code == 403
    for method in ("get", "head", "put", "delete"):
        response = getattr(browse(operator), method)(replay_of(row))
        assert response.status_code == 405
        assert response["Allow"] == "POST"
    assert not queued


@pytest.mark.parametrize("pk", ["999999", "9" * 30])
def test_event_that_is_not_there(pk: str, panel: Client, queued: list[int]) -> None:
    assert panel.post(f"{LIST}{pk}/replay/").status_code == 404
    assert not queued


def test_permission_to_replay_is_enough_for_the_button(make_staff: Any, browse: Any, queued: list[int]) -> None:
    user = make_staff()
    user.user_permissions.add(Permission.objects.get(codename="replay_event"))
    row = event(state="failed")
    client = browse(user)
    assert client.post(replay_of(row))["Location"] == reverse("admin:index")
    assert queued == [row.pk]
    assert client.get(LIST).status_code == 403


# From a payment


def test_payment_lists_its_events(counter: Client, look: Callable[..., Page]) -> None:
    row = payment()
    now = timezone.now()
    for number in range(60):
        event(number, payment_id=row.uid, received_at=now - dt.timedelta(hours=number), attempts=7)
    event(99, payment_id="pay_other", event_type="provider.chargeback")
    page = look(counter, reverse("admin:govpay_payment_change", args=[row.pk]))
    table = page.html.partition(">Events</h2>")[2].partition("</section>")[0]
    assert table.count("<tr>") == 51
    shown = [int(pk) for pk in re.findall(r"webhookevent/(\d+)/change", table)]
    newest = WebhookEvent.objects.filter(payment=row.uid).order_by("-received_at")[:50]
    assert shown == list(newest.values_list("pk", flat=True))
    assert f"{LIST}?payment={row.uid}" in table
    assert "Chargeback" not in table


def test_payment_without_events_says_so(counter: Client) -> None:
    html = counter.get(reverse("admin:govpay_payment_change", args=[payment().pk])).content.decode()
    assert "The platform has sent no webhook events for this payment." in html

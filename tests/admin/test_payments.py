"""The payment's page and the actions of its list."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from govpay.models import Customer, Operation, Payment, Transaction, WebhookEvent
from tests.admin.conftest import Page
from tests.admin.rows import operation, payment, relatives

pytestmark = pytest.mark.django_db

STATEMENTS = 12


def page_of(row: Payment) -> str:
    return reverse("admin:govpay_payment_change", args=[row.pk])


LIST = reverse("admin:govpay_payment_changelist")


def busy_payment(actor: Any) -> Payment:
    """A disputed payment with relatives, transactions, operations, events, and one outcome still open."""
    relatives()
    row = payment(
        saved_method_id="spm_0",
        session_id="hs_0",
        refunded_amount=2000,
        status="partially_refunded",
        flag="chargeback",
        flagged_at=timezone.now(),
    )
    for number in range(60):
        Transaction.objects.create(
            uid=f"txn_{number}", payment_id=row.uid, type="refund", amount=10, currency="USD", status="succeeded"
        )
        operation(row, state="succeeded", actor=actor)
        WebhookEvent.objects.create(webhook_id=f"wh_{number}", payment_id=row.uid, event_type="payment.refunded")
    Transaction.objects.create(
        uid="txn_pending", payment_id=row.uid, type="refund", amount=750, currency="USD", status="pending"
    )
    operation(row, state="unknown", actor=actor, error="No answer within 30 s.", remote_request_id="req_1")
    return row


def test_page_keeps_its_budget(desk: Client, finance: Any, look: Callable[..., Page]) -> None:
    row = busy_payment(finance)
    page = look(desk, page_of(row))
    assert page.status == 200
    assert len(page.statements) <= STATEMENTS, page.statements


def test_validated_page_keeps_its_budget(desk: Client, look: Callable[..., Page]) -> None:
    page = look(desk, page_of(payment(status="validated", captured_at=None)))
    assert len(page.statements) <= STATEMENTS, page.statements


def test_page_tells_all_amounts(desk: Client, finance: Any, look: Callable[..., Page]) -> None:
    html = look(desk, page_of(busy_payment(finance))).html
    for amount in ("$100.00", "$5.00", "$2.50", "$107.50", "$20.00", "$7.50", "$80.00"):
        assert amount in html
    assert "Partially refunded" in html
    assert "Visa ····1111" in html


def test_amounts_follow_the_language(desk: Client, look: Callable[..., Page]) -> None:
    row = payment(total_amount=123456, currency="EUR")
    html = look(desk, page_of(row), headers={"accept-language": "de"}).html
    assert "1.234,56\xa0€" in html


def test_unknown_currency_and_status_are_shown_as_they_came(desk: Client, look: Callable[..., Page]) -> None:
    html = look(desk, page_of(payment(currency="<b>", status="<i>new</i>"))).html
    assert "&lt;b&gt;" in html
    assert "&lt;i&gt;new&lt;/i&gt;" in html
    assert "<i>new" not in html


def test_decline_is_told_in_words(desk: Client, look: Callable[..., Page]) -> None:
    html = look(desk, page_of(payment(status="failed", decline_code="insufficient_funds"))).html
    assert "There was not enough money on the account." in html
    assert "insufficient_funds" not in html.partition('class="govpay-document"')[0]
    html = look(desk, page_of(payment(status="failed", decline_code="x_new"))).html
    assert "x_new" in html


def test_open_operation_is_prominent_and_closes_the_actions(
    desk: Client, finance: Any, look: Callable[..., Page]
) -> None:
    html = look(desk, page_of(busy_payment(finance))).html
    alert = html.split('class="govpay-alert"')[2].partition("</div>")[0]
    assert "Refund of $12.50: the outcome is not known yet" in alert
    assert "No answer within 30 s." in alert
    assert "<p>Platform&#x27;s request ID: req_1</p>" in alert
    assert "nothing is sent again automatically" in alert
    assert str(finance) in alert
    assert html.count("govpay-closed") == 3
    assert "payment/refund/?ids" not in html


def test_operation_under_way_is_told_apart_from_a_lost_one(desk: Client, look: Callable[..., Page]) -> None:
    row = payment()
    operation(row, state="started", deadline_at=timezone.now() + dt.timedelta(seconds=40))
    assert "Refund of $12.50 is under way" in look(desk, page_of(row)).html
    Operation.objects.update(deadline_at=timezone.now() - dt.timedelta(seconds=1))
    assert "the outcome is not known yet" in look(desk, page_of(row)).html


def test_buttons_say_why_they_are_closed(desk: Client, look: Callable[..., Page]) -> None:
    row = payment(captured_at=timezone.now() - dt.timedelta(days=3))
    html = look(desk, page_of(row)).html
    assert f"{reverse('admin:govpay_payment_refund')}?ids={row.pk}" in html
    assert reverse("admin:govpay_payment_void") not in html
    assert row.why_not_voidable() in html
    assert "Only a payment that waits for capture can be captured. The status of this one: Captured." in html


@pytest.mark.parametrize(
    ("group", "buttons"),
    [("Support", ()), ("Operations", ()), ("Cashier", ("Capture",)), ("Finance", ("Capture", "Refund", "Void"))],
)
def test_buttons_and_actions_are_for_those_who_may(
    group: str,
    buttons: tuple[str, ...],
    make_staff: Callable[..., Any],
    browse: Callable[..., Client],
    look: Callable[..., Page],
) -> None:
    client = browse(make_staff(group))
    row = payment()
    html = look(client, page_of(row)).html
    listed = look(client, LIST).html
    for name in ("Capture", "Refund", "Void"):
        assert (f">{name}</span>" in html or f">{name}…</a>" in html) == (name in buttons)
        assert (f'value="{name.lower()}_payments"' in listed) == (name in buttons)


@pytest.mark.parametrize("action", ["capture", "refund", "void"])
def test_action_only_leads_to_the_confirmation(action: str, desk: Client, look: Callable[..., Page]) -> None:
    rows = [payment(), payment()]
    chosen = [row.pk for row in rows]
    response = desk.post(LIST, {"action": f"{action}_payments", "_selected_action": chosen})
    assert response.status_code == 302
    where, _, ids = response["Location"].partition("?ids=")
    assert where == reverse(f"admin:govpay_payment_{action}")
    assert sorted(map(int, ids.split(","))) == sorted(chosen)
    assert not Operation.objects.exists()


def test_action_of_another_permission_is_not_there(counter: Client) -> None:
    row = payment()
    response = counter.post(LIST, {"action": "refund_payments", "_selected_action": [row.pk]})
    assert response.status_code == 200 or response["Location"] == LIST
    assert not Operation.objects.exists()


@pytest.mark.parametrize("more", [{"select_across": "1"}, {}])
def test_action_takes_a_page_at_most(more: dict[str, str], desk: Client) -> None:
    rows = [payment().pk for _ in range(3)]
    chosen = rows if more else [*rows, *range(10_000, 10_100)]
    response = desk.post(LIST, {"action": "refund_payments", "_selected_action": chosen, "index": "0", **more})
    assert response["Location"] == LIST
    assert "100 at most" in desk.get(LIST).content.decode()


def test_customer_page_lists_what_belongs_to_it(counter: Client, look: Callable[..., Page]) -> None:
    relatives()
    html = look(counter, reverse("admin:govpay_customer_change", args=[Customer.objects.get().pk])).html
    assert "BILL-0" in html
    assert "····1111" in html


def test_user_with_the_action_alone_needs_no_other_permission(
    make_staff: Callable[..., Any], browse: Callable[..., Client]
) -> None:
    user = make_staff()
    user.user_permissions.add(Permission.objects.get(codename="refund_payment"))
    row = payment()
    client = browse(user)
    assert client.get(reverse("admin:govpay_payment_refund") + f"?ids={row.pk}").status_code == 200
    assert client.get(reverse("admin:govpay_payment_void") + f"?ids={row.pk}").status_code == 403
    assert client.get(page_of(row)).status_code == 403

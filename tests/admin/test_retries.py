"""*Try again*: who may use it, what the page says, and that the operation stays the same one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from govpay import operations
from govpay.exceptions import OutcomeUnknown
from govpay.models import Operation, Payment, SavedPaymentMethod
from tests.admin.rows import operation as operation_row
from tests.admin.rows import payment as payment_row
from tests.admin.rows import relatives
from tests.admin.test_confirmations import fields, texts
from tests.operations.merchant import Merchant

pytestmark = pytest.mark.django_db(transaction=True)

PERMISSIONS = {"capture": "capture_payment", "refund": "refund_payment", "void": "void_payment"}


@pytest.fixture
def merchant(sandbox: Any) -> Merchant:
    return Merchant(sandbox)


def lose(merchant: Merchant, action: str, payment: Payment, **given: Any) -> Operation:
    """A request that the platform never acted on, looked up until it was closed as not executed."""
    merchant.sandbox.fault(f"POST /api/payments/{payment.uid}/{action}", times=1, close="before")
    known = set(Operation.objects.values_list("pk", flat=True))
    with pytest.raises(OutcomeUnknown):
        getattr(operations, f"{action}_payment")(payment=payment, **given)
    merchant.reconcile_all()
    row = Operation.objects.exclude(pk__in=known).get()
    assert (row.state, row.error_class) == ("failed", "APIConnectionError")
    return row


def ready(merchant: Merchant, action: str) -> Payment:
    return merchant.captured() if action == "refund" else merchant.quoted()


def page_of(row: Operation) -> str:
    return reverse("admin:govpay_operation_change", args=[row.pk])


def again_of(row: Operation, name: str = "") -> str:
    assert row.payment is not None
    return f"{reverse(f'admin:govpay_payment_{name or row.action}')}?ids={row.payment.pk}&operation={row.pk}"


def offered(client: Client, row: Operation, name: str = "") -> bool:
    html = client.get(page_of(row)).content.decode().replace("&amp;", "&")
    assert ("Try again…</a>" in html) == (again_of(row, name) in html)
    return "Try again…</a>" in html


def press(client: Client, address: str, **typed: str) -> Any:
    return client.post(address, {**fields(client.get(address)), **typed}, follow=True)


def keys(merchant: Merchant, action: str) -> list[str]:
    return [post["idempotency_key"] for post in merchant.posts(action)]


# --- Who is offered it --------------------------------------------------------------------------------


@pytest.mark.parametrize("action", PERMISSIONS)
def test_offered_to_who_holds_that_permission_and_to_nobody_else(
    action: str, merchant: Merchant, make_staff: Callable[..., User], browse: Callable[..., Client]
) -> None:
    row = lose(merchant, action, ready(merchant, action))
    for held, codename in PERMISSIONS.items():
        user = make_staff(name=held)
        names = ("view_operation", "view_payment", codename)
        user.user_permissions.set(Permission.objects.filter(codename__in=names, content_type__app_label="govpay"))
        client = browse(user)
        assert offered(client, row) == (held == action)
        assert client.get(again_of(row)).status_code == (200 if held == action else 403)
        assert client.post(again_of(row)).status_code == (400 if held == action else 403)
    assert len(merchant.posts(action)) == 1


@pytest.mark.parametrize(
    ("state", "given"),
    [
        ("succeeded", {}),
        ("unknown", {}),
        ("failed", {"error_class": "Conflict"}),
        ("failed", {"error_class": "APIError", "attention": "late_failure", "attention_at": timezone.now()}),
    ],
)
def test_not_offered_for_what_ended_otherwise(state: str, given: dict[str, Any], desk: Client) -> None:
    relatives()
    row = operation_row(payment_row(), state=state, finished_at=timezone.now(), **given)
    assert not offered(desk, row)
    page = desk.get(again_of(row))
    assert "key" not in fields(page)


def test_not_offered_for_what_is_started_elsewhere(desk: Client) -> None:
    relatives()
    row = operation_row(payment_row(), "quote", "failed", error_class="APIConnectionError", finished_at=timezone.now())
    assert "Try again…</a>" not in desk.get(page_of(row)).content.decode()


def test_an_operation_of_another_payment_or_none_is_no_reason_to_try_again(merchant: Merchant, desk: Client) -> None:
    row, other = lose(merchant, "refund", merchant.captured()), merchant.captured()
    for which in (f"ids={other.pk}&operation={row.pk}", f"ids={other.pk}&operation=0", f"ids={other.pk}&operation=x"):
        page = desk.get(f"{reverse('admin:govpay_payment_refund')}?{which}")
        assert "There is no such operation here." in texts(page)
        assert "key" not in fields(page)


# --- The same operation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("action", PERMISSIONS)
def test_it_reopens_the_same_operation(action: str, merchant: Merchant, desk: Client, finance: Any) -> None:
    payment = ready(merchant, action)
    row = lose(merchant, action, payment, actor=User.objects.create_user("pat"))
    page = desk.get(again_of(row))
    assert "Earlier attempt" in texts(page)
    assert "by pat, was not carried out, as far as is known" in texts(page)
    address, sent = again_of(row), fields(page)
    first = desk.post(address, sent, follow=True)
    assert {"capture": "Captured", "refund": "Refunded", "void": "Voided"}[action] in texts(first)
    second = desk.post(address, sent, follow=True)
    assert {"capture": "Captured", "refund": "Refunded", "void": "Voided"}[action] in texts(second)
    assert len(merchant.ledger(action, payment)) == 1
    assert keys(merchant, action) == [str(row.key)] * 2, "what was lost, and one POST for two clicks"
    row.refresh_from_db()
    assert (row.state, row.attempts, row.retried_by, str(row.actor)) == ("succeeded", 2, finance, "pat")
    assert row.attention == ""
    assert Operation.objects.filter(action=action).count() == 1
    assert not offered(desk, row)
    shown = texts(desk.get(page_of(row)))
    assert "Attempts" in shown
    assert "pat · Not executed" in shown


def test_a_page_that_was_opened_before_the_operation_was_found_sends_nothing(merchant: Merchant, desk: Client) -> None:
    payment = merchant.captured()
    row = lose(merchant, "refund", payment, amount=500)
    sent = fields(desk.get(again_of(row)))
    merchant.sandbox.refund(payment.uid, 500, row.reference_id)
    text = texts(desk.post(again_of(row), sent, follow=True))
    assert "Refunded: $5.00" in text
    assert len(merchant.posts("refund")) == 1
    row.refresh_from_db()
    assert (row.state, row.attempts) == ("succeeded", 1)


def test_the_operation_that_was_pressed_and_not_a_newer_one(merchant: Merchant, desk: Client) -> None:
    payment = merchant.captured()
    older = lose(merchant, "refund", payment, amount=500)
    newer = lose(merchant, "refund", payment, amount=700, confirm_second_refund=True)
    page = desk.get(again_of(older))
    assert fields(page)["amount"] == "5.00"
    assert "Try again: Refund of $5.00?" in texts(page)
    assert "USD, 1 payment $5.00" in texts(page)
    plain = desk.get(f"{reverse('admin:govpay_payment_refund')}?ids={payment.pk}")
    assert fields(plain)["amount"] == "7.00", "without a word the newest one is meant"
    desk.post(again_of(older), fields(page))
    older.refresh_from_db()
    newer.refresh_from_db()
    assert (older.state, newer.state) == ("succeeded", "failed")


def test_what_never_left_this_site_is_tried_again_without_a_warning(
    merchant: Merchant, desk: Client, settings: Any
) -> None:
    payment, there = merchant.captured(), settings.GOVPAY
    settings.GOVPAY = {**there, "API_URL": "http://127.0.0.1:9", "MAX_RETRIES": 0, "CALL_TIMEOUT": 3}
    address = f"{reverse('admin:govpay_payment_refund')}?ids={payment.pk}"
    assert "could not be reached" in texts(press(desk, address, amount="5.00"))
    settings.GOVPAY = there
    row = Operation.objects.get()
    assert offered(desk, row)
    page = desk.get(again_of(row))
    assert "confirm_second_refund" not in page.content.decode()
    assert "Refunded: $5.00" in texts(desk.post(again_of(row), fields(page), follow=True))
    row.refresh_from_db()
    assert (row.state, row.attempts, keys(merchant, "refund")) == ("succeeded", 2, [str(row.key)])


# --- Another refund beside it -----------------------------------------------------------------------------


def test_another_amount_needs_a_confirmation_that_says_what_is_at_stake(merchant: Merchant, desk: Client) -> None:
    payment = merchant.captured()
    row = lose(merchant, "refund", payment, amount=500)
    address = f"{reverse('admin:govpay_payment_refund')}?ids={payment.pk}"
    page = desk.get(address)
    text = "Only if the amount is not $5.00. If the earlier refund is carried out late, the payer gets both."
    assert text in texts(page)
    refused = desk.post(address, {**fields(page), "amount": "6.00"})
    assert "This is another amount than the earlier refund of $5.00: confirm that you want both." in texts(refused)
    assert len(merchant.posts("refund")) == 1
    done = press(desk, address, amount="6.00", confirm_second_refund="on")
    assert "Refunded: $6.00" in texts(done)
    assert len(set(keys(merchant, "refund"))) == 2
    row.refresh_from_db()
    assert (row.state, row.attempts) == ("failed", 1)


def test_after_a_day_another_amount_is_a_refund_like_any(merchant: Merchant, desk: Client) -> None:
    payment = merchant.captured()
    row = lose(merchant, "refund", payment, amount=500)
    Operation.objects.update(finished_at=timezone.now() - dt.timedelta(hours=25))
    address = f"{reverse('admin:govpay_payment_refund')}?ids={payment.pk}"
    assert "confirm_second_refund" not in desk.get(address).content.decode()
    assert "Refunded: $6.00" in texts(press(desk, address, amount="6.00"))
    row.refresh_from_db()
    assert row.state == "failed"


def test_many_refunds_leave_such_a_payment_to_its_own_page(merchant: Merchant, desk: Client) -> None:
    payment, other = merchant.captured(), merchant.captured()
    lose(merchant, "refund", payment, amount=500)
    address = f"{reverse('admin:govpay_payment_refund')}?ids={payment.pk},{other.pk}"
    page = desk.get(address)
    assert "An earlier refund of $5.00 may still arrive: refund this one on its own page." in texts(page)
    desk.post(address, fields(page))
    assert merchant.moved("refund", payment) == 0
    assert merchant.moved("refund", other) == other.total_amount


def test_many_try_again_what_is_the_same(merchant: Merchant, desk: Client) -> None:
    payment, other = merchant.captured(), merchant.captured()
    row = lose(merchant, "refund", payment)
    address = f"{reverse('admin:govpay_payment_refund')}?ids={payment.pk},{other.pk}"
    page = desk.get(address)
    assert "For 1 of these payments, an earlier operation that was not carried out is sent again" in texts(page)
    desk.post(address, fields(page))
    assert merchant.moved("refund", payment) == payment.total_amount
    row.refresh_from_db()
    assert (row.state, row.attempts) == ("succeeded", 2)


def test_a_page_that_was_opened_before_the_first_attempt_ended_is_refused(merchant: Merchant, desk: Client) -> None:
    payment = merchant.captured()
    address = f"{reverse('admin:govpay_payment_refund')}?ids={payment.pk}"
    stale = {**fields(desk.get(address)), "amount": "5.00"}
    lose(merchant, "refund", payment, amount=500)
    text = texts(desk.post(address, stale, follow=True))
    assert "Refused, nothing was sent" in text
    assert "An earlier refund of $5.00 of this payment was not carried out, as far as is known" in text
    other = texts(desk.post(address, {**stale, "amount": "6.00"}, follow=True))
    assert "Refused, nothing was sent" in other
    assert len(merchant.posts("refund")) == 1
    assert Operation.objects.count() == 1


# --- Charges ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["credit", "ach"])
def test_a_charge_is_tried_again_by_who_quoted_it(kind: str, merchant: Merchant, cashier: Any, browse: Any) -> None:
    method: SavedPaymentMethod = merchant.saved_method(kind)
    payment = operations.quote_payment(account=merchant.account, base_amount=5_000, saved_method=method, actor=cashier)
    given: dict[str, Any] = {"actor": cashier}
    if kind == "ach":
        given["authorization"] = operations.Authorization("tel", "I agree.", timezone.now())
    row = lose(merchant, "capture", payment, **given)
    client = browse(cashier)
    assert offered(client, row, "charge")
    address = again_of(row, "charge")
    page = client.get(address)
    assert "Earlier attempt" in texts(page)
    assert "Charged: $" in texts(client.post(address, fields(page), follow=True))
    row.refresh_from_db()
    assert (row.state, row.attempts, row.sec_code) == ("succeeded", 2, "tel" if kind == "ach" else "")
    assert keys(merchant, "capture") == [str(row.key)] * 2
    assert len(merchant.ledger("capture", payment)) == 1


# --- While operations are held ----------------------------------------------------------------------------


def test_held_operations_are_refused_and_the_review_page_says_why(merchant: Merchant, desk: Client) -> None:
    payment = merchant.captured()
    row = lose(merchant, "refund", payment, amount=500)
    operations.begin_restore()
    text = texts(desk.get(reverse("admin:govpay_review")))
    assert "Operations have been held since" in text
    assert "This site was restored from a backup." in text
    assert "Held, nothing was sent" in texts(press(desk, again_of(row)))
    many = [merchant.captured() for _ in range(2)]
    address = f"{reverse('admin:govpay_payment_refund')}?ids={many[0].pk},{many[1].pk}"
    assert texts(press(desk, address)).count("Not begun") == 1, "the others would be refused as well"
    assert len(merchant.posts("refund")) == 1
    operations.finish_restore(anyway=True)
    assert "Operations have been held since" not in texts(desk.get(reverse("admin:govpay_review")))

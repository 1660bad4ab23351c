"""The review queue in the admin: its page, *Resolve by hand*, *Mark as dealt with*, and their permissions."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from govpay.models import Operation, Payment
from tests.admin.conftest import Page
from tests.admin.neighbours import grant
from tests.admin.rows import payment, relatives
from tests.operations.merchant import Merchant
from tests.operations.test_manual_resolution import lost_refund
from tests.review.test_items import lost

pytestmark = pytest.mark.django_db

LIST = reverse("admin:govpay_review")
NOW = timezone.now()


def page_of(row: Operation) -> str:
    return reverse("admin:govpay_operation_change", args=[row.pk])


def resolve_url(row: Operation) -> str:
    return reverse("admin:govpay_operation_resolve", args=[row.pk])


def dealt_with_of(row: Operation) -> str:
    return reverse("admin:govpay_operation_dealt_with", args=[row.pk])


def messages(response: Any) -> str:
    return " ".join(map(str, response.context["messages"]))


def test_page_lists_all_kinds(desk: Client, look: Callable[..., Page]) -> None:
    relatives()
    row = lost()
    lost(state="failed", attention="late_failure", attention_at=NOW, error="It failed later: R01.")
    payment(flag="chargeback", flagged_at=NOW)
    page = look(desk, LIST)
    assert page.status == 200
    assert len(page.statements) <= 6, "one asks what this user sees, one whether operations are held"
    for words in ("Outcome unknown", "Refund failed", "Disputed", "R01", "Refund of $5.00"):
        assert words in page.html
    assert page.html.count('class="govpay-card"') == 3
    assert resolve_url(row) in page.html


def test_empty_page_says_so(desk: Client, look: Callable[..., Page]) -> None:
    assert "The review queue is empty" in look(desk, LIST).html


@pytest.mark.parametrize("model", ["payment", "operation"])
def test_lists_say_how_much_there_is(model: str, desk: Client, look: Callable[..., Page]) -> None:
    relatives()
    address = reverse(f"admin:govpay_{model}_changelist")
    assert ">Review queue</a>" in look(desk, address).html
    lost()
    payment(flag="chargeback", flagged_at=NOW)
    assert ">Review queue (2)</a>" in look(desk, address).html


def test_without_the_permission_one_may_look_and_not_resolve(
    counter: Client, desk: Client, look: Callable[..., Page]
) -> None:
    relatives()
    row = lost()
    late = lost(state="failed", attention="late_failure", attention_at=NOW)
    assert resolve_url(row) not in look(counter, LIST).html
    assert resolve_url(row) not in look(counter, page_of(row)).html
    assert dealt_with_of(late) not in look(counter, page_of(late)).html
    for address in (resolve_url(row), dealt_with_of(late)):
        assert counter.get(address).status_code == 403
        assert counter.post(address, {"carried_out": "yes", "reason": "x"}).status_code == 403
    assert Operation.objects.get(pk=row.pk).state == "unknown"
    assert Operation.objects.get(pk=late.pk).attention == "late_failure"


def test_page_needs_permission_to_view(client: Client, browse: Callable[..., Client]) -> None:
    nobody = User.objects.create_user("nobody", is_staff=True)
    assert browse(nobody).get(LIST).status_code == 403
    assert client.get(LIST).status_code == 302
    assert client.post(LIST).status_code == 302


def test_limited_staff_see_and_resolve_only_their_own(browse: Callable[..., Client], look: Callable[..., Page]) -> None:
    relatives()
    own, foreign = lost(), lost(account_id="acc_1", payment_id="pay_1", amount=98_765)
    late = lost(account_id="acc_1", state="failed", attention="late_failure", attention_at=NOW)
    payment(account_id="acc_1", flag="chargeback", flagged_at=NOW, total_amount=98_765)
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.all())
    grant("acc_0", user=clerk)
    limited = browse(clerk)
    html = look(limited, LIST).html
    assert resolve_url(own) in html
    assert "987.65" not in html
    assert html.count("govpay-card") == 1
    for address in (resolve_url(foreign), dealt_with_of(late)):
        assert limited.post(address, {"carried_out": "yes", "reason": "x"}).status_code == 404
    assert Operation.objects.get(pk=foreign.pk).state == "unknown"


# --- Resolve by hand -------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("answer", "state"), [("yes", "succeeded"), ("no", "failed")])
def test_resolve(answer: str, state: str, sandbox: Any, desk: Client, finance: Any) -> None:
    row = lost_refund(Merchant(sandbox), "before")
    html = desk.get(resolve_url(row)).content.decode()
    assert "Resolve by hand: Refund of $5.00?" in html
    assert "the money moves twice" in html
    response = desk.post(resolve_url(row), {"carried_out": answer, "reason": "Portal, page 3"}, follow=True)
    row.refresh_from_db()
    assert (row.state, row.settled_by, row.settlement) == (state, finance, "Portal, page 3")
    assert "Resolved by hand" in messages(response)
    assert "Portal, page 3" in response.content.decode()
    assert LogEntry.objects.filter(object_id=str(row.pk), user=finance).count() == 1
    again = desk.post(resolve_url(row), {"carried_out": "yes", "reason": "Again"}, follow=True)
    assert "known already" in messages(again)
    row.refresh_from_db()
    assert row.settlement == "Portal, page 3"


@pytest.mark.django_db(transaction=True)
def test_platform_tells_meanwhile(sandbox: Any, desk: Client) -> None:
    row = lost_refund(Merchant(sandbox), "after")
    sandbox.clear_faults()
    response = desk.post(resolve_url(row), {"carried_out": "no", "reason": "Portal"}, follow=True)
    row.refresh_from_db()
    assert (row.state, row.settled_at) == ("succeeded", None)
    assert "The platform has meanwhile shown the outcome" in messages(response)


@pytest.mark.parametrize(
    "data",
    [{}, {"carried_out": "yes"}, {"reason": "x"}, {"carried_out": "maybe", "reason": "x"}, {"reason": "  "}],
    ids=str,
)
def test_both_answers_are_required(data: dict[str, str], desk: Client) -> None:
    relatives()
    row = lost()
    response = desk.post(resolve_url(row), data)
    assert response.status_code == 400
    assert "Nothing was sent. Correct the error below." in response.content.decode()
    row.refresh_from_db()
    assert (row.state, row.settlement) == ("unknown", "")


def test_what_was_typed_stays_when_it_is_refused(desk: Client) -> None:
    relatives()
    row = lost()
    response = desk.post(resolve_url(row), {"carried_out": "no", "reason": "Card 4111 1111 1111 1111, page 3"})
    html = response.content.decode()
    assert response.status_code == 400
    assert "looks like a card number" in html
    assert "page 3</textarea>" in html
    row.refresh_from_db()
    assert row.state == "unknown"


def test_call_under_way_cannot_be_resolved(desk: Client) -> None:
    relatives()
    row = lost(state="started", deadline_at=timezone.now() + dt.timedelta(minutes=1))
    assert resolve_url(row) not in desk.get(page_of(row)).content.decode()
    response = desk.get(resolve_url(row))
    assert "still be under way" in response.content.decode()
    assert 'name="reason"' not in response.content.decode()


def test_other_methods(desk: Client) -> None:
    relatives()
    row = lost()
    assert desk.put(resolve_url(row)).status_code == 405
    assert desk.get(dealt_with_of(row)).status_code == 405
    assert desk.post(LIST).status_code == 405
    assert desk.get(resolve_url(Operation(pk=row.pk + 99))).status_code == 404


# --- Mark as dealt with ---------------------------------------------------------------------------


def form_of(html: str) -> dict[str, str]:
    """The data that the browser sends with the button."""
    form = re.search(r'<form method="post" action="[^"]*dealt-with/".*?</form>', html, re.S)
    assert form
    return dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form[0]))


def test_mark_as_dealt_with(desk: Client, finance: Any) -> None:
    relatives()
    row = lost(state="failed", attention="late_failure", attention_at=NOW, error="It failed later: R01.")
    html = desk.get(page_of(row)).content.decode()
    assert "It was accepted, and failed on" in html
    assert "The money has not left" in html
    data = form_of(html)
    assert "Marked as dealt with" in messages(desk.post(dealt_with_of(row), data, follow=True))
    row.refresh_from_db()
    assert (row.attention, row.state) == ("", "failed")
    assert LogEntry.objects.get(object_id=str(row.pk)).user == finance
    assert "Somebody else" in messages(desk.post(dealt_with_of(row), data, follow=True))
    assert LogEntry.objects.count() == 1


def test_newer_attention_is_not_lowered_unseen(desk: Client) -> None:
    relatives()
    row = lost(state="failed", attention="not_executed", attention_at=NOW)
    data = form_of(desk.get(page_of(row)).content.decode())
    Operation.objects.filter(pk=row.pk).update(state="succeeded", attention="contradicted")
    assert "Something newer" in messages(desk.post(dealt_with_of(row), data, follow=True))
    for forged in ({}, {"attention": "", "at": ""}, {"attention": "contradicted", "at": "yesterday"}):
        assert "does not come from here" in messages(desk.post(dealt_with_of(row), forged, follow=True))
    row.refresh_from_db()
    assert row.attention == "contradicted"


def test_every_attention_has_its_words(desk: Client) -> None:
    relatives()
    Payment.objects.update(flag="")
    for attention in ("late_failure", "not_executed", "contradicted"):
        row = lost(state="failed", attention=attention, attention_at=NOW)
        assert "Raised on" not in desk.get(page_of(row)).content.decode()

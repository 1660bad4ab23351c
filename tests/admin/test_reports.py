"""The reports and the register: totals, drill-down, pages, wrong input, and the report of cashier exceptions."""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from govpay.models import Operation, Payment
from govpay.models.people import person
from tests.admin.conftest import Page

pytestmark = pytest.mark.django_db

REPORTS = reverse("admin:govpay_reports")
REGISTER = reverse("admin:govpay_register")
CASHIER = reverse("admin:govpay_cashier")


def around(days: int = 3) -> str:
    today = timezone.localdate()
    return f"first={today - dt.timedelta(days=days)}&last={today + dt.timedelta(days=1)}"


@pytest.mark.parametrize("by", ["day", "week", "month", "account", "method", "brand", "person"])
def test_each_row_leads_to_movements_with_the_same_net(
    desk: Client,
    look: Callable[..., Page],
    two_accounts: list[str],
    by: str,
) -> None:
    page = look(desk, f"{REPORTS}?{around()}&by={by}&compare=on")
    assert page.status == 200
    body = re.search(r"<tbody>(.*?)</tbody>", page.html, re.DOTALL)
    assert body
    rows = re.findall(r'<tr><td><a href="([^"]+)">.*?</tr>', body[1], re.DOTALL)
    assert rows
    for row in re.findall(r"<tr>.*?</tr>", body[1], re.DOTALL):
        address = html.unescape(re.findall(r'href="([^"]+)"', row)[0])
        net = re.findall(r"<td[^>]*>([^<]*)</td>", row)[-2]
        foot = re.search(r"<tfoot>.*?</tfoot>", look(desk, address).html, re.DOTALL)
        assert foot
        assert f">{net}<" in foot[0], (address, net, foot[0])


def test_the_register_adds_up_all_pages(desk: Client, look: Callable[..., Page], two_accounts: list[str]) -> None:
    template = Payment.objects.filter(account_id=two_accounts[0])[0]
    for number in range(150):
        template.pk, template.uid = None, f"pay_more_{number}"
        template.total_amount, template.base_amount, template.processing_fee_amount = 100, 100, 0
        template.refunded_amount = 0
        template.save(force_insert=True)
    first = look(desk, f"{REGISTER}?{around()}&kind=captures")
    second = look(desk, f"{REGISTER}?{around()}&kind=captures&page=2")
    feet = [re.search(r"<tfoot>.*?</tfoot>", page.html, re.DOTALL) for page in (first, second)]
    assert all(feet)
    assert "156 rows" in first.html
    assert feet[0][0] == feet[1][0]  # type: ignore[index]
    assert first.html.count("INV-") == 100
    assert second.html.count("INV-") == 56
    assert "Next page" in first.html
    assert "Next page" not in second.html


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("first=2026-02-30&last=2026-03-01", "Enter a valid date"),
        ("first=2026-03-02&last=2026-03-01", "before the first"),
        ("first=2000-01-01&last=2026-03-01", "days at most"),
        ("first=0001-01-01&last=0001-01-02", "too far away"),
        ("first=9999-12-30&last=9999-12-31", "too far away"),
        ("first=2026-03-01&last=2026-03-01&account=nobody", "Select a valid choice"),
        ("first=2026-03-01&last=2026-03-01&by=secret", "Select a valid choice"),
    ],
)
def test_wrong_input_is_named(desk: Client, look: Callable[..., Page], query: str, words: str) -> None:
    page = look(desk, f"{REPORTS}?{query}")
    assert page.status == 200
    assert words in page.html


def test_only_get_is_answered(desk: Client) -> None:
    for address in (REPORTS, REGISTER, CASHIER, reverse("admin:govpay_overview")):
        assert desk.post(address).status_code == 405


def test_cashier_exceptions_show_who_did_what_when(
    desk: Client,
    look: Callable[..., Page],
    two_accounts: list[str],
    finance: Any,
) -> None:
    at = timezone.now().replace(hour=10, minute=0) - dt.timedelta(days=1)
    payments = Payment.objects.filter(account_id=two_accounts[0])
    payments.update(last4="4242")
    for number, (action, payment) in enumerate(zip(("refund", "refund", "void"), payments, strict=False)):
        Operation.objects.create(
            action=action,
            account_id=two_accounts[0],
            payment=payment,
            amount=100,
            currency="USD",
            actor=finance,
            reason="Paid twice",
            state="succeeded",
            reference_id=f"ref_{number}",
            created_at=at,
            deadline_at=at,
        )
    page = look(desk, f"{CASHIER}?{around()}")
    assert page.status == 200
    assert page.html.count("Paid twice") == 3
    assert "The same payer again" in page.html
    assert "Out of hours" in page.html, "10:00 UTC is night in Denver"
    assert "$2.00" in page.html


def test_the_movements_of_a_person_are_theirs_alone(
    desk: Client, look: Callable[..., Page], two_accounts: list[str], finance: Any
) -> None:
    mine, theirs = Payment.objects.filter(account_id=two_accounts[0])[:2]
    at = timezone.now()
    for number, (payment, user) in enumerate(((mine, finance), (theirs, None))):
        Operation.objects.create(
            action="capture",
            account_id=two_accounts[0],
            payment=payment,
            **person("actor", user),
            state="succeeded",
            reference_id=f"ref_{number}",
            deadline_at=at,
        )
    page = look(desk, f"{REPORTS}?{around()}&by=person")
    address = html.unescape(re.findall(r'href="([^"]*person=finance[^"]*)"', page.html)[0])
    finance.delete()
    register = look(desk_of_another(desk), address)
    assert register.html.count("INV-") == 1
    assert mine.reference_id in register.html
    captures = look(desk, address.replace("person=finance", "person=%28none%29") + "&kind=captures")
    assert "5 rows" in captures.html
    assert mine.reference_id not in captures.html


def desk_of_another(desk: Client) -> Client:
    """Log a superuser in, because the finance officer is gone."""
    desk.force_login(User.objects.create_superuser("boss"))
    return desk


def test_an_act_and_its_manual_resolution_are_two_lines(
    desk: Client, look: Callable[..., Page], two_accounts: list[str], finance: Any, cashier: Any
) -> None:
    at = timezone.now() - dt.timedelta(hours=2)
    Operation.objects.create(
        action="void",
        account_id=two_accounts[0],
        payment=Payment.objects.filter(account_id=two_accounts[0])[0],
        **person("actor", cashier),
        **person("settled_by", finance),
        settled_at=timezone.now(),
        settlement="The portal shows it.",
        reason="Wrong account",
        state="succeeded",
        reference_id="ref_void",
        created_at=at,
        deadline_at=at,
    )
    page = look(desk, f"{CASHIER}?{around()}")
    assert page.html.count("Wrong account") == page.html.count("The portal shows it.") == 1
    assert "cashier" in page.html
    assert "$0.00" not in page.html, "a void takes back the whole payment"


def test_pages_of_nonsense_are_no_errors(desk: Client, look: Callable[..., Page]) -> None:
    assert look(desk, f"{REGISTER}?page={'9' * 5000}").status == 200
    operations = reverse("admin:govpay_operation_changelist")
    assert look(desk, f"{operations}?actor={'9' * 40}").status in (302, 400)


def test_persons_are_for_those_who_may_see_operations(
    make_staff: Any, browse: Any, look: Callable[..., Page], two_accounts: list[str]
) -> None:
    user = make_staff()
    user.user_permissions.add(*Permission.objects.filter(codename__in=("view_payment", "view_transaction")))
    client = browse(user)
    assert look(client, f"{REPORTS}?{around()}").status == 200
    assert "Select a valid choice" in look(client, f"{REPORTS}?{around()}&by=person").html
    assert look(client, f"{REGISTER}?{around()}&person=pat").status == 403

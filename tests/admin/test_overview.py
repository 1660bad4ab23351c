"""The overview: each number is a link to the rows that it adds up, and their own total is the same."""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from govpay.models import Client as Merchant
from govpay.models import Payment, PaymentAccount
from tests.admin.conftest import Page, add_day

pytestmark = pytest.mark.django_db

OVERVIEW = reverse("admin:govpay_overview")
INDEX = reverse("admin:app_list", args=["govpay"])


def links(page: Page) -> list[tuple[str, str]]:
    """Return address and text of each number of the overview's tables that is a link to the register."""
    found = re.findall(r'<td class="govpay-number"><a href="([^"]*/register/[^"]*)">([^<]*)</a>', page.html)
    return [(html.unescape(address), text) for address, text in found]


def test_each_number_is_a_link_to_rows_with_the_same_total(
    desk: Client, look: Callable[..., Page], two_accounts: list[str]
) -> None:
    page = look(desk, OVERVIEW)
    assert page.status == 200
    found = links(page)
    assert len(found) == 4 * 3 * 8, "four spans; two accounts and their sum; a count, six sums, the days before"
    for address, text in found:
        rows = look(desk, address)
        assert rows.status == 200
        foot = re.search(r"<tfoot>.*?</tfoot>", rows.html, re.DOTALL)
        if foot is None:
            assert text in ("$0.00", "0"), (address, text)
            continue
        if "$" in text:
            assert f">{text}<" in foot[0], (address, text, foot[0])
        else:
            assert f"{text} rows" in foot[0], (address, text, foot[0])


def test_the_index_of_the_app_shows_it_above_the_lists_in_groups(
    desk: Client, look: Callable[..., Page], two_accounts: list[str]
) -> None:
    page = look(desk, INDEX)
    assert len(links(page)) == 96
    titles = re.findall(r'<h2 id="govpay-group-\d">([^<]+)</h2>', page.html)
    assert titles == ["Money", "Payers", "Merchant", "System"]


def test_who_may_not_see_transactions_gets_the_lists_only(
    make_staff: Any, browse: Any, look: Callable[..., Page], two_accounts: list[str]
) -> None:
    client = browse(make_staff())
    assert look(client, OVERVIEW).status == 403
    for name in ("reports", "register", "cashier", "system"):
        assert look(client, reverse(f"admin:govpay_{name}")).status == 403


def test_other_accounts_are_left_out(
    make_staff: Any, browse: Any, look: Callable[..., Page], two_accounts: list[str]
) -> None:
    user = make_staff("Finance")
    PaymentAccount.objects.get(uid=two_accounts[0]).access.create(user=user)
    page = look(browse(user), OVERVIEW)
    assert "Parks" in page.html
    assert "Utilities" not in page.html
    foreign = look(browse(user), f"{reverse('admin:govpay_register')}?account={two_accounts[1]}")
    assert "INV-" not in foreign.html


def test_what_waits_for_capture_is_counted_and_listed(
    desk: Client, look: Callable[..., Page], two_accounts: list[str]
) -> None:
    now = timezone.now()
    for number, (method, minutes) in enumerate([("credit", 5), ("credit", 20), ("wallet_credit", 600)]):
        Payment.objects.create(
            uid=f"pay_wait_{number}",
            account_id=two_accounts[0],
            status="validated",
            method_type=method,
            total_amount=500,
            currency="USD",
            remote_created_at=now - dt.timedelta(minutes=minutes),
        )
    page = look(desk, OVERVIEW)
    assert "2 payments, $10.00" in page.html
    listed = look(desk, reverse("admin:govpay_payment_changelist") + "?waiting=1")
    assert "pay_wait_0" in listed.html
    assert "pay_wait_1" not in listed.html
    assert "pay_wait_2" in listed.html


def test_statements_do_not_grow_with_the_accounts(
    desk: Client, look: Callable[..., Page], two_accounts: list[str]
) -> None:
    few = look(desk, OVERVIEW)
    merchant = Merchant.objects.get()
    for number in range(10):
        account = PaymentAccount.objects.create(uid=f"acc_{number}", name=str(number), client=merchant)
        add_day(account, str(number), 1000, timezone.now())
    assert len(look(desk, OVERVIEW).statements) == len(few.statements)
    assert len(few.statements) <= 16

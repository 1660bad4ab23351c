"""The actions of staff work under every theme."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.themes.conftest import Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.themes

Visit = Callable[..., "Page"]


def row(site: Site, statement: str, *values: Any) -> tuple[Any, ...]:
    """Straight from the site's database, which is only read."""
    with closing(sqlite3.connect(f"file:{site.city.folder / 'site.sqlite3'}?mode=ro", uri=True)) as connection:
        return tuple(connection.execute(statement, values).fetchone())


def refunds(site: Site, *names: str) -> list[int]:
    """Cents of the platform's refunds of these payments."""
    uids = [row(site, "SELECT uid FROM govpay_payment WHERE id = ?", site.named[name])[0] for name in names]
    found = [entry for entry in site.city.platform.ledger() if entry["payment_uid"] in uids]
    return [entry["amount"] for entry in found if entry["kind"] == "refund"]


def test_one_refund(site: Site, visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit(site.page("payment", "refunded"))
    page.get_by_role("link", name="Refund…").click()
    page.get_by_label("Amount to refund").fill("12.50")
    page.get_by_label("Reason").fill("Paid twice")
    page.get_by_role("button", name="Refund").click()
    expect(page.get_by_text("$12.50, payment")).to_be_visible()
    assert refunds(site, "refunded") == [1250]
    assert row(site, "SELECT refunded_amount FROM govpay_payment WHERE id = ?", site.named["refunded"]) == (1250,)


def test_several_refunds(site: Site, visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit("/admin/govpay/payment/")
    for name in ("first", "second"):
        page.locator(f"input.action-select[value='{site.named[name]}']").check()
    page.locator("select[name=action]").select_option("refund_payments", force=True)
    page.locator("button[name=index]").click()
    expect(page.get_by_role("heading", name="Refund these payments?", level=1)).to_be_visible()
    page.get_by_role("button", name="Refund 2 payments").click()
    expect(page.get_by_role("heading", name="2 of 2 payments done")).to_be_visible()
    assert len(refunds(site, "first", "second")) == 2


def test_a_charge(site: Site, visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit(site.page("customer", "customer"))
    page.get_by_role("link", name="Charge a saved payment method…").click()
    page.get_by_label("Amount").fill("30.00")
    page.get_by_role("button", name="Show the fee").click()
    expect(page.get_by_role("heading", name="Charge this saved payment method?", level=1)).to_be_visible()
    page.get_by_role("button", name="Charge").click()
    expect(page.get_by_text("Charged:")).to_be_visible()
    account = row(site, "SELECT account_id FROM govpay_customer WHERE id = ?", site.named["customer"])[0]
    status = "SELECT status FROM govpay_payment WHERE account_id = ? AND base_amount = 3000"
    assert row(site, status, account) == ("captured",)


def test_a_dispute_is_dealt_with(site: Site, visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit(site.page("payment", "settled"))
    page.get_by_role("button", name="Mark as dealt with").click()
    expect(page.get_by_text("Marked as dealt with").first).to_be_visible()
    assert row(site, "SELECT flag FROM govpay_payment WHERE id = ?", site.named["settled"]) == ("",)
    expect(page.get_by_role("alert").filter(has_text="Disputed by the cardholder")).to_have_count(0)


def test_a_new_link(site: Site, visit: Visit) -> None:
    from playwright.sync_api import expect

    page = visit("/admin/govpay/paymentlink/")
    page.get_by_role("link", name="Create payment link").click()
    page.get_by_label("Payment account").select_option(f"Utilities {site.theme}")
    page.get_by_label("Amount").fill("45.60")
    page.get_by_role("button", name="Create payment link").click()
    expect(page.get_by_alt_text("QR code of the address")).to_be_visible()
    public_id = page.get_by_label("Hand out this address").input_value().rstrip("/").split("/")[-1]
    assert row(site, "SELECT amount FROM govpay_paymentlink WHERE public_id = ?", public_id) == (4560,)

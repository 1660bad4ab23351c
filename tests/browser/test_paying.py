"""Payments in the browser: paid, declined, paid twice on purpose, and too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.driving import (
    DECLINED,
    MASTERCARD,
    VISA,
    HostedDemo,
    dollars,
    enter_card,
    expect,
    fresh_amount,
    pay_button,
    pay_by_card,
    told_of_payment,
    visa_fee,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Witness

pytestmark = pytest.mark.browser

Visit = Callable[..., "Page"]


def the_row(page: Page, term: str) -> str:
    """The text next to ``term`` on our part of the page."""
    return page.locator(".pay-about > div", has_text=term).locator("dd").inner_text()


def test_a_link_is_paid_by_card(hosted_demo: HostedDemo, visit: Visit) -> None:
    amount = fresh_amount()
    link = hosted_demo.link(amount=amount, reference_id="INV-2041", description="Water, July")
    page = visit(link)
    expect(page).to_have_title(f"Pay {dollars(amount)}")
    assert the_row(page, "Reference") == "INV-2041"
    assert the_row(page, "Amount") == dollars(amount)
    expect(page.locator("[data-fee]")).to_be_hidden()
    enter_card(page)
    total = amount + visa_fee(amount)
    expect(page.locator("[data-fee] dd")).to_have_text(dollars(visa_fee(amount)))
    expect(page.locator("[data-total] dd")).to_have_text(dollars(total))
    pay_button(page, total).click()

    page.wait_for_url("**/done/")
    told_of_payment(page)
    row = hosted_demo.eventually(lambda: hosted_demo.link_row(link), lambda row: row["payment_id"] is not None)
    assert row["state"] == "paid"
    assert hosted_demo.booked(row["session_id"]) == [("capture", total)]
    (payment,) = hosted_demo.rows("SELECT * FROM govpay_payment WHERE uid = ?", row["payment_id"])
    assert (payment["total_amount"], payment["session_id"]) == (total, row["session_id"])

    # A second visit shows this, and cannot pay.
    again = visit(link)
    assert again.url.endswith("/done/")
    told_of_payment(again)
    expect(again.locator("govifi-payment")).to_have_count(0)


def test_a_page_that_waits_changes_by_itself(hosted_demo: HostedDemo, visit: Visit) -> None:
    amount = fresh_amount()
    session = hosted_demo.session(amount=amount)
    page = visit(hosted_demo.session_page(session) + "done/")
    expect(page.get_by_role("heading", name="We are waiting for the confirmation.")).to_be_visible()
    payer = visit(hosted_demo.session_page(session))
    total = pay_by_card(payer, amount)
    told_of_payment(payer)
    told_of_payment(page)
    assert hosted_demo.session_row(session)["status"] == "completed"
    assert hosted_demo.booked(session) == [("capture", total)]
    told = "SELECT state FROM govpay_webhookevent WHERE event_type = 'checkout_session.completed' AND payload LIKE ?"
    hosted_demo.eventually(
        lambda: hosted_demo.rows(told, f"%{session}%"), lambda rows: rows == [{"state": "processed"}]
    )


def test_a_declined_card_and_another_one_in_its_place(hosted_demo: HostedDemo, visit: Visit, witness: Witness) -> None:
    amount = fresh_amount()
    link = hosted_demo.link(amount=amount)
    page = visit(link)
    witness.expect(402, "/confirm")
    pay_by_card(page, amount, DECLINED)
    expect(page.get_by_role("alert").filter(has_text="The card was declined.").first).to_be_visible()
    session = hosted_demo.link_row(link)["session_id"]
    assert hosted_demo.booked(session) == []
    assert page.url == link

    enter_card(page, MASTERCARD)
    total = amount + visa_fee(amount)
    pay_button(page, total).click()
    told_of_payment(page)
    assert hosted_demo.link_row(link)["state"] == "paid"
    assert hosted_demo.link_row(link)["session_id"] == session
    assert hosted_demo.booked(session) == [("capture", total)]


def test_a_bank_account(hosted_demo: HostedDemo, visit: Visit) -> None:
    amount = fresh_amount()
    link = hosted_demo.link(amount=amount)
    page = visit(link)
    page.get_by_label("Bank account").check()
    page.get_by_label("Name on the account").fill("Dana Vale")
    page.get_by_label("Routing number").fill("021000021")
    page.get_by_label("Account number").fill("4099999992")
    page.get_by_label("Account type").select_option("savings")
    total = amount + 150
    expect(page.locator("[data-fee] dd")).to_have_text("$1.50")
    pay_button(page, total).click()
    told_of_payment(page)
    row = hosted_demo.eventually(lambda: hosted_demo.link_row(link), lambda row: row["payment_id"] is not None)
    assert hosted_demo.booked(row["session_id"]) == [("capture", total)]
    (payment,) = hosted_demo.rows("SELECT * FROM govpay_payment WHERE uid = ?", row["payment_id"])
    assert (payment["method_type"], payment["last4"]) == ("ach", "9992")
    assert "4099999992" not in str(payment)


def test_the_same_payment_again_is_asked_about(hosted_demo: HostedDemo, visit: Visit, witness: Witness) -> None:
    amount = fresh_amount()
    first, second = hosted_demo.link(amount=amount), hosted_demo.link(amount=amount)
    total = pay_by_card(page := visit(first), amount)
    told_of_payment(page)

    page = visit(second)
    witness.expect(409, "/confirm")
    pay_by_card(page, amount)
    question = page.get_by_role("alertdialog", name="Is this a second payment?")
    expect(question).to_contain_text(dollars(total))
    expect(page.locator("[data-note]")).to_be_hidden()
    session = hosted_demo.link_row(second)["session_id"]
    assert hosted_demo.booked(session) == []
    question.get_by_role("button", name="Submit anyway").click()
    told_of_payment(page)
    assert hosted_demo.link_row(second)["state"] == "paid"
    assert hosted_demo.booked(session) == [("capture", total)]


def test_two_payers_at_once(hosted_demo: HostedDemo, visit: Visit, witness: Witness) -> None:
    amount = fresh_amount()
    link = hosted_demo.link(amount=amount)
    one, other = visit(link), visit(link)
    total = amount + visa_fee(amount)
    for page, number in ((one, VISA), (other, MASTERCARD)):
        enter_card(page, number)
        expect(pay_button(page, total)).to_be_enabled()
    pay_button(one, total).click()
    told_of_payment(one)
    witness.expect(409, "/confirm")
    pay_button(other, total).click()
    expect(other.get_by_role("heading", name="This has been paid")).to_be_visible()
    expect(other.locator("[data-note]")).to_be_hidden()
    row = hosted_demo.link_row(link)
    assert len(hosted_demo.sessions_of(link)) == 1
    assert hosted_demo.booked(row["session_id"]) == [("capture", total)]

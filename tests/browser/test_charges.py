"""Staff charge a method on file and manage a wallet in the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.driving import HostedDemo, dollars, enter_card, expect, fresh_amount, log_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

Visit = Callable[..., "Page"]

CARD = {
    "payment_method_type": "credit",
    "credit": {"fingerprint": "tok_charge", "last4": "1111", "exp_month": 12, "exp_year": 2040, "card_brand": "VISA"},
}
BANK = {
    "payment_method_type": "ach",
    "ach": {
        **{"routing_number": "021000021", "account_number_suffix": "9992", "account_type": "checking"},
        **{"bank_name": "First Example", "fingerprint": "tok_bank"},
    },
}


def at_the_form(hosted_demo: HostedDemo, visit: Visit, method: dict[str, object], **options: bool) -> tuple[Page, str]:
    """The first step for a new customer with ``method`` on file, reached by the buttons; and the customer's uid."""
    uid, _methods = hosted_demo.customer(method)
    staff = visit(f"{hosted_demo.site}/admin/govpay/customer/", **options)
    log_in(staff, hosted_demo)
    staff.get_by_role("link", name="Charge a saved payment method").click()
    staff.get_by_label("Whose payment method?").fill(uid)
    staff.get_by_role("button", name="Find").click()
    staff.locator(".govpay-table").get_by_role("link").first.click()
    return staff, uid


def captures(hosted_demo: HostedDemo, customer: str) -> list[int]:
    rows = hosted_demo.rows("SELECT uid, total_amount FROM govpay_payment WHERE customer_id = ?", customer)
    ledger = [entry for entry in hosted_demo.demo.ask("ledger") if entry["kind"] == "capture"]
    booked = [(entry["payment_uid"], entry["amount"]) for entry in ledger]
    return [amount for uid, amount in booked if uid in [row["uid"] for row in rows]]


def test_a_card_on_file_is_charged_once(hosted_demo: HostedDemo, visit: Visit) -> None:
    amount = fresh_amount()
    staff, customer = at_the_form(hosted_demo, visit, CARD)
    staff.get_by_label("Amount").fill(dollars(amount)[1:])
    staff.get_by_label("Description").fill("Water, May")
    staff.get_by_role("button", name="Show the fee").click()
    expect(staff.get_by_text("Water, May")).to_be_visible()
    (row,) = hosted_demo.rows("SELECT * FROM govpay_payment WHERE customer_id = ?", customer)
    assert (row["status"], captures(hosted_demo, customer)) == ("validated", [])
    expect(
        staff.locator(".govpay-notes").get_by_text(dollars(row["processing_fee_amount"]), exact=True)
    ).to_be_visible()
    confirmation = staff.url
    staff.get_by_role("button", name=f"Charge {dollars(row['total_amount'])}").dblclick()
    expect(staff.get_by_text("Charged:")).to_be_visible()
    assert captures(hosted_demo, customer) == [row["total_amount"]]
    # After going back and reloading, the page has no button any more.
    staff.go_back()
    expect(staff.get_by_role("button", name="Charge")).to_have_count(0)
    staff.goto(confirmation)
    expect(staff.get_by_text("Only a payment that waits for capture can be captured")).to_be_visible()
    expect(staff.get_by_role("button", name="Charge")).to_have_count(0)
    assert captures(hosted_demo, customer) == [row["total_amount"]]


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_no_take_me_back_ends_the_fee_preview(hosted_demo: HostedDemo, visit: Visit, script: bool) -> None:
    amount = fresh_amount()
    staff, customer = at_the_form(hosted_demo, visit, CARD, java_script_enabled=script)
    staff.get_by_label("Amount").fill(dollars(amount)[1:])
    staff.get_by_label("Description").fill("Water, May")
    staff.get_by_role("button", name="Show the fee").click()
    expect(staff.get_by_text("Fee shown, not charged")).to_be_visible()
    (row,) = hosted_demo.rows("SELECT * FROM govpay_payment WHERE customer_id = ?", customer)
    assert row["status"] == "validated"
    staff.get_by_role("button", name="No, take me back").dblclick()
    expect(staff.get_by_text("Nothing was charged.")).to_be_visible()
    expect(staff.get_by_label("Amount")).to_have_value(dollars(amount)[1:])
    expect(staff.get_by_label("Description")).to_have_value("Water, May")
    rows = hosted_demo.rows("SELECT action, state FROM govpay_operation WHERE customer_id = ? ORDER BY id", customer)
    done = [(each["action"], each["state"]) for each in rows]
    assert ("void", "succeeded") in done
    assert "capture" not in dict(done)
    (row,) = hosted_demo.rows("SELECT * FROM govpay_payment WHERE customer_id = ?", customer)
    assert (row["status"], captures(hosted_demo, customer)) == ("voided", [])
    # Back in the browser: the page of before charges nothing any more.
    staff.go_back()
    staff.reload()
    expect(staff.get_by_role("button", name="Charge")).to_have_count(0)


def test_a_bank_account_is_charged_with_the_payers_word(hosted_demo: HostedDemo, visit: Visit) -> None:
    amount = fresh_amount()
    staff, customer = at_the_form(hosted_demo, visit, BANK)
    staff.get_by_label("Amount").fill(dollars(amount)[1:])
    staff.get_by_role("button", name="Show the fee").click()
    expect(staff.get_by_text("I authorize Utilities to debit my bank account ending in 9992")).to_be_visible()
    staff.get_by_label("By telephone (TEL)").check()
    staff.get_by_label("I attest that the payer agreed").check()
    staff.get_by_role("button", name="Charge").click()
    expect(staff.get_by_text("Charged:")).to_be_visible()
    (row,) = hosted_demo.rows("SELECT * FROM govpay_operation WHERE action = 'capture' AND customer_id = ?", customer)
    assert (row["state"], row["sec_code"]) == ("succeeded", "tel")
    assert "ending in 9992" in row["authorization_text"]
    assert len(captures(hosted_demo, customer)) == 1


def test_staff_add_a_card_in_the_wallet(hosted_demo: HostedDemo, visit: Visit) -> None:
    uid, _methods = hosted_demo.customer(CARD)
    (customer,) = hosted_demo.rows("SELECT id FROM govpay_customer WHERE uid = ?", uid)
    staff = visit(f"{hosted_demo.site}/admin/govpay/customer/{customer['id']}/change/")
    log_in(staff, hosted_demo)
    staff.get_by_role("button", name="Add or change methods").click()
    staff.get_by_role("button", name="Add").first.click()
    enter_card(staff, "5555555555554444")
    staff.get_by_role("button", name="Save").click()
    expect(staff.get_by_text("4444").first).to_be_visible()
    staff.get_by_role("button", name="Close the wallet").click()
    expect(staff.locator(".govpay-table").first).to_contain_text("4444")
    rows = hosted_demo.rows("SELECT last4 FROM govpay_savedpaymentmethod WHERE customer_id = ? ORDER BY last4", uid)
    assert [row["last4"] for row in rows] == ["1111", "4444"]

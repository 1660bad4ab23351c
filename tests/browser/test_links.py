"""Staff create a link in the admin, hand it out as an address or a QR code, and see that it was paid."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
import segno

from tests.browser.driving import HostedDemo, dollars, expect, fresh_amount, log_in, pay_by_card, told_of_payment

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

Visit = Callable[..., "Page"]


def test_staff_make_a_link_and_see_it_paid(hosted_demo: HostedDemo, visit: Visit) -> None:
    amount = fresh_amount()
    staff = visit(f"{hosted_demo.site}/admin/govpay/paymentlink/")
    log_in(staff, hosted_demo)
    staff.get_by_role("link", name="Create payment link").click()
    staff.get_by_label("Payment account").select_option("Utilities")
    staff.get_by_label("Amount").fill(dollars(amount)[1:])
    staff.get_by_label("Reference").fill("INV-STAFF")
    staff.get_by_label("Description").fill("Permit 12")
    staff.get_by_role("button", name="Create payment link").click()
    expect(staff.get_by_text("The payment link is ready to be handed out.")).to_be_visible()

    address = staff.get_by_label("Hand out this address").input_value()
    assert address.startswith(f"{hosted_demo.site}/govpay/pay/")
    staff.context.grant_permissions(["clipboard-read", "clipboard-write"])
    staff.get_by_role("button", name="Copy", exact=True).click()
    expect(staff.get_by_role("button", name="Copied")).to_be_visible()
    assert staff.evaluate("navigator.clipboard.readText()") == address
    code = staff.get_by_alt_text("QR code of the address")
    assert code.get_attribute("src") == segno.make(address, error="m").svg_data_uri(scale=4, border=2)
    assert "<svg" in unquote(code.get_attribute("src") or "")
    # Drawn, not only named.
    assert code.evaluate("image => image.complete && image.naturalWidth > 0")

    payer = visit(address)
    expect(payer.get_by_text("Permit 12")).to_be_visible()
    total = pay_by_card(payer, amount)
    told_of_payment(payer)
    row = hosted_demo.eventually(lambda: hosted_demo.link_row(address), lambda row: row["payment_id"] is not None)
    assert hosted_demo.booked(row["session_id"]) == [("capture", total)]

    staff.reload()
    expect(staff.locator(".field-state_badge")).to_contain_text("Paid")
    expect(staff.locator(".field-payment_link").get_by_role("link")).to_be_visible()
    expect(staff.get_by_alt_text("QR code of the address")).to_have_count(0)
    assert (row["state"], row["reference_id"], row["amount"]) == ("paid", "INV-STAFF", amount)

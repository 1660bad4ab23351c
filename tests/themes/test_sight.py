"""Amounts and buttons are visible and usable under every theme, wide and narrow, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.themes.conftest import NARROW, WIDE, Site

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.themes

Visit = Callable[..., "Page"]

#: Whether the middle of an element belongs to it, scrolled to: nothing lies over it and nothing cuts it off.
UNCOVERED = """element => {
    element.scrollIntoView({block: 'center', behavior: 'instant'});
    const box = element.getBoundingClientRect();
    const top = document.elementFromPoint(box.x + Math.min(box.width, innerWidth) / 2, box.y + box.height / 2);
    return top !== null && (element.contains(top) || top.contains(element));
}"""
#: The page as it is opened, not scrolled: whether the heading is seen at once.
AT_FIRST = UNCOVERED.replace("element.scrollIntoView({block: 'center', behavior: 'instant'});", "scrollTo(0, 0);")
#: The contrast of an element's text with its background (WCAG 2.2, 1.4.3).
CONTRAST = """element => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.unshift(getComputedStyle(each).backgroundColor);
    canvas.fillStyle = 'Canvas'; canvas.fillRect(0, 0, 1, 1);
    const light = () => {
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(
            value => value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    for (const colour of layers) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    const ground = light();
    canvas.fillStyle = getComputedStyle(element).color; canvas.fillRect(0, 0, 1, 1);
    const text = light();
    return (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
}"""


@pytest.fixture(params=[(WIDE, "light"), (NARROW, "dark")], ids=["wide-light", "narrow-dark"])
def look(visit: Visit, request: pytest.FixtureRequest) -> Visit:
    """``look(path)``: the page as one of two kinds of screens shows it."""
    size, scheme = request.param
    return lambda path: visit(path, viewport=size, color_scheme=scheme)


def seen(*elements: Locator) -> None:
    from playwright.sync_api import expect

    for element in elements:
        expect(element).to_be_visible()
        assert element.evaluate(UNCOVERED), f"{element} is covered"
        if element.evaluate("element => element.innerText"):
            assert element.evaluate(CONTRAST) >= 3, f"{element} is hardly legible"


def pressable(*elements: Locator) -> None:
    seen(*elements)
    for element in elements:
        element.click(trial=True)


def headed(page: Page, text: str) -> None:
    from playwright.sync_api import expect

    heading = page.get_by_role("heading", name=text, level=1)
    expect(heading).to_be_visible()
    assert heading.evaluate(AT_FIRST), "something covers the heading"


def test_the_list(site: Site, look: Visit) -> None:
    page = look("/admin/govpay/payment/")
    pressable(page.get_by_role("link", name="Review queue"))
    seen(page.get_by_text("⚑ Disputed").first, page.locator(".govpay-badge", has_text="Captured").first)
    assert "payments" in page.locator(".govpay-count").last.inner_text()


def test_a_disputed_payment(site: Site, look: Visit) -> None:
    page = look(site.page("payment", "disputed"))
    alert = page.get_by_role("alert").filter(has_text="Disputed by the cardholder")
    seen(alert.get_by_role("heading"), alert.get_by_text("Do not refund this payment meanwhile"))
    pressable(alert.get_by_role("button", name="Mark as dealt with"))
    pressable(*(page.get_by_role("link", name=f"{action}…") for action in ("Refund", "Void")))
    seen(
        page.get_by_text("Capture", exact=True).first,
        page.get_by_text("Only a payment that waits for capture can be captured"),
    )
    pressable(page.get_by_role("link", name="History", exact=True))
    seen(page.get_by_role("rowheader", name="Left to refund"))


def test_a_payment_link(site: Site, look: Visit) -> None:
    page = look(site.page("paymentlink", "link"))
    code = page.get_by_alt_text("QR code of the address")
    seen(code)
    assert code.evaluate("image => image.complete && image.naturalWidth > 0")
    address = page.get_by_label("Hand out this address")
    seen(address)
    assert address.input_value() == f"{site.origin}/govpay/pay/{site.named['public_id']}/"
    pressable(page.get_by_role("button", name="Copy"), page.get_by_role("link", name="Cancel this link…"))


@pytest.mark.parametrize("action", ["capture", "refund", "void"])
def test_confirmations(site: Site, look: Visit, action: str) -> None:
    row = "quoted" if action == "capture" else "refundable"
    page = look(f"/admin/govpay/payment/{action}/?ids={site.named[row]}")
    headed(page, f"{action.capitalize()} this payment?")
    seen(page.locator(".govpay-consequence"))
    pressable(page.get_by_role("button", name=action.capitalize()), page.get_by_role("link", name="No, take me back"))
    if action == "refund":
        pressable(page.get_by_label("Amount to refund"), page.get_by_label("Reason"))


def test_a_charge(site: Site, look: Visit) -> None:
    page = look(f"/admin/govpay/customer/charge/?customer={site.named['customer']}")
    headed(page, "Charge a saved payment method")
    pressable(page.get_by_label("Visa ····1111"), page.get_by_label("Amount"), page.get_by_label("Currency"))
    pressable(page.get_by_role("button", name="Show the fee"))
    page.goto(f"{site.origin}/admin/govpay/payment/charge/?ids={site.named['quoted']}")
    headed(page, "Charge this saved payment method?")
    seen(page.get_by_text("Convenience fee").first)
    pressable(page.get_by_role("button", name="Charge"))


def test_overviews(site: Site, look: Visit) -> None:
    page = look("/admin/govpay/operation/attention/")
    headed(page, "Review queue")
    pressable(page.get_by_role("link", name="Resolve by hand").first)
    page.goto(f"{site.origin}/admin/govpay/heartbeat/doctor/")
    headed(page, "System status")
    seen(page.get_by_role("heading", name="Findings"), page.get_by_text("Warning", exact=True).first)
    pressable(page.get_by_role("link", name="Check again"))
    page.goto(f"{site.origin}/admin/govpay/paymentaccount/{site.named['account']}/setup/")
    headed(page, "Set up Utilities")
    pressable(page.get_by_role("link", name="Do it now").first)


def test_a_wallet_runs_no_script_of_the_theme(site: Site, look: Visit) -> None:
    page = look(f"/admin/govpay/customer/{site.named['customer']}/wallet/?session={site.named['wallet']}")
    headed(page, "Saved payment methods of Pat Example")
    seen(page.locator("govifi-wallet"))
    pressable(page.get_by_role("button", name="Close the wallet"))
    scripts: Any = page.evaluate("[...document.scripts].map(script => new URL(script.src).pathname)")
    assert scripts == ["/static/govpay/once.js", "/component/govifi.js"]

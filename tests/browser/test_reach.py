"""Payments without a mouse, on a narrow screen, and in dark mode."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.driving import VISA, HostedDemo, expect, fresh_amount, pay_button, told_of_payment, visa_fee
from tests.browser.driving import enter_card as enter

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Witness

pytestmark = pytest.mark.browser

Visit = Callable[..., "Page"]

#: The focused element, also inside the component: its name, and whether its focus ring is visible.
FOCUSED = """() => {
    let node = document.activeElement;
    while (node.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
    const ringed = [node, node.closest('.choice')].some(each =>
        each && getComputedStyle(each).outlineStyle !== 'none' && parseFloat(getComputedStyle(each).outlineWidth) >= 2);
    return {name: node.name || node.type || node.tagName, ringed: node.matches(':focus-visible') && ringed};
}"""


def go_to(page: Page, name: str, steps: int = 12) -> list[str]:
    """Presses Tab until ``name`` has the focus; gives the names on the way. The focus is always seen."""
    passed: list[str] = []
    for _ in range(steps):
        page.keyboard.press("Tab")
        found: dict[str, Any] = page.evaluate(FOCUSED)
        passed.append(found["name"])
        assert found["ringed"] or found["name"] == "BODY", f"nobody sees that {found['name']} has the focus"
        if found["name"] == name:
            return passed
    raise AssertionError(f"{name} cannot be reached; passed {passed}")


def test_a_payment_with_the_keyboard_alone(hosted_demo: HostedDemo, visit: Visit) -> None:
    amount = fresh_amount()
    session = hosted_demo.session(amount=amount)
    page = visit(hosted_demo.session_page(session))
    expect(page.get_by_label("Card number")).to_be_visible()
    assert go_to(page, "method")[0] == "method"
    for name, text in (("number", VISA), ("expiry", "1240"), ("cvv", "123"), ("cardholder", "Dana Vale")):
        assert go_to(page, name) == [name], "the order of the form is that of the keys"
        page.keyboard.type(text)
    total = amount + visa_fee(amount)
    expect(pay_button(page, total)).to_be_visible()
    assert go_to(page, "submit") == ["submit"]
    page.keyboard.press("Enter")
    told_of_payment(page)
    assert hosted_demo.booked(session) == [("capture", total)]


@pytest.mark.parametrize("typed", ["1230", "12/30", "12//30", "12 / 30"])
def test_the_expiry_date_has_one_slash_however_it_is_typed(hosted_demo: HostedDemo, visit: Visit, typed: str) -> None:
    page = visit(hosted_demo.session_page(hosted_demo.session(amount=fresh_amount())))
    date = page.get_by_label("Expiry date")
    date.press_sequentially(typed)
    expect(date).to_have_value(re.compile(r"^12 ?/ ?30$"))


def test_what_is_missing_is_said_where_it_is_missing(hosted_demo: HostedDemo, visit: Visit) -> None:
    session = hosted_demo.session(amount=fresh_amount())
    page = visit(hosted_demo.session_page(session))
    page.get_by_label("Name on card").fill("Dana Vale")
    page.keyboard.press("Enter")
    number = page.get_by_label("Card number")
    expect(number).to_be_focused()
    expect(number).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("Enter the card number.")).to_be_visible()
    assert hosted_demo.booked(session) == []


def fits(page: Page, width: int) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = """width => [...document.querySelectorAll('body *')]
        .filter(node => node.getBoundingClientRect().right > width + 0.5).map(node => node.outerHTML.slice(0, 80))"""
    assert page.evaluate(wide, width) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen(hosted_demo: HostedDemo, visit: Visit, scheme: str, witness: Witness) -> None:
    amount = fresh_amount()
    reference = "ACCOUNT-0000000000-PARCEL-1111111111-SEWER-AND-WATER"
    link = hosted_demo.link(
        amount=amount, reference_id=reference, description="Water, sewer and refuse, second quarter"
    )
    page = visit(link, viewport={"width": 360, "height": 640}, color_scheme=scheme)
    expect(page.get_by_label("Card number")).to_be_visible()
    # The form goes with the page around it.
    expect(page.locator("govifi-payment .root")).to_have_css("color-scheme", scheme)
    fits(page, 360)
    enter(page)
    total = amount + visa_fee(amount)
    button = pay_button(page, total)
    button.scroll_into_view_if_needed()
    expect(button).to_be_in_viewport()
    fits(page, 360)
    box = button.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    button.click()
    told_of_payment(page)
    fits(page, 360)
    assert hosted_demo.booked(hosted_demo.link_row(link)["session_id"]) == [("capture", total)]

    witness.expect(404, "/pay/nobody/")
    page.goto(hosted_demo.pay_page("nobody"))
    fits(page, 360)

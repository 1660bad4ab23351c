"""A finance officer finds payments and follows yesterday's net with the keyboard alone; axe-core checks each page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.driving import HostedDemo, dollars, expect, log_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

Visit = Callable[..., "Page"]

#: The address and the id of the element that has the focus.
FOCUSED = "() => ({href: document.activeElement.href || '', id: document.activeElement.id})"

#: Parts that Django's admin makes on each page.
DJANGOS_OWN = (".breadcrumbs", "#changelist-search")
#: Pages of Django's own admin, with which ours are compared.
PLAIN = ("", "auth/user/", "auth/user/1/change/", "auth/group/add/")
OURS = (
    *("govpay/", "govpay/payment/overview/", "govpay/payment/reports/?by=account&compare=on"),
    *("govpay/payment/register/", "govpay/payment/cashier/", "govpay/payment/system/"),
    *("govpay/payment/", "govpay/payment/?q=4242", "govpay/customer/", "govpay/transaction/", "govpay/operation/"),
    *("govpay/paymentlink/", "govpay/operation/review/", "govpay/heartbeat/doctor/", "govpay/paymentaccount/"),
)


def tab_to(page: Page, key: str, value: str, steps: int = 300) -> None:
    """Press Tab until the element with this ``id`` or ``href`` has the focus."""
    for _ in range(steps):
        page.keyboard.press("Tab")
        found: dict[str, str] = page.evaluate(FOCUSED)
        if found[key] == value:
            return
    raise AssertionError(f"{key} {value} cannot be reached with {steps} presses of Tab")


def search(page: Page, text: str) -> None:
    tab_to(page, "id", "searchbar")
    page.keyboard.press("Control+A")
    page.keyboard.type(text)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_payments_are_found_and_yesterdays_net_is_followed_by_keyboard(hosted_demo: HostedDemo, visit: Visit) -> None:
    page = visit(f"{hosted_demo.site}/admin/govpay/payment/")
    log_in(page, hosted_demo)
    known = hosted_demo.rows(
        "SELECT p.reference_id, p.total_amount, c.name FROM govpay_payment p JOIN govpay_customer c"
        " ON c.uid = p.customer_id WHERE p.status = 'captured' AND c.name LIKE '% %' LIMIT 1"
    )[0]
    for text in (dollars(known["total_amount"]), known["name"].split()[-1]):
        search(page, f"{text} {known['reference_id'][:6]}")
        expect(page.locator("#result_list")).to_contain_text(known["reference_id"])
    page.goto(f"{hosted_demo.site}/admin/govpay/")
    table = page.locator(".govpay-table", has=page.get_by_role("heading", name="Yesterday"))
    link = table.locator("tbody tr", has_text="Utilities").get_by_role("link").last
    net, address = link.inner_text(), link.evaluate("link => link.href")
    tab_to(page, "href", address)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url == address
    expect(page.locator("tfoot td").last).to_have_text(net)


def violations(page: Page) -> set[str]:
    """Return the names of the rules of axe-core that the page breaks."""
    axe: Any = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, context={"exclude": [[part] for part in DJANGOS_OWN]})
    return {each["id"] for each in found.response["violations"]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_less_accessible_than_djangos_own(hosted_demo: HostedDemo, visit: Visit, scheme: str) -> None:
    page = visit(f"{hosted_demo.site}/admin/", color_scheme=scheme)
    log_in(page, hosted_demo)
    plain: set[str] = set()
    for path in PLAIN:
        page.goto(f"{hosted_demo.site}/admin/{path}")
        plain |= violations(page)
    payment = hosted_demo.rows("SELECT id FROM govpay_payment WHERE status = 'captured' LIMIT 1")[0]["id"]
    customer = hosted_demo.rows("SELECT id FROM govpay_customer LIMIT 1")[0]["id"]
    rows = (f"govpay/payment/{payment}/change/", f"govpay/customer/{customer}/change/")
    found = {}
    for path in (*OURS, *rows, f"govpay/payment/refund/?ids={payment}"):
        page.goto(f"{hosted_demo.site}/admin/{path}")
        if more := violations(page) - plain:
            found[path] = more
    assert found == {}

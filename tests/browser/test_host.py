"""A host's own site: the component on its own page, and its own templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.driving import HostedDemo, expect, fresh_amount, pay_by_card

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Witness

pytestmark = pytest.mark.browser

Visit = Callable[..., "Page"]


def test_the_component_on_a_page_of_the_host(hosted_demo: HostedDemo, visit: Visit) -> None:
    amount = fresh_amount()
    session = hosted_demo.session(amount=amount)
    page = visit(f"{hosted_demo.host}/host/payment/{session}/")
    expect(page.get_by_role("heading", name="Town hall")).to_be_visible()
    total = pay_by_card(page, amount)
    expect(page.get_by_role("heading", name="Payment received")).to_be_visible()
    assert hosted_demo.booked(session) == [("capture", total)]
    row = hosted_demo.eventually(lambda: hosted_demo.session_row(session), lambda row: row["status"] == "completed")
    assert row["credential"] is None


def test_a_template_of_the_host_goes_before_ours(hosted_demo: HostedDemo, visit: Visit, witness: Witness) -> None:
    witness.expect(404, "/pay/nobody-knows-it/")
    page = visit(f"{hosted_demo.host}/govpay/pay/nobody-knows-it/")
    expect(page.get_by_text("Please call the town hall: Not found.")).to_be_visible()
    # The other pages stay as they are.
    page = visit(
        hosted_demo.session_page(hosted_demo.session(amount=fresh_amount())).replace(hosted_demo.site, hosted_demo.host)
    )
    expect(page.locator(".pay-about")).to_be_visible()
    expect(page.get_by_label("Card number")).to_be_visible()


def test_a_site_that_the_platform_does_not_know(hosted_demo: HostedDemo, visit: Visit, witness: Witness) -> None:
    """Payers see that the form cannot be used, and no session data is revealed."""
    session = hosted_demo.session(amount=fresh_amount())
    stranger = hosted_demo.site.replace("127.0.0.1", "localhost")
    witness.home.add(stranger)
    witness.wanted += [f"/v1/hosted-sessions/{session}' from origin '{stranger}' has been blocked by CORS policy"]
    witness.wanted += [f"/v1/hosted-sessions/{session}: net::ERR_FAILED", "net::ERR_FAILED"]
    page = visit(hosted_demo.session_page(session).replace(hosted_demo.site, stranger))
    expect(page.get_by_role("heading", name="This form is not available")).to_be_visible()
    assert hosted_demo.booked(session) == []

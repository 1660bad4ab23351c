"""Pages of expired, unknown and foreign sessions: a plain message, and nothing is charged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.driving import HostedDemo, enter_card, expect, fresh_amount, pay_by_card, told_of_payment

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Witness

pytestmark = pytest.mark.browser

Visit = Callable[..., "Page"]

OVER = "The time for this payment is over."


def test_a_link_whose_session_ends_under_the_payer_starts_again(
    hosted_demo: HostedDemo, visit: Visit, witness: Witness
) -> None:
    amount = fresh_amount()
    link = hosted_demo.link(amount=amount)
    page = visit(link)
    expect(page.get_by_label("Card number")).to_be_visible()
    first = hosted_demo.link_row(link)["session_id"]
    hosted_demo.have("expire", uid=first)
    witness.expect(410, f"/component/tokens/{first}")
    enter_card(page)
    expect(page.get_by_text(OVER)).to_be_visible()
    expect(page.locator("govifi-payment")).to_be_hidden()

    expect(page.get_by_role("link", name="Start again")).to_be_focused()
    page.keyboard.press("Enter")
    total = pay_by_card(page, amount)
    told_of_payment(page)
    row = hosted_demo.link_row(link)
    assert row["state"] == "paid"
    assert row["session_id"] != first
    assert [each["status"] for each in hosted_demo.sessions_of(link)] == ["expired", "completed"]
    assert hosted_demo.booked(first, row["session_id"]) == [("capture", total)]


def test_a_session_by_itself_that_has_expired(hosted_demo: HostedDemo, visit: Visit, witness: Witness) -> None:
    session = hosted_demo.session(amount=fresh_amount())
    page = visit(hosted_demo.session_page(session))
    expect(page.get_by_label("Card number")).to_be_visible()
    hosted_demo.have("expire", uid=session)
    witness.expect(410, f"/component/tokens/{session}")
    enter_card(page)
    expect(page.get_by_text(OVER)).to_be_visible()

    witness.expect(410, hosted_demo.session_page(session).removeprefix(hosted_demo.site))
    page.get_by_role("link", name="Start again").click()
    expect(page.get_by_role("heading", name="This payment page is closed")).to_be_visible()
    expect(page.get_by_text("It has expired.")).to_be_visible()
    assert hosted_demo.session_row(session)["status"] == "expired"
    assert hosted_demo.booked(session) == []
    page.goto(hosted_demo.session_page(session) + "done/")
    expect(page.get_by_role("heading", name="It was not paid.")).to_be_visible()


def test_a_session_that_is_paid_leads_to_its_end(hosted_demo: HostedDemo, visit: Visit) -> None:
    amount = fresh_amount()
    session = hosted_demo.session(amount=amount)
    pay_by_card(page := visit(hosted_demo.session_page(session)), amount)
    told_of_payment(page)
    again = visit(hosted_demo.session_page(session))
    assert again.url == hosted_demo.session_page(session) + "done/"
    told_of_payment(again)
    assert len(hosted_demo.booked(session)) == 1


@pytest.mark.parametrize("tail", ["", "done/"])
def test_a_session_for_a_wallet_is_no_payment(
    hosted_demo: HostedDemo, visit: Visit, witness: Witness, tail: str
) -> None:
    customer, _ = hosted_demo.customer()
    session = hosted_demo.have("wallet", customer=customer)
    witness.expect(404, hosted_demo.session_page(session).removeprefix(hosted_demo.site) + tail)
    page = visit(hosted_demo.session_page(session) + tail)
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    expect(page.get_by_text("This payment page does not exist.")).to_be_visible()


def test_an_id_that_nobody_knows(hosted_demo: HostedDemo, visit: Visit, witness: Witness) -> None:
    witness.expect(404, "/pay/cs_nobody/")
    page = visit(hosted_demo.pay_page("cs_nobody"))
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()


def test_a_cancelled_link_cannot_be_opened_again(hosted_demo: HostedDemo, visit: Visit, witness: Witness) -> None:
    """Also not through its old address or through the address of its open session."""
    link = hosted_demo.link(amount=fresh_amount())
    expect(visit(link).get_by_label("Card number")).to_be_visible()
    session = hosted_demo.link_row(link)["session_id"]
    hosted_demo.have("cancel_link", public_id=link.rstrip("/").split("/")[-1])
    for address in (link, hosted_demo.session_page(session)):
        witness.expect(410, address.removeprefix(hosted_demo.site))
        page = visit(address)
        expect(page.get_by_role("heading", name="This payment page is closed")).to_be_visible()
    assert hosted_demo.link_row(link)["state"] == "cancelled"
    assert hosted_demo.booked(session) == []

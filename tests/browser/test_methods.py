"""Saved cards and bank accounts: saved during a payment, used again, and managed in the wallet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.driving import (
    VISA,
    HostedDemo,
    enter_card,
    expect,
    fresh_amount,
    pay_button,
    told_of_payment,
    visa_fee,
)

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import Witness

pytestmark = pytest.mark.browser

Visit = Callable[..., "Page"]


def card_on_file(last4: str) -> dict[str, Any]:
    return {
        "payment_method_type": "credit",
        "credit": {
            "fingerprint": f"tok_browser_{last4}",
            "last4": last4,
            "exp_month": 12,
            "exp_year": 2040,
            "card_brand": "VISA",
            "holder_name": "Dana Vale",
        },
    }


def on_file(hosted_demo: HostedDemo, customer: str) -> list[dict[str, Any]]:
    statement = "SELECT * FROM govpay_savedpaymentmethod WHERE customer_id = ? AND deleted_at IS NULL"
    return hosted_demo.rows(statement, customer)


def on_the_platform(hosted_demo: HostedDemo, customer: str) -> list[dict[str, Any]]:
    """Not from our rows: as the host's code reads it from the platform."""
    return hosted_demo.have("methods", customer=customer)


def test_a_card_is_saved_and_used_again(hosted_demo: HostedDemo, visit: Visit) -> None:
    customer, _ = hosted_demo.customer()
    amount = fresh_amount()
    first = hosted_demo.session(amount=amount, customer=customer, setup_future_usage="on_session")
    page = visit(hosted_demo.session_page(first))
    enter_card(page)
    expect(page.get_by_label("Save this for future payments")).to_be_checked()
    pay_button(page, amount + visa_fee(amount)).click()
    told_of_payment(page)

    again = fresh_amount()
    second = hosted_demo.session(amount=again, customer=customer, setup_future_usage="on_session")
    page = visit(hosted_demo.session_page(second))
    expect(page.get_by_label("Visa ending in 1111")).to_be_checked()
    expect(page.get_by_label("Card number")).to_have_count(0)
    total = again + visa_fee(again)
    pay_button(page, total).click()
    told_of_payment(page)
    assert hosted_demo.booked(second) == [("capture", total)]

    hosted_demo.have("sync")
    (row,) = hosted_demo.eventually(lambda: on_file(hosted_demo, customer), lambda rows: len(rows) == 1)
    assert (row["brand"].lower(), row["last4"]) == ("visa", "1111")
    assert (row["exp_month"], row["exp_year"]) == (12, 2040)
    (payment,) = hosted_demo.eventually(
        lambda: hosted_demo.rows("SELECT * FROM govpay_payment WHERE session_id = ?", second),
        lambda rows: len(rows) == 1,
    )
    for kept in (row, payment, hosted_demo.session_row(first), hosted_demo.session_row(second)):
        assert VISA not in str(kept)
        assert "tok_" not in str(kept)


def line(page: Page, label: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=label)


def test_the_wallet_keeps_what_is_locked(hosted_demo: HostedDemo, visit: Visit, witness: Witness) -> None:
    customer, (locked, loose, other) = hosted_demo.customer(*map(card_on_file, ("1881", "4242", "5556")))
    badges = [{"label": "Autopay", "color": "#1C6B36", "payment_method_uids": [locked]}]
    locks = [{"payment_method_uid": locked, "reason": "Used by autopay"}]
    session = hosted_demo.have("wallet", customer=customer, method_badges=badges, locked_payment_methods=locks)
    page = visit(f"{hosted_demo.host}/host/wallet/{session}/")

    kept = line(page, "ending in 1881")
    expect(kept.get_by_text("Autopay", exact=True)).to_be_visible()
    expect(kept).to_contain_text("Cannot be removed: Used by autopay")
    expect(kept.get_by_role("button", name="Remove")).to_have_count(0)

    page.get_by_role("button", name="Make Visa ending in 5556 the default").click()
    expect(page.get_by_text("Visa ending in 5556 is now the default.")).to_be_visible()
    expect(line(page, "ending in 5556").get_by_text("Default", exact=True)).to_be_visible()

    page.get_by_role("button", name="Remove Visa ending in 4242").click()
    page.get_by_role("button", name="Yes, remove").click()
    expect(page.get_by_text("Visa ending in 4242 was removed.")).to_be_visible()
    expect(page.get_by_role("listitem")).to_have_count(2)
    now = {method["uid"]: method["is_default"] for method in on_the_platform(hosted_demo, customer)}
    assert now == {locked: False, other: True}
    assert loose not in now


def test_a_lock_that_came_later_is_obeyed(hosted_demo: HostedDemo, visit: Visit, witness: Witness) -> None:
    """A page that was opened before shows the button still; the platform refuses with the reason."""
    customer, (uid,) = hosted_demo.customer(card_on_file("1881"))
    locks = [{"payment_method_uid": uid, "reason": "Used by autopay"}]
    session = hosted_demo.have("wallet", customer=customer, locked_payment_methods=locks)
    page = visit()
    # As it was read before the lock: the list alone is older than the platform's mind.
    older = "**/payment-methods"
    page.route(older, without_locks)
    page.goto(f"{hosted_demo.host}/host/wallet/{session}/")
    page.get_by_role("button", name="Remove Visa ending in 1881").click()
    page.unroute(older)
    witness.expect(409, f"/payment-methods/{uid}")
    page.get_by_role("button", name="Yes, remove").click()
    expect(page.get_by_role("alert").filter(has_text="cannot be removed: Used by autopay")).to_be_visible()
    expect(line(page, "ending in 1881")).to_contain_text("Cannot be removed: Used by autopay")
    assert [method["uid"] for method in on_the_platform(hosted_demo, customer)] == [uid]
    assert [row["uid"] for row in on_file(hosted_demo, customer)] == [uid]


def without_locks(route: Any) -> None:
    answer = route.fetch()
    found = answer.json()
    for method in found["methods"]:
        method.pop("locked", None)
    route.fulfill(response=answer, json=found)

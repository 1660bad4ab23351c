"""The browsable page of the REST interface: it loads nothing from other hosts, and its requests work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.driving import HostedDemo, expect, log_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

Visit = Callable[..., "Page"]


def test_payments_are_read_and_an_action_is_sent_from_the_page(hosted_demo: HostedDemo, visit: Visit) -> None:
    page = visit(f"{hosted_demo.site}/admin/")
    log_in(page, hosted_demo)
    page.goto(f"{hosted_demo.site}/govpay/api/docs/")
    listed = page.locator("#operations-payments-list_payments")
    listed.get_by_role("button").first.click()
    listed.get_by_role("button", name="Try it out").click()
    listed.get_by_role("button", name="Execute").click()
    expect(listed.locator(".live-responses-table .response .response-col_status")).to_contain_text("200")
    expect(listed.locator(".live-responses-table")).to_contain_text('"next"')

    sync = page.locator("#operations-accounts-sync_account")
    sync.get_by_role("button").first.click()
    sync.get_by_role("button", name="Try it out").click()
    sync.get_by_placeholder("Idempotency-Key").fill("from the page")
    sync.get_by_placeholder("uid").fill(hosted_demo.account)
    sync.get_by_role("button", name="Execute").click()
    expect(sync.locator(".live-responses-table .response .response-col_status")).to_contain_text("202")
    expect(sync.locator(".live-responses-table")).to_contain_text("queued")

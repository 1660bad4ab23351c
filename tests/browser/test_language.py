"""Our part of the pages uses the payer's language; the vendor's form has its own language."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.utils import translation

from govpay.models.money import format_money
from tests.browser.driving import HostedDemo, enter_card, expect, fresh_amount, pay_button, visa_fee

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

Visit = Callable[..., "Page"]


def in_spanish(cents: int) -> str:
    with translation.override("es"):
        return format_money(cents, "USD").replace("\xa0", " ")


def test_a_payer_who_reads_spanish(hosted_demo: HostedDemo, visit: Visit) -> None:
    amount = fresh_amount()
    link = hosted_demo.link(amount=amount, reference_id="INV-ES")
    page = visit(link, locale="es-ES")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    enter_card(page)
    total = amount + visa_fee(amount)
    about = page.locator(".pay-about")
    # The first amount comes from the server, the others from the browser: both write as Spanish does.
    for name, cents in (("Monto", amount), ("Cargo por servicio", total - amount), ("Total", total)):
        expect(about.locator("div:visible", has_text=name).locator("dd")).to_have_text(in_spanish(cents))
    expect(about).not_to_contain_text("Convenience fee")
    pay_button(page, total).click()
    expect(page.get_by_role("heading", name="Está pagado. Gracias.")).to_be_visible()
    assert hosted_demo.booked(hosted_demo.link_row(link)["session_id"]) == [("capture", total)]

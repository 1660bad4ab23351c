"""The doctor's page: permissions, findings, and a check that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from govpay.doctor import runner
from govpay.models import PaymentAccount
from tests.doctor.conftest import site as site

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def browser(operator: Any, browse: Callable[..., Client]) -> Client:
    return browse(operator)


def test_page_shows_findings_the_worst_first(site: Any, browser: Client) -> None:
    PaymentAccount.objects.update(callback_url="https://elsewhere.example/")
    response = browser.get(reverse("admin:govpay_doctor"))
    html = response.content.decode()
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert "elsewhere.example is not in ALLOWED_HOSTS" in html
    assert html.index("govpay-alarm") < html.index("govpay-good")
    assert all(name in html for name, _check in runner.CHECKS)
    assert "whsec_canary" not in html


def test_only_those_who_run_the_site_see_it(
    site: Any, make_staff: Callable[..., Any], browse: Callable[..., Client]
) -> None:
    address = reverse("admin:govpay_doctor")
    for group in ("Support", "Cashier", "Finance"):
        assert browse(make_staff(group)).get(address).status_code == 403
    assert Client().get(address).status_code == 302


def test_it_is_looked_at_and_not_posted_to(site: Any, browser: Client) -> None:
    assert browser.post(reverse("admin:govpay_doctor")).status_code == 405


def test_link_stands_above_the_accounts(site: Any, browser: Client, support: Any, browse: Any) -> None:
    accounts = reverse("admin:govpay_paymentaccount_changelist")
    assert reverse("admin:govpay_doctor").encode() in browser.get(accounts).content
    assert reverse("admin:govpay_doctor").encode() not in browse(support).get(accounts).content

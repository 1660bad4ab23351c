"""The host's Content-Security-Policy applies to our admin pages; the payers' pages keep their own policy."""

from __future__ import annotations

import pytest
import requests

from tests.themes.conftest import Site

pytestmark = pytest.mark.themes


def directives(answer: requests.Response) -> dict[str, str]:
    return dict(each.strip().partition(" ")[::2] for each in answer.headers["Content-Security-Policy"].split(";"))


def test_pages_for_staff_have_the_policy_of_the_host(site: Site) -> None:
    inline = site.theme != "plain"
    for path in (
        "/admin/",
        site.page("payment", "disputed"),
        f"/admin/govpay/payment/refund/?ids={site.named['refundable']}",
        "/admin/govpay/operation/attention/",
    ):
        policy = directives(site.get(path))
        assert policy["default-src"] == "'self'"
        assert ("'unsafe-inline'" in policy.get("script-src", "")) == inline, path


def test_pages_where_cards_are_typed_keep_a_strict_one(site: Site) -> None:
    for path in (
        f"/govpay/pay/{site.named['public_id']}/",
        f"/govpay/pay/{site.named['public_id']}/done/",
        f"/admin/govpay/customer/{site.named['customer']}/wallet/?session={site.named['wallet']}",
    ):
        policy = directives(site.get(path))
        assert policy["default-src"] == "'none'"
        assert "unsafe" not in str(policy)

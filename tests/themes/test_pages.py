"""Every page of ours in the admin works under every theme."""

from __future__ import annotations

import pytest

from tests.themes.conftest import Site

pytestmark = pytest.mark.themes


def addresses(site: Site) -> list[str]:
    named = site.named
    one, many = named["refundable"], f"{named['first']},{named['second']},{named['disputed']}"
    found = ["/admin/", "/admin/govpay/"]
    for model, pk in site.models.items():
        found += [f"/admin/govpay/{model}/", f"/admin/govpay/{model}/?q=nothing"]
        if pk is not None:
            found += [f"/admin/govpay/{model}/{pk}/change/", f"/admin/govpay/{model}/{pk}/history/"]
    for action in ("capture", "refund", "void"):
        found += [f"/admin/govpay/payment/{action}/?ids={ids}" for ids in (one, many)]
    return [
        *found,
        f"/admin/govpay/payment/{named['disputed']}/change/",
        f"/admin/govpay/payment/charge/?ids={named['quoted']}",
        "/admin/govpay/customer/charge/",
        "/admin/govpay/customer/charge/?q=pat@example.org",
        f"/admin/govpay/customer/charge/?customer={named['customer']}",
        f"/admin/govpay/customer/{named['customer']}/wallet/?session={named['wallet']}",
        f"/admin/govpay/savedpaymentmethod/{named['method']}/remove/",
        "/admin/govpay/paymentlink/create/",
        "/admin/govpay/client/create/",
        "/admin/govpay/paymentaccount/create/",
        f"/admin/govpay/paymentaccount/sync/?ids={named['account']}",
        f"/admin/govpay/paymentaccount/{named['account']}/setup/",
        *(
            f"/admin/govpay/paymentaccount/{named['account']}/setup/{step}/"
            for step in ("account", "checkout", "webhooks", "events", "secret")
        ),
        "/admin/govpay/heartbeat/doctor/",
        "/admin/govpay/operation/attention/",
        f"/admin/govpay/operation/{named['unknown']}/settle/",
        f"/admin/govpay/operation/{named['unknown']}/change/",
        f"/admin/govpay/webhookevent/{named['event']}/change/",
    ]


def test_every_page_answers(site: Site) -> None:
    listed = addresses(site)
    wrong = {path: code for path in listed if (code := site.get(path).status_code) != 200}
    assert not wrong, site.log.read_text()[-4000:]
    assert len(listed) > 80

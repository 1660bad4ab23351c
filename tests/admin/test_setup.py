"""Guided setup of a merchant in the admin: permissions, and that each step reaches the platform once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from govpay.models import Client, Operation, PaymentAccount, WebhookSubscription
from tests.operations.merchant import Merchant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def merchant(sandbox: Any) -> Merchant:
    return Merchant(sandbox)


@pytest.fixture
def setter(browse: Any, make_staff: Any) -> Browser:
    """A user of the group *Operations*."""
    client: Browser = browse(make_staff("Operations"))
    return client


def step(account: PaymentAccount, name: str) -> str:
    return reverse("admin:govpay_paymentaccount_setup_step", args=[account.pk, name])


def overview(client: Browser, account: PaymentAccount) -> str:
    return client.get(reverse("admin:govpay_paymentaccount_setup", args=[account.pk])).content.decode()


def send(browser: Browser, address: str, **given: Any) -> Any:
    """Fill in and send the form at this address."""
    html = browser.get(address).content.decode()
    key = re.search(r'name="key" value="([^"]+)"', html)
    assert key, html
    return browser.post(address, {"key": key[1], **given})


def test_from_nothing_to_a_working_account(merchant: Merchant, setter: Browser, settings: Any) -> None:
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "pay.example.gov"]
    made = send(setter, reverse("admin:govpay_client_create"), name="City of Ours", customer_id="city-of-ours")
    assert made.status_code == 302
    client = Client.objects.get(name="City of Ours")
    ids = {"external_account_id": "A-1", "external_merchant_id": "M-1"}
    given = {"client": client.uid, "name": "Parks", "processor": "zift", **ids, "minimum_payment_amount": "1.00"}
    address = reverse("admin:govpay_paymentaccount_create")
    for _ in range(2):  # an account with these ids is used again
        assert send(setter, address, **given, enable_credit_card="on").status_code == 302
    account = PaymentAccount.objects.get(external_merchant_id="M-1")
    assert (account.minimum_payment_amount, account.enable_credit_card, account.client_id) == (100, True, client.uid)
    assert overview(setter, account).count("Missing") >= 4

    origins = "https://pay.example.gov\nhttps://www.example.gov"
    answer = send(setter, step(account, "checkout"), allowed_origins=origins, accent_color="#1d4f80")
    assert answer.status_code == 302
    answer = send(setter, step(account, "webhooks"), site="https://pay.example.gov", webhook_enabled="on")
    assert answer.status_code == 302
    answer = send(setter, step(account, "events"), enabled=["payment.completed", "provider.noc"])
    assert answer.status_code == 302
    assert send(setter, step(account, "secret")).status_code == 302
    account.refresh_from_db()
    assert account.allowed_origins == origins.split()
    assert account.callback_url == f"https://pay.example.gov/govpay/webhooks/{account.uid}/"
    on = WebhookSubscription.objects.filter(account=account.uid, enabled=True).values_list("event_type", flat=True)
    assert set(on) == {"payment.completed", "provider.noc"}
    sealed: Any = account.webhook_secret
    assert sealed is not None
    html = overview(setter, account)
    assert html.count("Missing") == 1, "only an event is to come"
    assert sealed.reveal() not in html
    assert sealed.reveal() not in setter.get(step(account, "secret")).content.decode()
    states = Operation.objects.exclude(actor=None).values_list("state", flat=True)
    assert set(states) == {"succeeded"}


def test_a_form_sent_twice_is_one_action(merchant: Merchant, setter: Browser) -> None:
    address = step(merchant.account, "checkout")
    html = setter.get(address).content.decode()
    key = re.search(r'name="key" value="([^"]+)"', html)
    assert key
    for _ in range(2):
        setter.post(address, {"key": key[1], "allowed_origins": "https://pay.example.gov"})
    assert Operation.objects.filter(action="set_checkout_config").count() == 1


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("checkout", {"allowed_origins": "https://pay.example.gov/path"}, "without a path"),
        ("checkout", {"allowed_origins": "http://pay.example.gov"}, "https"),
        ("checkout", {"allowed_origins": ""}, "errornote"),
        ("checkout", {"allowed_origins": "https://pay.example.gov", "accent_color": "red"}, "accent_color"),
        ("webhooks", {"site": "http://pay.example.gov", "webhook_enabled": "on"}, "https"),
        ("webhooks", {"site": "https://intranet.local", "webhook_enabled": "on"}, "from outside"),
        ("account", {"name": "", "active": "on"}, "errornote"),
        ("account", {"name": "Parks", "minimum_payment_amount": "1e3"}, "errornote"),
        ("account", {"name": "P", "minimum_payment_amount": "5.00", "maximum_payment_amount": "1.00"}, "exceed"),
        ("events", {"enabled": ["payment.nonsense"]}, "errornote"),
    ],
)
def test_what_is_refused(merchant: Merchant, setter: Browser, name: str, given: dict[str, Any], said: str) -> None:
    address = step(merchant.account, name)
    html = setter.get(address).content.decode()
    key = re.search(r'name="key" value="([^"]+)"', html)
    assert key
    sent = len(merchant.sandbox.requests())
    answer = setter.post(address, {"key": key[1], **given})
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not [
        each for each in merchant.sandbox.requests()[sent:] if each["method"] != "GET" and "token" not in each["path"]
    ]


def changed(browser: Browser, address: str, **given: Any) -> Any:
    """Send the form as it is shown, hidden and ticked fields included, with some fields changed."""
    html = browser.get(address).content.decode()
    shown: dict[str, str] = {}
    for tag in re.findall(r"<input [^>]*>", html.partition('name="key"')[0][-200:] + html.partition("govpay-form")[2]):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and ('type="checkbox"' not in tag or "checked" in tag) and 'type="submit"' not in tag:
            shown[name[1]] = value[1] if value else "on"
    return browser.post(address, {**shown, **given})


def test_what_was_not_changed_on_the_page_is_not_sent(merchant: Merchant, setter: Browser) -> None:
    """The vendor's people have switched something since our last sync."""
    merchant.sandbox.touch("account", merchant.account.uid, enable_ach=False, maximum_payment_amount=77.0)
    assert changed(setter, step(merchant.account, "account"), name="Parks & Rec").status_code == 302
    merchant.account.refresh_from_db()
    assert (merchant.account.name, merchant.account.enable_ach) == ("Parks & Rec", False)
    assert merchant.account.maximum_payment_amount == 7700
    writes = Operation.objects.filter(action="update_payment_account").count()
    assert changed(setter, step(merchant.account, "account")).status_code == 302
    assert Operation.objects.filter(action="update_payment_account").count() == writes, "nothing changed, nothing sent"


def test_a_callback_that_is_no_address_is_not_ours(merchant: Merchant, setter: Browser) -> None:
    PaymentAccount.objects.update(callback_url="https://[pay.example.gov/webhooks", webhook_enabled=True)
    assert "They are sent elsewhere" in overview(setter, merchant.account)


def test_webhooks_are_switched_off_and_a_foreign_address_is_not_ours(merchant: Merchant, setter: Browser) -> None:
    path = reverse("govpay:webhook", args=[merchant.account.uid])
    PaymentAccount.objects.update(callback_url=f"https://evil.example.com{path}", webhook_enabled=True)
    assert "They are sent elsewhere" in overview(setter, merchant.account)
    answer = send(setter, step(merchant.account, "webhooks"), site="nonsense")
    assert answer.status_code == 302
    merchant.account.refresh_from_db()
    assert merchant.account.webhook_enabled is False
    answer = send(setter, step(merchant.account, "webhooks"), site="https://pay.example.gov/deep", webhook_enabled="on")
    assert answer.status_code == 200


def test_only_who_may_provision(merchant: Merchant, browse: Any, finance: Any, support: Any) -> None:
    places = [
        reverse("admin:govpay_client_create"),
        reverse("admin:govpay_paymentaccount_create"),
        reverse("admin:govpay_paymentaccount_setup", args=[merchant.account.pk]),
        *[step(merchant.account, name) for name in ("account", "checkout", "webhooks", "events", "secret")],
    ]
    for user in (finance, support):
        for place in places:
            assert browse(user).get(place).status_code == 403
            assert browse(user).post(place).status_code == 403
    assert not Operation.objects.exists()


def test_a_forged_key_does_nothing(merchant: Merchant, setter: Browser) -> None:
    answer = setter.post(step(merchant.account, "checkout"), {"key": "x", "allowed_origins": "https://pay.example.gov"})
    assert answer.status_code == 400
    assert not Operation.objects.exists()


def test_a_platform_out_of_reach_is_told(merchant: Merchant, setter: Browser) -> None:
    merchant.sandbox.fault("GET /api/webhooks/types", status=503)
    answer = setter.get(step(merchant.account, "events"), follow=True)
    assert answer.status_code == 200
    assert "messagelist" in answer.content.decode()


def test_unknown_steps_and_accounts(merchant: Merchant, setter: Browser) -> None:
    assert setter.get(step(merchant.account, "nonsense")).status_code == 404
    assert setter.get(reverse("admin:govpay_paymentaccount_setup", args=[999_999])).status_code == 404


def test_the_account_says_how_it_is(merchant: Merchant, setter: Browser) -> None:
    merchant.sync("payments")
    html = setter.get(reverse("admin:govpay_paymentaccount_change", args=[merchant.account.pk])).content.decode()
    assert "Health" in html
    assert "Last sync" in html
    assert reverse("admin:govpay_paymentaccount_setup", args=[merchant.account.pk]) in html

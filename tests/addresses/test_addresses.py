"""Addresses that leave the site: the same for everybody, whatever language and host the asking person uses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.urls import reverse, set_urlconf
from django.utils import translation

from govpay import addresses, operations, tasks
from govpay.doctor import Level, examine
from govpay.doctor.platform import check_callbacks
from govpay.models import HostedSession, Payment, PaymentAccount
from govpay.operations.provision_file import read_file
from tests.operations.merchant import Merchant

SITE = "https://pay.city.example"
PAGE = "/en/govpay/pay/{}/"
SOURCES = sorted((Path(__file__).resolve().parent.parent.parent / "govpay").rglob("*.py"))


@pytest.fixture(autouse=True)
def _language() -> Iterator[None]:
    """A request leaves its language active in its thread."""
    with translation.override(translation.get_language()):
        yield


@pytest.fixture
def german(settings: Any) -> Any:
    """A site with prefixes, asked in German at another host than the public one."""
    settings.ROOT_URLCONF = "tests.addresses.prefixed"
    settings.GOVPAY = {**settings.GOVPAY, "PUBLIC_URL": f"{SITE}/", "CHECKOUT_ORIGINS": [SITE]}
    return settings


@pytest.fixture
def staff(db: None) -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser("staff"))
    return client


def in_german(name: str, *args: Any) -> str:
    with translation.override("de"):
        path = reverse(name, args=args)
    assert path.startswith("/de/")
    return path


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("urls", "code", "path"),
    [
        ("tests.addresses.prefixed", "en-us", "/en/govpay/pay/x/"),
        ("tests.addresses.prefixed", "es", "/es/govpay/pay/x/"),
        ("tests.addresses.unprefixed", "en-us", "/govpay/pay/x/"),
        ("tests.addresses.unprefixed", "es", "/govpay/pay/x/"),
        ("project.urls", "es", "/govpay/pay/x/"),
    ],
)
@pytest.mark.parametrize("active", ["de", "en", "es", None])
def test_the_default_language_decides(settings: Any, urls: str, code: str, path: str, active: str | None) -> None:
    settings.ROOT_URLCONF, settings.LANGUAGE_CODE = urls, code
    with translation.override(active):
        assert addresses.public_path("govpay:pay", "x") == path
    answer = Client().get(path, headers={"accept-language": "fr"})
    assert answer.resolver_match.view_name == "govpay:pay"  # the address leads to the page


def test_the_urls_of_the_site_decide_and_not_those_of_the_request(settings: Any) -> None:
    set_urlconf("tests.doctor.urls")  # as a middleware for subdomains does
    try:
        assert addresses.public_path("govpay:pay", "x") == "/govpay/pay/x/"
    finally:
        set_urlconf(None)


@pytest.mark.django_db(transaction=True)
def test_a_link_that_staff_copy_and_its_session(sandbox: Any, german: Any, staff: Client) -> None:
    german.GOVPAY = {**german.GOVPAY, "COMPONENT_SCRIPT_URL": "https://cdn.example/govifi.js"}
    merchant = Merchant(sandbox)
    link = operations.create_payment_link(account=merchant.account, amount=700)
    text = staff.get(in_german("admin:govpay_paymentlink_change", link.pk)).content.decode()
    assert SITE + PAGE.format(link.public_id) in text
    assert "/de/govpay/" not in text
    answer = Client(headers={"host": "localhost"}).get(in_german("govpay:pay", link.public_id))
    assert answer.status_code == 200
    body = sandbox.platform.store.get("session", HostedSession.objects.get().uid).private["request"]
    assert body["success_url"] == SITE + PAGE.format(link.public_id) + "done/"
    assert body["cancel_url"] == SITE + PAGE.format(link.public_id)


@pytest.mark.django_db(transaction=True)
def test_the_page_of_a_session_that_a_program_opened(sandbox: Any, german: Any) -> None:
    merchant = Merchant(sandbox)
    program = Client(headers={"host": "localhost", "idempotency-key": "1"})
    program.force_login(User.objects.create_superuser("program"))
    body = {"account": merchant.account.uid, "amount": 700, "success_url": f"{SITE}/paid", "cancel_url": f"{SITE}/"}
    answer = program.post(in_german("govpay:rest:hosted-sessions"), body, content_type="application/json")
    assert answer.status_code == 201, answer.content
    assert answer.json()["pay_url"] == SITE + PAGE.format(HostedSession.objects.get().public_id)


@pytest.mark.django_db(transaction=True)
def test_the_callback_that_staff_register(sandbox: Any, german: Any, staff: Client) -> None:
    account = Merchant(sandbox).account
    address = in_german("admin:govpay_paymentaccount_setup_step", account.pk, "webhooks")
    html = staff.get(address).content.decode()
    key, site = re.search(r'name="key" value="([^"]+)"', html), re.search(r'name="site" value="([^"]*)"', html)
    assert key
    assert site
    assert site[1] == SITE
    answer = staff.post(address, {"key": key[1], "site": site[1], "webhook_enabled": "on"})
    assert answer.status_code == 302
    account.refresh_from_db()
    assert account.callback_url == f"{SITE}/en/govpay/webhooks/{account.uid}/"
    overview = staff.get(in_german("admin:govpay_paymentaccount_setup", account.pk)).content.decode()
    assert account.callback_url in overview
    assert callback_fault(german) == ""


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("registered", "text"),
    [
        (f"{SITE}/en/govpay/webhooks/acc_1/", ""),
        (f"{SITE}/de/govpay/webhooks/acc_1/", "takes webhooks at /en/govpay/webhooks/acc_1/"),
        ("https://www.city.example/en/govpay/webhooks/acc_1/", f"PUBLIC_URL is {SITE}"),
        (f"{SITE}:8443/en/govpay/webhooks/acc_1/", f"PUBLIC_URL is {SITE}"),
    ],
)
def test_the_doctor_compares_with_what_is_registered(german: Any, registered: str, text: str) -> None:
    PaymentAccount.objects.create(uid="acc_1", active=True, webhook_enabled=True, callback_url=registered)
    with translation.override("en"):
        fault = callback_fault(german)
    assert text in fault
    assert bool(fault) == bool(text)


def callback_fault(settings: Any) -> str:
    """What the doctor says about callback addresses; empty if they are right."""
    settings.ALLOWED_HOSTS = [".city.example", "localhost"]
    (found,) = examine([("callback", check_callbacks)]).findings
    return "" if found.level is Level.OK else str(found.what)


@pytest.mark.django_db
def test_the_mail_of_the_review_queue(german: Any) -> None:
    german.GOVPAY = {**german.GOVPAY, "DIGEST_RECIPIENTS": ["finance@city.example"]}
    account = PaymentAccount.objects.create(uid="acc_1", name="Parks")
    Payment.objects.create(uid="pay_1", account=account, flag="return", total_amount=100, currency="USD")
    with translation.override("de"):
        tasks.send_digest()
    (letter,) = mail.outbox
    assert f"{SITE}/en/admin/govpay/operation/attention/" in letter.body


def test_a_provisioning_file_takes_the_public_url(german: Any) -> None:
    text = """
[client]
name = "City"
[[accounts]]
name = "Parks"
processor = "zift"
external_account_id = "1"
external_merchant_id = "2"
[accounts.webhooks]
enabled = true
"""
    assert read_file(text).site == SITE


def test_the_former_name_of_the_setting(settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "SITE_URL": "https://old.city.example"}
    assert addresses.public_url() == "https://old.city.example"
    settings.GOVPAY = {**settings.GOVPAY, "PUBLIC_URL": SITE}
    assert addresses.public_url() == SITE


#: Calls whose result goes back to the one who asks: pages and locations of REST, the host that the browser uses.
FOR_THE_ASKER = {"addresses.py", "pagination.py", "actions.py", "schema.py", "setup_forms.py"}


def test_no_other_place_makes_an_absolute_address() -> None:
    found = {
        path.name
        for path in SOURCES
        if "sandbox" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("build_absolute_uri", "get_host")
    }
    assert found == FOR_THE_ASKER

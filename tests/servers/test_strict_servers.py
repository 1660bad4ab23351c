"""Every public page, the admin and REST over real HTTP, on strict WSGI and ASGI servers."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, reverse

from govpay import operations
from govpay.models import HostedSession, Operation, PaymentLink, WebhookEvent
from tests.admin.neighbours import own_side
from tests.events import SECRET, envelope, known_account, sign
from tests.operations.merchant import Merchant
from tests.security.test_pages import address_of, is_in_the_admin, is_rest, ours, patterns
from tests.servers.serving import SERVERS, Browser, Site

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESSES = {"success_url": "https://127.0.0.1/paid", "cancel_url": "https://127.0.0.1/back"}


#: ``runserver`` is built on ``wsgiref``: what walks through all pages is run on one of them.
each_kind = pytest.mark.parametrize("site", ["wsgiref", "uvicorn"], indirect=True)


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, settings: Any) -> Iterator[Site]:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    with SERVERS[request.param]() as running:
        yield running


@pytest.fixture
def merchant(sandbox: Any, settings: Any, site: Site) -> Merchant:
    origin = site.address.replace("http:", "https:")
    settings.GOVPAY = {
        **settings.GOVPAY,
        "CHECKOUT_ORIGINS": [origin, "https://127.0.0.1"],
        "COMPONENT_SCRIPT_URL": "https://cdn.example/govifi.js",
        "PUBLIC_PAGE_RATE": 0,
    }
    return Merchant(sandbox)


@pytest.fixture
def staff(merchant: Merchant, site: Site, browse: Callable[..., Client]) -> Browser:
    return site.browser(browse(User.objects.create_superuser("root")))


# --- The payer's pages and the platform's deliveries ------------------------------------------------


def test_pages_of_payers(site: Site, merchant: Merchant, settings: Any) -> None:
    payer = site.browser()
    link = operations.create_payment_link(account=merchant.account, amount=500)
    cancelled = operations.create_payment_link(account=merchant.account, amount=500)
    PaymentLink.objects.filter(pk=cancelled.pk).update(state="cancelled")
    for path, status in (
        (f"/govpay/pay/{link.public_id}/", 200),
        (f"/govpay/pay/{link.public_id}/done/", 200),
        (f"/govpay/pay/{link.public_id}/done/?format=json", 200),
        (f"/govpay/pay/{cancelled.public_id}/", 410),
        ("/govpay/pay/nothing/", 404),
        ("/govpay/pay/nothing/done/", 404),
    ):
        assert payer.get(path).status_code == status, path
        assert payer.ask("HEAD", path).status_code == payer.post(path).status_code == 405
    settings.GOVPAY = {**settings.GOVPAY, "PUBLIC_PAGE_RATE": 2}
    answers = [payer.get(f"/govpay/pay/{link.public_id}/") for _ in range(3)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_payer_is_led_to_the_page_of_the_platform(site: Site, merchant: Merchant, settings: Any) -> None:
    """The address holds a secret, which a ``Secret`` keeps out of tracebacks."""
    settings.GOVPAY = {**settings.GOVPAY, "COMPONENT_SCRIPT_URL": ""}
    link = operations.create_payment_link(account=merchant.account, amount=500)
    session = operations.create_hosted_session(account=merchant.account, amount=500, **ADDRESSES)
    for public_id in (link.public_id, session.public_id):
        answer = site.browser().get(f"/govpay/pay/{public_id}/")
        row = HostedSession.objects.get(public_id=public_id) if public_id == session.public_id else link
        uid = row.uid if isinstance(row, HostedSession) else PaymentLink.objects.get(pk=link.pk).session_id
        hosted = HostedSession.objects.get(uid=uid).hosted_url
        assert hosted is not None
        assert (answer.status_code, answer.headers["Location"]) == (302, hosted.reveal())


def test_deliveries(site: Site) -> None:
    account, platform = known_account(), site.browser()
    body = json.dumps(envelope("payment.refunded")).encode()
    address = f"/govpay/webhooks/{account}/"
    headers = {"Content-Type": "application/json", "X-Webhook-Signature": sign(body, SECRET)}
    for outcome in ("accepted", "duplicate"):
        answer = platform.ask("POST", address, data=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"status": outcome})
    assert platform.ask("POST", address, data=body, headers={**headers, "X-Webhook-Signature": "0"}).status_code == 401
    assert platform.ask("POST", address, data=b"x", headers={}).status_code == 415
    assert platform.get(address).status_code == 405
    assert WebhookEvent.objects.get().account_id == account


# --- Staff ------------------------------------------------------------------------------------------


@each_kind
def test_every_page_of_the_admin(merchant: Merchant, staff: Browser) -> None:
    side, shown = own_side(), Counter[int]()
    HostedSession.objects.update(credential="cs_x")  # so that the wallet is shown
    for pattern in filter(is_in_the_admin, ours()):
        name = str(pattern.name)
        row = side.rows.get(name.split("_")[1])
        address = address_of(pattern, row.pk if row else merchant.account.pk)
        query = f"?ids={row.pk}&session={side.uid('hostedsession')}" if row else ""
        if name.endswith("_changelist"):
            query = "?q=x"
        shown[staff.get(address + query).status_code] += 1
    for name in ("index", "password_change", "jsi18n", "login", "govpay_doctor", "govpay_review"):
        shown[staff.get(reverse(f"admin:{name}")).status_code] += 1
    completed = "?app_label=govpay&model_name=paymentlink&field_name=account&term=x"
    assert staff.get(reverse("admin:autocomplete") + completed).status_code in (200, 403)
    assert shown[200] > 70
    assert set(shown) <= {200, 302, 403, 404, 405}, shown


def test_staff_log_in_and_refund(merchant: Merchant, site: Site) -> None:
    User.objects.create_superuser("boss", password="boss-1")
    payment, staff = merchant.captured(), site.browser()
    page = f"{reverse('admin:govpay_payment_refund')}?ids={payment.pk}"
    assert staff.get(page).headers["Location"].startswith("/admin/login/")
    sent = {"username": "boss", "password": "boss-1", "next": page}
    answer = staff.post("/admin/login/", data=sent)
    assert (answer.status_code, answer.headers["Location"]) == (302, page)
    key = staff.get(page).text.partition('name="key" value="')[2].partition('"')[0]
    answer = staff.post(page, data={"key": key, "ids": payment.pk, "amount": "1.00", "reason": "x"})
    assert answer.status_code == 302
    operation = Operation.objects.get()
    assert (operation.action, operation.state, operation.amount) == ("refund", "succeeded", 100)
    assert [entry["amount"] for entry in merchant.ledger("refund", payment)] == [100]


# --- Programs ---------------------------------------------------------------------------------------


def rest_address(pattern: URLPattern, side: Any) -> str:
    """With the row that suits it."""
    rows = side.rows
    named = next((name for name in rows if str(pattern.name).replace("-", "").startswith(name)), "payment")
    row = rows[named]
    values = {"pk": row.pk, "key": rows["operation"].key, "uid": getattr(row, "uid", "x"), "customer": "x"}
    return reverse(
        f"govpay:rest:{pattern.name}", kwargs={name: values[name] for name in pattern.pattern.regex.groupindex}
    )


@each_kind
def test_every_address_of_rest(merchant: Merchant, staff: Browser) -> None:
    """Each is read, and asked by one other method: what the methods are is the same everywhere."""
    side, answered = own_side(), Counter[int]()
    others = cycle(("HEAD", "POST", "DELETE"))
    for pattern in filter(is_rest, patterns()):
        if not pattern.name and pattern.pattern.regex.pattern != "":
            continue  # the same with a slash at the end
        address = rest_address(pattern, side) if pattern.name else "/govpay/api/nowhere"
        answer = staff.get(address)
        if tag := answer.headers.get("ETag"):
            assert staff.get(address, headers={"If-None-Match": tag}).status_code == 304
        answered.update((answer.status_code, staff.ask(next(others), address).status_code))
    assert answered[200] > 25
    assert set(answered) <= {200, 400, 401, 403, 404, 405, 411}, answered


def test_program_refunds_over_rest(merchant: Merchant, staff: Browser) -> None:
    payment = merchant.captured()
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    answer = staff.post(f"/govpay/api/v1/payments/{payment.uid}/refund", json={"amount": 100}, headers=headers)
    operation = Operation.objects.get()
    assert answer.headers["Operation-Id"] == str(operation.key)
    assert (answer.status_code, operation.state) == (201, "succeeded")
    session = {"account": merchant.account.uid, "amount": 500, "currency": "USD", **ADDRESSES}
    answer = staff.post("/govpay/api/v1/hosted-sessions", json=session, headers={"Idempotency-Key": "session"})
    assert answer.status_code == 201, answer.text
    made = HostedSession.objects.get()
    assert answer.headers["Location"].endswith(f"/govpay/api/v1/hosted-sessions/{made.uid}")
    assert [entry["amount"] for entry in merchant.ledger("refund", payment)] == [100]

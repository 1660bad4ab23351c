"""Rate limits: visits by address and by page, requests to the platform, and the cost of forged deliveries."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from govpay import cache as shared
from govpay import operations, ratelimit
from govpay.models import WebhookEvent
from govpay.ratelimit import MAX_ADDRESSES, Refusals, address_of
from govpay.sync import secrets
from govpay.web import webhooks
from tests.events import deliver, envelope, known_account
from tests.operations.merchant import Merchant

VISITOR, OTHER = "8.8.8.8", "9.9.9.9"
SCRIPT = "https://cdn.example/govifi.js"


@pytest.fixture(autouse=True)
def no_refusals_of_other_tests(monkeypatch: Any) -> None:
    monkeypatch.setattr(webhooks, "_flood", Refusals())


@pytest.fixture
def limit(settings: Any) -> int:
    settings.GOVPAY = {
        **settings.GOVPAY,
        "PUBLIC_PAGE_RATE": 5,
        "COMPONENT_SCRIPT_URL": SCRIPT,
        "CHECKOUT_ORIGINS": ["https://testserver"],
    }
    return 5


def visit(path: str, address: str = VISITOR, **headers: Any) -> Any:
    return Client(REMOTE_ADDR=address).get(path, secure=True, headers=headers)


# --- Who it is ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxies", "remote", "forwarded", "found"),
    [
        (0, "8.8.8.8", "", "8.8.8.8"),
        (0, "8.8.8.8", "1.1.1.1", "8.8.8.8"),  # no proxy is trusted
        (0, "10.0.0.7", "1.1.1.1", ""),  # an undeclared proxy
        (0, "127.0.0.1", "", ""),
        (0, "", "", ""),  # a socket in the file system
        (0, "2a00:1450:4001:81b::200e", "", "2a00:1450:4001:81b::/64"),
        (0, "2a00:1450:4001:81b:ffff::1", "", "2a00:1450:4001:81b::/64"),
        (0, "::ffff:8.8.8.8", "", "8.8.8.8"),
        (0, "fe80::1%eth0", "", ""),
        (1, "10.0.0.7", "1.1.1.1", "1.1.1.1"),
        (1, "10.0.0.7", "6.6.6.6, 7.7.7.7, 1.1.1.1", "1.1.1.1"),  # the visitor's invented value comes first
        (2, "10.0.0.7", "6.6.6.6, 1.1.1.1, 10.0.0.8", "1.1.1.1"),
        (1, "10.0.0.7", "1.1.1.1:50123", "1.1.1.1"),
        (1, "10.0.0.7", "[2a00:1450:4001:81b::200e]:443", "2a00:1450:4001:81b::/64"),
        (1, "10.0.0.7", "192.168.3.4", "192.168.3.4"),  # of the town hall itself
        (2, "8.8.8.8", "6.6.6.6", "8.8.8.8"),  # it went past the proxies
        (1, "10.0.0.7", "<script>", ""),
    ],
)
def test_whose_visit_it_is(settings: Any, proxies: int, remote: str, forwarded: str, found: str) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "TRUSTED_PROXIES": proxies}
    request = RequestFactory(REMOTE_ADDR=remote).get("/", headers={"X-Forwarded-For": forwarded} if forwarded else {})
    assert address_of(request) == found


# --- Pages ----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("tail", ["", "done/", "done/?format=json"])
def test_one_address_guesses(sandbox: Any, limit: int, tail: str) -> None:
    Merchant(sandbox)
    before = len(sandbox.requests())
    codes = [visit(f"/govpay/pay/guess-{n}/{tail}").status_code for n in range(limit + 2)]
    assert codes == [404] * limit + [429, 429]
    answer = visit(f"/govpay/pay/guess/{tail}")
    assert 0 < int(answer["Retry-After"]) <= ratelimit.WINDOW
    assert "no-store" in answer["Cache-Control"]
    assert visit(f"/govpay/pay/guess/{tail}", OTHER).status_code == 404
    assert len(sandbox.requests()) == before, "an id that nobody knows costs no call"


@pytest.mark.django_db(transaction=True)
def test_many_addresses_want_one_page(sandbox: Any, limit: int) -> None:
    merchant = Merchant(sandbox)
    link, second = (operations.create_payment_link(account=merchant.account, amount=500) for _ in range(2))
    codes = [visit(f"/govpay/pay/{link.public_id}/", f"8.8.{n}.1").status_code for n in range(limit + 1)]
    assert codes == [200] * limit + [429]
    assert visit(f"/govpay/pay/{second.public_id}/", OTHER).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_no_limit_when_it_is_switched_off(sandbox: Any, limit: int, settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "PUBLIC_PAGE_RATE": 0}
    assert {visit("/govpay/pay/guess/").status_code for _ in range(limit * 3)} == {404}


@pytest.mark.django_db(transaction=True)
def test_a_cache_that_is_down_stops_nobody(sandbox: Any, limit: int, settings: Any) -> None:
    merchant = Merchant(sandbox)
    link = operations.create_payment_link(account=merchant.account, amount=500)
    nobody = "redis://127.0.0.1:9/0"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": nobody}}
    assert [visit(f"/govpay/pay/{link.public_id}/").status_code for _ in range(limit + 2)] == [200] * (limit + 2)


@pytest.mark.django_db(transaction=True)
def test_the_cache_contains_neither_addresses_nor_ids(sandbox: Any, limit: int, monkeypatch: Any) -> None:
    keys: list[str] = []
    real = shared._count
    monkeypatch.setattr(shared, "_count", lambda key, timeout: keys.append(key) or real(key, timeout))  # type: ignore[func-returns-value]
    merchant = Merchant(sandbox)
    link = operations.create_payment_link(account=merchant.account, amount=500)
    visit(f"/govpay/pay/{link.public_id}/")
    visit("/govpay/pay/unknown/")
    assert len(keys) == 3, "address, page, and address again: what does not exist is not counted as a page"
    assert not [key for key in keys if VISITOR in key or link.public_id in key or "unknown" in key]


@pytest.mark.django_db(transaction=True)
def test_the_done_page_asks_the_platform_once_in_a_while(sandbox: Any, limit: int, settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "PUBLIC_PAGE_RATE": 300}
    merchant = Merchant(sandbox)
    back = {"success_url": "https://testserver/a", "cancel_url": "https://testserver/b"}
    session = operations.create_hosted_session(account=merchant.account, amount=500, **back)
    before = len(sandbox.requests())
    for n in range(20):
        assert visit(f"/govpay/pay/{session.public_id}/done/?format=json", f"8.8.{n}.1").status_code == 200
    assert len(sandbox.requests()) == before + 1


# --- Public ids -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_vendors_session_id_opens_no_page(sandbox: Any, limit: int) -> None:
    merchant = Merchant(sandbox)
    back = {"success_url": "https://testserver/a", "cancel_url": "https://testserver/b"}
    one, two = (operations.create_hosted_session(account=merchant.account, amount=500, **back) for _ in range(2))
    assert len(one.public_id or "") >= 24
    assert one.public_id != two.public_id
    for tail in ("", "done/"):
        assert visit(f"/govpay/pay/{one.uid}/{tail}").status_code == 404
    kept = one.public_id
    merchant.sync("sessions")
    one.refresh_from_db()
    assert one.public_id == kept, "a sync does not touch it"
    assert kept not in json.dumps(one.raw)


# --- Deliveries -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_flood_of_forgeries_is_quiet_and_stops_no_delivery(limit: int, caplog: Any) -> None:
    uid = known_account()
    sender = Client(REMOTE_ADDR=VISITOR)
    assert deliver(uid, envelope(), client=sender).status_code == 200
    assert deliver(uid, envelope(), client=sender, secret="forged").status_code == 401  # looks whether it was rolled
    caplog.clear()
    with CaptureQueriesContext(connection) as seen:
        codes = [deliver(uid, envelope(), client=sender, secret="forged").status_code for _ in range(limit + 5)]
    assert codes == [401] * (limit - 1) + [429] * 6
    assert not seen.captured_queries
    assert len([each for each in caplog.records if "webhook refused" in each.message]) == limit - 1
    assert deliver(uid, envelope(), client=sender).status_code == 200, "what is signed is heard, whoever else calls"
    assert WebhookEvent.objects.count() == 2
    assert deliver(uid, envelope(), client=Client(REMOTE_ADDR=OTHER), secret="forged").status_code == 401


@pytest.mark.django_db(transaction=True)
def test_made_up_accounts_cost_few_statements(limit: int, monkeypatch: Any) -> None:
    uid = known_account()
    assert deliver(uid, envelope()).status_code == 200
    monkeypatch.setattr(secrets, "STRANGERS", 3)
    monkeypatch.setattr(secrets, "_strangers", [0, 0])
    # One second that does not pass.
    monkeypatch.setattr(secrets, "time", SimpleNamespace(monotonic=lambda: 100.0))
    with CaptureQueriesContext(connection) as seen:
        answers = [deliver(f"account_{n}", envelope(), secret="forged") for n in range(10)]
    assert [each.status_code for each in answers] == [404] * 3 + [503] * 7
    assert answers[-1]["Retry-After"]
    assert len(seen.captured_queries) == 3
    assert deliver(uid, envelope()).status_code == 200, "those that are known here are not strangers"


def test_counts_stay_in_bounds(limit: int) -> None:
    refusals = Refusals()
    for n in range(MAX_ADDRESSES + 50):
        refusals.too_many(f"address {n}")
    assert len(refusals._count) == MAX_ADDRESSES
    assert cache.get("anything") is None

"""A database that ends all connections is no 500 on pages of the admin that only show something (faults D1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, transaction
from django.test import Client, RequestFactory
from django.urls import get_resolver, reverse

from govpay.decorators import retry_read
from tests.lost_connections import call_it_lost, end_all, failing
from tests.operations.merchant import Merchant

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "admin:govpay_payment_changelist"


@pytest.fixture
def merchant(sandbox: Any) -> Merchant:
    return Merchant(sandbox)


@pytest.fixture
def desk(browse: Any, finance: Any) -> Client:
    """Gets the answer of an error, not the error."""
    client: Client = browse(finance)
    client.raise_request_exception = False
    return client


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> None:
    call_it_lost(monkeypatch)


def pages(merchant: Merchant) -> list[str]:
    pk = merchant.captured().pk
    own = [reverse("admin:govpay_payment_change", args=[pk]), f"{reverse('admin:govpay_payment_refund')}?ids={pk}"]
    return [reverse(LIST), *own, reverse("admin:govpay_review")]


@pytest.mark.usefixtures("lost")
@pytest.mark.parametrize("table", ["django_session", "auth_user", "auth_permission"])
def test_a_page_is_made_once_more(merchant: Merchant, desk: Client, table: str) -> None:
    """Session, user and permissions are read within the view, so they are read again, too."""
    for address in pages(merchant):
        with failing(1, table) as failed:
            assert desk.get(address).status_code == 200, address
        assert len(failed) == 1, address


@pytest.mark.usefixtures("lost")
def test_it_is_made_no_third_time(merchant: Merchant, desk: Client) -> None:
    with failing(9) as failed:
        assert desk.get(reverse(LIST)).status_code == 500
    assert len(failed) == 2


@pytest.mark.usefixtures("lost")
def test_an_action_is_not_repeated(merchant: Merchant, desk: Client) -> None:
    address = f"{reverse('admin:govpay_payment_refund')}?ids={merchant.captured().pk}"
    with failing(1) as failed:
        assert desk.post(address, {"amount": "1.00"}).status_code == 500
    assert len(failed) == 1
    assert merchant.posts() == []


@pytest.mark.usefixtures("lost")
def test_within_a_transaction_nothing_is_repeated(merchant: Merchant, desk: Client) -> None:
    with transaction.atomic(), failing(1) as failed:
        assert desk.get(reverse(LIST)).status_code == 500
    assert len(failed) == 1


def test_every_page_of_ours_is_wrapped() -> None:
    """By the name of the function in ``retry_read``, through all decorators around it."""
    code = retry_read(lambda request: request).__code__
    found = dict(_wrapped())
    assert len(found) > 60
    assert [name for name, view in found.items() if code not in _codes(view)] == []


def _wrapped() -> Iterator[tuple[str, Any]]:
    for app, (_prefix, resolver) in get_resolver().namespace_dict.items():
        if app == "admin":
            for each in resolver.url_patterns:
                for pattern in getattr(each, "url_patterns", [each]):
                    if str(pattern.name).startswith("govpay_"):
                        yield str(pattern.name), pattern.callback


def _codes(view: Any) -> list[Any]:
    codes = []
    while view is not None:
        codes.append(getattr(view, "__code__", None))
        view = getattr(view, "__wrapped__", None)
    return codes


@pytest.mark.postgres
def test_postgresql_ends_all_connections(merchant: Merchant, desk: Client) -> None:
    for address in pages(merchant):
        assert end_all() >= 1
        assert desk.get(address).status_code == 200, address


@pytest.mark.postgres
@pytest.mark.parametrize(("checked", "status"), [(True, 200), (False, 500)])
def test_health_checks_help_what_is_read_before_a_view(
    merchant: Merchant, desk: Client, settings: Any, monkeypatch: pytest.MonkeyPatch, checked: bool, status: int
) -> None:
    """``govpay.W005``: a middleware that reads the user fails without ``CONN_HEALTH_CHECKS``."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", checked)
    name = django_settings.SESSION_COOKIE_NAME
    environ = RequestFactory().get(reverse(LIST), headers={"Cookie": f"{name}={desk.cookies[name].value}"}).environ
    site, statuses = WSGIHandler(), []
    for _ in range(2):
        list(site(dict(environ), lambda line, headers: statuses.append(int(line[:3]))))
        end_all()
    assert statuses == [200, status]
    connection.close()

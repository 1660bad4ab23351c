"""The table of routes: complete, with sources, and safe against values that change the path."""

from __future__ import annotations

import re
from typing import Any

import pytest

from govpay.client import Endpoints, Routes
from govpay.client.routes import BY_OPERATION, TABLE, segment
from govpay.exceptions import ConfigurationError, OperationRefused


def test_every_operation_has_one_route_and_every_route_a_source() -> None:
    assert len(BY_OPERATION) == len(TABLE)
    for route in TABLE:
        assert re.match(r"/[\w/\-]+/" if route.documented else r"A\d+", route.source), route
        assert route.method in {"GET", "POST", "PUT", "PATCH", "DELETE"}
        assert (route.kind == "read") == (route.method == "GET")
        assert route.browser or hasattr(Endpoints, route.operation), "each route of the server has its method"


def test_what_an_account_owns_needs_its_header() -> None:
    without = {route.operation for route in TABLE if not route.account and not route.browser}
    assert without == {
        "list_clients", "get_client", "create_client", "list_payment_accounts", "get_payment_account",
        "create_payment_account", "update_payment_account", "set_checkout_config", "get_hosted_session",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "method", "path"),
    [
        ("list_clients", "GET", "/api/clients"),
        ("validate_payment", "POST", "/api/payments"),
        ("capture_payment", "POST", "/api/payments/{uid}/capture"),
        ("set_checkout_config", "PUT", "/api/paymentaccounts/{uid}/checkout-config"),
        ("save_payment_method", "POST", "/api/customers/{customer_uid}/payment-methods"),
        ("remove_payment_method", "DELETE", "/api/customers/{customer_uid}/payment-methods/{uid}"),
        ("import_payment_methods", "POST", "/api/saved-payment-methods/import"),
        ("set_subscriptions", "PUT", "/api/webhooks/subscriptions"),
        ("create_hosted_session", "POST", "/v1/hosted-sessions"),
        ("update_hosted_session", "PATCH", "/v1/hosted-sessions/{session_id}"),
        ("expire_hosted_session", "POST", "/v1/hosted-sessions/{session_id}/expire"),
    ],
)
def test_documented_routes_are_as_documented(operation: str, method: str, path: str) -> None:
    route = BY_OPERATION[operation]
    assert (route.method, route.path, route.documented) == (method, path, True)


def test_a_host_may_move_a_route() -> None:
    routes = Routes({"refund_payment": "/api/refunds/{uid}"})
    assert routes.path("refund_payment", uid="pay_1") == "/api/refunds/pay_1"
    moved = routes["refund_payment"]
    assert (moved.method, moved.documented) == ("POST", False)
    assert "A10" in moved.source or "/api/payments/{uid}/refund" in moved.source
    assert Routes()["refund_payment"].path == "/api/payments/{uid}/refund"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"refund_paymnt": "/api/x/{uid}"}, "Did you mean 'refund_payment'"),
        ({"nonsense": "/x"}, "no such operation"),
        ({"refund_payment": "/api/refunds"}, r"must contain \{uid\}"),
        ({"refund_payment": "/api/{uid}/{other}"}, r"must contain \{uid\}"),
        ({"refund_payment": "/api/{uid}/{uid}"}, r"must contain \{uid\}"),
        ({"list_payments": "/api/{uid}"}, "must contain no placeholder"),
        ({"refund_payment": "https://evil.example/{uid}"}, "must be a path"),
        ({"refund_payment": "//evil.example/{uid}"}, "must be a path"),
        ({"refund_payment": "api/{uid}"}, "must be a path"),
        ({"refund_payment": "/api/../{uid}"}, "must be a path"),
        ({"refund_payment": "/api/{uid}?x=1"}, "must be a path"),
        ({"refund_payment": "/api/{uid}\r\n"}, "must be a path"),
        ({"refund_payment": "/api/{uid"}, "must be a path"),
        ({"refund_payment": None}, "must be a path"),
    ],
)
def test_an_override_that_cannot_work_is_named(overrides: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        Routes(overrides)
    assert 'GOVPAY["ROUTES"]' in str(caught.value)


@pytest.mark.parametrize(("value", "encoded"), [("pay_1", "pay_1"), ("a b", "a%20b"), ("é?#%", "%C3%A9%3F%23%25")])
def test_a_parameter_is_encoded(value: str, encoded: str) -> None:
    assert segment("uid", value) == encoded


@pytest.mark.parametrize(
    "value",
    ["", ".", "..", "...", "a/b", "/", "x/refund", "..\\x", "a\\b", "a\nb", "\x00", "\ud800", "x" * 129, None, 5, b"a"],
)
def test_a_parameter_that_could_change_the_route_is_refused(value: Any) -> None:
    with pytest.raises(OperationRefused, match=r"^uid "):
        Routes().path("get_payment", uid=value)


def test_parameters_must_be_those_of_the_route() -> None:
    for values in ({}, {"id": "x"}, {"uid": "x", "other": "y"}):
        with pytest.raises(TypeError):
            Routes().path("get_payment", **values)
    with pytest.raises(ConfigurationError):
        Routes().path("no_such_operation")

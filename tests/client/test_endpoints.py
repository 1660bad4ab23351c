"""Endpoints over HTTP: route, header and body of each, and that an answer about another object is refused (A25)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from govpay.client import Endpoints, PagingFault, Query, Routes, field
from govpay.client.routes import BY_OPERATION, TABLE
from govpay.client.shapes import CapturePayment, RefundPayment, ValidatePayment, payment_method_from_dict
from govpay.client.tenant_shapes import (
    CheckoutConfig,
    CreateClient,
    CreateCustomer,
    CreateHostedSession,
    CreatePaymentAccount,
    DefaultPaymentMethod,
    ImportedMethod,
    ImportPaymentMethods,
    SavePaymentMethod,
    SetSubscriptions,
    Subscription,
    UpdateHostedSession,
)
from govpay.exceptions import (
    ConfigurationError,
    Gone,
    InvalidAnswer,
    NotFound,
    OperationRefused,
    OutcomeUnknown,
    RateLimited,
)
from tests.client.servers import body, reply
from tests.client.test_shapes import CARD, SESSION, WALLET

METHOD = payment_method_from_dict(CARD)
MONEY: dict[str, Any] = {"currency": "USD", "reference_id": "R", "payment_method": METHOD}
K = {"idempotency_key": "key-1"}
ACCOUNT = CreatePaymentAccount(client_id="c", name="n", processor="zift")

#: operation -> (how it is called, an answer that it takes, the path it must ask for)
CALLS: dict[str, tuple[Callable[[Endpoints], Any], Any, str]] = {
    "list_clients": (lambda e: e.list_clients(), [], "/api/clients"),
    "get_client": (lambda e: e.get_client("c1"), {"uid": "c1"}, "/api/clients/c1"),
    "create_client": (lambda e: e.create_client(CreateClient(name="n"), **K), {"uid": "c1"}, "/api/clients"),
    "list_payment_accounts": (lambda e: e.list_payment_accounts(), [], "/api/paymentaccounts"),
    "get_payment_account": (lambda e: e.get_payment_account("a1"), {"uid": "a1"}, "/api/paymentaccounts/a1"),
    "create_payment_account": (
        lambda e: e.create_payment_account(ACCOUNT, **K), {"uid": "a1"}, "/api/paymentaccounts"),
    "update_payment_account": (
        lambda e: e.update_payment_account("a1", ACCOUNT, **K), {"uid": "a1"}, "/api/paymentaccounts/a1"),
    "set_checkout_config": (
        lambda e: e.set_checkout_config("a1", CheckoutConfig(allowed_origins=[]), **K), {"x": 1},
        "/api/paymentaccounts/a1/checkout-config"),
    "list_customers": (lambda e: e.list_customers("acc"), [], "/api/customers"),
    "get_customer": (lambda e: e.get_customer("acc", "cu"), {"uid": "cu"}, "/api/customers/cu"),
    "create_customer": (
        lambda e: e.create_customer("acc", CreateCustomer(reference_id="r"), **K), {"uid": "cu"}, "/api/customers"),
    "list_saved_payment_methods": (
        lambda e: e.list_saved_payment_methods("acc", "cu"), {"methods": []}, "/api/customers/cu/payment-methods"),
    "save_payment_method": (
        lambda e: e.save_payment_method("acc", "cu", SavePaymentMethod(payment_method=METHOD), **K),
        {"saved_payment_method_uid": "s"}, "/api/customers/cu/payment-methods"),
    "remove_payment_method": (
        lambda e: e.remove_payment_method("acc", "cu", "s", **K), None, "/api/customers/cu/payment-methods/s"),
    "set_default_payment_method": (
        lambda e: e.set_default_payment_method("acc", "cu", DefaultPaymentMethod(saved_payment_method_uid="s"), **K),
        None, "/api/customers/cu/default-payment-method"),
    "import_payment_methods": (
        lambda e: e.import_payment_methods("acc", ImportPaymentMethods(
            payment_methods=[ImportedMethod(customer_reference_id="r", payment_method=METHOD)]), **K),
        {"imported": 1, "results": [{"index": 0, "saved_payment_method_uid": "s"}]},
        "/api/saved-payment-methods/import"),
    "list_payments": (lambda e: e.list_payments("acc"), [], "/api/payments"),
    "get_payment": (lambda e: e.get_payment("acc", "p"), {"uid": "p"}, "/api/payments/p"),
    "validate_payment": (
        lambda e: e.validate_payment("acc", ValidatePayment(base_amount=1, **MONEY), **K), {"uid": "p"},
        "/api/payments"),
    "capture_payment": (
        lambda e: e.capture_payment(
            "acc", "p", CapturePayment(base_amount=1, processing_fee_amount=0, total_amount=1, **MONEY), **K),
        {"uid": "p"}, "/api/payments/p/capture"),
    "refund_payment": (
        lambda e: e.refund_payment("acc", "p", RefundPayment(amount=1, reference_id="r"), **K),
        {"uid": "t", "payment_uid": "p"}, "/api/payments/p/refund"),
    "void_payment": (lambda e: e.void_payment("acc", "p", **K), {"uid": "p"}, "/api/payments/p/void"),
    "list_transactions": (lambda e: e.list_transactions("acc"), [], "/api/transactions"),
    "get_transaction": (lambda e: e.get_transaction("acc", "t"), {"uid": "t"}, "/api/transactions/t"),
    "list_terminals": (lambda e: e.list_terminals("acc"), [], "/api/terminals"),
    "get_terminal": (lambda e: e.get_terminal("acc", "t"), {"uid": "t"}, "/api/terminals/t"),
    "list_subscriptions": (
        lambda e: e.list_subscriptions("acc"), {"subscriptions": []}, "/api/webhooks/subscriptions"),
    "set_subscriptions": (
        lambda e: e.set_subscriptions(
            "acc", SetSubscriptions(subscriptions=[Subscription(event_type="x", enabled=True)]), **K),
        None, "/api/webhooks/subscriptions"),
    "get_webhook_secret": (lambda e: e.get_webhook_secret("acc"), {"secret": "s"}, "/api/webhooks/secret"),
    "list_event_types": (lambda e: e.list_event_types("acc"), ["x"], "/api/webhooks/types"),
    "create_hosted_session": (
        lambda e: e.create_hosted_session("acc", CreateHostedSession(**SESSION), **K),
        {"session_id": "cs_1", "client_secret": "cs_1_secret_x"}, "/v1/hosted-sessions"),
    "get_hosted_session": (
        lambda e: e.get_hosted_session("cs_1", "cs_1_secret_x"), {"session_id": "cs_1"}, "/v1/hosted-sessions/cs_1"),
    "update_hosted_session": (
        lambda e: e.update_hosted_session("acc", "cs_1", UpdateHostedSession(amount=1), **K), {},
        "/v1/hosted-sessions/cs_1"),
    "expire_hosted_session": (
        lambda e: e.expire_hosted_session("acc", "cs_1", **K), None, "/v1/hosted-sessions/cs_1/expire"),
}  # fmt: skip

WRITES = [route.operation for route in TABLE if route.kind == "write" and not route.browser]
OBJECTS = [name for name in WRITES if BY_OPERATION[name].answers == "object"]
READS = [name for name in CALLS if name not in WRITES]


def test_every_route_of_the_server_is_called_here() -> None:
    assert set(CALLS) == {route.operation for route in TABLE if not route.browser}


@pytest.mark.parametrize("operation", CALLS)
def test_each_endpoint_asks_as_its_route_says(operation: str, serve: Any, endpoints_to: Any) -> None:
    call, answer, path = CALLS[operation]
    route = BY_OPERATION[operation]
    server = serve(reply(answer))
    call(endpoints_to(server))
    [seen] = server.seen
    assert (seen.method, seen.path, seen.query) == (route.method, path, {})
    assert seen.headers.get("x-payment-account-uid") == ("acc" if route.account else None)
    assert seen.headers.get("idempotency-key") == ("key-1" if route.kind == "write" else None)
    bearer = "cs_1_secret_x" if route.credential == "session" else "token-number-1"
    assert seen.headers["authorization"] == f"Bearer {bearer}"
    assert b"null" not in seen.body


@pytest.mark.parametrize("operation", [name for name in CALLS if BY_OPERATION[name].account])
@pytest.mark.parametrize("account", [None, "", "  ", 5])
def test_without_an_account_nothing_is_sent(operation: str, account: Any, serve: Any, endpoints_to: Any) -> None:
    server = serve(reply([]))
    endpoints = endpoints_to(server)
    method = getattr(endpoints, operation)
    signature = inspect.signature(method)
    assert next(iter(signature.parameters)) == "account_uid"
    assert signature.parameters["account_uid"].default is inspect.Parameter.empty
    replaced = type("E", (), {operation: staticmethod(lambda _, *rest, **more: method(account, *rest, **more))})()
    with pytest.raises(ConfigurationError, match="needs the uid of a payment account"):
        CALLS[operation][0](replaced)
    with pytest.raises(TypeError):
        method()
    assert server.count == 0


@pytest.mark.parametrize("operation", WRITES)
def test_without_a_key_no_write_is_sent(operation: str, serve: Any, endpoints_to: Any) -> None:
    server = serve(reply({}))
    method = getattr(endpoints_to(server), operation)

    def keyless(*rest: Any, idempotency_key: str) -> Any:
        return method(*rest, idempotency_key="")

    with pytest.raises(ConfigurationError, match="idempotency key"):
        CALLS[operation][0](type("E", (), {operation: staticmethod(keyless)})())
    assert server.count == 0


@pytest.mark.parametrize("operation", [name for name in CALLS if BY_OPERATION[name].placeholders])
def test_a_path_parameter_that_is_none_or_too_much_sends_nothing(operation: str, serve: Any, endpoints_to: Any) -> None:
    server = serve(reply({}))
    method = getattr(endpoints_to(server), operation)
    names = [name for name in inspect.signature(method).parameters if name in BY_OPERATION[operation].placeholders]
    assert len(names) == len(BY_OPERATION[operation].placeholders)
    for wrong in ("", "x/refund", ".."):

        def spoilt(*rest: Any, wrong: str = wrong, **more: Any) -> Any:
            bound = inspect.signature(method).bind(*rest, **more)
            bound.arguments[names[-1]] = wrong
            return method(*bound.args, **bound.kwargs)

        with pytest.raises(OperationRefused):
            CALLS[operation][0](type("E", (), {operation: staticmethod(spoilt)})())
    assert server.count == 0


# -- answers that are not ours -----------------------------------------------------------------------------


#: An account that was changed is read back where the answer is empty.
MAY_BE_EMPTY = ("update_payment_account",)
NO_OBJECTS = [
    (operation, answer)
    for operation in OBJECTS
    for answer in (None, [], "ok", 5, True)
    if answer is not None or operation not in MAY_BE_EMPTY
]


@pytest.mark.parametrize(("operation", "answer"), NO_OBJECTS, ids=str)
def test_a_write_that_answers_no_object_is_unknown(operation: str, answer: Any, serve: Any, endpoints_to: Any) -> None:
    server = serve(reply(answer))
    with pytest.raises(OutcomeUnknown) as caught:
        CALLS[operation][0](endpoints_to(server))
    assert caught.value.operation_key == "key-1"
    assert server.count == 1


@pytest.mark.parametrize("operation", [name for name in OBJECTS if name != "update_hosted_session"])
@pytest.mark.parametrize("answer", [{}, {"uid": ""}, {"uid": 5}, {"uid": None}], ids=str)
def test_a_write_that_answers_without_identity_is_unknown(
    operation: str, answer: Any, serve: Any, endpoints_to: Any
) -> None:
    server = serve(reply(answer))
    with pytest.raises(OutcomeUnknown):
        CALLS[operation][0](endpoints_to(server))
    assert server.count == 1


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("capture_payment", {"uid": "another"}), ("void_payment", {"uid": "another"}),
        ("refund_payment", {"uid": "t", "payment_uid": "another"}), ("refund_payment", {"uid": "t", "payment_uid": 5}),
        ("update_payment_account", {"uid": "another"}), ("update_hosted_session", {"session_id": "cs_2"}),
        ("create_hosted_session", {"session_id": "cs_1"}), ("create_hosted_session", {"client_secret": "x"}),
        ("import_payment_methods", {"imported": 1}), ("import_payment_methods", {"results": [5]}),
    ],
)  # fmt: skip
def test_a_write_that_answers_about_something_else_is_unknown(
    operation: str, answer: Any, serve: Any, endpoints_to: Any
) -> None:
    server = serve(reply(answer))
    with pytest.raises(OutcomeUnknown):
        CALLS[operation][0](endpoints_to(server))
    assert server.count == 1


@pytest.mark.parametrize("operation", ["validate_payment", "capture_payment", "void_payment"])
@pytest.mark.parametrize(
    "wrong", [{"total_amount": "12.30"}, {"base_amount": 12.0}, {"status": 5}, {"total_amount": -1}, {"currency": []}]
)
def test_a_write_that_answers_with_mistyped_money_is_unknown(
    operation: str, wrong: Any, serve: Any, endpoints_to: Any
) -> None:
    server = serve(reply({"uid": "p", **wrong}))
    with pytest.raises(OutcomeUnknown, match=next(iter(wrong)).replace("_", " ")) as caught:
        CALLS[operation][0](endpoints_to(server))
    assert "12.30" not in str(caught.value)


def test_a_refund_may_leave_its_payment_out(serve: Any, endpoints_to: Any) -> None:
    server = serve(reply({"uid": "t", "amount": 1}, X_Request_Id="req_1"))
    found = CALLS["refund_payment"][0](endpoints_to(server))
    assert (found.uid, found.amount, found.payment_uid, found.request_id) == ("t", 1, None, "req_1")


@pytest.mark.parametrize("operation", READS)
def test_a_read_of_the_wrong_type_is_repeated_and_then_named(operation: str, serve: Any, endpoints_to: Any) -> None:
    call, answer, _ = CALLS[operation]
    server = serve(reply("nonsense"), reply(answer))
    call(endpoints_to(server))
    assert server.count == 2
    server = serve(reply("nonsense"))
    with pytest.raises(InvalidAnswer):
        call(endpoints_to(server, max_retries=1))
    assert server.count == 2


def test_a_read_about_another_object_is_no_answer(serve: Any, endpoints_to: Any) -> None:
    with pytest.raises(InvalidAnswer, match="about another object"):
        endpoints_to(serve(reply({"uid": "q"})), max_retries=0).get_payment("acc", "p")


def test_where_nothing_is_documented_nothing_is_expected(serve: Any, endpoints_to: Any) -> None:
    server = serve(body(b"", 204))
    for operation in WRITES:
        if BY_OPERATION[operation].answers == "any":
            assert CALLS[operation][0](endpoints_to(server)) is None


@pytest.mark.parametrize("status", [404, 405])
def test_a_route_that_is_not_offered_is_not_found(status: int, serve: Any, endpoints_to: Any) -> None:
    with pytest.raises(NotFound) as caught:
        endpoints_to(serve(reply({"code": "not_found"}, status))).list_terminals("acc")
    assert caught.value.status == status


def test_a_moved_route_is_asked_for(serve: Any, endpoints_to: Any) -> None:
    server = serve(reply({"uid": "t"}))
    endpoints = endpoints_to(server, Routes({"refund_payment": "/api/refunds/{uid}"}))
    CALLS["refund_payment"][0](endpoints)
    assert server.seen[0].path == "/api/refunds/p"


def test_an_address_with_a_path_is_kept_in_front(serve: Any, endpoints_to: Any) -> None:
    server = serve(reply({"uid": "p"}))
    endpoints_to(f"{server.url}/base/").get_payment("acc", "p")
    assert server.seen[0].path == "/base/api/payments/p"


def test_an_expired_session_is_gone_and_a_foreign_one_no_answer(serve: Any, endpoints_to: Any) -> None:
    with pytest.raises(Gone):
        endpoints_to(serve(reply({"code": "session_expired"}, 410))).get_hosted_session("cs_1", "cs_1_secret_x")
    with pytest.raises(InvalidAnswer):
        endpoints_to(serve(reply({"session_id": "cs_2"})), max_retries=0).get_hosted_session("cs_1", "cs_1_secret_x")


@pytest.mark.parametrize(
    "answer", [["a", "b"], [{"event_type": "a", "description": "x"}, "b"], {"value": ["a", "b"]}, {"types": ["a", "b"]}]
)
def test_event_types_in_every_form(answer: Any, serve: Any, endpoints_to: Any) -> None:
    found = endpoints_to(serve(reply(answer))).list_event_types("acc")
    assert [item["event_type"] for item in found] == ["a", "b"]


def test_a_query_reaches_the_platform_as_it_is_meant(serve: Any, endpoints_to: Any) -> None:
    server = serve(reply([{"uid": "p"}]))
    query = Query(filter=field("reference_id").eq("O'Brien & Söhne+1"), top=1)
    page = endpoints_to(server).list_payments("acc", query)
    assert page.items == ({"uid": "p"},)
    assert server.seen[0].query == {"$filter": "reference_id eq 'O''Brien & Söhne+1'", "$top": "1"}


def test_a_wallet_payment_is_sent_without_what_was_not_given(serve: Any, endpoints_to: Any) -> None:
    server = serve(reply({"uid": "p"}, 201))
    shape = ValidatePayment(
        base_amount=1, currency="USD", reference_id="R", payment_method=payment_method_from_dict(WALLET)
    )
    endpoints_to(server).validate_payment("acc", shape, **K)
    assert server.seen[0].json == {
        "base_amount": 1, "currency": "USD", "reference_id": "R", "payment_method": WALLET,
    }  # fmt: skip


# -- walks over HTTP ---------------------------------------------------------------------------------------


def linked(server_url: str) -> Callable[[Any], Any]:
    def choose(seen: Any) -> Any:
        number = int(seen.query.get("page", "1"))
        items = [{"uid": f"{number}-{i}"} for i in range(2)] if number < 4 else []
        return reply({"value": items, "@odata.nextLink": f"{server_url or ''}?page={number + 1}"})

    return choose


def test_every_page_behind_a_link_is_asked_for_with_the_same_header(serve: Any, endpoints_to: Any) -> None:
    server = serve()
    server.choose = linked(f"{server.url}/api/payments")
    pages = list(endpoints_to(server).walk("list_payments", "acc", "uid", 2))
    assert [len(page.items) for page in pages] == [2, 2, 2]
    assert [seen.query for seen in server.seen] == [
        {"$orderby": "uid asc", "$top": "2"}, {"page": "2"}, {"page": "3"}, {"page": "4"},
    ]  # fmt: skip
    assert {seen.headers["x-payment-account-uid"] for seen in server.seen} == {"acc"}
    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer token-number-1"}


def test_relative_links_are_resolved_below_the_address(serve: Any, endpoints_to: Any) -> None:
    server = serve(choose=linked(""))
    pages = list(endpoints_to(f"{server.url}/base").walk("list_clients", order="listing"))
    assert len(pages) == 3
    assert {seen.path for seen in server.seen} == {"/base/api/clients"}
    assert all("x-payment-account-uid" not in seen.headers for seen in server.seen)


@pytest.mark.parametrize("order", ["updated_at", "uid", "skip", "listing"])
def test_a_link_to_another_host_is_followed_at_our_own_address(serve: Any, endpoints_to: Any, order: Any) -> None:
    elsewhere = serve(reply([]))
    server = serve()
    server.choose = linked(f"{elsewhere.url}/base/api/payments")
    pages = list(endpoints_to(f"{server.url}/base").walk("list_payments", "acc", order, 2))
    assert [len(page.items) for page in pages] == [2, 2, 2]
    assert [seen.query.get("page") for seen in server.seen] == [None, "2", "3", "4"]
    assert {seen.path for seen in server.seen} == {"/base/api/payments"}
    assert elsewhere.count == 0, "no request and no token"


@pytest.mark.parametrize("path", ["/api/transactions", "/api/payments/x", "/evil"])
def test_a_link_to_another_path_is_not_followed(serve: Any, endpoints_to: Any, path: str) -> None:
    elsewhere = serve(reply([]))
    link = f"{elsewhere.url}{path}?page=2"
    first, second = ({"value": [{"uid": uid}], "@odata.nextLink": link} for uid in "ab")
    server = serve(reply(first), reply(second), reply([]))
    found = endpoints_to(server).walk("list_payments", "acc", "uid", 2)
    assert [row["uid"] for page in found for row in page.items] == ["a", "b"]
    assert [seen.query.get("$filter") for seen in server.seen] == [None, "uid gt 'a'", "uid gt 'b'"]
    steps = endpoints_to(serve(reply(first))).walk("list_payments", "acc", "listing", 2)
    assert len(next(steps).items) == 1
    with pytest.raises(PagingFault, match="something else than this list"):
        next(steps)
    assert not steps.ended
    assert {seen.path for seen in server.seen} == {"/api/payments"}
    assert elsewhere.count == 0


def test_a_filter_of_the_caller_is_sent_with_every_keyset(serve: Any, endpoints_to: Any) -> None:
    server = serve(reply([{"uid": "a"}]), reply([]))
    wanted = field("payment_uid").eq("p")
    assert len(list(endpoints_to(server).walk("list_transactions", "acc", "uid", 2, wanted=wanted))) == 1
    assert [seen.query for seen in server.seen] == [
        {"$filter": "payment_uid eq 'p'", "$orderby": "uid asc", "$top": "2"},
        {"$filter": "(payment_uid eq 'p') and (uid gt 'a')", "$orderby": "uid asc", "$top": "2"},
    ]


def test_a_page_that_breaks_is_repeated_and_no_row_is_lost(serve: Any, endpoints_to: Any) -> None:
    server = serve(
        reply([{"uid": "a"}]), body(b'[{"uid": "b"'), reply(["x"]), reply([{"uid": "b"}]), reply(None, 503), reply([])
    )
    pages = list(endpoints_to(server).walk("list_payments", "acc", "uid", 1))
    assert [page.items[0]["uid"] for page in pages] == ["a", "b"]
    assert server.count == 6


def test_a_walk_refuses_what_is_no_list_before_any_http(serve: Any, endpoints_to: Any) -> None:
    server = serve(reply([]))
    endpoints = endpoints_to(server)
    for operation in ("get_payment", "capture_payment", "list_session_methods", "list_nothing"):
        with pytest.raises(ConfigurationError):
            endpoints.walk(operation, "acc")
    with pytest.raises(ConfigurationError):
        endpoints.walk("list_payments")
    with pytest.raises(ConfigurationError):
        endpoints.walk("list_clients", "acc")
    with pytest.raises(TypeError):
        endpoints.walk("list_saved_payment_methods", "acc")
    assert server.count == 0


def test_a_list_below_another_object_is_walked(serve: Any, endpoints_to: Any) -> None:
    server = serve(reply({"methods": [{"saved_payment_method_uid": "s"}]}))
    pages = list(endpoints_to(server).walk("list_saved_payment_methods", "acc", "listing", customer_uid="cu"))
    assert [page.items[0]["saved_payment_method_uid"] for page in pages] == ["s"]
    assert (server.seen[0].path, server.seen[0].query) == ("/api/customers/cu/payment-methods", {})


def test_a_pause_that_does_not_fit_ends_a_walk_that_can_go_on_later(serve: Any, endpoints_to: Any) -> None:
    server = serve(reply([{"uid": "a"}]), reply(None, 429, Retry_After="600"))
    steps = endpoints_to(server).walk("list_payments", "acc", "uid", 1)
    position = next(steps).position
    with pytest.raises(RateLimited) as caught:
        next(steps)
    assert caught.value.retry_after == 600
    assert position.uid == "a"

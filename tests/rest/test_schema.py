"""The OpenAPI document: the committed one equals the served one, and every answer conforms to it."""

from __future__ import annotations

import copy
import json
import uuid
from typing import Any

import hypothesis
import pytest
from django.core.wsgi import get_wsgi_application
from django.test import Client
from django.urls import re_path
from django.utils.html import escape
from drf_spectacular.openapi import AutoSchema
from rest_framework.response import Response
from rest_framework.views import APIView

from govpay import operations, tasks
from govpay.rest.schema import FILE, document
from project import urls as site
from tests.admin.neighbours import own_side
from tests.amounts import repeats
from tests.operations.merchant import Merchant, card
from tests.rest.conftest import Program
from tests.rest.openapi import generated, written

SCHEMA = "/govpay/api/schema/"
PAGE = "/govpay/api/docs/"


def test_the_committed_document_is_what_the_views_say() -> None:
    assert FILE.read_text() == written(generated()), "run `make schema`, and look at what has changed"


def test_the_document_is_served_with_this_sites_address(client: Client, settings: Any, db: None) -> None:
    settings.SESSION_COOKIE_NAME = "city_session"
    answer = client.get(SCHEMA)
    found = answer.json()
    assert found["openapi"].startswith("3.1")
    assert found["servers"] == [{"url": "http://testserver/govpay/api"}]
    assert found["components"]["securitySchemes"]["cookieAuth"]["name"] == "city_session"
    assert found["paths"] == document()["paths"]
    assert "servers" not in document()


def test_a_hosts_own_document_is_not_affected() -> None:
    """Over all addresses of a site, ours among them: both generators pass over them."""
    from drf_spectacular.generators import SchemaGenerator
    from rest_framework.schemas.openapi import SchemaGenerator as Older

    class Order(APIView):
        """The host's own."""

        def get(self, request: Any) -> Response:
            raise NotImplementedError

    class Told(Order):
        schema = AutoSchema()

    for view, generator in ((Told, SchemaGenerator), (Order, Older)):
        patterns = [*site.urlpatterns, re_path("^orders$", view.as_view())]
        found = generator(patterns=patterns, title="The host's").get_schema(public=True)
        assert list(found["paths"]) == ["/orders"]


def test_every_operation_says_what_it_needs_and_answers() -> None:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["operationId"], where
            assert operation["description"], where
            assert {"400", "401", "403", "429"} <= set(operation["responses"]), where
            assert operation["security"], where
            headers = {each["name"] for each in operation["parameters"] if each["in"] == "header"}
            assert headers == ({"If-None-Match"} if method == "get" else {"Idempotency-Key"}), where
            if "{" in path:
                assert "404" in operation["responses"], where


def test_the_page_takes_files_of_this_site_alone(client: Client, settings: Any, db: None) -> None:
    answer = client.get(PAGE)
    html = answer.content.decode()
    assert "http" not in html.replace(' lang="en-us"', ""), "nothing from elsewhere"
    assert SCHEMA in html
    assert "drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js" in html
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "img-src 'self' data:;" in policy
    assert "unsafe" not in policy
    assert (answer["Cache-Control"], answer["X-Frame-Options"]) == ("no-store, private", "DENY")
    assert answer["Referrer-Policy"] == "same-origin", "Django looks at it where a browser sends no Origin"
    settings.INSTALLED_APPS = [each for each in settings.INSTALLED_APPS if each != "drf_spectacular_sidecar"]
    html = client.get(PAGE).content.decode()
    assert "<script" not in html
    assert f'<a href="{SCHEMA}">' in html
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            assert f"<code>{method.upper()} {path}</code>" in html
            assert escape(operation["description"]) in html


# --- Answers keep it -----------------------------------------------------------------------------------

#: Response headers that clients use.
HEADERS = ("ETag", "Location", "Operation-Id", "Retry-After")


def strict_site() -> Any:
    """The schema of this site, with a document by which answers have nothing that it does not list."""
    import schemathesis  # a second and more, which every process would spend that collects this file

    site, found = get_wsgi_application(), copy.deepcopy(document())
    found["servers"] = [{"url": "/govpay/api"}]
    for schema in found["components"]["schemas"].values():
        schema["additionalProperties"] = False

    def answer(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] != SCHEMA:
            return site(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(found).encode()]

    return schemathesis.openapi.from_wsgi(SCHEMA, answer)


def checked(case: Any, headers: dict[str, str]) -> Any:
    """The answer to ``case``, which is as the document has it."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    kept = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    answer = case.call_and_validate(headers=headers, checks=kept)
    operation = document()["paths"][case.operation.path][case.operation.method]
    listed = operation["responses"][str(answer.status_code)].get("headers", {})
    given = [name for name in HEADERS if name.lower() in answer.headers]
    assert set(given) <= set(listed), (case.operation.label, answer.status_code)
    return answer


@pytest.fixture
def places(merchant: Merchant, settings: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Tag → path parameters that lead to a row."""
    settings.GOVPAY = {
        **settings.GOVPAY,
        "REST_RATE": "",
        "REST_ACT_RATE": "",
        "CHECKOUT_ORIGINS": ["https://x.example"],
    }
    for task in (tasks.sync_account, tasks.process_event):
        monkeypatch.setattr(task, "apply_async", lambda *_, **__: None)
    own, method = own_side(), merchant.saved_method()
    session = operations.create_hosted_session(
        account=merchant.account, amount=500, success_url="https://x.example/", cancel_url="https://x.example/"
    )
    customer = {"customer": method.customer_id}
    return {
        "clients": {"uid": own.uid("client")},
        "accounts": {"uid": merchant.account.uid},
        "customers": {**customer, "uid": method.customer_id},
        "customers/methods": {**customer, "uid": method.uid},
        "payment-methods": {"uid": method.uid},
        "payments": {"uid": merchant.captured().uid},
        "transactions": {"uid": own.uid("transaction")},
        "hosted-sessions": {"uid": session.uid},
        "terminals": {"uid": own.uid("terminal")},
        "events": {"id": own.rows["webhookevent"].pk},
        "operations": {"key": str(own.rows["operation"].key)},
        "sync-runs": {"id": own.rows["syncrun"].pk},
    }


def place_of(operation: Any, places: dict[str, dict[str, Any]]) -> dict[str, Any]:
    tag = operation.path.split("/")[2]
    return places["customers/methods" if "methods/{uid}" in operation.path and tag == "customers" else tag]


def made_real(case: Any, merchant: Merchant) -> None:
    """Valid values that random data would never contain: an existing account, a method that can be charged."""
    if isinstance(case.body, dict) and "account" in case.body:
        case.body = {**case.body, "account": merchant.account.uid}
        if "base_amount" in case.body:
            case.body = {name: value for name, value in case.body.items() if name != "saved_method"}
            case.body["payment_method"] = card()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_every_answer_keeps_the_document(
    mode: str, superuser: Program, merchant: Merchant, places: dict[str, dict[str, Any]]
) -> None:
    """No 5xx and no violations of the document, for valid and invalid requests."""
    from schemathesis import GenerationMode

    schema = strict_site()
    headers = {"Authorization": superuser.client.defaults["HTTP_AUTHORIZATION"]}
    seen: dict[str, set[int]] = {}

    def run(operation: Any, strategy: Any) -> None:
        @hypothesis.settings(
            max_examples=repeats(10, 1, 4),
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate],
        )
        @hypothesis.given(case=strategy)
        def ask(case: Any) -> None:
            if mode == "positive":
                made_real(case, merchant)
            answer = checked(case, headers)
            seen.setdefault(operation.label, set()).add(answer.status_code)

        ask()

    generation = GenerationMode(mode)
    for found in schema.get_all_operations():
        operation = found.ok()
        fixed = {name: value for name, value in place_of(operation, places).items() if f"{{{name}}}" in operation.path}
        if fixed and mode == "positive":
            run(operation, operation.as_strategy(generation_mode=generation, path_parameters=fixed))
        else:
            run(operation, operation.as_strategy(generation_mode=generation))
    assert len(seen) == sum(len(methods) for methods in document()["paths"].values())
    if mode == "positive":
        for label, statuses in seen.items():
            assert label.startswith(("POST", "DELETE")) or 200 in statuses, (label, statuses)


def actions(merchant: Merchant, places: dict[str, dict[str, Any]]) -> dict[str, tuple[dict[str, Any], Any]]:
    """Operation → path parameters and body that it is done with, on a row of its own where that ends it."""
    quoted, void, captured = merchant.quoted(), merchant.quoted(), merchant.captured()
    kept, removed = merchant.saved_method(), merchant.saved_method()
    account, back = (
        {"account": merchant.account.uid},
        {"success_url": "https://x.example/", "cancel_url": "https://x.example/"},
    )

    def of(row: Any) -> dict[str, Any]:
        return {"uid": row.uid}

    def of_method(row: Any) -> dict[str, Any]:
        return {"customer": row.customer_id, "uid": row.uid}

    return {
        "sync_account": (places["accounts"], None),
        "replay_event": (places["events"], None),
        "quote_payment": ({}, {**account, "base_amount": 500, "payment_method": card()}),
        "capture_payment": (of(quoted), {"total_amount": quoted.total_amount}),
        "refund_payment": (of(captured), {"amount": 1}),
        "void_payment": (of(void), None),
        "create_customer": ({}, {**account, "reference_id": "of the document"}),
        "save_payment_method": ({"customer": kept.customer_id}, {"payment_method": card()}),
        "set_default_payment_method": (of_method(kept), None),
        "remove_payment_method": (of_method(removed), None),
        "create_hosted_session": ({}, {**account, **back, "amount": 500}),
        "expire_hosted_session": (places["hosted-sessions"], None),
    }


@pytest.mark.django_db(transaction=True)
def test_every_action_that_succeeds_conforms_to_the_document(
    superuser: Program, merchant: Merchant, places: dict[str, dict[str, Any]]
) -> None:
    schema = strict_site()
    headers = {"Authorization": superuser.client.defaults["HTTP_AUTHORIZATION"]}
    given, done = actions(merchant, places), set()
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.method == "get":
            continue
        name = operation.definition.raw["operationId"]
        parameters, body = given[name]
        more = {} if body is None else {"body": body, "media_type": "application/json"}
        case = operation.Case(path_parameters=parameters, **more)
        answer = checked(case, {**headers, "Idempotency-Key": uuid.uuid4().hex})
        expected = min(int(status) for status in operation.definition.raw["responses"])
        assert answer.status_code == expected, (name, answer.text)
        assert ("operation-id" in answer.headers) == (name not in ("sync_account", "replay_event"))
        done.add(name)
    assert done == set(given)


@pytest.mark.django_db(transaction=True)
def test_an_action_of_unknown_outcome_conforms_to_the_document(
    superuser: Program, merchant: Merchant, impatient: None
) -> None:
    schema = strict_site()
    headers = {"Authorization": superuser.client.defaults["HTTP_AUTHORIZATION"], "Idempotency-Key": "open"}
    payment = merchant.captured()
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, close="after")
    case = schema["/v1/payments/{uid}/refund"]["POST"].Case(
        path_parameters={"uid": payment.uid}, body={"amount": 1}, media_type="application/json"
    )
    answer = checked(case, headers)
    assert answer.status_code == 202
    assert {"location", "operation-id", "retry-after"} <= set(answer.headers)

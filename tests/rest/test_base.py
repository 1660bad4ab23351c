"""Every REST list and row: its fields, permissions and statement counts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from govpay.models import Payment, Transaction
from govpay.rest import urls
from govpay.rest.base import Rows, RowView
from tests.admin.rows import SECRET, fill, operation, payment, relatives
from tests.processes import ROOT, child_environment
from tests.rest.conftest import Program, problem

pytestmark = pytest.mark.django_db

LISTS = [(each.name, each.callback.cls) for each in urls.V1 if issubclass(each.callback.cls, Rows)]
OWN_ADDRESS = {
    each.callback.cls.model: each
    for each in urls.V1
    if issubclass(each.callback.cls, RowView) and "customer>" not in str(each.pattern)
}
TOP = [(name, view) for name, view in LISTS if name != "customer-payment-methods"]
each_list = pytest.mark.parametrize(("name", "view"), TOP, ids=[name for name, _ in TOP])


def list_of(name: str) -> str:
    return reverse(f"govpay:rest:{name}")


def row_of(row: Any) -> str:
    pattern = OWN_ADDRESS[type(row)]
    which = pattern.callback.cls.lookup_field
    return reverse(f"govpay:rest:{pattern.name}", args=[getattr(row, which)])


@each_list
def test_a_list_shows_its_rows_and_no_secret(name: str, view: Any, finance_program: Program) -> None:
    relatives()
    fill(view.model, 30, actor=finance_program.user)
    answer = finance_program.get(list_of(name), data={"page_size": 100})
    assert answer.status_code == 200
    found = answer.json()
    assert len(found["results"]) == view.model.objects.count()
    assert found["next"] is None
    assert all(set(each) == set(view.serializer_class.Meta.fields) for each in found["results"])
    text = answer.content.decode()
    assert SECRET not in text
    assert '"raw"' not in text
    assert "gone_" in text or view.model.__name__ == "Client", "relatives that were never read are named by their uid"


@each_list
def test_a_row_has_its_address(name: str, view: Any, finance_program: Program) -> None:
    relatives()
    fill(view.model, 3)
    for row in view.model.objects.all():
        found = finance_program.get(row_of(row)).json()
        listed = {each: found[each] for each in view.serializer_class.Meta.fields}
        assert listed in finance_program.get(list_of(name)).json()["results"]


@each_list
def test_a_list_costs_six_statements_however_long(name: str, view: Any, finance_program: Program) -> None:
    relatives()
    fill(view.model, 120, actor=finance_program.user)
    with CaptureQueriesContext(connection) as context:
        answer = finance_program.get(list_of(name), data={"page_size": 100})
    assert len(answer.json()["results"]) == 100
    assert len(context) <= 6, [each["sql"] for each in context.captured_queries]
    for each in context.captured_queries:
        assert "COUNT(" not in each["sql"]
        assert '"raw"' not in each["sql"], "documents stay in the database"
        assert not any(column in each["sql"] for column in ("webhook_secret", "credential", "validated_method"))


def test_a_payments_own_page_costs_eight_statements(finance_program: Program) -> None:
    relatives()
    row = payment()
    for number in range(60):
        Transaction.objects.create(
            uid=f"trx_{number}", payment=row, account_id="acc_0", type="refund", status="pending"
        )
    operation(row, actor=finance_program.user)
    with CaptureQueriesContext(connection) as context:
        answer = finance_program.get(row_of(row))
    assert answer.status_code == 200
    assert len(context) <= 8, [each["sql"] for each in context.captured_queries]
    found = answer.json()
    assert len(found["transactions"]) == 50
    assert [each["actor"] for each in found["operations"]] == ["finance"]


def test_a_session_costs_one_statement_more_than_a_token(finance: Any, browse: Callable[..., Client]) -> None:
    relatives()
    fill(Payment, 120)
    client = browse(finance)
    with CaptureQueriesContext(connection) as context:
        answer = client.get(list_of("payments"), {"page_size": 100})
    assert len(answer.json()["results"]) == 100
    assert len(context) <= 6, context.captured_queries


# --- Sparse answers ------------------------------------------------------------------------------------


def test_fields_leave_out_the_rest(finance_program: Program) -> None:
    relatives()
    found = finance_program.get("payments?fields=uid,status").json()["results"]
    assert found == [{"uid": "pay_0", "status": "captured"}]
    with CaptureQueriesContext(connection) as context:
        found = finance_program.get("payments/pay_0?fields=transactions,refundable_amount").json()
    assert found == {"transactions": [], "refundable_amount": 10750}
    assert not [each for each in context.captured_queries if "govpay_webhookevent" in each["sql"]]


@pytest.mark.parametrize("fields", ["uid,raw", "credential", "4111111111111111", ",", "uid,,status"])
def test_unknown_fields_are_told_without_repeating_them(fields: str, finance_program: Program) -> None:
    found = problem(finance_program.get("payments", data={"fields": fields}), 400, "invalid")
    assert found["errors"][0]["field"] == "fields"
    assert "4111" not in str(found)
    assert "raw" not in str(found)


def test_unknown_values_are_shown_as_they_are(finance_program: Program) -> None:
    relatives()
    payment(uid="pay_new", status="never_heard_of", method_type="crypto")
    found = finance_program.get("payments/pay_new").json()
    assert (found["status"], found["method_type"]) == ("never_heard_of", "crypto")
    row = operation(Payment.objects.get(uid="pay_new"), action="teleport", state="limbo")
    found = finance_program.get(f"operations/{row.key}").json()
    assert (found["action"], found["state"]) == ("teleport", "limbo")


# --- ETags ---------------------------------------------------------------------------------------------


def test_what_is_known_is_not_sent_again(finance_program: Program) -> None:
    relatives()
    for path in ("payments", "payments/pay_0"):
        first = finance_program.get(path)
        assert first["ETag"]
        assert "private" in first["Cache-Control"]
        assert {"Authorization", "Cookie"} <= set(first["Vary"].replace(" ", "").split(","))
        again = finance_program.get(path, headers={"If-None-Match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again["ETag"] == first["ETag"]
        Payment.objects.update(status="refunded" if path == "payments" else "voided")
        changed = finance_program.get(path, headers={"If-None-Match": first["ETag"]})
        assert changed.status_code == 200
        assert changed["ETag"] != first["ETag"]


# --- Who asks ------------------------------------------------------------------------------------------


def test_a_stranger_is_told_how_to_sign_in() -> None:
    for name, _ in TOP:
        answer = Program().get(list_of(name))
        problem(answer, 401, "not-signed-in")
        assert answer["WWW-Authenticate"] == "Token"
    problem(Program().act("payments/quote"), 401, "not-signed-in")
    problem(Program(token="nobodys").get("payments"), 401, "not-signed-in")


def test_somebody_who_has_left_is_a_stranger(finance_program: Program) -> None:
    finance_program.user.is_active = False
    finance_program.user.save()
    problem(finance_program.get("payments"), 401, "not-signed-in")


def test_without_tokens_only_the_session_signs_in(finance_program: Program, finance: Any, settings: Any) -> None:
    settings.INSTALLED_APPS = [each for each in settings.INSTALLED_APPS if each != "rest_framework.authtoken"]
    problem(finance_program.get("payments"), 403, "forbidden")
    client = Client()
    client.force_login(finance)
    assert client.get(list_of("payments")).status_code == 200


def test_the_host_names_other_ways_to_sign_in(finance_program: Program, finance: Any, settings: Any) -> None:
    settings.GOVPAY = {
        **settings.GOVPAY,
        "REST_AUTHENTICATION": ["rest_framework.authentication.SessionAuthentication"],
    }
    problem(finance_program.get("payments"), 403, "forbidden")


class Bearer(BaseAuthentication):
    """Refuses as ``simplejwt`` does: with an object where others have a text."""

    told: ClassVar[Any]

    def authenticate(self, request: Any) -> Any:
        raise AuthenticationFailed(self.told)

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"


def test_what_a_way_to_sign_in_says_is_told_in_its_words(
    finance_program: Program, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "REST_AUTHENTICATION": ["tests.rest.test_base.Bearer"]}
    for told, shown in (
        ("Expired.", "Expired."),
        ({"detail": "Not valid", "code": "token_not_valid", "messages": [{"token_type": "access"}]}, "Not valid"),
        ({"messages": [{"message": "Expired"}]}, "Not signed in."),
        (["Expired.", "Try anew."], "Expired. Try anew."),
    ):
        monkeypatch.setattr(Bearer, "told", told, raising=False)
        answer = finance_program.get("payments")
        assert problem(answer, 401, "not-signed-in")["detail"] == shown
        assert answer["WWW-Authenticate"] == "Bearer"


def test_a_session_needs_its_csrf_token(finance: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(finance)
    answer = client.post(list_of("quote"), {}, content_type="application/json", headers={"Idempotency-Key": "k"})
    found = problem(answer, 403, "forbidden")
    assert "CSRF" in found["detail"]


#: Sends requests in a separate process and prints each answer's status, media type and text.
ASKING = """
import json, os, django
django.setup()
from django.test import Client
base, headers = "/govpay/api/v1/", {"Authorization": os.environ["ASKING"]}
known, stranger = Client(headers=headers), Client()
MOMENT = "2026-03-01T00:00:00Z"
def act(path, given):
    text = json.dumps(given)
    return known.post(base + path, text, content_type="application/json", headers={"Idempotency-Key": "k"})
answers = [
    known.get(base + "payments?status=captured&created_from=2020-01-01&page_size=1&fields=uid,created_at"),
    known.get(base + "payments/pay_0?fields=uid"),
    stranger.get(base + "payments"), stranger.get(base + "payments"),
    act("payments/quote", []),
    act("payments/pay_0/capture", {"authorization": {"sec_code": "web", "text": "Yes.", "accepted_at": "01.03.2026"}}),
    act("payments/pay_0/capture", {"authorization": {"sec_code": "web", "text": "Yes.", "accepted_at": MOMENT}}),
    *(known.get(base + path) for path in os.environ["PATHS"].split()),
]
print(json.dumps([[each.status_code, each["Content-Type"], each.content.decode()] for each in answers]))
"""


#: Amounts, numbers, dates and filters: of each list its rows, and of each filter a value that is a part of a row's.
SAME_FOR_EVERY_HOST = (
    *("payments/pay_0", "operations", "hosted-sessions", "accounts", "sync-runs", "payment-methods", "transactions"),
    *("payments?reference_id=BILL", "payments?status=captur", "payments?amount_from=10750&amount_to=10750"),
    *("payments?amount_from=10,750", "payments?created_from=01|03|2026", "payments?account=", "operations?key=0"),
)


@pytest.mark.django_db(transaction=True)
def test_the_hosts_own_rest_settings_do_not_show(finance_program: Program) -> None:
    """In a process of its own: DRF's classes take most of such settings when they are imported."""
    relatives()
    asking = {
        "DJANGO_SETTINGS_MODULE": "tests.rest.hostile",
        "ASKING": finance_program.client.defaults["HTTP_AUTHORIZATION"],
        "PATHS": " ".join(SAME_FOR_EVERY_HOST),
    }
    environment = {**child_environment(), **asking}
    done = subprocess.run([sys.executable, "-c", ASKING], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed, row, stranger, again, no_object, no_moment, moment, *same = json.loads(done.stdout)
    for path, answer in zip(SAME_FOR_EVERY_HOST, same, strict=True):
        here = finance_program.get(path)
        assert "?" in path or here.status_code == 200, path
        assert answer == [here.status_code, here["Content-Type"], here.content.decode()], path
    assert listed[:2] == [200, "application/json"]
    assert (
        listed[2]
        == finance_program.get(
            "payments?status=captured&created_from=2020-01-01&page_size=1&fields=uid,created_at"
        ).content.decode()
    )
    assert row == [200, "application/json", '{"uid":"pay_0"}']
    problems = "application/problem+json"
    assert stranger[:2] == again[:2] == [401, problems]
    assert no_object[:2] == [400, problems]
    assert json.loads(no_object[2])["detail"] == "The body must be an object."
    assert no_moment[:2] == [400, problems]
    assert "2026-03-01T00:00:00Z" in json.loads(no_moment[2])["detail"]
    assert moment[:2] == [422, problems], "the moment is read; nothing is quoted"


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*", "nonsense"])
def test_there_is_one_form_of_answers(accept: str, finance_program: Program) -> None:
    answer = finance_program.get("payments", headers={"Accept": accept})
    assert answer["Content-Type"] == "application/json"


def test_a_slash_at_the_end_does_not_matter(finance_program: Program) -> None:
    relatives()
    assert finance_program.get("payments/").json() == finance_program.get("payments").json()
    assert finance_program.get("payments/pay_0/").json() == finance_program.get("payments/pay_0").json()
    problem(finance_program.act("payments/quote/"), 400, "invalid")


@pytest.mark.parametrize("uid", ["nobody", "pay%00_0", "%F0%9F%92%B8", "x" * 300, "%ED%A0%80"])
def test_what_is_not_there_is_not_found(uid: str, finance_program: Program) -> None:
    relatives()
    problem(finance_program.get(f"payments/{uid}"), 404, "not-found")
    problem(finance_program.act(f"payments/{uid}/void"), 404, "not-found")

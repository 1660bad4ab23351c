"""Errors as RFC 9457 problems: field, operation, the platform's request id, and no secret."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from django.core.signals import got_request_exception
from django.db import DatabaseError, connection
from django.test import Client

from govpay.models import Operation
from govpay.rest import urls
from govpay.rest.actions import ActionView
from tests.admin.neighbours import own_side
from tests.operations.merchant import Merchant, card, only
from tests.rest.conftest import Program, address, problem
from tests.rest.test_access import body_of, filled

pytestmark = pytest.mark.django_db(transaction=True)

CARD = "4111 1111 1111 1111"


def quote(merchant: Merchant, **given: Any) -> dict[str, Any]:
    body = {"account": merchant.account.uid, "base_amount": 500, "payment_method": card(), **given}
    return {name: value for name, value in body.items() if value is not ...}


#: A change in a quote's body, and the field that the problem names.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"account": ...}, "account"),
    ({"account": "nobody"}, "account"),
    ({"account": 5}, "account"),
    ({"account": "\ud800"}, "account"),
    ({"base_amount": ...}, "base_amount"),
    ({"base_amount": "500"}, "base_amount"),
    ({"base_amount": 5.0}, "base_amount"),
    ({"base_amount": True}, "base_amount"),
    ({"base_amount": 0}, "base_amount"),
    ({"base_amount": 2**60}, "base_amount"),
    ({"base_amount": 2**53 - 1, "tax_amount": 1}, "base_amount"),
    ({"tax_amount": -1}, "tax_amount"),
    ({"currency": "usd"}, "currency"),
    ({"currency": "XXY"}, "currency"),
    ({"currency": None}, "currency"),
    ({"reference_id": ""}, "reference_id"),
    ({"reference_id": "a\nb"}, "reference_id"),
    ({"payment_method": ...}, "saved_method"),
    ({"saved_method": "spm_x"}, "saved_method"),
    ({"payment_method": ..., "saved_method": "spm_x"}, "saved_method"),
    ({"payment_method": []}, "payment_method"),
    ({"payment_method": {}}, "payment_method.payment_method_type"),
    ({"payment_method": {**card(), "x": 1}}, "payment_method.x"),
    ({"payment_method": card(last4="12")}, "payment_method.credit.last4"),
    ({"payment_method": card(holder_name="\ud800")}, "payment_method.credit.holder_name"),
    ({"payment_method": {"payment_method_type": "wallet_credit", "wallet": {}}}, "payment_method.wallet"),
    ({"amount": 5}, "amount"),
    ({"<script>": 5}, "…"),
]


def test_validation_names_the_field(finance_program: Program, merchant: Merchant) -> None:
    for given, field in WRONG:
        found = problem(finance_program.act("payments/quote", quote(merchant, **given)), 400, "invalid")
        assert [error["field"] for error in found["errors"]] == [field], given
        assert field in found["detail"]
    assert not merchant.posts()
    assert not Operation.objects.exists()


def test_every_action_refuses_a_card_number_without_quoting_it(superuser: Program, sandbox: Any) -> None:
    own = own_side()
    count = 0
    for pattern in urls.V1:
        if not issubclass(pattern.callback.cls, ActionView):  # type: ignore[union-attr]
            continue
        method = "delete" if pattern.name == "customer-payment-method" else "post"
        body = body_of(pattern, own)
        for extra in ({"reason": CARD}, {CARD: 1}, {"a": {"b": [{"c": CARD}]}}, {"n": 4111111111111111}):
            answer = superuser.act(filled(pattern, own), {**body, **extra}, method=method)
            found = problem(answer, 400, "invalid")
            assert "card number" in found["detail"]
            assert "4111" not in answer.content.decode()
            count += 1
    assert count == 48
    assert not sandbox.requests()


BODIES = [
    (b"", 411, "no-length"),
    (b" ", 400, "invalid"),
    (b"{", 400, "invalid"),
    (b"null", 400, "invalid"),
    (b'"text"', 400, "invalid"),
    (b"[1]", 400, "invalid"),
    (b'{"base_amount": NaN}', 400, "invalid"),
    (b'{"base_amount": 1e400}', 400, "invalid"),
    (b'{"base_amount": 5, "base_amount": 5000}', 400, "invalid"),
    (b'{"payment_method": {"credit": {"token": 1, "token": 2}}}', 400, "invalid"),
    (b'{"base_amount": ' + b"9" * 5000 + b"}", 400, "invalid"),
    (b"\xff\xfe", 400, "invalid"),
    (b'{"x": ' + b"[" * 100_000, 400, "invalid"),
    (b'{"payment_method": ' + b'{"a":' * 40 + b"1" + b"}" * 41, 400, "invalid"),
    (b'{"x": "' + b"a" * 300_000 + b'"}', 413, "too-large"),
]


def test_a_body_that_is_none(finance_program: Program) -> None:
    for body, status, name in BODIES:
        headers = {"Idempotency-Key": "k"}
        answer = finance_program.client.post(
            address("payments/quote"), body, content_type="application/json", headers=headers
        )
        found = problem(answer, status, name)
        assert "errors" not in found, "its properties are not looked at"


def test_only_json_is_read(finance_program: Program) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        headers = {"Idempotency-Key": "k"}
        answer = finance_program.client.post(
            address("payments/quote"), b"account=x", content_type=kind, headers=headers
        )
        problem(answer, 415, "media-type")


def test_a_method_that_is_none(finance_program: Program) -> None:
    for method in ("put", "patch", "delete", "options"):
        answer = getattr(finance_program.client, method)(address("payments"))
        problem(answer, 405, "method")
        assert answer["Allow"] == "GET, HEAD"


def test_an_address_that_is_none(finance_program: Program) -> None:
    for path in ("", "nothing", "events/abc", "operations/abc", "payments/a/b/c", "events/%0A"):
        problem(finance_program.get(path), 404, "not-found")
        problem(finance_program.act(path), 404, "not-found")


def test_what_the_platform_refuses_is_told_in_its_words(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.captured()
    body = {"code": "conflict", "message": "Locked by the processor.", "request_id": "req_77"}
    for status, name in ((409, "platform-refused"), (422, "platform-refused"), (410, "expired")):
        merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, status=status, body=json.dumps(body))
        found = problem(finance_program.act(f"payments/{payment.uid}/refund", {"amount": 1}), status, name)
        assert found["detail"] == "Locked by the processor."
        assert (found["code"], found["request_id"]) == ("conflict", "req_77")
        assert found["operation_id"] == str(Operation.objects.latest("pk").key)


def test_what_never_left_may_be_tried_again(
    finance_program: Program, merchant: Merchant, settings: Any, impatient: None
) -> None:
    payment = merchant.captured()
    finance_program.get("payments")
    settings.GOVPAY = {**settings.GOVPAY, "API_URL": "http://127.0.0.1:9"}
    answer = finance_program.act(f"payments/{payment.uid}/refund", {"amount": 1})
    found = problem(answer, 503, "not-sent")
    assert int(answer["Retry-After"]) > 0
    assert found["operation_id"] == str(only().key)


def broken(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """A database that is in trouble over payments."""
    if "govpay_payment" in sql:
        raise DatabaseError("planted secret")
    return execute(sql, params, many, context)


def test_a_fault_of_our_own_is_reported_and_told_without_its_words(
    finance_program: Program, merchant: Merchant, caplog: pytest.LogCaptureFixture
) -> None:
    payment = merchant.quoted()
    heard: list[Any] = []

    def hear(**given: Any) -> None:
        heard.append((given["request"].path, sys.exc_info()[1]))

    got_request_exception.connect(hear)
    finance_program.client.raise_request_exception = False
    try:
        with connection.execute_wrapper(broken):
            answers = [finance_program.get("payments"), finance_program.act(f"payments/{payment.uid}/void")]
    finally:
        got_request_exception.disconnect(hear)
    for answer in answers:
        problem(answer, 500, "fault")
        assert "planted" not in answer.content.decode()
        assert "no-store" in answer["Cache-Control"]
    assert [path for path, _ in heard] == [address("payments"), address(f"payments/{payment.uid}/void")]
    logged = [each for each in caplog.records if each.name == "django.request" and each.levelname == "ERROR"]
    assert [each.exc_info[1] for each in logged if each.exc_info] == [error for _, error in heard]
    assert len(logged) == 2, "each is logged once"
    assert all(isinstance(error, DatabaseError) for _, error in heard)


def test_a_fault_while_the_answer_is_written_is_told_too(
    finance_program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rest_framework.renderers import JSONRenderer

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(JSONRenderer, "get_indent", fail)
    with pytest.raises(ZeroDivisionError):
        finance_program.get("payments")
    finance_program.client.raise_request_exception = False
    problem(finance_program.get("payments"), 500, "fault")


def test_a_site_that_wants_faults_raised_has_them_raised(finance_program: Program, settings: Any) -> None:
    settings.DEBUG_PROPAGATE_EXCEPTIONS = True
    finance_program.client.raise_request_exception = False
    with connection.execute_wrapper(broken), pytest.raises(DatabaseError):
        finance_program.get("payments")


def test_what_django_calls_suspicious_is_a_problem(finance_program: Program, caplog: pytest.LogCaptureFixture) -> None:
    many = "&".join(f"a{number}=1" for number in range(1100))
    problem(finance_program.get(f"payments?{many}"), 400, "invalid")
    assert [each.name for each in caplog.records if each.levelname == "ERROR"] == ["django.security.TooManyFieldsSent"]


def test_every_rest_address_answers_with_problems(finance_program: Program) -> None:
    for path in ("", "nothing", "v1", "v2/payments", "v1/nothing", "schema/more", "docs/a/"):
        problem(finance_program.get(f"/govpay/api/{path}"), 404, "not-found")
        problem(finance_program.act(f"/govpay/api/{path}"), 404, "not-found")
    strict = Client(enforce_csrf_checks=True)
    for path in ("schema/", "docs/"):
        answer = strict.post(f"/govpay/api/{path}")
        problem(answer, 405, "method")
        assert answer["Allow"] == "GET, HEAD"
        assert strict.get(f"/govpay/api/{path.removesuffix('/')}").status_code == 200


def test_a_read_has_one_condition(finance_program: Program) -> None:
    for name in ("If-Match", "If-Unmodified-Since"):
        value = '"x"' if name == "If-Match" else "Thu, 01 Jan 1970 00:00:00 GMT"
        assert finance_program.get("payments", headers={name: value}).status_code == 200
    tag = finance_program.get("payments")["ETag"]
    for known in ("*", f'"x", {tag}', f"W/{tag}"):
        answer = finance_program.get("payments", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", tag)
    for other in ("junk", '"x"', ""):
        assert finance_program.get("payments", headers={"If-None-Match": other}).status_code == 200


def test_a_setting_that_is_wrong_is_told_as_such(finance_program: Program, merchant: Merchant, settings: Any) -> None:
    payment = merchant.captured()
    settings.GOVPAY = {**settings.GOVPAY, "CLIENT_ID": ""}
    from govpay.connection import reset

    reset()
    problem(finance_program.act(f"payments/{payment.uid}/refund", {"amount": 1}), 503, "misconfigured")

"""``execute``: once per key, journal first, and a correct outcome for every way in which a call can end."""

from __future__ import annotations

import json
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.models import AnonymousUser, User
from django.db import InterfaceError, OperationalError, connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path

from govpay import operations
from govpay.exceptions import (
    APIConnectionError,
    AuthenticationError,
    Conflict,
    GovPayError,
    OperationInProgress,
    OperationRefused,
    OutcomeUnknown,
    PaymentDeclined,
    RateLimited,
)
from govpay.models import Operation, OutboxSignal, Payment
from govpay.models import operations as journal_model
from govpay.operations import outcomes
from govpay.sync import transactions
from tests.operations.merchant import MINUTE, Merchant, at_once, card, only, refund_of, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

CAPTURE, REFUND = "POST /api/payments/{uid}/capture", "POST /api/payments/{uid}/refund"


@contextmanager
def failing(statement: str, error: type[Exception] = OperationalError) -> Iterator[None]:
    """The database refuses every statement that begins with the first word and holds the others."""
    verb, *names = statement.split()

    def execute(run: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(verb) and all(name in sql for name in names):
            raise error("the database went away")
        return run(sql, params, many, context)

    with connection.execute_wrapper(execute):
        yield


@pytest.fixture(autouse=True)
def _no_patience_with_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "ATTEMPTS_WITHOUT_CONNECTION", 2)


# --- One key, one action ----------------------------------------------------------------------------


def test_same_key_gives_the_first_result_without_http(merchant: Merchant, heard: list[Any]) -> None:
    payment, key = merchant.captured(), uuid.uuid4()
    first = operations.refund_payment(payment=payment, amount=700, reason="twice", key=key)
    before = len(merchant.sandbox.requests())
    for form in (key, str(key), key.hex, f"{{{key}}}"):
        assert operations.refund_payment(payment=payment, amount=700, reason="twice", key=form) == first
    assert len(merchant.sandbox.requests()) == before
    assert merchant.moved("refund", payment) == 700
    assert heard.count(("operation_finished", "refund succeeded", "operation")) == 1
    assert only(key=key).result_uid == first.uid


def test_same_key_is_good_after_the_payment_has_moved_on(merchant: Merchant) -> None:
    payment, key = merchant.quoted(), uuid.uuid4()
    operations.capture_payment(payment=payment, key=key)
    operations.refund_payment(payment=Payment.objects.get())
    # By now a capture would be refused, and the instance is stale; the question is an old one.
    assert operations.capture_payment(payment=payment, key=key).status == "refunded"
    assert len(merchant.posts("capture")) == 1


@pytest.mark.parametrize("other", ["amount", "reason", "payment", "action"])
def test_same_key_for_something_else_is_refused(merchant: Merchant, other: str) -> None:
    payment, key = merchant.captured(), uuid.uuid4()
    operations.refund_payment(payment=payment, amount=700, reason="a", key=key)
    asked: dict[str, Any] = {"payment": payment, "amount": 700, "reason": "a", "key": key}
    if other == "action":
        with pytest.raises(OperationRefused, match="another operation"):
            operations.void_payment(payment=payment, key=key)
    else:
        asked[other] = {"amount": 701, "reason": "b", "payment": merchant.captured()}[other]
        with pytest.raises(OperationRefused, match="another operation"):
            operations.refund_payment(**asked)
    assert len(merchant.posts("refund") + merchant.posts("void")) == 1


@pytest.mark.parametrize("key", ["", "no uuid", 7, "0" * 31, b"x", object()])
@pytest.mark.django_db(transaction=False)
def test_key_that_is_none_is_refused_before_anything(key: Any) -> None:
    with pytest.raises(OperationRefused, match="UUID"):
        operations.refund_payment(payment=Payment(uid="pay_1"), key=key)
    assert not Operation.objects.exists()


def test_second_call_with_the_key_waits_for_the_first(merchant: Merchant) -> None:
    payment, key = merchant.captured(), uuid.uuid4()
    merchant.sandbox.fault(REFUND, delay=0.5, times=1)
    first, second = at_once(*[lambda: operations.refund_payment(payment=payment, amount=5, key=key)] * 2)
    assert first == second
    assert len(merchant.posts("refund")) == 1
    assert Operation.objects.count() == 1


def test_second_call_does_not_wait_for_ever(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    payment, key = merchant.captured(), uuid.uuid4()
    monkeypatch.setattr(outcomes, "SAME_KEY_TIMEOUT", 0.3)
    merchant.sandbox.fault(REFUND, delay=1.5, times=1)
    results = at_once(*[lambda: operations.refund_payment(payment=payment, amount=5, key=key)] * 2)
    (error,) = [result for result in results if isinstance(result, Exception)]
    assert isinstance(error, OperationInProgress)
    assert len(merchant.posts("refund")) == 1


def test_other_key_on_the_same_payment_is_refused_while_one_is_open(merchant: Merchant) -> None:
    payment = merchant.captured()
    merchant.sandbox.fault(REFUND, delay=0.5, times=1)
    results = at_once(*[lambda: operations.refund_payment(payment=payment, amount=5, key=uuid.uuid4())] * 2)
    (error,) = [result for result in results if isinstance(result, Exception)]
    assert isinstance(error, OperationInProgress)
    assert "under way" in str(error)
    assert merchant.moved("refund", payment) == 5
    assert Operation.objects.count() == 1


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ({"status": 409, "body": '{"code":"conflict","message":"Not now."}'}, Conflict, "conflict"),
        ({"status": 429}, RateLimited, "rate_limited"),
        ({"status": 402, "body": '{"code":"card_declined","message":"No."}'}, PaymentDeclined, "card_declined"),
    ],
)
def test_failure_is_told_again_in_the_same_words(
    merchant: Merchant, fault: Any, kind: type[GovPayError], code: str
) -> None:
    payment, key = merchant.captured(), uuid.uuid4()
    merchant.sandbox.fault(REFUND, times=1, **fault)
    with pytest.raises(kind) as first:
        operations.refund_payment(payment=payment, amount=5, key=key)
    before = len(merchant.posts())
    with pytest.raises(kind) as second:
        operations.refund_payment(payment=payment, amount=5, key=key)
    assert str(second.value) == str(first.value)
    assert second.value.code == first.value.code == code  # type: ignore[attr-defined]
    assert second.value.request_id == first.value.request_id  # type: ignore[attr-defined]
    assert len(merchant.posts()) == before
    assert only(key=key).state == "failed"
    assert only(key=key).remote_request_id == first.value.request_id  # type: ignore[attr-defined]


def test_result_that_has_no_row_here_is_never_taken_for_nothing(merchant: Merchant) -> None:
    payment, key = merchant.captured(), uuid.uuid4()
    refund = operations.refund_payment(payment=payment, amount=5, key=key)
    refund.delete()
    with pytest.raises(OutcomeUnknown):
        operations.refund_payment(payment=payment, amount=5, key=key)
    assert len(merchant.posts("refund")) == 1


# --- Ways to end ----------------------------------------------------------------------------------


def test_what_never_left_has_failed_and_may_start_anew(merchant: Merchant, settings: Any, impatient: None) -> None:
    payment, here = merchant.captured(), settings.GOVPAY
    settings.GOVPAY = {**here, "API_URL": "http://127.0.0.1:9"}
    with pytest.raises(APIConnectionError):
        operations.refund_payment(payment=payment, amount=5)
    assert only().state == "failed"
    settings.GOVPAY = here
    operations.refund_payment(payment=payment, amount=5)
    assert merchant.moved("refund", payment) == 5


def test_refused_credentials_have_failed_and_may_start_anew(merchant: Merchant, heard: list[Any]) -> None:
    payment = merchant.captured()
    merchant.sandbox.fault(REFUND, status=403, times=1)
    with pytest.raises(AuthenticationError):
        operations.refund_payment(payment=payment, amount=5)
    assert only().state == "failed"
    assert heard == [("operation_finished", "refund failed", "operation")]
    operations.refund_payment(payment=payment, amount=5)
    assert merchant.moved("refund", payment) == 5


def test_token_endpoint_that_refuses_us_leaves_nothing_open(merchant: Merchant, settings: Any) -> None:
    payment = merchant.captured()
    settings.GOVPAY = {**settings.GOVPAY, "CLIENT_ID": "somebody-else"}
    with pytest.raises(AuthenticationError):
        operations.refund_payment(payment=payment, amount=5)
    assert only().state == "failed"
    assert not merchant.posts("refund")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, SoftTimeLimitExceeded])
def test_process_that_is_stopped_in_mid_call_leaves_the_outcome_open(
    merchant: Merchant, heard: list[Any], error: type[BaseException]
) -> None:
    payment = merchant.captured()
    merchant.sandbox.fault(REFUND, delay=0.6, times=1)

    def stop(*_: Any) -> None:
        raise error

    me = threading.get_ident()
    before = signal.signal(signal.SIGALRM, stop)
    try:
        # The platform has the request, and takes its time with the answer.
        with (
            merchant.while_it_acts(lambda: signal.pthread_kill(me, signal.SIGALRM)),
            pytest.raises(OutcomeUnknown if issubclass(error, Exception) else error),
        ):
            operations.refund_payment(payment=payment, amount=5)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert only().state == "unknown"
    assert "interrupted" in only().error
    assert error.__name__ not in only().error
    assert heard == []
    with pytest.raises(OperationRefused, match="not known"):
        operations.refund_payment(payment=payment, amount=5)
    merchant.pass_deadlines()
    # The platform is done with it by now.
    assert [entry["amount"] for entry in wait_for(lambda: merchant.ledger("refund", payment))] == [5]
    assert operations.reconcile().succeeded == 1
    assert len(merchant.posts("refund")) == 1


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_database_that_fails_at_closing_leaves_it_to_reconciliation(
    merchant: Merchant, heard: list[Any], error: type[Exception]
) -> None:
    payment = merchant.captured()
    with failing("UPDATE govpay_operation state", error), pytest.raises(OutcomeUnknown, match="could not be recorded"):
        operations.refund_payment(payment=payment, amount=5)
    operation = only()
    assert (operation.state, operation.result_uid) == ("started", "")
    assert operation.payment.transactions.filter(type="refund").count() == 0, "all or nothing"
    assert operations.reconcile().succeeded == 0, "not before the deadline"
    merchant.pass_deadlines()
    assert operations.reconcile().succeeded == 1
    assert refund_of(only()).amount == merchant.moved("refund", payment) == 5
    assert heard.count(("operation_finished", "refund succeeded", "operation")) == 1
    assert len(merchant.posts("refund")) == 1


def test_database_that_fails_at_closing_does_not_hide_what_the_platform_said(merchant: Merchant) -> None:
    payment = merchant.quoted(method=card("0002"))
    with failing("UPDATE govpay_operation state"), pytest.raises(PaymentDeclined):
        operations.capture_payment(payment=payment)
    assert only(action="capture").state == "started"
    merchant.pass_deadlines()
    assert operations.reconcile().failed == 1
    assert only(action="capture").error_class == "PaymentDeclined"
    assert Payment.objects.get().status == "failed"


def test_database_that_fails_afterwards_does_not_hide_the_success(merchant: Merchant, heard: list[Any]) -> None:
    payment = merchant.quoted()
    with failing("SELECT govpay_outboxsignal"):
        assert operations.capture_payment(payment=payment).status == "captured"
    assert OutboxSignal.objects.count() == 2
    operations.reconcile()
    assert sorted(name for name, what, _ in heard if what != "quote succeeded") == [
        "operation_finished",
        "payment_captured",
    ]


def test_attempt_whose_transaction_is_repeated_is_sent_once(merchant: Merchant) -> None:
    payment = merchant.captured()
    merchant.sandbox.fault(REFUND, times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        operations.refund_payment(payment=payment, amount=5)
    merchant.reconcile_all()
    reopened: list[str] = []

    def deadlock(run: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if len(reopened) == 1 and sql.startswith("SELECT"):
            reopened.append(sql)
            raise OperationalError("deadlock detected")
        if sql.startswith("UPDATE") and "earlier_attempts" in sql:
            reopened.append(sql)
        return run(sql, params, many, context)

    with connection.execute_wrapper(deadlock):
        assert operations.retry_operation(operation=only()).amount == 5
    assert [sql.partition(" ")[0] for sql in reopened] == ["UPDATE", "SELECT", "UPDATE"]
    assert (only().attempts, len(merchant.posts("refund"))) == (2, 2)
    assert merchant.moved("refund", payment) == 5


def test_call_that_begins_too_late_is_not_made(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = merchant.captured()
    monkeypatch.setattr(journal_model, "BEGINS_WITHIN", -MINUTE)
    with pytest.raises(APIConnectionError, match="Not sent"):
        operations.refund_payment(payment=payment)
    assert only().state == "failed"
    assert not merchant.posts("refund")


def test_answer_of_success_that_does_not_say_so_is_looked_up(merchant: Merchant) -> None:
    payment = merchant.quoted()
    body = json.dumps({"uid": payment.uid, "status": "on its way"})
    merchant.sandbox.fault(CAPTURE, times=1, status=200, body=body, act=True)
    assert operations.capture_payment(payment=payment).status == "captured", "the payment was read instead"
    assert len(merchant.posts("capture")) == 1
    assert Payment.objects.get().status == "captured"


def test_answer_that_no_row_can_be_made_of_is_looked_up(merchant: Merchant) -> None:
    payment = merchant.captured()
    body = f'{{"uid": "trx_1", "status": "succeeded", "note": {"[" * 60}{"]" * 60}}}'
    merchant.sandbox.fault(REFUND, times=1, status=201, body=body, act=True)
    with pytest.raises(OutcomeUnknown, match="could not be recorded"):
        operations.refund_payment(payment=payment, amount=5)
    assert operations.reconcile().succeeded == 1
    assert refund_of(only()).amount == 5


# --- Who, and where -------------------------------------------------------------------------------


def test_actor_is_recorded_when_there_is_one(merchant: Merchant) -> None:
    payment, user = merchant.captured(), User.objects.create_user("pat")
    operations.refund_payment(payment=payment, amount=1, actor=user)
    operations.refund_payment(payment=payment, amount=2, actor=AnonymousUser())
    operations.refund_payment(payment=payment, amount=3)
    assert list(Operation.objects.order_by("amount").values_list("actor", flat=True)) == [user.pk, None, None]


def test_request_id_of_the_platform_is_kept_on_success(merchant: Merchant) -> None:
    payment = merchant.captured()
    operations.refund_payment(payment=payment, amount=1)
    assert only().remote_request_id == merchant.posts("refund")[0]["request_id"]


def test_inside_a_transaction_it_fails_loudly_before_anything(merchant: Merchant) -> None:
    payment, before = merchant.captured(), len(merchant.sandbox.requests())
    with pytest.raises(RuntimeError, match="Nothing was sent"), transaction.atomic():
        operations.refund_payment(payment=payment, amount=1)
    with pytest.raises(RuntimeError, match="Nothing was sent"), transaction.atomic():
        operations.reconcile()
    transaction.set_autocommit(False)
    try:
        with pytest.raises(RuntimeError, match="Nothing was sent"):
            operations.refund_payment(payment=payment, amount=1)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert len(merchant.sandbox.requests()) == before
    assert not Operation.objects.exists()


def refund_it(request: HttpRequest) -> HttpResponse:
    return HttpResponse(operations.refund_payment(payment=Payment.objects.get(), amount=1).uid)


@transaction.non_atomic_requests
def refund_it_outside(request: HttpRequest) -> HttpResponse:
    return refund_it(request)


urlpatterns = [path("refund/", refund_it), path("exempt/", refund_it_outside)]


@pytest.mark.urls(__name__)
def test_view_under_atomic_requests_fails_loudly_unless_exempted(merchant: Merchant) -> None:
    """A rollback of the view would also roll back the journal row of a request that was sent."""
    payment = merchant.captured()
    connections.settings["default"]["ATOMIC_REQUESTS"] = True
    try:
        with pytest.raises(RuntimeError, match="ATOMIC_REQUESTS"):
            Client().get("/refund/")
        assert not merchant.posts("refund")
        assert Client().get("/exempt/").status_code == 200
    finally:
        connections.settings["default"]["ATOMIC_REQUESTS"] = False
    assert merchant.moved("refund", payment) == 1


# --- Budgets --------------------------------------------------------------------------------------


def statements(captured: CaptureQueriesContext) -> list[str]:
    """Without what begins and ends transactions."""
    words = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    return [query["sql"] for query in captured.captured_queries if not query["sql"].startswith(words)]


@pytest.mark.parametrize("action", ["capture", "void", "refund", "refund the rest"])
def test_action_costs_one_write_and_ten_statements_and_holds_nothing_meanwhile(merchant: Merchant, action: str) -> None:
    payment = merchant.captured() if action.startswith("refund") else merchant.quoted()
    ours, states, written = connections["default"], [], []

    def look() -> None:
        states.append((ours.in_atomic_block, ours.get_autocommit() if ours.connection else True))
        # Another connection can write the very rows: no lock is held on them.
        written.append(Payment.objects.filter(pk=payment.pk).update(raw={}) and Operation.objects.update(reason="x"))
        connections.close_all()

    work = {
        "capture": lambda: operations.capture_payment(payment=payment, key=uuid.uuid4()),
        "void": lambda: operations.void_payment(payment=payment, key=uuid.uuid4()),
        "refund": lambda: operations.refund_payment(payment=payment, amount=5, key=uuid.uuid4()),
        "refund the rest": lambda: operations.refund_payment(payment=payment, key=uuid.uuid4()),
    }[action]
    with merchant.while_it_acts(look), CaptureQueriesContext(connection) as captured:
        work()
    assert len(statements(captured)) <= 10, "\n".join(statements(captured))
    assert states == [(False, True)]
    assert written[0] >= 1
    assert len(merchant.posts(f"/{payment.uid}/")) == 1

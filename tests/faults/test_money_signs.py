"""M8, M9, M11: effects that show late, in one place only, or differently from the answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from govpay import operations
from govpay.exceptions import GovPayError, InvalidRequest, OperationInProgress, OperationRefused, OutcomeUnknown
from govpay.models import Operation, Payment, SavedPaymentMethod, WebhookEvent
from govpay.models.choices import OperationAttention
from govpay.operations import journal
from govpay.operations.reconciliation import reconcile_one
from govpay.sync.pull import pull
from tests.events import deliver
from tests.faults.matrix import add_customer
from tests.operations.merchant import Merchant, at_once, card, listening, only

pytestmark = pytest.mark.django_db(transaction=True)

MONEY = ("capture", "refund", "void")
TRANSACTIONS, PAYMENT = "GET /api/transactions", "GET /api/payments/{uid}"


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None, settings: Any) -> Merchant:
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    return Merchant(sandbox)


def subject(merchant: Merchant, action: str) -> Payment:
    """Made long before, so that a read that lags shows it as it was."""
    payment = merchant.captured() if action == "refund" else merchant.quoted()
    merchant.sandbox.advance(300)
    return payment


def ask(action: str, payment: Payment, **given: Any) -> Any:
    amount = {"amount": 2_000} if action == "refund" else {}
    return getattr(operations, f"{action}_payment")(payment=payment, **{**amount, **given})


def lose(merchant: Merchant, action: str, payment: Payment, **fault: Any) -> Operation:
    merchant.sandbox.fault(f"POST /api/payments/{{uid}}/{action}", times=1, **fault)
    with pytest.raises(OutcomeUnknown) as error:
        ask(action, payment)
    return only(key=error.value.operation_key)


def now(operation: Operation) -> Operation:
    return Operation.objects.get(pk=operation.pk)


def done(merchant: Merchant, action: str, payment: Payment) -> int:
    return sum(entry["kind"] == action for entry in merchant.ledger("", payment))


def posts(merchant: Merchant, action: str, payment: Payment) -> list[dict[str, Any]]:
    return merchant.posts(f"{payment.uid}/{action}")


def stays_unknown(merchant: Merchant, operation: Operation) -> None:
    """However often it is looked up, and however long ago the call was."""
    for _ in range(2):
        merchant.reconcile_all()
        assert (now(operation).state, now(operation).absent_at) == ("unknown", None)
    assert now(operation).look_up_error
    with pytest.raises(OperationRefused, match="not known yet"):
        ask(operation.action, Payment.objects.get(uid=operation.payment_id))


def not_executed(merchant: Merchant, action: str, payment: Payment, **fault: Any) -> Operation:
    operation = lose(merchant, action, payment, **fault)
    assert merchant.reconcile_all().failed == 1
    operation = now(operation)
    assert (operation.state, operation.attention) == ("failed", "not_executed")
    return operation


# --- M8: signs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"lag": 120.0}, {"body": "[]"}])
def test_refund_that_no_list_shows_for_two_minutes(merchant: Merchant, how: dict[str, Any]) -> None:
    """M8: the payment shows it, so that it is never "not executed"; the list settles it."""
    payment = subject(merchant, "refund")
    lists = merchant.sandbox.fault(TRANSACTIONS, **how)
    operation = lose(merchant, "refund", payment, close="after")
    stays_unknown(merchant, operation)
    merchant.sandbox.advance(121)
    if "body" in how:
        lists.times = 0
    assert operations.reconcile().succeeded == 1
    assert (now(operation).state, done(merchant, "refund", payment)) == ("succeeded", 1)
    assert len(posts(merchant, "refund", payment)) == 1


@pytest.mark.parametrize("action", ["capture", "void"])
def test_capture_or_void_whose_payment_lags(merchant: Merchant, action: str) -> None:
    """M8: its transaction shows it, while the payment itself is read as it was."""
    payment = subject(merchant, action)
    merchant.sandbox.fault(PAYMENT, lag=120.0)
    operation = lose(merchant, action, payment, close="after")
    stays_unknown(merchant, operation)
    merchant.sandbox.advance(121)
    assert operations.reconcile().succeeded == 1
    assert (now(operation).state, done(merchant, action, payment)) == ("succeeded", 1)
    assert len(posts(merchant, action, payment)) == 1


@pytest.mark.parametrize("action", MONEY)
def test_mirror_is_a_place_where_an_effect_shows(merchant: Merchant, action: str) -> None:
    """M8: a sync has brought it; the reads of the look-up lag all the same."""
    payment = subject(merchant, action)
    operation = lose(merchant, action, payment, close="after")
    merchant.sync()
    for route in (TRANSACTIONS, PAYMENT, "GET /api/transactions/{uid}"):
        merchant.sandbox.fault(route, lag=120.0)
    stays_unknown(merchant, operation)
    merchant.sandbox.clear_faults()
    assert operations.reconcile().succeeded == 1


@pytest.mark.parametrize("action", ["capture", "refund"])
def test_event_is_a_sign(merchant: Merchant, action: str) -> None:
    """M8: an event has told of it, and every read lags."""
    merchant.sandbox.hold_webhooks()
    merchant.sandbox.subscribe(merchant.account.uid, "http://127.0.0.1:9/")
    payment = subject(merchant, action)
    merchant.sandbox.fault("GET *", lag=120.0)
    operation = lose(merchant, action, payment, close="after")
    (payload,) = [each["payload"] for each in merchant.sandbox.deliveries(merchant.account.uid)][-1:]
    assert (
        deliver(merchant.account.uid, payload, merchant.sandbox.webhook_secret(merchant.account.uid)).status_code == 200
    )
    assert WebhookEvent.objects.count() == 1
    stays_unknown(merchant, operation)
    merchant.sandbox.advance(121)
    assert operations.reconcile().succeeded == 1


def test_saved_method_that_its_list_does_not_show(merchant: Merchant) -> None:
    """M8: the customer has changed, so that it is never "not executed"."""
    owner = add_customer(merchant)
    merchant.sandbox.advance(300)
    merchant.sandbox.fault("GET /api/customers/{uid}/payment-methods", lag=120.0)
    merchant.sandbox.fault("POST /api/customers/{uid}/payment-methods", times=1, close="after")
    key, method = uuid.uuid4(), card()
    for _ in range(3):
        with pytest.raises(OutcomeUnknown):
            operations.save_payment_method(customer=owner, payment_method=method, key=key)
        merchant.reconcile_all()
        assert only(key=key).state == "unknown"
    merchant.sandbox.advance(121)
    assert operations.reconcile().succeeded == 1
    assert (
        len(merchant.sandbox.methods(owner.uid)) == SavedPaymentMethod.objects.filter(customer=owner.uid).count() == 1
    )


def test_sign_that_appears_starts_the_time_of_absence_again(merchant: Merchant) -> None:
    """M8: absent, then a sign, then absent: the first absence counts for nothing any more."""
    payment = subject(merchant, "refund")
    operation = lose(merchant, "refund", payment, close="before")
    merchant.pass_deadlines()
    operations.reconcile()
    assert now(operation).absent_at is not None
    seen = merchant.sandbox.fault(PAYMENT, alter="refunded_amount:2000,status:partially_refunded")
    merchant.pass_absent_after()
    operations.reconcile()
    assert (now(operation).state, now(operation).absent_at) == ("unknown", None)
    seen.times = 0
    operations.reconcile()
    assert now(operation).state == "unknown"
    merchant.pass_absent_after()
    assert operations.reconcile().failed == 1


@pytest.mark.parametrize("action", ["capture", "void"])
def test_capture_or_void_that_was_given_up_is_turned(merchant: Merchant, action: str) -> None:
    """M8: every read lagged for longer than two reads take. The payment shows it later: a review item."""
    payment = subject(merchant, action)
    for route in (TRANSACTIONS, PAYMENT):
        merchant.sandbox.fault(route, lag=120.0)
    operation = not_executed(merchant, action, payment, close="after")
    merchant.sandbox.clear_faults()
    merchant.sync()
    with listening() as heard:
        assert operations.reconcile().late_failures == 1
    row = now(operation)
    assert (row.state, row.attention, row.error) == ("succeeded", OperationAttention.CONTRADICTED, "")
    assert ("operation_finished", f"{action} succeeded", "sync") in heard
    assert done(merchant, action, payment) == 1


def test_sign_that_try_again_meets_opens_the_operation_again(merchant: Merchant) -> None:
    """M8: closed as not executed; nothing is sent, and it is looked up until the list shows it."""
    payment = subject(merchant, "refund")
    hidden = [merchant.sandbox.fault(route, lag=120.0) for route in (TRANSACTIONS, PAYMENT)]
    operation = not_executed(merchant, "refund", payment, close="after")
    hidden[1].times = 0
    with pytest.raises(OutcomeUnknown, match="Nothing was sent"):
        operations.retry_operation(operation=operation)
    assert now(operation).state == "unknown"
    merchant.sandbox.clear_faults()
    assert operations.reconcile().succeeded == 1
    assert (now(operation).state, done(merchant, "refund", payment)) == ("succeeded", 1)
    assert len(posts(merchant, "refund", payment)) == 1


def test_sign_met_while_another_operation_of_the_payment_is_open(merchant: Merchant) -> None:
    """M8: the sign may be the other one's; the first waits for it."""
    payment = subject(merchant, "refund")
    first = not_executed(merchant, "refund", payment, close="before")
    merchant.sandbox.fault(TRANSACTIONS, lag=120.0)
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, close="after")
    with pytest.raises(OutcomeUnknown):
        operations.refund_payment(payment=payment, amount=300, confirm_second_refund=True)
    with pytest.raises(OperationRefused, match="not known yet"):
        operations.retry_operation(operation=first)
    assert now(first).state == "failed"
    assert merchant.moved("refund", payment) == 300


# --- M9: the platform acts late ------------------------------------------------------------------

AGAIN: dict[str, Callable[[Operation, Payment], Any]] = {
    "try again": lambda operation, payment: operations.retry_operation(operation=operation),
    "same key": lambda operation, payment: ask(operation.action, payment, key=operation.key),
    "no key": lambda operation, payment: ask(operation.action, payment),
}


@pytest.mark.parametrize("how", AGAIN)
@pytest.mark.parametrize("late", [100, 1_000, 3_600])
def test_refund_that_the_platform_makes_late(merchant: Merchant, how: str, late: int) -> None:
    """M9: tried again under its own reference, so that the late one is the platform's duplicate (A10)."""
    payment = subject(merchant, "refund")
    operation = not_executed(merchant, "refund", payment, act_after=float(late))
    row = AGAIN[how](operation, payment)
    merchant.sandbox.advance(late)
    assert [(each["status"], each["code"]) for each in merchant.sandbox.late_requests()] == [(409, "duplicate_refund")]
    assert (merchant.moved("refund", payment), row.reference_id) == (2_000, operation.reference_id)
    assert Operation.objects.filter(action="refund").count() == 1
    again = now(operation)
    assert (again.state, again.attempts, again.key, again.result_uid) == ("succeeded", 2, operation.key, row.uid)
    assert {post["idempotency_key"] for post in posts(merchant, "refund", payment)} == {str(operation.key)}


@pytest.mark.parametrize("action", ["capture", "void"])
def test_capture_or_void_that_the_platform_makes_late(merchant: Merchant, action: str) -> None:
    """M9: its conflict guards the second one."""
    payment = subject(merchant, action)
    operation = not_executed(merchant, action, payment, act_after=100.0)
    operations.retry_operation(operation=operation)
    merchant.sandbox.advance(100)
    assert [each["status"] for each in merchant.sandbox.late_requests()] == [409]
    assert (done(merchant, action, payment), now(operation).state, now(operation).attempts) == (1, "succeeded", 2)


@pytest.mark.parametrize("action", MONEY)
@pytest.mark.parametrize("lists", ["fresh", "lagging"])
def test_late_one_arrives_before_try_again(merchant: Merchant, action: str, lists: str) -> None:
    """M9: found by the read before, nothing is sent; where every read lags, the platform refuses the second."""
    payment = subject(merchant, action)
    operation = not_executed(merchant, action, payment, act_after=100.0)
    merchant.sandbox.advance(100)
    if lists == "lagging":
        merchant.sandbox.fault("GET *", lag=90.0)
        with pytest.raises(OutcomeUnknown):
            operations.retry_operation(operation=operation)
        merchant.sandbox.advance(91)
        assert operations.reconcile().succeeded == 1
    else:
        operations.retry_operation(operation=operation)
    assert len(posts(merchant, action, payment)) == (2 if lists == "lagging" else 1)
    assert (done(merchant, action, payment), now(operation).state) == (1, "succeeded")


REFUSALS: list[dict[str, Any]] = [{"status": status} for status in (400, 402, 403, 404, 405, 409, 410, 422, 429)]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refusal_of_the_second_attempt_says_nothing_of_the_first(merchant: Merchant, refusal: dict[str, Any]) -> None:
    """M9: whoever wants it still gets the same reference, since the first one may arrive all the same."""
    payment = subject(merchant, "refund")
    operation = not_executed(merchant, "refund", payment, act_after=1_000.0)
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, **refusal)
    with pytest.raises(GovPayError):
        operations.retry_operation(operation=operation)
    assert (now(operation).state, now(operation).attempts) == ("failed", 2)
    with pytest.raises(OperationRefused, match="Try that one again"):
        operations.refund_payment(payment=payment, amount=2_000, key=uuid.uuid4())
    with pytest.raises(OperationRefused, match="confirm"):
        operations.refund_payment(payment=payment, amount=1_999)
    operations.refund_payment(payment=payment, amount=2_000)
    merchant.sandbox.advance(1_000)
    assert (merchant.moved("refund", payment), now(operation).attempts) == (2_000, 3)


def test_token_refused_at_the_second_attempt_says_nothing_of_the_first(merchant: Merchant) -> None:
    """M9: the second was never let in; the first may arrive."""
    payment = subject(merchant, "refund")
    operation = not_executed(merchant, "refund", payment, act_after=1_000.0)
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=2, status=401)
    with pytest.raises(GovPayError):
        operations.retry_operation(operation=operation)
    operations.refund_payment(payment=payment, amount=2_000)
    merchant.sandbox.advance(1_000)
    assert (merchant.moved("refund", payment), now(operation).attempts) == (2_000, 3)


def test_late_one_that_comes_after_a_refused_second_attempt_is_found(merchant: Merchant) -> None:
    """M9: the journal said failed; the platform's transaction says otherwise: turned, with a review item."""
    payment = subject(merchant, "refund")
    operation = not_executed(merchant, "refund", payment, act_after=1_000.0)
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, status=422)
    with pytest.raises(InvalidRequest):
        operations.retry_operation(operation=operation)
    merchant.sandbox.advance(1_000)
    merchant.sync()
    operations.reconcile()
    assert (now(operation).state, now(operation).attention) == ("succeeded", OperationAttention.CONTRADICTED)
    assert merchant.moved("refund", payment) == 2_000


def test_definite_refusal_ends_an_operation(merchant: Merchant) -> None:
    """M9: nothing of it may arrive, so that a new one has a reference of its own."""
    payment = subject(merchant, "refund")
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, status=422)
    with pytest.raises(InvalidRequest):
        operations.refund_payment(payment=payment, amount=2_000)
    first = Operation.objects.get(action="refund")
    with pytest.raises(InvalidRequest):
        operations.retry_operation(operation=first)
    row = operations.refund_payment(payment=payment, amount=2_000)
    assert row.reference_id not in ("", first.reference_id)
    assert (Operation.objects.filter(action="refund").count(), now(first).attempts) == (2, 1)


def test_another_amount_beside_one_that_may_arrive_is_confirmed(merchant: Merchant) -> None:
    """M9: two wishes, and whoever wants the second says so."""
    payment = subject(merchant, "refund")
    not_executed(merchant, "refund", payment, act_after=1_000.0)
    for given in ({}, {"key": uuid.uuid4()}):
        with pytest.raises(OperationRefused, match="confirm") as refused:
            operations.refund_payment(payment=payment, amount=500, **given)
        assert refused.value.field == "confirm_second_refund"
    assert len(posts(merchant, "refund", payment)) == 1
    operations.refund_payment(payment=payment, amount=500, confirm_second_refund=True)
    merchant.sandbox.advance(1_000)
    assert merchant.moved("refund", payment) == 2_500


def test_all_that_is_left_stays_the_amount_of_the_first_attempt(merchant: Merchant) -> None:
    """M9: the same reference never carries another amount."""
    payment, key = subject(merchant, "refund"), uuid.uuid4()
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, act_after=1_000.0)
    with pytest.raises(OutcomeUnknown):
        operations.refund_payment(payment=payment, key=key)
    assert merchant.reconcile_all().failed == 1
    merchant.sandbox.refund(payment.uid, 300, "elsewhere")
    merchant.sync()
    for given in ({"key": key}, {}):
        with pytest.raises((OperationRefused, InvalidRequest)):
            operations.refund_payment(payment=payment, amount=None, **given) if given else operations.retry_operation(
                operation=only(key=key)
            )
    assert only(key=key).amount == payment.total_amount
    assert len(posts(merchant, "refund", payment)) == 1


@pytest.mark.parametrize("action", MONEY)
def test_try_again_is_pressed_twice_at_once(merchant: Merchant, action: str) -> None:
    """M9, M1: one POST; the second press is told what the first came to."""
    payment = subject(merchant, action)
    operation = not_executed(merchant, action, payment, close="before")
    results = at_once(*[lambda: operations.retry_operation(operation=operation)] * 2)
    assert len({row.pk for row in results}) == 1, results
    assert len(posts(merchant, action, payment)) == 2
    assert (done(merchant, action, payment), now(operation).attempts) == (1, 2)


def test_try_again_under_eight_threads(merchant: Merchant) -> None:
    """M9, M1: with its key, without, by the button: one attempt and one effect."""
    payment = subject(merchant, "refund")
    operation = not_executed(merchant, "refund", payment, act_after=1_000.0)
    jobs = [lambda how=how: how(operation, payment) for how in AGAIN.values()] * 3
    for result in at_once(*jobs[:8]):
        assert getattr(result, "reference_id", operation.reference_id) == operation.reference_id
        assert not isinstance(result, Exception) or isinstance(result, OperationInProgress | OperationRefused), result
    merchant.sandbox.advance(1_000)
    assert merchant.moved("refund", payment) == 2_000
    assert (len(posts(merchant, "refund", payment)), Operation.objects.filter(action="refund").count()) == (2, 1)


@pytest.mark.parametrize("action", MONEY)
def test_slow_reconciler_says_nothing_of_a_later_attempt(merchant: Merchant, action: str) -> None:
    """M9: it has read before the second attempt was sent; what it did not find is the first."""
    payment = subject(merchant, action)
    operation = lose(merchant, action, payment, close="before")
    merchant.pass_deadlines()
    operations.reconcile()
    merchant.pass_absent_after()
    slow = now(operation)  # as another process has read it
    assert operations.reconcile().failed == 1
    merchant.sandbox.fault(f"POST /api/payments/{{uid}}/{action}", times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        operations.retry_operation(operation=operation)
    reconcile_one(slow)
    row = now(operation)
    assert (row.state, row.attempts, row.absent_at) == ("unknown", 2, None)


def test_slow_process_says_nothing_of_a_later_attempt(merchant: Merchant) -> None:
    """M9: the process of the first attempt wakes up with an error of its own, while the second is under way."""
    payment = subject(merchant, "refund")
    operation = lose(merchant, "refund", payment, close="before")
    slow = now(operation)
    merchant.reconcile_all()
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, close="before")
    with pytest.raises(OutcomeUnknown):
        operations.retry_operation(operation=operation)
    journal.JournalEntry(slow).close(InvalidRequest("no"))
    assert (now(operation).state, now(operation).attempts) == ("unknown", 2)


# --- M11: answers that say nothing, or something else ---------------------------------------------

NOTHING: dict[str, dict[str, Any]] = {
    "202": {"status": 202, "act": True},
    "202 without content": {"status": 202, "act": True, "body": ""},
    "204": {"status": 204, "act": True, "body": ""},
    "something else": {"status": 200, "act": True, "body": '{"uid": "another", "reference_id": "another"}'},
    "200 and {}": {"status": 200, "act": True, "body": "{}"},
    "no status": {"leave_out": "status"},
    "null status": {"null": "status"},
    "another status": {"alter": "status:odd"},
    "another amount": {"alter": "amount:1,total_amount:1"},
    "another currency": {"alter": "currency:EUR"},
    "another payment": {"alter": "payment_uid:pay_other,uid:pay_other"},
    "another type": {"alter": "type:chargeback,currency:EUR"},
    "another reference": {"alter": "reference_id:other,total_amount:1"},
}


@pytest.mark.parametrize("action", MONEY)
@pytest.mark.parametrize("kind", [*NOTHING, "202 and not acted"])
def test_answer_that_is_no_success(merchant: Merchant, action: str, kind: str) -> None:
    """M11: no signal is sent and nothing is stored until a read says so; then what is so is told, once."""
    payment, acts = subject(merchant, action), kind in NOTHING
    reads = merchant.sandbox.fault("GET *", status=503)
    with listening() as heard:
        operation = lose(merchant, action, payment, **NOTHING.get(kind, {"status": 202}))
        operations.reconcile()
        before = Payment.objects.get(uid=payment.uid)
        assert (before.status, before.total_amount, heard) == (payment.status, payment.total_amount, [])
        assert (Payment.objects.count(), now(operation).state) == (1, "unknown")
        reads.times = 0
        merchant.reconcile_all()
    assert now(operation).state == ("succeeded" if acts else "failed")
    assert done(merchant, action, payment) == acts
    ended = ("operation_finished", f"{action} {now(operation).state}", "operation")
    moved = [] if action == "void" or not acts else [(f"payment_{action}{'ed'[action == 'capture' :]}", payment.uid)]
    assert [each for each in heard if each[0] == "operation_finished"] == [ended]
    assert [each[:2] for each in heard if each[0] != "operation_finished"] == moved
    assert len(posts(merchant, action, payment)) == 1


@pytest.mark.parametrize("action", MONEY)
@pytest.mark.parametrize("kind", NOTHING)
def test_answer_that_is_no_success_is_read_at_once(merchant: Merchant, action: str, kind: str) -> None:
    """M11: where the platform can be read, the caller gets what is so."""
    payment = subject(merchant, action)
    merchant.sandbox.fault(f"POST /api/payments/{{uid}}/{action}", times=1, **NOTHING[kind])
    ask(action, payment)
    row = Payment.objects.get()
    assert row.raw == merchant.sandbox.get("payment", payment.uid)
    assert (Operation.objects.get(action=action).state, done(merchant, action, payment)) == ("succeeded", 1)


@pytest.mark.parametrize("kind", ["base_amount:1", "currency:EUR", "reference_id:other", "status:odd"])
def test_quote_that_was_answered_otherwise_is_read(merchant: Merchant, kind: str) -> None:
    """M11: what staff are shown, and what is captured, is what the platform has."""
    merchant.sandbox.fault("POST /api/payments", times=1, alter=kind)
    payment = merchant.quoted(base=7_000)
    assert (payment.base_amount, payment.currency) == (7_000, "USD")
    assert payment.raw == merchant.sandbox.get("payment", payment.uid)


@pytest.mark.parametrize("closed", [False, True])
def test_our_reference_with_another_amount_is_a_review_item(merchant: Merchant, closed: bool) -> None:
    """M11: neither done nor not done; a person looks, once for each time that it changes."""
    payment = subject(merchant, "refund")
    operation = lose(merchant, "refund", payment, close="before")
    if closed:
        merchant.reconcile_all()
    merchant.sandbox.refund(payment.uid, 77, operation.reference_id)
    with listening() as heard:
        merchant.sync()
        for _ in range(2):
            merchant.reconcile_all()
    row = now(operation)
    assert (row.state, row.attention) == ("failed" if closed else "unknown", OperationAttention.MISMATCH)
    assert [each for each in heard if each[0] == "operation_finished"] == []
    if closed:
        Operation.objects.filter(pk=row.pk).update(attention="")  # dealt with
        operations.reconcile()
        assert now(operation).attention == ""
        with pytest.raises(OperationRefused):
            operations.retry_operation(operation=operation)
    assert len(posts(merchant, "refund", payment)) == 1


def full(merchant: Merchant) -> None:
    for name in ("payments", "transactions"):
        assert pull(name, merchant.account.uid, full=True).state == "succeeded"


def _remove_refund(merchant: Merchant, payment: Payment, operation: Operation) -> None:
    merchant.sandbox.remove("transaction", operation.result_uid)


def _touch_refund(**changes: Any) -> Any:
    return lambda merchant, payment, operation: merchant.sandbox.touch("transaction", operation.result_uid, **changes)


def _touch_payment(**changes: Any) -> Any:
    return lambda merchant, payment, operation: merchant.sandbox.touch("payment", payment.uid, **changes)


def _remove_payment(merchant: Merchant, payment: Payment, operation: Operation) -> None:
    merchant.sandbox.remove("payment", payment.uid)


DIVERGENCES: dict[str, tuple[str, Any]] = {
    "capture set back": ("capture", _touch_payment(status="validated", captured_at=None)),
    "capture expired": ("capture", _touch_payment(status="expired", captured_at=None)),
    "captured payment gone": ("capture", _remove_payment),
    "void set back": ("void", _touch_payment(status="captured")),
    "voided payment gone": ("void", _remove_payment),
    "refund gone": ("refund", _remove_refund),
    "refund of another amount": ("refund", _touch_refund(amount=1)),
    "refund of another currency": ("refund", _touch_refund(currency="EUR")),
    "refund of another payment": ("refund", _touch_refund(payment_uid="pay_other")),
    "refund of another type": ("refund", _touch_refund(type="chargeback")),
    "refunded payment set back": ("refund", _touch_payment(status="captured", refunded_amount=0)),
    "refunded payment gone": ("refund", _remove_payment),
}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_success_that_the_platform_takes_back_is_a_review_item(merchant: Merchant, name: str) -> None:
    """M11: whoever brings the change, and always; the journal keeps what it was told."""
    action, happens = DIVERGENCES[name]
    payment = subject(merchant, action)
    ask(action, payment)
    operation = Operation.objects.get(action=action)
    full(merchant)
    assert now(operation).attention == ""
    happens(merchant, payment, operation)
    full(merchant)
    operations.reconcile()
    assert (now(operation).state, now(operation).attention) == ("succeeded", OperationAttention.DIVERGED)

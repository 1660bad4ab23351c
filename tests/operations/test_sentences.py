"""Staff read sentences: labels instead of codes, and the platform's request id apart from the text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from django.utils.translation import override

from govpay import operations
from govpay.admin.messages import open_operation_alert, open_operation_reason, outcome_of_error
from govpay.exceptions import GovPayError, OperationInProgress, OperationRefused, OutcomeUnknown
from govpay.models import HostedSession, Operation, Payment, PaymentLink
from govpay.models.choices import LinkState, OperationAction, OperationState, PaymentStatus, SessionStatus, label_of
from govpay.operations import outcomes
from govpay.operations.manual_resolution import resolve_manually
from govpay.review.items import ended_item, unknown_item
from tests.operations.merchant import Merchant, card, only

#: A name of the wire (``partially_refunded``, ``capture_payment``), a request id in brackets, a Python class.
CODE = re.compile(r"\w+_\w+|\[|\w+(Error|Exception|Interrupt)\b")

ACT: dict[str, Callable[[Payment], Any]] = {
    "capture": lambda payment: operations.capture_payment(payment=payment),
    "refund": lambda payment: operations.refund_payment(payment=payment, amount=5),
    "void": lambda payment: operations.void_payment(payment=payment),
}
each_action = pytest.mark.parametrize("action", ACT)


def refusal(act: Callable[[], Any], kind: type[GovPayError] = GovPayError) -> GovPayError:
    """The error of ``act``, whose text and whose message for staff name no code."""
    with pytest.raises(kind) as caught:
        act()
    said = outcome_of_error(caught.value)
    for text in (str(caught.value), str(said), *Operation.objects.values_list("error", flat=True)):
        assert not CODE.search(text), text
        assert "req_" not in text
    for operation in Operation.objects.exclude(error=""):
        alert = open_operation_alert(operation)
        texts = [alert.title, *alert.lines[:2], open_operation_reason(operation)]
        items = (unknown_item(operation, timezone.now()), ended_item(operation))
        texts += [text for item in items for text in (item.what, item.known, item.next)]
        assert not [text for text in texts if CODE.search(text)]
    return caught.value


def payment_with(merchant: Merchant, status: str) -> Payment:
    payment = merchant.captured()
    Payment.objects.filter(pk=payment.pk).update(status=status)
    payment.refresh_from_db()
    return payment


FORBIDDEN = {
    "capture": [each for each in PaymentStatus.values if each != "validated"],
    "void": [each for each in PaymentStatus.values if each not in ("validated", "captured")],
    "refund": [each for each in PaymentStatus.values if each not in ("captured", "partially_refunded")],
}


@pytest.mark.parametrize(
    ("action", "status"), [(action, status) for action, statuses in FORBIDDEN.items() for status in statuses]
)
@pytest.mark.parametrize("language", ["en", "es"])
def test_a_status_is_named_by_its_label(merchant: Merchant, action: str, status: str, language: str) -> None:
    payment = payment_with(merchant, status)
    with override(language):
        error = refusal(lambda: ACT[action](payment), OperationRefused)
        assert label_of(status, PaymentStatus) in str(error)
    assert (label_of(status, PaymentStatus) in str(error)) == (language == "en")
    assert not merchant.posts()


@each_action
def test_a_payment_that_changed_since_it_was_shown(merchant: Merchant, action: str) -> None:
    seen = operations.Snapshot(status="partially_refunded", total=None, refundable=None, currency="")
    payment = payment_with(merchant, "charged_back")
    act = getattr(operations, f"{action}_payment")
    error = refusal(lambda: act(payment=payment, seen=seen), OperationRefused)
    assert "Its status now: Charged back." in str(error)


#: What the platform may answer to a write: options of the sandbox's fault.
ANSWERS: list[dict[str, Any]] = [
    *(
        {"status": status, "body": json.dumps({"code": "some_code", "message": "No.", "request_id": "req_7"})}
        for status in (400, 401, 402, 403, 404, 409, 410, 422, 429, 500, 503)
    ),
    *({"status": status, "body": json.dumps({"code": "insufficient_funds"})} for status in (402, 409)),
    *({"status": 200, "body": body} for body in ("", "{}", "[]", "no", '{"uid": "x"}', '{"uid": 5}')),
    {"status": 202, "body": "{}"},
    {"status": 302, "body": "moved"},
    {"close": "before"},
    {"close": "after"},
]


@each_action
@pytest.mark.parametrize("answer", ANSWERS, ids=str)
def test_every_answer_of_the_platform_is_told_in_words(merchant: Merchant, action: str, answer: dict[str, Any]) -> None:
    payment = merchant.quoted() if action == "capture" else merchant.captured()
    merchant.sandbox.fault(f"POST /api/payments/{payment.uid}/{action}", **answer)
    try:
        error = refusal(lambda: ACT[action](payment))
    except pytest.fail.Exception:
        assert answer in ({"close": "after"}, {"status": 200, "body": '{"uid": "x"}'}), "the platform did it after all"
        return
    if "req_7" in answer.get("body", ""):
        assert error.request_id == "req_7"  # type: ignore[attr-defined]
        assert "req_7" in outcome_of_error(error).detail
        assert only(action=action).remote_request_id == "req_7"


@pytest.mark.parametrize("status", ["failed", "charged_back", "expired", "refunded", "odd_one"])
@each_action
def test_an_answer_of_another_status(merchant: Merchant, action: str, status: str) -> None:
    payment = merchant.quoted() if action == "capture" else merchant.captured()
    body = {**payment.raw, "status": status, "decline_code": "card_declined"}
    if action == "refund":
        body = {"uid": "trx_1", "status": status, "reason_code": "closed_account", "amount": 5, "currency": "USD"}
    merchant.sandbox.fault(f"POST /api/payments/{payment.uid}/{action}", status=200, body=json.dumps(body))
    merchant.sandbox.fault(f"GET /api/payments/{payment.uid}", status=200, body=json.dumps(body))
    captured = action == "capture" and status in ("charged_back", "refunded")
    if not captured:
        refusal(lambda: ACT[action](payment))


@each_action
def test_an_open_operation_is_named_by_its_label(merchant: Merchant, action: str) -> None:
    payment = merchant.quoted() if action == "capture" else merchant.captured()
    merchant.sandbox.fault(f"POST /api/payments/{payment.uid}/{action}", close="before")
    refusal(lambda: ACT[action](payment), OutcomeUnknown)
    for other in ACT:
        error = refusal(lambda other=other: ACT[other](payment), OperationRefused)  # type: ignore[misc]
        assert f"{label_of(action, OperationAction)}. It is being looked up" in str(error)


@pytest.mark.parametrize("action", OperationAction.values)
def test_the_outcome_of_an_earlier_call_is_told_again(
    merchant: Merchant, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "SAME_KEY_TIMEOUT", 0.0)
    soon = timezone.now() + timezone.timedelta(seconds=60)
    row = Operation.objects.create(action=action, state="started", deadline_at=soon)
    error = refusal(lambda: outcomes.outcome_again(row, Payment), OperationInProgress)
    assert str(label_of(action, OperationAction)) in str(error)
    row.state = OperationState.UNKNOWN
    assert str(label_of(action, OperationAction)) in str(refusal(lambda: outcomes.outcome_again(row, Payment)))


def test_a_decline_at_validation(merchant: Merchant) -> None:
    body = {"uid": "pay_x", "status": "failed", "decline_code": "card_declined", "payment_method": card()}
    merchant.sandbox.fault("POST /api/payments", status=200, body=json.dumps(body))
    assert str(refusal(merchant.quoted)).endswith("The bank declined the card.")


@pytest.mark.parametrize("state", [each for each in LinkState.values if each != "open"])
@pytest.mark.parametrize("language", ["en", "es"])
def test_a_links_state_is_named_by_its_label(merchant: Merchant, state: str, language: str) -> None:
    link = operations.create_payment_link(account=merchant.account, amount=500)
    PaymentLink.objects.update(state=state)
    with override(language):
        label = label_of(state, LinkState)
        if state != "paid":
            text = str(
                refusal(lambda: operations.open_session(link, success_url="https://x/", cancel_url="https://x/"))
            )
            assert label in text
        if state != "expired":
            assert label in str(refusal(lambda: operations.cancel_payment_link(link=link)))


@pytest.mark.parametrize("status", ["completed", "expired"])
def test_a_sessions_status_is_named_by_its_label(merchant: Merchant, settings: Any, status: str) -> None:
    link = operations.create_payment_link(account=merchant.account, amount=500)
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://testserver"]}
    session = operations.open_session(link, success_url="https://testserver/", cancel_url="https://testserver/")
    PaymentLink.objects.all().delete()
    assert session is not None
    HostedSession.objects.update(status=status)
    session.refresh_from_db()
    for act in (
        lambda: operations.expire_hosted_session(session=session),
        lambda: operations.update_hosted_session(session=session, amount=5),
    ):
        assert label_of(status, SessionStatus) in str(refusal(act, OperationRefused))


def test_what_was_resolved_already(merchant: Merchant, django_user_model: Any) -> None:
    user = django_user_model.objects.create(username="clerk")
    row = Operation.objects.create(action="refund", state="succeeded", deadline_at=timezone.now())
    for words in ("", "I asked."):
        refusal(lambda words=words: resolve_manually(operation=row, carried_out=True, reason=words, actor=user))

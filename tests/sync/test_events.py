"""``govpay.sync.events``: the effect of each kind of delivery, in any order."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from govpay import tasks
from govpay.models import (
    Customer,
    HostedSession,
    Operation,
    Payment,
    PaymentAccount,
    SavedPaymentMethod,
    Transaction,
    WebhookEvent,
)
from govpay.models.choices import EventType
from govpay.sync import inbox, mapping, unreachable
from govpay.sync.events import HANDLERS
from govpay.sync.pull import pull
from tests.amounts import rounds
from tests.events import account_on, event_for, known_account
from tests.reading import Heard, statements

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def account(sandbox: Any) -> str:
    return account_on(sandbox)


def work(account: str, event_type: str, **data: Any) -> WebhookEvent:
    event = event_for(account, event_type, **data)
    tasks.process_event(event.pk)
    event.refresh_from_db()
    return event


def calls(sandbox: Any) -> list[str]:
    return [call["path"] for call in sandbox.requests() if call["path"].startswith(("/api/", "/v1/"))]


def test_events_of_one_payment_in_a_backlog_are_read_once(sandbox: Any, account: str, heard: Heard) -> None:
    uid, other = (sandbox.add_payment(account, status="captured")["uid"] for _ in range(2))
    backlog = [event_for(account, "payment.completed", payment_uid=uid) for _ in range(5)]
    backlog.append(event_for(account, "payment.failed", payment_uid=uid))
    apart = event_for(account, "payment.completed", payment_uid=other)
    before = len(calls(sandbox))
    tasks.process_events([event.pk for event in backlog])
    assert calls(sandbox)[before:] == [f"/api/payments/{uid}"]
    done = WebhookEvent.objects.exclude(pk=apart.pk)
    assert set(done.values_list("state", "payment_id")) == {("processed", uid)}
    assert heard.names().count("event_received") == len(backlog)
    apart.refresh_from_db()
    assert apart.state == "received"


def test_refunds_of_one_payment_are_read_apart(sandbox: Any, account: str) -> None:
    """A read of one transaction says nothing about another; the payment's own events need no read of their own."""
    uid = sandbox.add_payment(account, status="captured")["uid"]
    first, second = (sandbox.refund(uid, 100, f"ref_{number}")["uid"] for number in range(2))
    told = (first, second, first)
    backlog = [event_for(account, "payment.refunded", payment_uid=uid, transaction_uid=each) for each in told]
    backlog.append(event_for(account, "payment.completed", payment_uid=uid))
    before = len(calls(sandbox))
    tasks.process_events([event.pk for event in backlog])
    read = calls(sandbox)[before:]
    assert read == [f"/api/transactions/{first}", f"/api/payments/{uid}"] + [
        f"/api/transactions/{second}",
        f"/api/payments/{uid}",
    ]
    assert set(WebhookEvent.objects.values_list("state", flat=True)) == {"processed"}
    assert set(Transaction.objects.filter(type="refund").values_list("uid", flat=True)) == {first, second}


def test_an_event_that_another_worker_holds_is_left_to_it(sandbox: Any, account: str) -> None:
    uid = sandbox.add_payment(account, status="captured")["uid"]
    held, free = (event_for(account, "payment.completed", payment_uid=uid) for _ in range(2))
    assert inbox.claim(held.pk)
    tasks.process_event(free.pk)
    held.refresh_from_db()
    assert held.state == "received"


@pytest.mark.parametrize("event_type", ["payment.completed", "provider.bankbillpay", "ivr.completed"])
@pytest.mark.parametrize("name", ["payment_uid", "uid"])
def test_a_payment_is_read_and_stored(sandbox: Any, account: str, heard: Heard, event_type: str, name: str) -> None:
    uid = sandbox.add_payment(account, status="captured")["uid"]
    before = len(calls(sandbox))
    event = work(account, event_type, **{name: uid}, amount=1, status="a lie")
    assert (event.state, event.error, event.payment_id) == ("processed", "", uid)
    assert event.processed_at is not None
    payment = Payment.objects.get()
    assert (payment.uid, payment.account_id, payment.status) == (uid, account, "captured")
    assert calls(sandbox)[before:] == [f"/api/payments/{uid}"]
    assert heard.names() == ["event_received", "payment_captured"]
    assert heard.sources() == {"webhook"}


def test_a_failed_payment(sandbox: Any, account: str, heard: Heard) -> None:
    uid = sandbox.add_payment(account, status="failed")["uid"]
    work(account, "payment.failed", payment_uid=uid)
    assert Payment.objects.get().status == "failed"
    assert heard.names() == ["event_received", "payment_failed"]


def test_a_refund(sandbox: Any, account: str, heard: Heard) -> None:
    uid = sandbox.add_payment(account, status="captured")["uid"]
    pull("payments", account)
    refund = sandbox.refund(uid, 100, "ref-1")
    before = len(calls(sandbox))
    event = work(account, "payment.refunded", payment_uid=uid, transaction_uid=refund["uid"])
    assert event.state == "processed"
    assert sorted(calls(sandbox)[before:]) == [f"/api/payments/{uid}", f"/api/transactions/{refund['uid']}"]
    assert Payment.objects.get().refunded_amount == 100
    assert Transaction.objects.get().amount == 100
    assert heard.names() == ["event_received", "payment_refunded"]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("event_type", "flag", "signal"),
    [
        ("provider.chargeback", "chargeback", "payment_disputed"),
        ("provider.nsf", "return", "payment_returned"),
        ("provider.reversal", "reversal", None),
    ],
)
def test_disputes_returns_and_reversals_raise_a_flag(
    sandbox: Any, account: str, heard: Heard, event_type: str, flag: str, signal: str | None, named: bool
) -> None:
    from tests.operations.merchant import bank_account

    method = {"payment_method": bank_account()} if flag == "return" else {}
    uid = sandbox.add_payment(account, status="captured", **method)["uid"]
    pull("payments", account)
    pull("transactions", account)
    found = sandbox.return_payment(uid) if flag == "return" else sandbox.charge_back(uid)
    if flag == "reversal":
        pull("payments", account)
        pull("transactions", account)
        assert Payment.objects.get().flag == "chargeback", "the sync raises it too"
        heard.clear()
        found = sandbox.reverse_chargeback(uid)
    data = {"transaction_uid": found["uid"]} if named else {}
    event = work(account, event_type, payment_uid=uid, **data)
    assert (event.state, event.error) == ("processed", "")
    payment = Payment.objects.get()
    assert payment.flag == flag
    assert payment.flagged_at is not None
    assert Transaction.objects.filter(uid=found["uid"], payment=uid).exists()
    assert heard.names() == sorted(["event_received", *([signal] if signal else [])])
    # Lowered by staff, it does not come up again with the same news.
    Payment.objects.update(flag="", flagged_at=None)
    WebhookEvent.objects.update(state="received")
    tasks.process_event(event.pk)
    pull("transactions", account, full=True)
    assert Payment.objects.get().flag == ""


def test_a_notification_of_change_refreshes_the_method(sandbox: Any, account: str, heard: Heard) -> None:
    customer = sandbox.add_customer(account)["uid"]
    uid = sandbox.add_method(customer)["saved_payment_method_uid"]
    pull("customers", account)
    pull("methods", account)
    sandbox.update_method(uid, exp_year=2039)
    event = work(account, "provider.noc", saved_payment_method_uid=uid, customer_uid=customer)
    assert (event.state, event.error) == ("processed", "")
    assert SavedPaymentMethod.objects.get().exp_year == 2039
    assert heard.names() == ["event_received", "saved_method_changed"]


def test_a_notification_for_a_method_that_is_gone(sandbox: Any, account: str) -> None:
    customer = sandbox.add_customer(account)["uid"]
    pull("customers", account)
    pull("methods", account)
    assert not Customer.objects.get().methods_stale
    assert work(account, "provider.noc", saved_payment_method_uid="spm_x", customer_uid=customer).state == "processed"
    assert Customer.objects.get().methods_stale, "the sync looks into it"


def make_session(account: str, **columns: Any) -> HostedSession:
    defaults = {"uid": "cs_1", "account_id": account, "status": "active", "amount": 500, "raw": {"session_id": "cs_1"}}
    return HostedSession.objects.create(**{**defaults, **columns})


def test_a_completed_session_without_its_credential(sandbox: Any, account: str, heard: Heard) -> None:
    """Assumption A29: the state comes from the delivery and from the payment list."""
    make_session(account)
    uid = sandbox.add_payment(account, status="captured")["uid"]
    sandbox.touch("payment", uid, session_id="cs_1")
    event = work(account, "checkout_session.completed", session_id="cs_1", status="completed", amount=500)
    assert (event.state, event.error, event.payment_id) == ("processed", "", uid)
    assert HostedSession.objects.get().status == "completed"
    assert Payment.objects.get().session_id == "cs_1"
    assert heard.names() == ["event_received", "payment_captured", "session_completed"]
    late = work(account, "checkout_session.expired", session_id="cs_1")
    assert late.state == "processed"
    assert HostedSession.objects.get().status == "completed", "a completed session does not expire"


def test_an_expired_session(sandbox: Any, account: str, heard: Heard) -> None:
    make_session(account)
    assert work(account, "checkout_session.expired", session_id="cs_1").state == "processed"
    assert HostedSession.objects.get().status == "expired"
    assert heard.names() == ["event_received", "session_expired"]


def test_a_session_that_is_not_ours(sandbox: Any, account: str) -> None:
    """Objects in the body are looked up only within the account in the URL."""
    make_session("acc_other")
    assert work(account, "checkout_session.completed", session_id="cs_1").state == "processed"
    assert HostedSession.objects.get().status == "active"


def test_the_account_is_that_of_the_address(sandbox: Any, account: str) -> None:
    """Never an account that the body names."""
    other = account_on(sandbox)
    uid = sandbox.add_payment(other, status="captured")["uid"]
    event = work(account, "payment.completed", payment_uid=uid, payment_account_uid=other, account_uid=other)
    assert event.state == "received"
    assert "404" in event.error or event.error
    assert not Payment.objects.exists()
    assert {call["account"] for call in sandbox.requests() if "/payments/" in call["path"]} == {account}


def test_an_unknown_type_is_kept(account: str, heard: Heard) -> None:
    event = work(account, "payment.levitated", payment_uid="pay_1")
    assert event.state == "ignored"
    assert event.processed_at is not None
    assert heard.names() == ["event_received"]


def test_every_event_type_has_a_handler() -> None:
    assert set(HANDLERS) == set(EventType.values)


@pytest.mark.parametrize("event_type", sorted(set(HANDLERS) - {"provider.bankbillpay", "ivr.completed"}))
@pytest.mark.parametrize("data", [{}, {"payment_uid": 5, "session_id": None}, {"uid": ""}])
def test_a_payload_that_names_nothing_fails_at_once(account: str, event_type: str, data: dict[str, Any]) -> None:
    event = work(account, event_type, **data)
    assert event.state == "failed"
    assert "payload has no" in event.error


@pytest.mark.parametrize("payload", [None, [], 5, "x", {"data": None}, {"data": []}])
def test_a_payload_of_another_shape(account: str, payload: Any) -> None:
    event = event_for(account, "payment.completed")
    WebhookEvent.objects.update(payload=payload if payload is not None else {})
    tasks.process_event(event.pk)
    event.refresh_from_db()
    assert event.state == "failed"


def test_a_payment_made_elsewhere_without_a_name_has_the_lists_read(
    sandbox: Any, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[Any] = []
    monkeypatch.setattr(tasks.sync_account, "apply_async", lambda *args, **kwargs: queued.append(args))
    assert work(account, "ivr.completed").state == "processed"
    assert queued == [((account,), {"resources": ["payments", "transactions"]})]


def test_the_platform_is_down_and_comes_back(sandbox: Any, account: str, settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    uid = sandbox.add_payment(account, status="captured")["uid"]
    sandbox.fault(f"GET /api/payments/{uid}", status=500)
    event = work(account, "payment.completed", payment_uid=uid)
    assert (event.state, event.attempts, event.claimed_until) == ("received", 0, None)
    tasks.process_slow_event(event.pk)
    event.refresh_from_db()
    assert (event.state, event.attempts, event.claimed_until) == ("received", 1, None)
    assert event.due_at is not None
    assert event.error
    sandbox.clear_faults()
    cache.clear()  # the account is silent for a minute
    WebhookEvent.objects.update(due_at=event.received_at)
    tasks.process_event(event.pk)
    event.refresh_from_db()
    assert (event.state, event.attempts, event.error) == ("processed", 2, "")


def test_what_never_works_ends_as_failed_and_can_be_processed_again(sandbox: Any, account: str) -> None:
    event = event_for(account, "payment.completed", payment_uid="pay_nowhere")
    for attempt in range(1, 9):
        assert event.state == "received"
        for _ in range(3):  # doubled messages wear no attempts out
            tasks.process_event(event.pk)
        event.refresh_from_db()
        assert event.attempts == attempt
        WebhookEvent.objects.filter(state="received").update(due_at=event.received_at)  # the pause is over
    assert event.state == "failed"
    assert event.error


def test_a_document_that_cannot_be_stored_is_said_so_and_tried_again(sandbox: Any, account: str) -> None:
    uid = sandbox.add_payment(account, status="captured")["uid"]
    sandbox.touch("payment", uid, total_amount="12.30")
    event = work(account, "payment.completed", payment_uid=uid)
    tasks.process_slow_event(event.pk)
    event.refresh_from_db()
    assert event.state == "received"
    assert "cents" in event.error
    assert unreachable.state_of(account) == unreachable.SLOW, "the account's other events do not wait for it"
    assert not Payment.objects.exists()


def test_a_refund_that_fails_later_changes_the_journal(sandbox: Any, account: str, heard: Heard) -> None:
    from govpay import operations
    from tests.operations.merchant import bank_account

    uid = sandbox.add_payment(account, status="captured", payment_method=bank_account())["uid"]
    pull("payments", account)
    refund = operations.refund_payment(payment=Payment.objects.get(), amount=100)
    assert refund.status == "pending"
    heard.clear()
    sandbox.settle(fail=[refund.uid])
    event = work(account, "payment.refunded", payment_uid=uid, transaction_uid=refund.uid)
    assert event.state == "processed"
    assert Operation.objects.get().state == "failed"
    assert heard.names() == ["event_received", "operation_finished"]


def test_what_processing_costs(sandbox: Any, account: str) -> None:
    """Budget: 10 statements, 1 call (2 where payment and transaction are needed), outside any transaction."""
    uid = sandbox.add_payment(account, status="captured")["uid"]
    refund = sandbox.refund(uid, 100, "ref-1")
    for data, most in (({}, 1), ({"transaction_uid": refund["uid"]}, 2)):
        event = event_for(account, "payment.refunded" if data else "payment.completed", payment_uid=uid, **data)
        before = len(calls(sandbox))
        with statements() as sql:
            tasks.process_event(event.pk)
        assert len(calls(sandbox)) - before == most
        assert len(sql.all) <= 10, sql.all


def test_two_workers_and_one_event(sandbox: Any, account: str, heard: Heard) -> None:
    uid = sandbox.add_payment(account, status="captured")["uid"]
    event = event_for(account, "payment.completed", payment_uid=uid)
    barrier = threading.Barrier(4)

    def one() -> None:
        barrier.wait()
        tasks.process_event(event.pk)
        connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    event.refresh_from_db()
    assert (event.state, event.attempts) == ("processed", 1)
    assert calls(sandbox).count(f"/api/payments/{uid}") == 1
    assert heard.names() == ["event_received", "payment_captured"]


@pytest.mark.soak
def test_the_older_read_never_wins(sandbox: Any, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults W4: two events of one payment, in the same second. The older read would be stored last."""
    uid = sandbox.add_payment(account, status="captured")["uid"]
    moment = "2040-02-03T04:05:06.000000Z"
    pull("payments", account)
    read = HANDLERS["payment.completed"]
    interrupted: list[str] = []

    def between(event: Any, seen: Any) -> Any:
        found = read(event, seen)
        if event.pk == first.pk and not interrupted:
            interrupted.append(uid)
            sandbox.touch("payment", uid, refunded_amount=2 * round_ + 1, updated_at=moment)
            tasks.process_event(second.pk)
        return found

    monkeypatch.setitem(HANDLERS, "payment.completed", between)
    for round_ in rounds(1000, 6, 40):
        sandbox.touch("payment", uid, refunded_amount=2 * round_, updated_at=moment)
        first, second = (event_for(account, "payment.completed", payment_uid=uid) for _ in range(2))
        interrupted.clear()
        tasks.process_event(first.pk)
        assert Payment.objects.get().refunded_amount == 2 * round_ + 1
        assert set(WebhookEvent.objects.values_list("state", flat=True)) == {"processed"}


def test_accounts_of_others_are_untouched(sandbox: Any, account: str) -> None:
    known_account()
    assert PaymentAccount.objects.count() == 2
    with CaptureQueriesContext(connection):
        assert work("acc_tests", "payment.completed", payment_uid="pay_1").state == "received"


# -- what platforms do ------------------------------------------------------------------------------------------


@pytest.fixture
def session(sandbox: Any, account: str) -> HostedSession:
    """An open session whose credential is stored here."""
    from govpay.client.tenant_shapes import CreateHostedSession
    from govpay.connection import get_endpoints

    body = CreateHostedSession(
        amount=500, currency="USD", success_url="https://x.example/", cancel_url="https://x.example/"
    )
    made = get_endpoints().create_hosted_session(account, body, idempotency_key="k")
    return make_session(account, uid=made.session_id, credential=made.client_secret, expires_at=made.expires_at)


@pytest.mark.parametrize(
    "answer", [{"status": 410}, {"status": 404}, {"status": 401}, {"status": 403}, {"active": True}]
)
def test_a_completed_session_stays_completed_whatever_the_read_says(
    sandbox: Any, account: str, session: HostedSession, heard: Heard, answer: dict[str, Any]
) -> None:
    uid = sandbox.add_payment(account, status="captured")["uid"]
    sandbox.touch("payment", uid, session_id=session.uid)
    if "status" in answer:
        sandbox.fault(f"GET /v1/hosted-sessions/{session.uid}", **answer)
    event = work(account, "checkout_session.completed", session_id=session.uid)
    assert (event.state, event.error) == ("processed", "")
    session.refresh_from_db()
    assert (session.status, session.credential) == ("completed", None)
    assert Payment.objects.get().session_id == session.uid
    assert heard.names() == ["event_received", "payment_captured", "session_completed"]


def test_a_platform_that_is_down_is_asked_again_for_a_session(
    sandbox: Any, account: str, session: HostedSession, settings: Any
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    sandbox.fault(f"GET /v1/hosted-sessions/{session.uid}", status=503)
    assert work(account, "checkout_session.completed", session_id=session.uid).state == "received"


def test_what_came_along_does_not_spoil_the_rest(sandbox: Any, account: str) -> None:
    """Faults R7: one bad document is left out."""
    customer = sandbox.add_customer(account)["uid"]
    good, bad = (sandbox.add_method(customer)["saved_payment_method_uid"] for _ in range(2))
    deep: list[Any] = []
    for _ in range(2 * mapping.DEEPEST):
        deep = [deep]
    sandbox.touch("method", bad, note=deep)
    event = work(account, "provider.noc", saved_payment_method_uid=good, customer_uid=customer)
    assert event.state == "processed"
    assert [row.uid for row in SavedPaymentMethod.objects.all()] == [good]


@pytest.mark.parametrize("status", [404, 405])
def test_a_transaction_that_cannot_be_read_by_itself_is_found_in_the_list(
    sandbox: Any, account: str, status: int
) -> None:
    uid = sandbox.add_payment(account, status="captured")["uid"]
    made = sandbox.charge_back(uid)
    sandbox.fault("GET /api/transactions/{uid}", status=status)
    event = work(account, "provider.chargeback", payment_uid=uid, transaction_uid=made["uid"])
    assert event.state == "processed"
    assert Payment.objects.get().flag == "chargeback"


def test_without_any_transactions_the_payment_is_stored_and_the_list_is_read(
    sandbox: Any, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[Any] = []
    monkeypatch.setattr(tasks.sync_account, "apply_async", lambda *args, **kwargs: queued.append(args[1]))
    uid = sandbox.add_payment(account, status="captured")["uid"]
    made = sandbox.charge_back(uid)
    sandbox.fault("GET /api/transactions/{uid}", status=404)
    sandbox.fault("GET /api/transactions", status=400)
    event = work(account, "provider.chargeback", payment_uid=uid, transaction_uid=made["uid"])
    assert event.state == "processed"
    assert Payment.objects.get().status == "charged_back"
    assert queued == [{"resources": ["transactions"]}]


def test_a_chargeback_that_names_its_transaction_alone(sandbox: Any, account: str) -> None:
    uid = sandbox.add_payment(account, status="captured")["uid"]
    made = sandbox.charge_back(uid)
    event = work(account, "provider.chargeback", transaction_uid=made["uid"])
    assert (event.state, event.payment_id) == ("processed", uid)
    assert Payment.objects.get().flag == "chargeback"


def test_a_row_of_another_account_is_not_taken_over(sandbox: Any, account: str) -> None:
    """A platform that does not look at the account header must not move rows from one merchant to another."""
    uid = sandbox.add_payment(account, status="captured")["uid"]
    Payment.objects.create(uid=uid, account_id="acc_other", digest="x")
    event = work(account, "payment.completed", payment_uid=uid)
    assert event.state == "received"
    assert Payment.objects.get().account_id == "acc_other"


def test_what_every_kind_costs(sandbox: Any, account: str, session: HostedSession) -> None:
    """Budget: at most 10 statements for each event type."""
    uid = sandbox.add_payment(account, status="captured")["uid"]
    sandbox.touch("payment", uid, session_id=session.uid)
    customer = sandbox.add_customer(account)["uid"]
    method = sandbox.add_method(customer)["saved_payment_method_uid"]
    refund = sandbox.refund(uid, 100, "ref-1")
    for event_type, data in (
        ("checkout_session.completed", {"session_id": session.uid}),
        ("payment.completed", {"payment_uid": uid}),
        ("payment.refunded", {"payment_uid": uid, "transaction_uid": refund["uid"]}),
        ("provider.noc", {"saved_payment_method_uid": method, "customer_uid": customer}),
    ):
        event = event_for(account, event_type, **data)
        with statements() as sql:
            tasks.process_event(event.pk)
        event.refresh_from_db()
        assert (event.state, event.error) == ("processed", ""), event_type
        assert len(sql.all) <= 10, (event_type, sql.all)


def test_an_event_whose_worker_dies_each_time_ends(sandbox: Any, account: str) -> None:
    event = event_for(account, "payment.completed", payment_uid="pay_1")
    WebhookEvent.objects.update(attempts=8)
    tasks.process_event(event.pk)
    event.refresh_from_db()
    assert event.state == "failed"
    assert "died" in event.error

"""One idempotency key, one action: repeated, with another body, concurrent, and with a lost answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connections
from django.utils import timezone

from govpay import operations, tasks
from govpay.exceptions import KeyReused
from govpay.models import Customer, Operation, WebhookEvent
from govpay.rest import idempotency, urls
from govpay.rest.actions import ActionView
from tests.admin.neighbours import grant
from tests.operations.merchant import Merchant, at_once, bank_account, card, only
from tests.rest.conftest import Program, problem

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_same_key_and_body_is_the_same_action(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.captured()
    first, again = (
        finance_program.act(f"payments/{payment.uid}/refund", {"amount": 700, "reason": "Twice"}, key="K 1/Ж")
        for _ in range(2)
    )
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first["Operation-Id"] == again["Operation-Id"] == str(only().key)
    assert first["Location"] == again["Location"]
    assert merchant.moved("refund", payment) == 700
    assert len(merchant.posts("refund")) == 1


def test_a_capture_is_answered_again_after_the_payment_went_on(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.quoted()
    assert finance_program.act(f"payments/{payment.uid}/capture", key="c").json()["status"] == "captured"
    finance_program.act(f"payments/{payment.uid}/refund", {"amount": 5})
    again = finance_program.act(f"payments/{payment.uid}/capture", key="c")
    assert again.status_code == 200
    assert len(merchant.posts("capture")) == 1


def test_the_same_key_for_something_else_is_refused(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.captured()
    assert finance_program.act(f"payments/{payment.uid}/refund", {"amount": 700}, key="k").status_code == 201
    for action, body in (
        ("refund", {"amount": 701}),
        ("refund", {"amount": 700, "reason": "Other"}),
        ("refund", {"amount": None}),
        ("void", {}),
        ("capture", {}),
    ):
        answer = finance_program.act(f"payments/{payment.uid}/{action}", body, key="k")
        found = problem(answer, 409, "key-reused")
        assert found["operation_id"] == str(only().key)
        assert "Retry-After" not in answer
    other = merchant.captured()
    problem(finance_program.act(f"payments/{other.uid}/refund", {"amount": 700}, key="k"), 409, "key-reused")
    assert merchant.moved("refund", payment) == 700
    assert len(merchant.posts("refund")) == 1


#: Of an act: its name, method, address and body; then addresses and bodies that are something else.
Case = tuple[str, str, str, dict[str, Any], list[tuple[str, dict[str, Any]]]]


def cases_of_money(merchant: Merchant, actor: Any) -> Iterator[Case]:
    account = merchant.account.uid
    quote = {"account": account, "base_amount": 900, "payment_method": card()}
    others = [{"base_amount": 901}, {"tax_amount": 0}, {"currency": "USD"}, {"description": "Other"}]
    yield "quote", "post", "payments/quote", quote, [("payments/quote", {**quote, **each}) for each in others]

    bank = merchant.quoted(method=bank_account(), actor=actor)
    consent = {"sec_code": "web", "text": "I authorize 100.00 USD.", "accepted_at": "2026-03-01T12:00:00Z"}
    path = f"payments/{bank.uid}/capture"
    words = [{"text": "Something else."}, {"accepted_at": "2020-03-01T12:00:00Z"}, {"sec_code": "tel"}]
    others = [{"authorization": {**consent, **each}} for each in words]
    others += [{}, {"authorization": consent, "total_amount": 1}, {"authorization": consent, "currency": "USD"}]
    yield "capture", "post", path, {"authorization": consent}, [(path, each) for each in others]

    path, body = f"payments/{merchant.captured().uid}/refund", {"amount": 5}
    others = [{"amount": None}, {"amount": 6}, {**body, "currency": "USD"}, {**body, "reason": "Other"}]
    yield "refund", "post", path, body, [*((path, each) for each in others), (path.replace("refund", "void"), {})]

    path, other = (f"payments/{merchant.quoted().uid}/void" for _ in range(2))
    yield "void", "post", path, {}, [(other, {}), (path.replace("void", "capture"), {})]


def cases_of_wallets(merchant: Merchant) -> Iterator[Case]:
    body = {"account": merchant.account.uid, "reference_id": "R-1"}
    others = [{**body, "reference_id": "R-2"}, {**body, "name": "Pat"}]
    yield "customers", "post", "customers", body, [("customers", each) for each in others]

    first, second, third = (merchant.saved_method() for _ in range(3))
    path, body = f"customers/{first.customer_id}/payment-methods", {"payment_method": card()}
    other = path.replace(str(first.customer_id), str(second.customer_id))
    others = [(path, {"payment_method": card()}), (other, body)]
    yield "customer-payment-methods", "post", path, body, others

    path, other = (f"customers/{each.customer_id}/payment-methods/{each.uid}" for each in (second, third))
    yield "default-method", "post", f"{path}/default", {}, [(f"{other}/default", {})]
    yield "customer-payment-method", "delete", path, {}, [(other, {})]


def cases_of_sessions(merchant: Merchant, asking: Program) -> Iterator[Case]:
    body = {"account": merchant.account.uid, "amount": 500, "metadata": {"order": "17"}}
    body.update(dict.fromkeys(("success_url", "cancel_url"), "https://city.example/"))
    others = [{**body, "amount": 501}, {**body, "metadata": {"order": "18"}}, {**body, "layout": "hosted"}]
    yield "hosted-sessions", "post", "hosted-sessions", body, [("hosted-sessions", each) for each in others]

    path, other = (f"hosted-sessions/{asking.act('hosted-sessions', body).json()['uid']}/expire" for _ in range(2))
    yield "expire", "post", path, {}, [(other, {})]


def cases_of_workers(merchant: Merchant) -> Iterator[Case]:
    path, other = (f"accounts/{each.uid}/sync" for each in (merchant.account, merchant.add_account()))
    yield "account-sync", "post", path, {}, [(other, {})]

    events = [WebhookEvent.objects.create(account=merchant.account, webhook_id=f"evt_{each}") for each in range(2)]
    WebhookEvent.objects.update(state="failed", attempts=8)
    path, other = (f"events/{each.pk}/replay" for each in events)
    yield "replay", "post", path, {}, [(other, {}), (f"accounts/{merchant.account.uid}/sync", {})]


def test_every_key_belongs_to_one_whole_request(
    superuser: Program, merchant: Merchant, queued: list[Any], settings: Any
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://city.example"]}
    seen = set()
    for name, method, path, body, others in (
        *cases_of_money(merchant, superuser.user),
        *cases_of_wallets(merchant),
        *cases_of_sessions(merchant, superuser),
        *cases_of_workers(merchant),
    ):
        first = superuser.act(path, body, key=name, method=method)
        assert first.status_code in ((202,) if name in ("account-sync", "replay") else (200, 201)), first.content
        before = len(merchant.sandbox.ledger()), len(queued)
        for address, other in others:
            found = superuser.act(address, other, key=name, method=method)
            assert (found.status_code, found.json()["type"]) == (409, "urn:govpay:problem:key-reused"), (name, other)
        again = superuser.act(path, body, key=name, method=method)
        assert (again.status_code, again.json()) == (first.status_code, first.json()), name
        assert (len(merchant.sandbox.ledger()), len(queued)) == before, name
        seen.add(name)
    assert seen == {each.name for each in urls.V1 if issubclass(each.callback.cls, ActionView)}  # type: ignore[union-attr]


def test_a_key_stands_for_a_customer_who_was_there_already(finance_program: Program, merchant: Merchant) -> None:
    body = {"account": merchant.account.uid, "reference_id": "R-1"}
    made = finance_program.act("customers", body).json()
    known = finance_program.act("customers", body, key="k")
    assert (known.status_code, known.json()) == (201, made)
    problem(finance_program.act("customers", {**body, "reference_id": "R-2"}, key="k"), 409, "key-reused")
    assert finance_program.act("customers", body, key="k").json() == made
    assert Customer.objects.count() == 1
    row = only(key=known["Operation-Id"])
    assert (row.state, row.result_uid, row.customer_id, row.actor) == (
        "succeeded",
        *[made["uid"]] * 2,
        finance_program.user,
    )


def test_the_key_of_a_sync_is_no_key_of_a_action(superuser: Program, merchant: Merchant, queued: list[Any]) -> None:
    payment = merchant.captured()
    assert superuser.act(f"accounts/{merchant.account.uid}/sync", key="k").status_code == 202
    problem(superuser.act(f"payments/{payment.uid}/refund", {"amount": 1}, key="k"), 409, "key-reused")
    assert not merchant.posts("refund")


def test_the_first_answer_holds_whatever_the_rules_say_by_now(
    finance_program: Program, merchant: Merchant, settings: Any
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://city.example"]}
    customer = merchant.saved_method().customer
    body = {"account": merchant.account.uid, "amount": 500, "customer": customer.uid}
    body.update(dict.fromkeys(("success_url", "cancel_url"), "https://city.example/"))
    first = finance_program.act("hosted-sessions", body, key="s")
    assert first.status_code == 201, first.content
    settings.GOVPAY = {**settings.GOVPAY, "CHECKOUT_ORIGINS": ["https://other.example"]}
    Customer.objects.update(deleted_at=timezone.now())
    again = finance_program.act("hosted-sessions", body, key="s")
    assert (again.status_code, again.json()) == (201, first.json())
    problem(finance_program.act("hosted-sessions", {**body, "amount": 501}, key="s"), 409, "key-reused")


def test_an_answer_is_not_given_again_to_who_may_no_more(
    finance_program: Program, merchant: Merchant, make_staff: Callable[..., Any], program: Callable[[Any], Program]
) -> None:
    clerk = make_staff(name="clerk")
    clerk.user_permissions.add(*Permission.objects.filter(codename__in=("create_session", "manage_wallet")))
    asking, customer = program(clerk), merchant.saved_method().customer_id
    wallet, quote = {"scope": "wallet", "customer": customer}, {"account": merchant.account.uid, "base_amount": 5}
    assert asking.act("hosted-sessions", wallet, key="w").status_code == 201
    quote["payment_method"] = card()
    clerk.user_permissions.add(Permission.objects.get(codename="charge_customer"))
    assert asking.act("payments/quote", quote, key="q").status_code == 201
    clerk.user_permissions.remove(Permission.objects.get(codename="manage_wallet"))
    problem(asking.act("hosted-sessions", wallet, key="w"), 403, "forbidden")
    grant(merchant.add_account().uid, user=clerk)
    problem(asking.act("payments/quote", quote, key="q"), 404, "not-found")


def test_users_and_keys_with_colons_are_told_apart() -> None:
    def key_of(user: str, key: str) -> Any:
        return idempotency.key_of(SimpleNamespace(user=SimpleNamespace(pk=user), headers={"Idempotency-Key": key}))

    assert key_of("a", "b:c") != key_of("a:b", "c")
    assert key_of("a", "b") == key_of("a", " b ")


def test_a_program_is_told_of_no_page(finance_program: Program, merchant: Merchant) -> None:
    """The texts of the rules are for staff and programs alike."""
    payment = merchant.captured()
    refund = f"payments/{payment.uid}/refund"
    assert finance_program.act(refund, {"amount": 5}, key="k").status_code == 201
    quoted = merchant.quoted()
    other = finance_program.act(f"payments/{quoted.uid}/capture", {"total_amount": quoted.total_amount + 1})
    for found in (
        problem(finance_program.act(refund, {"amount": 6}, key="k"), 409, "key-reused"),
        problem(other, 422, "refused"),
    ):
        assert "page" not in found["detail"]
    with pytest.raises(KeyReused) as caught:
        key = Operation.objects.get(action="refund").key
        operations.refund_payment(payment=payment, amount=6, key=key)
    assert "page" not in str(caught.value)


def test_keys_of_two_users_are_two(
    finance_program: Program, merchant: Merchant, make_staff: Callable[..., Any], program: Callable[[Any], Program]
) -> None:
    payment = merchant.captured()
    for each in (finance_program, program(make_staff("Finance", name="other"))):
        assert each.act(f"payments/{payment.uid}/refund", {"amount": 100}, key="k").status_code == 201
    assert merchant.moved("refund", payment) == 200


def test_an_action_without_a_key_is_refused(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.captured()
    for key in (None, "   ", "x" * 256):
        found = problem(finance_program.act(f"payments/{payment.uid}/refund", {"amount": 1}, key=key), 400, "invalid")
        assert found["errors"][0]["field"] == "Idempotency-Key"
    assert not merchant.posts()


def test_what_is_under_way_says_so_at_once(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.captured()
    inside, release = threading.Event(), threading.Event()
    answers: list[Any] = []

    def act() -> None:
        inside.set()
        release.wait(300)

    def first() -> None:
        answers.append(finance_program.act(f"payments/{payment.uid}/refund", {"amount": 9}, key="slow"))
        connections.close_all()

    with merchant.while_it_acts(act):
        thread = threading.Thread(target=first)
        thread.start()
        assert inside.wait(300)
        again = finance_program.act(f"payments/{payment.uid}/refund", {"amount": 9}, key="slow")
        found = problem(again, 409, "in-progress")
        assert int(again["Retry-After"]) >= 1
        assert found["operation_id"] == str(only().key)
        other = finance_program.act(f"payments/{payment.uid}/refund", {"amount": 9}, key="other")
        problem(other, 409, "in-progress")
        assert other["Retry-After"]
        release.set()
        thread.join(300)
    assert answers[0].status_code == 201
    assert finance_program.act(f"payments/{payment.uid}/refund", {"amount": 9}, key="slow").json() == answers[0].json()
    assert merchant.moved("refund", payment) == 9


def test_of_many_at_once_one_is_done(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.captured()
    jobs = [lambda: finance_program.act(f"payments/{payment.uid}/refund", {"amount": 3}, key="same")] * 4
    answers = at_once(*jobs)
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert 201 in {answer.status_code for answer in answers}
    assert merchant.moved("refund", payment) == 3


def test_a_lost_answer_is_202_and_the_operation_settles(
    finance_program: Program, merchant: Merchant, impatient: None
) -> None:
    payment = merchant.captured()
    merchant.sandbox.fault("POST /api/payments/{uid}/refund", times=1, close="after")
    answer = finance_program.act(f"payments/{payment.uid}/refund", {"amount": 250}, key="lost")
    assert answer.status_code == 202, answer.content
    operation = only()
    assert answer.json()["state"] == operation.state == "unknown"
    assert answer["Operation-Id"] == str(operation.key)
    assert answer["Location"].endswith(f"/operations/{operation.key}")
    assert finance_program.get(answer["Location"]).json()["state"] == "unknown"
    again = finance_program.act(f"payments/{payment.uid}/refund", {"amount": 250}, key="lost")
    assert again.status_code == 202, "still not known, and not sent again"
    problem(finance_program.act(f"payments/{payment.uid}/refund", {"amount": 250}), 422, "refused")
    assert len(merchant.posts("refund")) == 1
    merchant.reconcile_all()
    settled = finance_program.get(answer["Location"]).json()
    assert settled["state"] == "succeeded"
    assert finance_program.get(f"transactions/{settled['result_uid']}").json()["amount"] == 250
    done = finance_program.act(f"payments/{payment.uid}/refund", {"amount": 250}, key="lost")
    assert (done.status_code, done.json()["uid"]) == (201, settled["result_uid"])
    assert merchant.moved("refund", payment) == 250


def test_a_refusal_leaves_the_key_free(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.captured(100)
    problem(finance_program.act(f"payments/{payment.uid}/refund", {"amount": 999_999}, key="k"), 422, "refused")
    assert not Operation.objects.exists()
    assert finance_program.act(f"payments/{payment.uid}/refund", {"amount": 1}, key="k").status_code == 201


def test_a_failure_is_the_keys_answer_for_good(finance_program: Program, merchant: Merchant) -> None:
    payment = merchant.quoted(method=card("0002"))
    answers = [finance_program.act(f"payments/{payment.uid}/capture", key="c") for _ in range(2)]
    first, again = (problem(answer, 402, "declined") for answer in answers)
    assert first == again
    assert first["operation_id"] == str(only(action="capture").key)
    assert first["code"]
    assert first["request_id"]
    assert len(merchant.posts("capture")) == 1


# --- Actions without a journal entry -----------------------------------------------------------------


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    sent: list[Any] = []
    for task in (tasks.sync_account, tasks.process_event):
        monkeypatch.setattr(task, "apply_async", lambda args=(), kwargs=None, **_: sent.append(args))
    return sent


@pytest.fixture
def worker(operator: Any, program: Callable[[Any], Program]) -> Program:
    return program(operator)


def test_a_sync_is_asked_for_once(worker: Program, merchant: Merchant, queued: list[Any]) -> None:
    answers = [worker.act(f"accounts/{merchant.account.uid}/sync", key="s") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json() == {"outcome": "queued"}
    assert queued == [(merchant.account.uid,)]
    other = merchant.add_account()
    problem(worker.act(f"accounts/{other.uid}/sync", key="s"), 409, "key-reused")
    assert worker.act(f"accounts/{merchant.account.uid}/sync").status_code == 202
    assert len(queued) == 2


def test_a_sync_that_could_not_be_queued_is_asked_for_again(
    worker: Program, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr(tasks.sync_account, "apply_async", refuse)
    answer = worker.act(f"accounts/{merchant.account.uid}/sync", key="s")
    problem(answer, 503, "unavailable")
    assert answer["Retry-After"]
    monkeypatch.undo()
    monkeypatch.setattr(tasks.sync_account, "apply_async", lambda *_, **__: None)
    assert worker.act(f"accounts/{merchant.account.uid}/sync", key="s").status_code == 202


def test_without_a_cache_a_sync_is_asked_for_twice(
    worker: Program, merchant: Merchant, queued: list[Any], settings: Any
) -> None:
    nobody = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:9"}
    settings.CACHES = {"default": nobody}
    for _ in range(2):
        assert worker.act(f"accounts/{merchant.account.uid}/sync", key="s").status_code == 202
    assert len(queued) == 2


def test_an_event_is_replayed_once(worker: Program, merchant: Merchant, queued: list[Any]) -> None:
    event = WebhookEvent.objects.create(
        account=merchant.account, webhook_id="evt_1", event_type="payment.completed", state="failed", attempts=8
    )
    for _ in range(2):
        answer = worker.act(f"events/{event.pk}/replay", key="r")
        assert (answer.status_code, answer.json()) == (202, {"outcome": "queued"})
    assert queued == [(event.pk,)]
    event.refresh_from_db()
    assert (event.state, event.attempts) == ("received", 0)
    problem(worker.act(f"accounts/{merchant.account.uid}/sync", key="r"), 409, "key-reused")


def test_an_event_that_a_worker_has_is_left_to_it(worker: Program, merchant: Merchant, queued: list[Any]) -> None:
    from govpay.sync import inbox

    event = WebhookEvent.objects.create(account=merchant.account, webhook_id="evt_1", event_type="payment.completed")
    assert inbox.claim(event.pk)
    answer = worker.act(f"events/{event.pk}/replay", key="r")
    problem(answer, 409, "in-progress")
    assert answer["Retry-After"]
    assert not queued


def test_a_key_of_the_journal_is_no_key_of_a_sync(
    finance_program: Program, merchant: Merchant, queued: list[Any], superuser: Program
) -> None:
    payment = merchant.captured()
    assert superuser.act(f"payments/{payment.uid}/refund", {"amount": 1}, key="k").status_code == 201
    problem(superuser.act(f"accounts/{merchant.account.uid}/sync", key="k"), 409, "key-reused")
    assert not queued

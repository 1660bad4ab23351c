"""One key, one act: asked for again, with another body, at the same time, and when the answer is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from govpay import tasks
from govpay.models import Operation, WebhookEvent
from tests.operations.town import Town, at_once, card, only
from tests.rest.conftest import Program, problem

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_same_key_and_body_is_the_same_act(till: Program, town: Town) -> None:
    payment = town.captured()
    first, again = (
        till.act(f"payments/{payment.uid}/refund", {"amount": 700, "reason": "Twice"}, key="K 1/Ж") for _ in range(2)
    )
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first["Operation-Id"] == again["Operation-Id"] == str(only().key)
    assert first["Location"] == again["Location"]
    assert town.moved("refund", payment) == 700
    assert len(town.posts("refund")) == 1


def test_a_capture_is_answered_again_after_the_payment_went_on(till: Program, town: Town) -> None:
    payment = town.quoted()
    assert till.act(f"payments/{payment.uid}/capture", key="c").json()["status"] == "captured"
    till.act(f"payments/{payment.uid}/refund", {"amount": 5})
    again = till.act(f"payments/{payment.uid}/capture", key="c")
    assert again.status_code == 200
    assert len(town.posts("capture")) == 1


def test_the_same_key_for_something_else_is_refused(till: Program, town: Town) -> None:
    payment = town.captured()
    assert till.act(f"payments/{payment.uid}/refund", {"amount": 700}, key="k").status_code == 201
    for deed, body in (
        ("refund", {"amount": 701}),
        ("refund", {"amount": 700, "reason": "Other"}),
        ("refund", {}),
        ("void", {}),
        ("capture", {}),
    ):
        answer = till.act(f"payments/{payment.uid}/{deed}", body, key="k")
        found = problem(answer, 409, "key-reused")
        assert found["operation_id"] == str(only().key)
        assert "Retry-After" not in answer
    other = town.captured()
    problem(till.act(f"payments/{other.uid}/refund", {"amount": 700}, key="k"), 409, "key-reused")
    assert town.moved("refund", payment) == 700
    assert len(town.posts("refund")) == 1


def test_keys_of_two_users_are_two(
    till: Program, town: Town, make_staff: Callable[..., Any], program: Callable[[Any], Program]
) -> None:
    payment = town.captured()
    for each in (till, program(make_staff("Finance", name="other"))):
        assert each.act(f"payments/{payment.uid}/refund", {"amount": 100}, key="k").status_code == 201
    assert town.moved("refund", payment) == 200


def test_an_act_without_a_key_is_not_done(till: Program, town: Town) -> None:
    payment = town.captured()
    for key in (None, "   ", "x" * 256):
        found = problem(till.act(f"payments/{payment.uid}/refund", {"amount": 1}, key=key), 400, "invalid")
        assert found["errors"][0]["field"] == "Idempotency-Key"
    assert not town.posts()


def test_what_is_under_way_says_so_at_once(till: Program, town: Town) -> None:
    payment = town.captured()
    inside, release = threading.Event(), threading.Event()
    answers: list[Any] = []

    def act() -> None:
        inside.set()
        release.wait(20)

    def first() -> None:
        answers.append(till.act(f"payments/{payment.uid}/refund", {"amount": 9}, key="slow"))
        connections.close_all()

    with town.while_it_acts(act):
        thread = threading.Thread(target=first)
        thread.start()
        assert inside.wait(20)
        again = till.act(f"payments/{payment.uid}/refund", {"amount": 9}, key="slow")
        found = problem(again, 409, "in-progress")
        assert int(again["Retry-After"]) >= 1
        assert found["operation_id"] == str(only().key)
        other = till.act(f"payments/{payment.uid}/refund", {"amount": 9}, key="other")
        problem(other, 422, "refused")
        release.set()
        thread.join(20)
    assert answers[0].status_code == 201
    assert till.act(f"payments/{payment.uid}/refund", {"amount": 9}, key="slow").json() == answers[0].json()
    assert town.moved("refund", payment) == 9


def test_of_many_at_once_one_is_done(till: Program, town: Town) -> None:
    payment = town.captured()
    jobs = [lambda: till.act(f"payments/{payment.uid}/refund", {"amount": 3}, key="same")] * 4
    answers = at_once(*jobs)
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert 201 in {answer.status_code for answer in answers}
    assert town.moved("refund", payment) == 3


def test_a_lost_answer_is_202_and_the_operation_settles(till: Program, town: Town, impatient: None) -> None:
    payment = town.captured()
    town.sandbox.fault("POST /api/payments/{uid}/refund", times=1, close="after")
    answer = till.act(f"payments/{payment.uid}/refund", {"amount": 250}, key="lost")
    assert answer.status_code == 202, answer.content
    operation = only()
    assert answer.json()["state"] == operation.state == "unknown"
    assert answer["Operation-Id"] == str(operation.key)
    assert answer["Location"].endswith(f"/operations/{operation.key}")
    assert till.get(answer["Location"]).json()["state"] == "unknown"
    again = till.act(f"payments/{payment.uid}/refund", {"amount": 250}, key="lost")
    assert again.status_code == 202, "still not known, and not sent again"
    problem(till.act(f"payments/{payment.uid}/refund", {"amount": 250}), 422, "refused")
    assert len(town.posts("refund")) == 1
    town.settle_all()
    settled = till.get(answer["Location"]).json()
    assert settled["state"] == "succeeded"
    assert till.get(f"transactions/{settled['result_uid']}").json()["amount"] == 250
    done = till.act(f"payments/{payment.uid}/refund", {"amount": 250}, key="lost")
    assert (done.status_code, done.json()["uid"]) == (201, settled["result_uid"])
    assert town.moved("refund", payment) == 250


def test_a_refusal_leaves_the_key_free(till: Program, town: Town) -> None:
    payment = town.captured(100)
    problem(till.act(f"payments/{payment.uid}/refund", {"amount": 999_999}, key="k"), 422, "refused")
    assert not Operation.objects.exists()
    assert till.act(f"payments/{payment.uid}/refund", {"amount": 1}, key="k").status_code == 201


def test_a_failure_is_the_keys_answer_for_good(till: Program, town: Town) -> None:
    payment = town.quoted(method=card("0002"))
    answers = [till.act(f"payments/{payment.uid}/capture", key="c") for _ in range(2)]
    first, again = (problem(answer, 402, "declined") for answer in answers)
    assert first == again
    assert first["operation_id"] == str(only(action="capture").key)
    assert first["code"]
    assert first["request_id"]
    assert len(town.posts("capture")) == 1


# --- Acts that the journal does not know -----------------------------------------------------------------


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    sent: list[Any] = []
    for task in (tasks.sync_account, tasks.process_event):
        monkeypatch.setattr(task, "apply_async", lambda args=(), kwargs=None, **_: sent.append(args))
    return sent


@pytest.fixture
def worker(operator: Any, program: Callable[[Any], Program]) -> Program:
    return program(operator)


def test_a_sync_is_asked_for_once(worker: Program, town: Town, queued: list[Any]) -> None:
    answers = [worker.act(f"accounts/{town.account.uid}/sync", key="s") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json() == {"outcome": "queued"}
    assert queued == [(town.account.uid,)]
    other = town.add_account()
    problem(worker.act(f"accounts/{other.uid}/sync", key="s"), 409, "key-reused")
    assert worker.act(f"accounts/{town.account.uid}/sync").status_code == 202
    assert len(queued) == 2


def test_a_sync_that_could_not_be_queued_is_asked_for_again(
    worker: Program, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("no broker")

    monkeypatch.setattr(tasks.sync_account, "apply_async", refuse)
    answer = worker.act(f"accounts/{town.account.uid}/sync", key="s")
    problem(answer, 503, "unavailable")
    assert answer["Retry-After"]
    monkeypatch.undo()
    monkeypatch.setattr(tasks.sync_account, "apply_async", lambda *_, **__: None)
    assert worker.act(f"accounts/{town.account.uid}/sync", key="s").status_code == 202


def test_without_a_cache_a_sync_is_asked_for_twice(
    worker: Program, town: Town, queued: list[Any], settings: Any
) -> None:
    nobody = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:9"}
    settings.CACHES = {"default": nobody}
    for _ in range(2):
        assert worker.act(f"accounts/{town.account.uid}/sync", key="s").status_code == 202
    assert len(queued) == 2


def test_an_event_is_replayed_once(worker: Program, town: Town, queued: list[Any]) -> None:
    event = WebhookEvent.objects.create(
        account=town.account, webhook_id="evt_1", event_type="payment.completed", state="failed", attempts=8
    )
    for _ in range(2):
        answer = worker.act(f"events/{event.pk}/replay", key="r")
        assert (answer.status_code, answer.json()) == (202, {"outcome": "queued"})
    assert queued == [(event.pk,)]
    event.refresh_from_db()
    assert (event.state, event.attempts) == ("received", 0)
    problem(worker.act(f"accounts/{town.account.uid}/sync", key="r"), 409, "key-reused")


def test_an_event_that_a_worker_has_is_left_to_it(worker: Program, town: Town, queued: list[Any]) -> None:
    from govpay.sync import inbox

    event = WebhookEvent.objects.create(account=town.account, webhook_id="evt_1", event_type="payment.completed")
    assert inbox.claim(event.pk)
    answer = worker.act(f"events/{event.pk}/replay", key="r")
    problem(answer, 409, "in-progress")
    assert answer["Retry-After"]
    assert not queued


def test_a_key_of_the_journal_is_no_key_of_a_sync(
    till: Program, town: Town, queued: list[Any], superuser: Program
) -> None:
    payment = town.captured()
    assert superuser.act(f"payments/{payment.uid}/refund", {"amount": 1}, key="k").status_code == 201
    problem(superuser.act(f"accounts/{town.account.uid}/sync", key="k"), 409, "key-reused")
    assert not queued

"""``govpay.web.webhooks``: accepted and refused deliveries, and the cost of each (faults W1 to W9)."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from govpay.cache import newest_secret_key, webhook_secret_key
from govpay.models import PaymentAccount, WebhookEvent
from govpay.models.fields import Sealed
from govpay.sync import inbox, secrets
from tests.amounts import another, repeats
from tests.events import SECRET, account_on, deliver, envelope, known_account, post, sign
from tests.patience import SILENCE, Clock, Held, wait_until, without_hanging

pytestmark = pytest.mark.django_db(transaction=True)

#: Bodies that the fuzzer tries.
FUZZED = repeats(10_000, 60, 10_000)


@pytest.fixture
def account() -> str:
    return known_account()


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What would have been handed to the broker."""
    from govpay import tasks

    found: list[int] = []
    monkeypatch.setattr(tasks._queue, "_pass_on", lambda arrived: found.extend(pk for _, pk in arrived))
    return found


def test_a_delivery_is_stored_answered_and_queued(account: str, queued: list[int]) -> None:
    payload = envelope("payment.refunded", data={"payment_uid": "pay_1", "amount": 5})
    answer = deliver(account, payload)
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    row = WebhookEvent.objects.get()
    assert (row.account_id, row.webhook_id, row.event_type) == (account, payload["webhook_id"], "payment.refunded")
    assert (row.state, row.attempts, row.payload, row.error) == ("received", 0, payload, "")
    assert int(row.sent_at.timestamp()) == payload["timestamp"]  # type: ignore[union-attr]
    wait_until(lambda: queued, "queueing")
    assert queued == [row.pk]


@pytest.mark.parametrize("prefix", ["", "sha256="])
def test_the_prefix_is_optional(account: str, prefix: str) -> None:
    body = json.dumps(envelope()).encode()
    assert post(account, body, prefix + sign(body)).status_code == 200


def test_what_each_costs(account: str) -> None:
    """Budget: accept 3 statements, a duplicate 2, a forged one none once the secrets are known."""
    deliver(account, envelope())
    payload = envelope()
    with CaptureQueriesContext(connection) as accepted:
        assert deliver(account, payload).status_code == 200
    assert len(accepted) <= 3, accepted.captured_queries
    with CaptureQueriesContext(connection) as again:
        assert deliver(account, payload).json() == {"status": "duplicate"}
    assert len(again) <= 2, again.captured_queries
    with CaptureQueriesContext(connection) as forged:
        for _ in range(20):
            assert deliver(account, envelope(), secret="another").status_code == 401
            assert deliver(account, envelope(age=15000)).status_code == 401
            assert post(account, b"{}", None).status_code == 401
    assert len(forged) == 0, forged.captured_queries
    assert WebhookEvent.objects.count() == 2


def test_the_platform_is_not_asked_for_anything(sandbox: Any) -> None:
    account = account_on(sandbox)
    secret = sandbox.webhook_secret(account)
    deliver(account, envelope(), secret)
    before = len(sandbox.requests())
    for _ in range(5):
        assert deliver(account, envelope(), secret).status_code == 200
    assert len(sandbox.requests()) == before


REFUSED = {
    "no signature": (401, lambda body: (body, None)),
    "empty signature": (401, lambda body: (body, "")),
    "no hex": (401, lambda body: (body, "x" * 64)),
    "too short": (401, lambda body: (body, sign(body)[:-1])),
    "too long": (401, lambda body: (body, sign(body) + "0")),
    "another secret": (401, lambda body: (body, sign(body, "another"))),
    "another body": (401, lambda body: (body + b" ", sign(body))),
    "not JSON": (400, lambda body: (b"{", "0" * 64)),
    "a number": (400, lambda body: (b"5", "0" * 64)),
    "a list": (400, lambda body: (b"[]", "0" * 64)),
    "NaN": (400, lambda body: (b'{"timestamp": NaN}', "0" * 64)),
    "no timestamp": (400, lambda body: (b'{"webhook_id": "evt_1"}', "0" * 64)),
    "a text as timestamp": (400, lambda body: (b'{"timestamp": "1"}', "0" * 64)),
    "not UTF-8": (400, lambda body: (b'{"timestamp": 1, "x": "\xff"}', "0" * 64)),
    "one name twice": (400, lambda body: (b'{"timestamp": 1, "timestamp": 2}', "0" * 64)),
    "one name twice, deeper": (400, lambda body: (b'{"timestamp": 1, "data": {"a": 1, "a": 2}}', "0" * 64)),
    "very deep": (400, lambda body: (b'{"timestamp": 1, "data": ' + b"[" * 90000 + b"]" * 90000 + b"}", "0" * 64)),
    "too large": (413, lambda body: (b" " * (256 * 1024 + 1), "0" * 64)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_leaves_nothing_but_one_line(account: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """W1: 0 statements, 0 rows."""
    status, made = REFUSED[name]
    deliver(account, envelope())
    body, signature = made(json.dumps(envelope()).encode())
    with caplog.at_level(logging.WARNING, "govpay.webhooks"), CaptureQueriesContext(connection) as statements:
        answer = post(account, body, signature)
    assert answer.status_code == status
    assert ("detail" in answer.json()) == (status != 401), "a malformed request is told what is wrong with it"
    assert len(statements) == 0
    assert WebhookEvent.objects.count() == 1
    (line,) = [record for record in caplog.records if record.message.startswith("webhook refused")]
    assert "no. " in line.message


def test_what_is_signed_and_still_no_delivery(account: str) -> None:
    deep: Any = []
    for _ in range(60):
        deep = [deep]
    for payload in (
        envelope(webhook_id=None),
        envelope(webhook_id=""),
        envelope(webhook_id="x" * 256),
        envelope(webhook_id="evt\x00"),
        envelope(webhook_id=5),
        {**envelope(), "event_type": None},
        envelope(data=deep),
    ):
        assert deliver(account, payload).status_code == 400
    assert not WebhookEvent.objects.exists()


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_other_methods(account: str, method: str) -> None:
    answer = getattr(Client(), method)(f"/govpay/webhooks/{account}/")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_other_content_types(account: str, kind: str) -> None:
    body = json.dumps(envelope()).encode()
    assert post(account, body, sign(body), content_type=kind).status_code == 415


def test_a_charset_is_no_other_content_type(account: str) -> None:
    body = json.dumps(envelope()).encode()
    assert post(account, body, sign(body), content_type="application/json; charset=utf-8").status_code == 200


def test_an_unknown_account(account: str) -> None:
    with CaptureQueriesContext(connection) as statements:
        assert deliver("acc_nobody", envelope()).status_code == 404
    assert len(statements) <= 1
    PaymentAccount.objects.filter(uid=account).update(deleted_at="2026-01-01T00:00:00Z")
    assert deliver(account, envelope()).status_code == 404


def test_the_secret_of_another_account_opens_nothing(account: str) -> None:
    """A delivery must be signed with the secret of its own account."""
    known_account("acc_other", "whsec_other")
    assert deliver(account, envelope(), secret="whsec_other").status_code == 401
    assert deliver("acc_other", envelope()).status_code == 401
    assert not WebhookEvent.objects.exists()


def test_the_tolerance_counts_both_ways(account: str, settings: Any) -> None:
    """W1: too old and from the future."""
    assert deliver(account, envelope(age=14390)).status_code == 200
    assert deliver(account, envelope(age=-14390)).status_code == 200
    assert deliver(account, envelope(age=14410)).status_code == 401
    assert deliver(account, envelope(age=-14410)).status_code == 401
    assert inbox.stale_count(account) == 2
    settings.GOVPAY = {**settings.GOVPAY, "WEBHOOK_TOLERANCE": 300}
    assert deliver(account, envelope(age=310)).status_code == 401


def test_it_is_no_replay_inside_the_tolerance(account: str) -> None:
    """W1b: one row, so no second effect."""
    body = json.dumps(envelope()).encode()
    for _ in range(5):
        assert post(account, body, sign(body)).status_code == 200
    assert WebhookEvent.objects.count() == 1


def test_the_same_id_of_another_account_is_another_event(account: str) -> None:
    other = known_account("acc_other")
    payload = envelope()
    assert deliver(account, payload).json() == deliver(other, payload).json() == {"status": "accepted"}
    assert WebhookEvent.objects.count() == 2


def test_160_deliveries_at_once_are_one_row(account: str) -> None:
    """Faults W3."""
    deliver(account, envelope())
    body = json.dumps(envelope()).encode()
    answers: list[int] = []
    barrier = threading.Barrier(16)

    def send() -> None:
        barrier.wait()
        answers.extend(post(account, body, sign(body)).status_code for _ in range(10))
        connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 160
    assert WebhookEvent.objects.count() == 2


def test_a_redelivery_of_a_failed_event_is_worked_on_again(account: str, queued: list[int]) -> None:
    payload = envelope()
    deliver(account, payload)
    WebhookEvent.objects.update(state="failed", error="down", attempts=8)
    assert deliver(account, payload).json() == {"status": "accepted"}
    row = WebhookEvent.objects.get()
    assert (row.state, row.error, row.attempts) == ("received", "", 0)
    WebhookEvent.objects.update(state="processed")
    assert deliver(account, payload).json() == {"status": "duplicate"}
    assert WebhookEvent.objects.get().state == "processed"


def test_a_database_that_is_down_is_503(account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults W8: the sender repeats it."""
    deliver(account, envelope())

    def down(execute: Any, sql: str, *rest: Any) -> Any:
        from django.db import OperationalError

        raise OperationalError("the server closed the connection")

    with connection.execute_wrapper(down):
        answer = deliver(account, envelope())
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert WebhookEvent.objects.count() == 1


def test_atomic_requests_of_the_host_do_not_hold_the_row_back(account: str) -> None:
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        with CaptureQueriesContext(connection) as statements:
            assert deliver(account, envelope()).status_code == 200
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert not [query for query in statements if query["sql"].startswith(("BEGIN", "SAVEPOINT"))]


def test_nothing_secret_is_kept(account: str) -> None:
    """Faults W9."""
    canaries = {
        "card_number": "4111111111111111",
        "note": "card 4111 1111 1111 1111, Bearer abcdefghijklmnop",
        "client_secret": "cs_1_secret_canary",
        "text": "cs_1_secret_canary",
        "number": 4111111111111111,
        "nested": [{"cvv": "canary", "deep": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"]}],
        "payment_uid": "pay_1",
    }
    deliver(account, envelope(data=canaries), headers_of_a_proxy="x")
    kept = json.dumps(WebhookEvent.objects.values().get(), default=str)
    for canary in ("4111", "abcdefgh", "canary", "eyJ", SECRET):
        assert canary not in kept
    assert WebhookEvent.objects.get().payload["data"]["payment_uid"] == "pay_1"


@pytest.mark.soak
@settings(
    max_examples=FUZZED, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries(
            {
                "webhook_id": st.one_of(st.none(), st.integers(), st.text(max_size=300)),
                "event_type": st.one_of(st.none(), st.text(max_size=300), st.just("payment.completed")),
                "timestamp": st.one_of(st.none(), st.integers(), st.floats(), st.booleans(), st.just(int(time.time()))),
                "data": st.one_of(st.none(), st.text(), st.dictionaries(st.text(max_size=5), st.text(max_size=5))),
            }
        ).map(lambda value: json.dumps(value).encode()),
    ),
    signed=st.booleans(),
)
def test_no_body_is_a_500(account: str, body: bytes, signed: bool) -> None:
    """Faults W5."""
    if not another(FUZZED):
        return
    try:
        signature = sign(body) if signed else "0" * 64
    except (ValueError, TypeError, KeyError, IndexError):
        signature = "0" * 64
    answer = post(account, body, signature, client=Client(raise_request_exception=False))
    assert answer.status_code in (200, 400, 401, 415)


# -- secrets -------------------------------------------------------------------------------------------------


def asked(sandbox: Any) -> int:
    return sum(call["path"] == "/api/webhooks/secret" for call in sandbox.requests())


def test_a_missing_secret_is_fetched_once(sandbox: Any) -> None:
    account = account_on(sandbox)
    secret = sandbox.webhook_secret(account)
    for _ in range(10):
        assert deliver(account, envelope(), secret).status_code == 200
    assert asked(sandbox) == 1
    stored = PaymentAccount.objects.get(uid=account)
    assert isinstance(stored.webhook_secret, Sealed)
    with connection.cursor() as cursor:
        cursor.execute("SELECT webhook_secret FROM govpay_paymentaccount WHERE uid = %s", [account])
        assert secret not in cursor.fetchone()[0]
    secrets.forget()  # another process
    assert deliver(account, envelope(), secret).status_code == 200
    assert asked(sandbox) == 1


def test_a_rolled_secret_is_learnt_at_once_and_the_old_one_stays_good_for_a_while(sandbox: Any, settings: Any) -> None:
    """Faults W2: nothing is refused during a rotation."""
    account = account_on(sandbox)
    old = sandbox.webhook_secret(account)
    assert deliver(account, envelope(), old).status_code == 200
    cache.clear()  # a minute later
    secrets.forget()
    new = sandbox.rotate_secret(account)
    both = (new, old) * repeats(500, 50, 500)
    assert {deliver(account, envelope(), secret).status_code for secret in both} == {200}
    assert asked(sandbox) == 2
    settings.GOVPAY = {**settings.GOVPAY, "WEBHOOK_SECRET_GRACE": 0}
    assert deliver(account, envelope(), new).status_code == 200
    assert deliver(account, envelope(), old).status_code == 401


def test_a_flood_of_forged_ones_asks_once_in_20_seconds(sandbox: Any) -> None:
    account = account_on(sandbox)
    deliver(account, envelope(), sandbox.webhook_secret(account))
    for _ in range(50):
        assert deliver(account, envelope(), "forged").status_code == 401
    assert asked(sandbox) <= 2
    secrets.forget()  # another process within the same minute
    for _ in range(50):
        assert deliver(account, envelope(), "forged").status_code == 401
    assert asked(sandbox) <= 2


def test_a_secret_that_is_rolled_twice_within_a_minute_is_learnt_at_once_by_all_processes(sandbox: Any) -> None:
    """W2: one request for each rotation serves every process, and no good delivery is refused."""
    account = account_on(sandbox)
    deliver(account, envelope(), sandbox.webhook_secret(account))
    processes: list[dict[str, Any]] = [dict(secrets._known) for _ in range(4)]
    for rotation in (1, 2):
        secret = sandbox.rotate_secret(account)
        for number, known in enumerate(processes):
            secrets._known.clear()
            secrets._known.update(known)
            assert deliver(account, envelope(), secret).status_code == 200
            processes[number] = dict(secrets._known)
        assert asked(sandbox) == 1 + rotation


def test_three_requests_in_a_minute_are_the_most(sandbox: Any) -> None:
    account = account_on(sandbox)
    deliver(account, envelope(), sandbox.webhook_secret(account))
    answers = []
    for _ in range(5):
        answers.append(deliver(account, envelope(), sandbox.rotate_secret(account)).status_code)
    assert asked(sandbox) == secrets.MAX_REQUESTS
    assert answers == [200, 200, 401, 401, 401]


def test_a_flood_of_forged_ones_cannot_use_up_the_requests_at_once(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = account_on(sandbox)
    deliver(account, envelope(), sandbox.webhook_secret(account))
    for _ in range(20):
        assert deliver(account, envelope(), "forged").status_code == 401
    assert asked(sandbox) == 2
    secret = sandbox.rotate_secret(account)
    monkeypatch.setattr(secrets, "time", clock := Clock())
    clock.pass_on(secrets.ASK_EVERY)
    cache.delete(webhook_secret_key(account))  # as the cache's own clock has it
    assert deliver(account, envelope(), secret).status_code == 200
    assert asked(sandbox) == 3


def test_a_secret_that_cannot_be_fetched_is_503(sandbox: Any) -> None:
    account = account_on(sandbox)
    sandbox.fault("GET /api/webhooks/secret", status=500)
    assert deliver(account, envelope(), "any").status_code == 503
    before = asked(sandbox)
    assert deliver(account, envelope(), "any").status_code == 503
    assert asked(sandbox) == before, "not asked for each delivery"


def test_a_lost_key_means_a_new_fetch(sandbox: Any, settings: Any) -> None:
    """Faults S3."""
    account = account_on(sandbox)
    secret = sandbox.webhook_secret(account)
    assert deliver(account, envelope(), secret).status_code == 200
    settings.SECRET_KEY = "another"
    cache.clear()
    assert deliver(account, envelope(), secret).status_code == 200
    assert asked(sandbox) == 2


def test_two_processes_that_learn_the_same_secret_keep_the_one_before(sandbox: Any) -> None:
    """With a cache of its own each process asks for itself."""
    account = account_on(sandbox)
    old = sandbox.webhook_secret(account)
    deliver(account, envelope(), old)
    secrets.forget()
    deliver(account, envelope(), old)
    other = dict(secrets._known)
    new = sandbox.rotate_secret(account)
    secrets.forget()
    assert deliver(account, envelope(), new).status_code == 200
    cache.clear()
    secrets._known.update(other)
    assert deliver(account, envelope(), new).status_code == 200
    assert asked(sandbox) == 3
    secrets.forget()
    assert deliver(account, envelope(), old).status_code == 200


def test_a_secret_that_is_rolled_right_after_it_was_fetched(sandbox: Any) -> None:
    account = account_on(sandbox)
    old = sandbox.webhook_secret(account)
    assert deliver(account, envelope(), old).status_code == 200
    new = sandbox.rotate_secret(account)
    assert [deliver(account, envelope(), secret).status_code for secret in (new, old)] == [200, 200]


def test_a_secret_that_another_process_refreshed_costs_no_request(sandbox: Any) -> None:
    account = account_on(sandbox)
    assert deliver(account, envelope(), sandbox.webhook_secret(account)).status_code == 200
    new = sandbox.rotate_secret(account)
    secrets.keep(account, new)  # another process, which leaves the cache of this one as it is
    assert deliver(account, envelope(), new).status_code == 200
    assert asked(sandbox) == 1


def test_the_platform_is_asked_when_the_row_has_no_newer_secret(sandbox: Any) -> None:
    """The mark of the newest secret names one that is not in the row."""
    account = account_on(sandbox)
    assert deliver(account, envelope(), sandbox.webhook_secret(account)).status_code == 200
    cache.set(newest_secret_key(account), "another")
    assert deliver(account, envelope(), sandbox.rotate_secret(account)).status_code == 200
    assert asked(sandbox) == 2


def test_forged_ones_hold_no_threads_while_the_platform_is_slow(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread an account asks, a few wait for it; the others are answered, and so is a true delivery."""
    accounts = [account_on(sandbox) for _ in range(2)]
    for account in accounts:
        deliver(account, envelope(), sandbox.webhook_secret(account))
    cache.clear()
    secrets.forget()
    slow = sandbox.fault("GET /api/webhooks/secret", delay=1)
    monkeypatch.setattr("govpay.sandbox.app.time", held := Held())
    monkeypatch.setattr(secrets, "ASK_WITHIN", SILENCE)
    monkeypatch.setattr(secrets, "SECRET_FETCH_TIMEOUT", SILENCE)
    answered: list[int] = []

    def forge(account: str) -> None:
        try:
            answered.append(deliver(account, envelope(), "forged").status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=forge, args=(accounts[number % 2],)) for number in range(16)]
    for thread in threads:
        thread.start()
    at_most = len(accounts) + secrets.WAITING
    wait_until(lambda: len(answered) >= len(threads) - at_most)
    assert deliver(accounts[0], envelope(), sandbox.webhook_secret(accounts[0])).status_code == 200
    wait_until(lambda: slow.hits >= len(accounts))  # their requests may still be on the way
    assert slow.hits == len(accounts)
    assert sum(thread.is_alive() for thread in threads) >= len(accounts), "the platform still keeps silent"
    held.release()
    for thread in threads:
        thread.join()
    assert answered == [401] * len(threads)


def test_a_site_that_demands_a_login_everywhere(account: str, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert deliver(account, envelope()).status_code == 200


@pytest.mark.parametrize("uid", ["acc%00x", "x" * 129, "acc%0Ax"])
def test_an_address_that_no_account_can_have(uid: str) -> None:
    with CaptureQueriesContext(connection) as statements:
        body = json.dumps(envelope()).encode()
        answer = Client().post(f"/govpay/webhooks/{uid}/", body, content_type="application/json")
    assert answer.status_code in (401, 404)
    assert len(statements) == 0
    assert deliver(uid, envelope()).status_code == 404


def test_a_length_beyond_reason(account: str) -> None:
    body = json.dumps(envelope()).encode()
    assert post(account, body, sign(body), CONTENT_LENGTH="9" * 5000).status_code == 413


def test_a_body_in_chunks(account: str) -> None:
    """A server that knows where such a body ends says so; Django by itself would read nothing."""
    import io

    body = json.dumps(envelope()).encode()
    chunks = {"CONTENT_LENGTH": "", "wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True}
    assert post(account, body, sign(body), **chunks).status_code == 200
    large = {**chunks, "wsgi.input": io.BytesIO(b" " * 300_000)}
    assert post(account, body, sign(body), **large).status_code == 413


def test_a_refusal_is_one_line_in_all_logs(account: str, caplog: pytest.LogCaptureFixture) -> None:
    deliver(account, envelope())
    secrets._known[account].quiet_until = time.monotonic() + 60
    caplog.clear()
    with caplog.at_level(logging.INFO):
        deliver(account, envelope(), "forged")
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "text", ["cs_a" * 60_000, "eyJabcd-" * 30_000, "1 " * 120_000, "bearer " * 30_000, "eyJ.a" * 50_000]
)
def test_no_text_makes_a_delivery_slow(account: str, text: str) -> None:
    with without_hanging():
        assert deliver(account, envelope(data={"payment_uid": "pay_1", "metadata": {"note": text}})).status_code == 200


def test_card_numbers_hide_nowhere(account: str) -> None:
    """Faults S1: neither as an identifier, nor as a name, nor as a number of any kind."""
    data = {
        "account_id": "4111111111111111",
        "id": "4111 1111 1111 1111",
        "4111111111111111": "x",
        "diners": 30569309025904,
        "fraction": 4111111111111111.0,
        "cvv2": "canary",
        "security_code": "canary",
        "Authorization": "canary",
        "payment_uid": "pay_4111",
        "amount": 1234567,
    }
    assert deliver(account, envelope(data=data)).status_code == 200
    kept = WebhookEvent.objects.get().payload["data"]
    text = json.dumps(kept)
    for canary in ("41111", "4111 ", "3056", "canary"):
        assert canary not in text
    assert (kept["payment_uid"], kept["amount"]) == ("pay_4111", 1234567)

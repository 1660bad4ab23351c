"""Delivery of webhooks: retries, timing, faults on demand, and restarts."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from govpay.sandbox import Sandbox
from govpay.sandbox.__main__ import main
from govpay.sandbox.webhooks.courier import Courier
from tests.patience import HANG, SILENCE, wait_until

from .conftest import Caller, stand_still
from .receiver import Receiver, receiving
from .test_state import started

Doc = dict[str, Any]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def heard(sandbox: Sandbox, account: Doc, receiver: Receiver) -> Receiver:
    sandbox.subscribe(account["uid"], receiver.url)
    return receiver


def send(sandbox: Sandbox, account: Doc, count: int = 1) -> list[str]:
    uid = account["uid"]
    return [sandbox.send_webhook(uid, "payment.completed", {"n": n})["webhook_id"] for n in range(count)]


def ids(receiver: Receiver) -> list[str]:
    return [str(post.event["webhook_id"]) for post in receiver.posts]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def couriers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sandbox-courier"]


@contextmanager
def deaf(backlog: int = 5) -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


# --- Again and again ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 404, 302, 100])
def test_anything_but_2xx_is_tried_again_unchanged(
    sandbox: Sandbox, account: Doc, heard: Receiver, status: int
) -> None:
    heard.answers[:] = [status]
    send(sandbox, account)
    first, second = heard.wait(2)
    assert first.body == second.body
    assert first.headers["X-Webhook-Signature"] == second.headers["X-Webhook-Signature"]
    assert sandbox.wait_for_webhooks()
    (row,) = sandbox.deliveries()
    assert (row["attempts"], row["status"], row["done"]) == (2, 200, True)


def test_pauses_double_up_to_a_quarter_of_an_hour_for_four_hours(
    sandbox: Sandbox, account: Doc, heard: Receiver
) -> None:
    stand_still(sandbox)
    heard.answers[:] = [503] * 100
    send(sandbox, account)
    pauses, total = [], 0.0
    while True:
        assert sandbox.wait_for_webhooks()
        ((next_at, done),) = sandbox.platform.store.execute("SELECT next_at, done FROM deliveries")
        if done:
            break
        pauses.append(next_at - sandbox.platform.clock.now().timestamp())
        total += pauses[-1]
        sandbox.advance(pauses[-1] + 0.01)
    assert [round(pause, 3) for pause in pauses[:12]] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert 4 * 3600 - 900 < total < 4 * 3600
    (row,) = sandbox.deliveries()
    assert (row["attempts"], row["status"], row["done"]) == (len(pauses) + 1, 503, True)
    assert len({post.body for post in heard.posts}) == 1
    sandbox.advance(900)
    assert sandbox.wait_for_webhooks()
    assert len(heard.posts) == len(pauses) + 1


def test_a_dead_receiver_gets_it_when_it_is_back(sandbox: Sandbox, account: Doc) -> None:
    port = free_port()
    sandbox.subscribe(account["uid"], f"http://localhost:{port}/x?y=1")
    sent = send(sandbox, account, 2)
    assert sandbox.wait_for_webhooks()
    assert [(row["attempts"], row["status"], row["done"]) for row in sandbox.deliveries()] == [(1, None, False)] * 2
    with receiving(port) as back:
        sandbox.advance(2)
        back.wait(2)
        assert ids(back) == sent
        assert back.posts[0].path == "/x?y=1"


def test_nothing_leaves_this_machine(sandbox: Sandbox, account: Doc) -> None:
    for url in ("https://city.example/hooks", "http://10.1.2.3/", "no address", "http://127.0.0.1:99999/"):
        sandbox.subscribe(account["uid"], url)
        send(sandbox, account)
    assert sandbox.wait_for_webhooks()
    assert {(row["attempts"], row["status"]) for row in sandbox.deliveries()} == {(1, None)}


def test_tls_to_somebody_unknown_is_no_answer(sandbox: Sandbox, account: Doc, receiver: Receiver) -> None:
    sandbox.subscribe(account["uid"], receiver.url.replace("http:", "https:"))
    send(sandbox, account)
    assert sandbox.wait_for_webhooks()
    assert [row["status"] for row in sandbox.deliveries()] == [None]
    assert receiver.posts == []


def test_an_account_that_stopped_listening_is_left_alone(sandbox: Sandbox, account: Doc, heard: Receiver) -> None:
    sandbox.hold_webhooks()
    send(sandbox, account)
    sandbox.touch("account", account["uid"], webhook_enabled=False)
    sandbox.release_webhooks()
    assert sandbox.wait_for_webhooks()
    (row,) = sandbox.deliveries()
    assert (row["attempts"], row["status"], row["done"]) == (0, None, True)
    assert heard.posts == []


# --- In time ------------------------------------------------------------------------------------


def test_the_first_attempt_waits_for_the_delay(receiver: Receiver) -> None:
    with Sandbox(webhook_delay=30) as sandbox, sandbox.serve():
        account = sandbox.add_account()
        sandbox.subscribe(account["uid"], receiver.url)
        send(sandbox, account)
        sandbox.advance(29)
        assert sandbox.wait_for_webhooks()
        assert receiver.posts == []
        sandbox.advance(1)
        assert receiver.only().is_signed_with(sandbox.webhook_secret(account["uid"]))
    with Sandbox(webhook_delay=0.4) as sandbox, sandbox.serve():
        account = sandbox.add_account()
        sandbox.subscribe(account["uid"], receiver.url)
        send(sandbox, account)
        receiver.wait(2)  # by itself


def test_a_slow_receiver_holds_up_neither_others_nor_the_api(
    sandbox: Sandbox, call: Caller, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("govpay.sandbox.webhooks.courier.TIMEOUT", SILENCE)
    others = [sandbox.add_account() for _ in range(2)]
    for other in others:
        sandbox.subscribe(other["uid"], receiver.url)
    with deaf() as url:
        sandbox.subscribe(call.account_uid, url)
        for _ in range(20):
            sandbox.send_webhook(call.account_uid, "payment.completed", {})
        for other in others:
            send(sandbox, other, 10)
        receiver.wait(20)
        call.get("/api/payments")
        assert [row["attempts"] for row in sandbox.deliveries()].count(0) >= 20, "the slow one is still at it"
        # One at a time for each account: the other threads stay free.
        assert len(couriers()) <= 4


def test_nothing_outlives_the_stop_and_what_was_under_way_is_kept(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("govpay.sandbox.webhooks.courier.TIMEOUT", SILENCE)
    before = len(couriers())
    with deaf() as url, Sandbox() as sandbox:
        with sandbox.serve():
            accounts = [sandbox.add_account() for _ in range(6)]
            for account in accounts:
                sandbox.subscribe(account["uid"], url)
                send(sandbox, account)
            wait_until(lambda: len(couriers()) == before + 5)
        assert len(couriers()) == before, "without waiting for the timeout, after which an attempt would be noted"
        assert {(row["attempts"], row["done"]) for row in sandbox.deliveries()} == {(0, False)}
        assert not sandbox.wait_for_webhooks(0.1)
        for account in accounts:
            sandbox.subscribe(account["uid"], receiver.url)
        with sandbox.serve():
            receiver.wait(6)
            assert sandbox.wait_for_webhooks()


def test_a_stop_does_not_wait_for_a_connection_that_never_comes_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("govpay.sandbox.webhooks.courier.TIMEOUT", SILENCE)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, Sandbox() as sandbox:
        # A full queue of connections: the next ones are not even answered.
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with sandbox.serve():
            account = sandbox.add_account()
            sandbox.subscribe(account["uid"], f"http://127.0.0.1:{port}/")
            send(sandbox, account)
            time.sleep(0.2)
        assert {(row["attempts"], row["done"]) for row in sandbox.deliveries()} == {(0, False)}
        for filler in fillers:
            filler.close()


def test_an_idle_platform_sleeps(
    sandbox: Sandbox, account: Doc, heard: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.add_payment(account["uid"], "validated")
    send(sandbox, account)
    heard.wait(1)
    assert sandbox.wait_for_webhooks()
    time.sleep(0.3)
    looks: list[int] = []
    look = Courier._look
    monkeypatch.setattr(Courier, "_look", lambda self: looks.append(1) or look(self))
    time.sleep(1)
    assert len(looks) <= 2


def test_an_answer_that_drips_is_given_up(sandbox: Sandbox, account: Doc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("govpay.sandbox.webhooks.courier.TIMEOUT", 1.5)

    def drip(listener: socket.socket) -> None:
        listener.settimeout(5)
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
                while True:
                    connection.sendall(b".")
                    time.sleep(0.1)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        sandbox.subscribe(account["uid"], f"http://127.0.0.1:{listener.getsockname()[1]}/")
        send(sandbox, account)
        thread.join(HANG)
        assert not thread.is_alive()
    assert sandbox.wait_for_webhooks()
    assert sandbox.deliveries()[0]["status"] is None


# --- Secrets ------------------------------------------------------------------------------------


def test_a_new_secret_signs_retries_too(sandbox: Sandbox, account: Doc, heard: Receiver) -> None:
    old = sandbox.webhook_secret(account["uid"])
    heard.answers[:] = [401]
    send(sandbox, account)
    assert heard.only().is_signed_with(old)
    new = sandbox.rotate_secret(account["uid"])
    assert new == sandbox.webhook_secret(account["uid"]) != old
    send(sandbox, account)
    retry = heard.wait(3)
    assert sandbox.wait_for_webhooks()
    assert all(post.is_signed_with(new) and not post.is_signed_with(old) for post in retry[1:])


# --- Switches -----------------------------------------------------------------------------------


def test_duplicates(sandbox: Sandbox, account: Doc, heard: Receiver) -> None:
    fault = sandbox.webhook_fault("duplicate", times=2)
    one, two, three = send(sandbox, account, 3)
    assert sandbox.wait_for_webhooks()
    assert ids(heard) == [one, one, two, two, three]
    assert heard.posts[0].body == heard.posts[1].body
    assert fault.hits == 2
    assert [row["attempts"] for row in sandbox.deliveries()] == [1, 1, 1]


def test_wrong_order(sandbox: Sandbox, account: Doc, heard: Receiver) -> None:
    sandbox.webhook_fault("reorder")
    sandbox.hold_webhooks()
    a, b, c, d, e = send(sandbox, account, 5)
    sandbox.release_webhooks()
    assert sandbox.wait_for_webhooks()
    # No other delivery follows the last one, so it is sent after a while.
    assert ids(heard) == [b, a, d, c, e]


def test_stale_ones_are_right_at_the_next_attempt(sandbox: Sandbox, account: Doc, heard: Receiver) -> None:
    sandbox.webhook_fault("stale", times=1)
    heard.answers[:] = [401]
    send(sandbox, account)
    stale, fresh = heard.wait(2)
    assert stale.event["timestamp"] == fresh.event["timestamp"] - 5 * 3600
    assert {**stale.event, "timestamp": 0} == {**fresh.event, "timestamp": 0}
    secret = sandbox.webhook_secret(account["uid"])
    assert stale.is_signed_with(secret)
    assert fresh.is_signed_with(secret)


def test_bad_signatures(sandbox: Sandbox, account: Doc, heard: Receiver) -> None:
    sandbox.webhook_fault("bad_signature", times=1)
    heard.answers[:] = [401]
    send(sandbox, account)
    forged, real = heard.wait(2)
    secret = sandbox.webhook_secret(account["uid"])
    assert forged.body == real.body
    assert not forged.is_signed_with(secret)
    assert real.is_signed_with(secret)


def test_a_share_is_hit_and_faults_can_be_cleared(sandbox: Sandbox, account: Doc, heard: Receiver) -> None:
    fault = sandbox.webhook_fault("duplicate", share=0.3)
    send(sandbox, account, 60)
    assert sandbox.wait_for_webhooks()
    assert 6 <= fault.hits <= 30
    assert len(heard.posts) == 60 + fault.hits
    sandbox.clear_faults()
    send(sandbox, account, 20)
    assert sandbox.wait_for_webhooks()
    assert len(heard.posts) == 80 + fault.hits
    for wrong in ({"kind": "late"}, {"kind": "stale", "share": 0.0}, {"kind": "stale", "times": 0}):
        with pytest.raises(ValueError, match=next(reversed(wrong)) if len(wrong) > 1 else "duplicate, reorder"):
            sandbox.webhook_fault(**wrong)  # type: ignore[arg-type]


def test_holding_and_shuffling(sandbox: Sandbox, account: Doc, heard: Receiver) -> None:
    sandbox.hold_webhooks()
    sent = send(sandbox, account, 12)
    time.sleep(0.2)
    assert heard.posts == []
    assert not sandbox.wait_for_webhooks(0.1)
    sandbox.release_webhooks(shuffle=True, seed=3)
    assert sandbox.wait_for_webhooks()
    came = ids(heard)
    assert came != sent
    assert sorted(came) == sorted(sent)
    more = send(sandbox, account, 3)
    assert sandbox.wait_for_webhooks()
    assert ids(heard)[12:] == more
    assert [row["webhook_id"] for row in sandbox.deliveries()] == sent + more

    # The same seed gives the same order.
    heard.posts.clear()
    sandbox.hold_webhooks()
    again = send(sandbox, account, 12)
    sandbox.release_webhooks(shuffle=True, seed=3)
    assert sandbox.wait_for_webhooks()
    assert [again.index(uid) for uid in ids(heard)] == [sent.index(uid) for uid in came]


def test_switches_by_control_routes(sandbox: Sandbox, call: Caller, heard: Receiver) -> None:
    def control(method: str, path: str, body: Any = None) -> Any:
        return call(method, f"/_sandbox/{path}", body, token=None, account=None)

    assert control("POST", "webhook-faults", {"spec": "duplicate:0.5"}).json()["share"] == 0.5
    assert control("POST", "webhook-faults", {"kind": "stale", "times": 3}).status_code == 201
    assert [fault["kind"] for fault in control("GET", "webhook-faults").json()] == ["duplicate", "stale"]
    for wrong in ({"spec": "late"}, {"spec": "stale:often"}, {"kind": "stale", "colour": 1}, {}):
        assert control("POST", "webhook-faults", wrong).status_code == 400
    assert control("DELETE", "webhook-faults").status_code == 204
    assert control("GET", "webhook-faults").json() == []
    sandbox.webhook_fault("stale")
    assert control("DELETE", "faults").status_code == 204
    assert control("POST", "hold-webhooks").status_code == 204
    sent = [sandbox.send_webhook(call.account_uid, "payment.completed", {})["webhook_id"] for _ in range(6)]
    assert heard.posts == []
    assert control("POST", "release-webhooks", {"seed": "x"}).status_code == 400
    assert control("POST", "release-webhooks", {"shuffle": True, "seed": 5}).status_code == 204
    assert sandbox.wait_for_webhooks()
    assert sorted(ids(heard)) == sorted(sent)


# --- Restarts -----------------------------------------------------------------------------------


def test_a_restart_keeps_what_has_not_arrived(tmp_path: Path, receiver: Receiver) -> None:
    file = tmp_path / "state.sqlite3"
    with Sandbox(state=file) as sandbox, sandbox.serve():
        account = sandbox.add_account()
        sandbox.subscribe(account["uid"], receiver.url)
        (arrived,) = send(sandbox, account)
        assert sandbox.wait_for_webhooks()
        # Far ahead of the clock that the next process will have.
        sandbox.advance(3600)
        receiver.answers[:] = [500]
        failed = send(sandbox, account)
        assert sandbox.wait_for_webhooks()
        sandbox.hold_webhooks()
        held = send(sandbox, account, 2)
    receiver.posts.clear()
    with Sandbox(state=file) as sandbox, sandbox.serve():
        receiver.wait(3)
        assert sandbox.wait_for_webhooks()
        assert ids(receiver) == failed + held
        assert [row["attempts"] for row in sandbox.deliveries()] == [1, 2, 1, 1]
        assert sandbox.deliveries()[0]["webhook_id"] == arrived


def test_kill_9_loses_no_webhook(tmp_path: Path) -> None:
    file, port = str(tmp_path / "state.sqlite3"), free_port()
    options = ("--state", file, "--size", "6", "--callback-base", f"http://127.0.0.1:{port}/hooks")
    process, address = started(*options)
    try:
        call = Caller(address)
        uid = call.get("/api/paymentaccounts?$filter=name eq 'Utilities'")[0]["uid"]
        body = {"account": uid, "event_type": "ivr.completed"}
        made = [call("POST", "/_sandbox/pay-elsewhere", body, token=None).json()["uid"] for _ in range(5)]
        call.close()
    finally:
        process.kill()
        process.communicate()
    with receiving(port) as receiver:
        process, address = started(*options)
        try:
            receiver.wait(5)
        finally:
            process.terminate()
            _, err = process.communicate(timeout=HANG)
    assert (process.returncode, err) == (0, "")
    assert {post.data["payment_uid"] for post in receiver.posts} == set(made)
    assert {post.path for post in receiver.posts} == {f"/hooks/{uid}/"}


def test_the_base_of_another_start_is_followed(tmp_path: Path, receiver: Receiver) -> None:
    file = str(tmp_path / "state.sqlite3")
    for base, fault in (("http://127.0.0.1:9/old", "stale"), (receiver.url, "duplicate:1")):
        process, address = started(
            "--state", file, "--size", "demo", "--callback-base", base, "--webhook-fault", fault,
            "--webhook-delay", "0.1",
        )  # fmt: skip
        try:
            call = Caller(address)
            accounts = call.get("/api/paymentaccounts?$orderby=name")
            assert {row["callback_url"] for row in accounts} == {f"{base}/{row['uid']}/" for row in accounts}
            assert len(accounts) == 4
            account = accounts[-1]["uid"]
            enabled = call.get("/api/webhooks/subscriptions", account=account)["subscriptions"]
            assert {row["enabled"] for row in enabled} == {True}
            assert len(enabled) == 11
            if base == receiver.url:
                # The city's history sent no webhooks.
                assert call.get("/_sandbox/deliveries") == []
                body = {"account": account, "event_type": "ivr.completed"}
                call("POST", "/_sandbox/pay-elsewhere", body, token=None)
                assert len({post.body for post in receiver.wait(2)}) == 1
            call.close()
        finally:
            process.terminate()
            process.communicate(timeout=HANG)
            assert os.waitstatus_to_exitcode(process.returncode << 8) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--webhook-fault", "late"], "duplicate, reorder, stale, bad_signature"),
        (["--webhook-fault", "stale:2"], "share must be"),
        (["--callback-base", "127.0.0.1:8000"], "must be an http or https address"),
    ],
)
def test_bad_options_end_with_a_line(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--port", "0", *arguments])
    assert text in capsys.readouterr().err.splitlines()[-1]

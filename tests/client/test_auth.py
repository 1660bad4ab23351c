"""The token: fetched once, used during faults, replaced in time (faults T1-T3, T5, T7, T8)."""

from __future__ import annotations

import base64
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import pytest

from govpay.client import Authorizer, Endpoints, Token, auth
from govpay.client.transport import Transport, fetch_token
from govpay.exceptions import APIConnectionError, APIError, AuthenticationError, InvalidAnswer, ServerError
from tests.amounts import rounds
from tests.client.conftest import quick
from tests.client.servers import Platform, body, drip, hang, later, reply, reset, token_document
from tests.client.test_tokens import RUBBISH
from tests.client.token_stores import BrokenStore, MemoryStore, stored_token
from tests.patience import HANG, Clock

Make = Callable[..., Authorizer]


def authorizer(server: Platform | str, store: Any = None, **more: Any) -> Authorizer:
    url = server if isinstance(server, str) else server.url
    return Authorizer(
        **{
            "client_id": "client id/1",
            "client_secret": "s3cret&=",
            "token_url": f"{url}/oauth2/token",
            "scope": "com.govineer.payments/admin",
            "fetch": partial(fetch_token, quick(url)),
            "store": store,
            **more,
        }
    )


def numbered(expires_in: Any = 3600, after: float = 0.0) -> Any:
    """Each answer another token: token-1, token-2, …"""
    count = iter(range(1, 10_000))

    def choose(seen: Any) -> Any:
        act = reply(token_document(f"token-{next(count)}", expires_in))
        return later(act, after) if after else act

    return choose


def many(count: int, work: Callable[[], Any]) -> list[Any]:
    """``work`` at the same moment in ``count`` threads; results, or the errors."""
    barrier, results = threading.Barrier(count), []

    def run() -> None:
        barrier.wait()
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_the_request_is_as_documented(serve: Any) -> None:
    server = serve(reply(token_document("abc")))
    assert authorizer(server).token() == "abc"
    [seen] = server.seen
    assert (seen.method, seen.path) == ("POST", "/oauth2/token")
    assert seen.headers["authorization"] == "Basic " + base64.b64encode(b"client id/1:s3cret&=").decode()
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(seen.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["com.govineer.payments/admin"],
    }


def test_a_fresh_token_costs_neither_a_request_nor_a_look_at_the_store(serve: Any) -> None:
    server, store = serve(choose=numbered()), MemoryStore()
    made = authorizer(server, store)
    made.token()
    store.uses.clear()
    assert {made.token() for _ in range(1000)} == {"token-1"}
    assert (server.count, store.uses) == (1, [])


def test_fifty_threads_that_meet_no_token_fetch_one(serve: Any) -> None:
    for _ in rounds(100, 4, 20):
        server = serve(choose=numbered(after=0.02))
        made = authorizer(server, MemoryStore(token=stored_token(left=-5)))
        assert set(many(50, made.token)) == {"token-1"}
        assert server.count == 1


def test_a_token_of_the_store_is_used(serve: Any) -> None:
    server = serve(choose=numbered())
    assert authorizer(server, MemoryStore(token=stored_token(left=1000))).token() == "stored"
    assert server.count == 0


def test_a_token_is_replaced_before_it_expires(serve: Any) -> None:
    server = serve(choose=numbered())
    store = MemoryStore(token=stored_token(left=299))
    assert authorizer(server, store).token() == "token-1"
    assert store.token is not None
    assert store.token.access_token == "token-1"
    assert authorizer(server, MemoryStore(token=stored_token(left=305))).token() == "stored"
    assert server.count == 1


def test_a_short_lived_token_is_not_fetched_at_each_call(serve: Any, clock: Clock) -> None:
    server = serve(choose=numbered(expires_in=1))
    made = authorizer(server, MemoryStore())
    seen = set()
    while clock.passed < 0.7:
        seen.add(made.token())
        clock.pass_on(0.01)
    assert (seen, server.count) == ({"token-1"}, 1)
    clock.pass_on(0.25)
    assert made.token() == "token-2"


# -- single flight between processes, here two authorizers on one store ------------------------------------


def test_the_loser_uses_the_old_token_while_another_fetches(serve: Any) -> None:
    server = serve(choose=numbered())
    store = MemoryStore(token=stored_token(left=100))  # inside the margin, and still valid
    assert store.acquire("another process", 20)
    made = authorizer(server, store)
    # Nothing in this process's hands yet: it has to take the old one from the store.
    assert made.token() == "stored"
    store.uses.clear()
    assert {made.token() for _ in range(100)} == {"stored"}
    assert (server.count, store.uses) == (0, [])


def test_without_an_old_token_the_loser_waits_for_the_winners(serve: Any, clock: Clock) -> None:
    server = serve(choose=numbered())
    store = MemoryStore()
    assert store.acquire("another process", 20)
    clock.meanwhile = lambda: store.save(stored_token("theirs", left=3600))
    assert authorizer(server, store).token() == "theirs"
    assert server.count == 0


def test_a_winner_that_died_is_replaced_when_its_lease_ends(serve: Any, clock: Clock) -> None:
    server = serve(choose=numbered())
    store = MemoryStore()
    assert store.acquire("a process that was killed", 3)
    assert authorizer(server, store).token() == "token-1"
    assert 3 - auth.POLL <= sum(clock.sleeps) <= 3 + auth.POLL


def test_what_was_saved_just_before_the_lease_came_free_is_not_fetched_again(serve: Any) -> None:
    class Late(MemoryStore):
        def acquire(self, owner: str, lease: float) -> bool:
            self.save(stored_token("theirs", left=3600))
            return super().acquire(owner, lease)

    server, store = serve(choose=numbered()), Late()
    assert authorizer(server, store).token() == "theirs"
    assert server.count == 0
    assert store.lease is None


@pytest.mark.parametrize(("given", "waited"), [(None, 15.0), (60.0, 15.0), (3.0, 3.0)])
def test_the_wait_for_a_winner_is_bounded(given: float | None, waited: float, serve: Any, clock: Clock) -> None:
    store = MemoryStore()
    assert store.acquire("another process", 20)
    with pytest.raises(APIConnectionError, match="another process is fetching"):
        authorizer(serve(choose=numbered()), store).token(given)
    assert waited - auth.POLL <= sum(clock.sleeps) < waited + auth.POLL


def test_a_winner_that_failed_is_believed(serve: Any, clock: Clock) -> None:
    server = serve(choose=numbered())
    store = MemoryStore()
    assert store.acquire("another process", 20)
    clock.meanwhile = lambda: store.block(30, "")
    with pytest.raises(APIConnectionError, match=r"failed a moment ago; the next attempt is in 30 s"):
        authorizer(server, store).token()
    assert len(clock.sleeps) == 1
    assert server.count == 0


# -- the endpoint is down (faults T1, T2) or answers rubbish (T3) ------------------------------------------

DOWN = {
    "500": reply(None, 500),
    "503": reply(None, 503),
    "429": reply(None, 429),
    "reset": reset(),
    "slow": hang(),
    "redirect": reply(None, 302, Location="/elsewhere"),
    "HTML": body(b"<html>Maintenance</html>"),
    "drip": drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, 0.05),
}


@pytest.mark.parametrize("name", DOWN)
def test_while_the_old_token_lives_a_failed_fetch_is_not_felt(name: str, serve: Any) -> None:
    """T1: no call fails before the real expiry, and there is one attempt."""
    server, store = serve(DOWN[name]), MemoryStore(token=stored_token(left=100))
    fetch = partial(fetch_token, quick(server.url, read_timeout=0.5))
    made = authorizer(server, store, fetch=lambda grant, seconds: fetch(grant, min(seconds, 2.0)))
    assert {made.token() for _ in range(50)} == {"stored"}
    assert server.count == 1
    other = authorizer(server, store)  # another process of the fleet
    assert {other.token() for _ in range(50)} == {"stored"}
    assert server.count == 1
    assert store.token is not None
    assert store.token.access_token == "stored"


@pytest.mark.parametrize("name", DOWN)
def test_without_a_token_the_failure_is_named_and_not_repeated(name: str, serve: Any) -> None:
    """T2: one attempt, also for the rest of the fleet, until the breaker ends."""
    server, store = serve(DOWN[name]), MemoryStore()
    fetch = partial(fetch_token, quick(server.url, read_timeout=0.5))
    made = authorizer(server, store, fetch=lambda grant, seconds: fetch(grant, min(seconds, 2.0)))
    for _ in range(20):
        with pytest.raises(APIError, match=r"[Tt]oken"):
            made.token()
    assert all(isinstance(error, APIError) for error in many(20, made.token))
    with pytest.raises(APIError, match=r"The next attempt is in \d+ s") as caught:
        authorizer(server, store).token()  # another process gets the same error
    assert str(caught.value).startswith(made.status()["error"])
    assert server.count == 1


def test_the_repeated_failure_says_when_the_next_attempt_is(serve: Any, clock: Clock) -> None:
    made = authorizer(serve(reply(None, 500)))
    with pytest.raises(ServerError, match="answered 500"):
        made.token()
    with pytest.raises(ServerError, match=r"answered 500\. The next attempt is in 30 s"):
        made.token()


def test_the_breaker_ends(serve: Any, clock: Clock) -> None:
    server = serve(reply(None, 500), reply(token_document("fine")))
    made = authorizer(server, MemoryStore())
    for _ in range(5):
        with pytest.raises(ServerError):
            made.token()
        clock.pass_on(5.9)
    assert server.count == 1
    clock.pass_on(0.6)
    assert made.token() == "fine"
    assert server.count == 2


def test_a_fetch_is_given_fifteen_seconds_at_most(serve: Any, clock: Clock) -> None:
    """T2: so a call without a token fails within 15 s."""
    given: list[float] = []

    def fetch(grant: Any, seconds: float) -> Any:
        given.append(seconds)
        return fetch_token(quick(server.url), grant, seconds)

    server = serve(choose=numbered())
    authorizer(server, fetch=fetch).token()
    authorizer(server, fetch=fetch).token(60)
    authorizer(server, fetch=fetch).token(3)
    authorizer(server, MemoryStore(token=stored_token(left=100)), fetch=fetch).token()  # the old one would do
    assert given == pytest.approx([15, 15, 3, 5])


@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish_is_never_cached(name: str, serve: Any) -> None:
    """T3: neither in the process nor in the store."""
    document = RUBBISH[name]
    server = serve(body(document) if isinstance(document, bytes) else reply(document))
    store = MemoryStore(token=stored_token(left=100))
    made = authorizer(server, store)
    assert made.token() == made.token() == "stored"
    assert "save" not in store.uses
    empty = MemoryStore()
    with pytest.raises(InvalidAnswer):
        authorizer(server, empty).token()
    assert empty.token is None


def test_a_wrong_secret_is_one_line_and_one_request(serve: Any) -> None:
    server = serve(reply({"error": "invalid_client"}, 401))
    made = authorizer(server, MemoryStore())
    for error in [*many(20, made.token), *many(20, made.token)]:
        assert isinstance(error, AuthenticationError)
        assert 'GOVPAY["CLIENT_SECRET"]' in str(error)
        assert "\n" not in str(error)
        assert "s3cret" not in str(error)
    assert server.count == 1


def test_an_explicit_refresh_ignores_the_breaker(serve: Any) -> None:
    server = serve(reply(None, 500), reply(token_document("fine")))
    made = authorizer(server, MemoryStore())
    with pytest.raises(ServerError):
        made.token()
    with pytest.raises(ServerError):
        made.refresh()
    assert made.refresh(force=True).access_token == "fine"
    assert made.token() == "fine"
    assert server.count == 2


def test_refresh_replaces_what_is_due_or_what_it_is_told_to(serve: Any) -> None:
    server = serve(choose=numbered())
    store = MemoryStore(token=stored_token(left=1000))
    assert authorizer(server, store).refresh().access_token == "stored"
    assert authorizer(server, store).refresh(force=True).access_token == "token-1"
    made = authorizer(server, store)
    assert made.refresh().access_token == "token-1"
    assert made.refresh(force=True).access_token == "token-2"
    assert server.count == 2


def test_a_forced_refresh_that_fails_says_so_and_keeps_the_old_token(serve: Any) -> None:
    server = serve(reply(token_document("old")), reply(None, 500))
    made = authorizer(server, MemoryStore())
    made.token()
    with pytest.raises(ServerError):
        made.refresh(force=True)
    assert made.token() == "old"


def test_a_forced_refresh_takes_what_another_process_just_fetched(serve: Any, clock: Clock) -> None:
    server = serve(choose=numbered())
    store = MemoryStore(token=stored_token(left=1000))
    assert store.acquire("another process", 20)
    clock.meanwhile = lambda: store.save(stored_token("theirs", left=3600))
    assert authorizer(server, store).refresh(force=True).access_token == "theirs"
    assert server.count == 0


# -- revoked (faults T5) -----------------------------------------------------------------------------------


def test_a_refused_token_is_dropped_only_if_it_is_the_current_one(serve: Any) -> None:
    server, store = serve(choose=numbered()), MemoryStore()
    made = authorizer(server, store)
    assert made.token() == "token-1"
    assert made.refused("token-1")
    assert store.token is None
    assert made.token() == "token-2"
    assert made.refused("token-1")  # a thread that is late with its news
    assert made.token() == "token-2"
    assert store.token is not None
    assert server.count == 2


def test_a_refused_token_is_not_taken_from_a_store_that_failed_to_drop_it(serve: Any) -> None:
    class Stubborn(MemoryStore):
        def drop(self, access_token: str) -> None:
            raise ConnectionError

    server, store = serve(choose=numbered()), Stubborn(token=stored_token(left=1000))
    made = authorizer(server, store)
    assert made.token() == "stored"
    assert made.refused("stored")
    assert made.token() == "token-1"


def test_fifty_threads_with_a_revoked_token_fetch_one(serve: Any) -> None:
    server = serve(choose=numbered(after=0.02))
    made = authorizer(server, MemoryStore())
    old = made.token()

    def work() -> str:
        assert made.refused(old)
        return made.token()

    assert set(many(50, work)) == {"token-2"}
    assert server.count == 2


def test_another_process_takes_the_replacement_from_the_store(serve: Any) -> None:
    server, store = serve(choose=numbered()), MemoryStore()
    one, other = authorizer(server, store), authorizer(server, store)
    assert one.token() == other.token() == "token-1"
    for made in (one, other):
        assert made.refused("token-1")
        assert made.token() == "token-2"
    assert server.count == 2


def test_a_platform_that_refuses_every_token_causes_no_storm(serve: Any) -> None:
    tokens, platform = serve(choose=numbered()), serve(reply({"code": "unauthorized"}, 401))
    endpoints = Endpoints(Transport(quick(platform.url), authorizer(tokens, MemoryStore())))
    for _ in range(10):
        with pytest.raises(AuthenticationError):
            endpoints.get_payment("acc_1", "pay_1")
    assert tokens.count == 2
    assert platform.count == 2 + 9


def test_a_token_revoked_in_the_middle_of_a_walk_costs_one_request_and_no_row(serve: Any) -> None:
    tokens = serve(choose=numbered())
    rows = [{"uid": f"pay_{i:03}"} for i in range(600)]

    def platform(seen: Any) -> Any:
        if seen.headers["authorization"] == "Bearer token-1" and server.count > 3:
            return reply({"code": "unauthorized"}, 401)
        after = seen.query.get("$filter", "uid gt ''").split("'")[1]
        return reply([row for row in rows if row["uid"] > after][:100])

    server = serve(choose=platform)
    endpoints = Endpoints(Transport(quick(server.url), authorizer(tokens, MemoryStore())))
    got = [row for page in endpoints.walk("list_payments", "acc_1", "uid", 100) for row in page.items]
    assert got == rows
    assert (tokens.count, server.count) == (2, 8)


# -- the store is down (faults T7), the clock is off (T8), the process forks -------------------------------


def test_a_broken_store_costs_one_request_per_process_and_no_call(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(choose=numbered(after=0.02))
    made = authorizer(server, BrokenStore())
    assert set(many(50, made.token)) == {"token-1"}
    assert server.count == 1
    assert made.refused("token-1")
    assert made.token() == "token-2"
    assert made.refresh(force=True).access_token == "token-3"
    assert made.status()["source"] == "process"
    warnings = [record.getMessage() for record in caplog.records if "store" in record.getMessage()]
    assert warnings == ["the token store failed (ConnectionError); continuing without it"]
    assert "token-1" not in caplog.text


def test_a_store_that_was_flushed_costs_nothing_while_the_token_lives(serve: Any) -> None:
    server, store = serve(choose=numbered()), MemoryStore()
    made = authorizer(server, store)
    made.token()
    store.token = None
    assert made.token() == "token-1"
    assert authorizer(server, store).token() == "token-2"
    assert server.count == 2


@pytest.mark.parametrize("nonsense", ["a text", 5, {"access_token": "x"}, b"\x00"])
def test_rubbish_in_the_store_is_nothing(nonsense: Any, serve: Any) -> None:
    server = serve(choose=numbered())
    assert authorizer(server, MemoryStore(token=nonsense)).token() == "token-1"


@pytest.mark.parametrize("jump", [-300, 300, -86400, 86400])
def test_a_jump_of_the_wall_clock_does_not_touch_the_process(
    jump: int, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(choose=numbered(expires_in=3600))
    made = authorizer(server, MemoryStore())
    made.token()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert made.token() == "token-1"
    assert server.count == 1


@pytest.mark.parametrize("skew", [-300, 300])
def test_a_process_whose_clock_is_five_minutes_off_fails_no_call(
    skew: int, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T8: the expiry uses the monotonic clock, which cannot be set."""
    server, store = serve(choose=numbered(expires_in=3600)), MemoryStore()
    authorizer(server, store).token()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + skew)
    other = authorizer(server, store)
    assert other.token() == "token-1"
    # However wrong the clock, no token is thought to live longer than it was made for.
    assert other.status()["expires_in"] <= 3600


def test_a_forked_child_keeps_the_token_and_none_of_the_locks(serve: Any) -> None:
    server = serve(choose=numbered())
    made = authorizer(server, MemoryStore())
    made.token()
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with made._changed:
            locked.set()
            release.wait(HANG)

    threading.Thread(target=hold).start()  # a thread that holds the lock at the moment of the fork
    assert locked.wait(5)
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if made.refused("token-1") and made.token() else 1)
        except BaseException:
            os._exit(2)
    release.set()
    deadline = time.monotonic() + HANG
    while (done := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    if done[0] == 0:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        pytest.fail("the child waits for a lock that nobody will release")
    assert done[1] == 0


# -- what people see ---------------------------------------------------------------------------------------


def test_the_status_tells_age_and_expiry_and_never_the_token(serve: Any, clock: Clock) -> None:
    server, store = serve(choose=numbered()), MemoryStore()
    made = authorizer(server, store)
    assert made.status() == {"source": "none", "blocked": 0.0, "error": ""}
    made.token()
    clock.pass_on(10)
    status = made.status()
    assert status["source"] == "process"
    assert [status[name] for name in ("age", "expires_in", "renew_in")] == pytest.approx([10, 3590, 3290])
    assert "token-1" not in repr(status)
    assert authorizer(server, store).status()["source"] == "store"
    assert server.count == 1


def test_the_status_tells_of_a_failure(serve: Any, clock: Clock) -> None:
    made = authorizer(serve(reply(None, 500)), MemoryStore())
    with pytest.raises(ServerError):
        made.token()
    status = made.status()
    assert status["blocked"] == pytest.approx(30)
    assert "answered 500" in status["error"]


def test_nothing_that_is_logged_or_shown_holds_a_secret(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(
        reply({"error": "x", "error_description": "s3cret&= and abc"}, 500), reply(token_document("abc-xyz"))
    )
    made = authorizer(server, MemoryStore())
    with pytest.raises(ServerError) as caught:
        made.token()
    token = made.refresh(force=True)
    shown = f"{caplog.text} {caught.value} {made!r} {token!r} {made._grant!r}"
    assert "s3cret" not in shown
    assert "abc-xyz" not in shown
    assert isinstance(token, Token)

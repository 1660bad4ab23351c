"""T4 on Django's own cache: threads of several processes find an expired token, and only one fetches a new one."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from govpay.connection import get_authorizer, reset
from tests.amounts import repeats
from tests.processes import start_python

pytestmark = pytest.mark.django_db(transaction=True)

PROCESSES, THREADS, ROUNDS = repeats(4, 2, 4), 50, repeats(5, 2, 5)

MEMBER = """
import json, sys, threading
from govpay.connection import get_authorizer, reset

def ask():
    barrier.wait()
    try:
        got.append(get_authorizer().token())
    except Exception as error:
        got.append(repr(error))

for line in sys.stdin:
    reset()
    barrier, got = threading.Barrier(THREADS), []
    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(json.dumps(got), flush=True)
""".replace("THREADS", str(THREADS))


def test_a_fleet_that_meets_an_expired_token_fetches_one(start_sandbox: Any) -> None:
    """T4: one request, on Django's own cache."""
    sandbox = start_sandbox()
    members = [start_python(MEMBER, stdin=subprocess.PIPE) for _ in range(PROCESSES)]
    try:
        for round_ in range(ROUNDS):
            old = get_authorizer().refresh(force=True).access_token
            expire(old)
            before = sandbox.token_requests
            for member in members:
                member.stdin.write("go\n")
                member.stdin.flush()
            got = [token for member in members for token in json.loads(member.stdout.readline())]
            assert len(got) == PROCESSES * THREADS
            assert len(set(got)) == 1, set(got)
            assert got[0] != old
            assert sandbox.token_requests - before == 1, f"round {round_}"
    finally:
        for member in members:
            member.stdin.close()
            member.wait(300)


def expire(access_token: str) -> None:
    """The stored token's life is over, as its reader judges it."""
    store = get_authorizer()._store
    token = store.load()
    assert token is not None
    assert token.access_token == access_token
    store.save(type(token)(access_token, token.expires_at - 7200, token.expires_in, token.fetched_at - 7200))
    reset()

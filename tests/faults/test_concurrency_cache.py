"""T7: the cache is cleared while a token is being renewed. No call fails, and no unnecessary token is fetched."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import REDIS_URL
from tests.operations.merchant import wait_for
from tests.processes import start_python

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]

THREADS = 8

#: Its threads read payments until a line on stdin ends them; then it prints the successful calls and the errors.
MEMBER = f"""
import json, sys, threading, time
from django.conf import settings
settings.CACHES["default"]["KEY_PREFIX"] = sys.argv[2]
from govpay.connection import get_endpoints

def read():
    while not over.is_set():
        try:
            get_endpoints().list_payments(sys.argv[1])
            calls.append(1)
        except Exception as error:
            errors.append(repr(error))
        time.sleep(0.02)

over, calls, errors = threading.Event(), [], []
threads = [threading.Thread(target=read) for _ in range({THREADS})]
for thread in threads: thread.start()
while not calls: time.sleep(0.01)
print("ready", flush=True)
sys.stdin.readline()
before = len(calls)
while len(calls) < before + 5 * {THREADS} and not errors: time.sleep(0.01)
over.set()
for thread in threads: thread.join()
print(json.dumps(errors), flush=True)
"""


@pytest.fixture
def prefix() -> str:
    """Only the keys of this test, because other tests use the same Redis database."""
    return f"govpay-test-{uuid.uuid4().hex}"


@pytest.fixture
def flush(monkeypatch: pytest.MonkeyPatch, prefix: str) -> Iterator[Callable[[], int]]:
    """Delete the keys of this test's processes from Redis, and return how many there were."""
    import redis

    monkeypatch.setenv("TEST_CACHE_URL", REDIS_URL)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # which would select another database of that server
    server = redis.Redis.from_url(REDIS_URL)

    def empty() -> int:
        found = list(server.scan_iter(f"{prefix}:*"))
        return int(server.delete(*found)) if found else 0

    yield empty
    empty()
    server.close()


@pytest.mark.parametrize("processes", [1, pytest.param(3, marks=pytest.mark.ci)])
def test_the_cache_is_flushed_while_a_token_is_fetched(
    sandbox: Any, flush: Callable[[], int], prefix: str, processes: int
) -> None:
    """T7, T5: the lease is deleted too, so each process may fetch at most one token; a single process fetches one."""
    account = sandbox.add_account()["uid"]
    members = [start_python(MEMBER, account, prefix, stdin=subprocess.PIPE) for _ in range(processes)]
    try:
        for member in members:
            assert member.stdout is not None
            assert member.stdout.readline() == "ready\n"
        before = sandbox.token_requests
        assert before == 1
        slow = sandbox.fault("POST /oauth2/token", delay=0.5)
        sandbox.revoke_tokens()
        wait_for(lambda: slow.hits)
        assert flush() >= 1, "at least the lease of who is fetching"
        for member in members:
            assert member.stdin is not None
            member.stdin.write("end\n")
            member.stdin.flush()
        assert [json.loads(member.communicate(timeout=300)[0]) for member in members] == [[]] * processes
        assert 1 <= sandbox.token_requests - before <= processes
    finally:
        for member in members:
            member.kill()
            member.wait()

"""Real processes and threads with an expired token send one token request (faults T4, T7)."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from base64 import b64decode
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from govpay.client import Authorizer
from govpay.client.transport import fetch_token
from tests.client.conftest import quick
from tests.client.servers import Platform, hang, later, reply, token_document
from tests.client.token_stores import BrokenStore, FileStore, stored_token
from tests.patience import wait_until

PROCESSES = 4
#: Threads in each round: fifty in the first, then fewer; twenty rounds in all, to catch rare races.
ROUNDS = (50, 50, *(8,) * 18)
#: One more, in which the store is down.
BROKEN = len(ROUNDS)

spawn = multiprocessing.get_context("spawn")


def member(url: str, client_id: str, store: Any) -> Authorizer:
    fetch = partial(fetch_token, quick(url))
    return Authorizer(client_id=client_id, client_secret="s", token_url=f"{url}/t", scope="x", fetch=fetch, store=store)


def at_once(made: Authorizer, count: int) -> list[str]:
    """The results of ``count`` threads that request a token at the same time."""
    barrier, got = threading.Barrier(count), []

    def ask() -> None:
        barrier.wait()
        try:
            got.append(made.token())
        except Exception as error:
            got.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def worker(url: str, folder: Path, barrier: Any, results: Any) -> None:
    for number, count in enumerate((*ROUNDS, 50)):
        store = BrokenStore() if number == BROKEN else FileStore(folder / f"{number}.json")
        made = member(url, f"client-{number}", store)
        barrier.wait(300)
        results.put((number, at_once(made, count)))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[int, Counter[str]], Counter[str]]:
    """The results of every thread, and the number of token requests, for each round."""
    folder = tmp_path_factory.mktemp("stores")
    server = Platform(choose=lambda seen: later(reply(token_document(f"new-{seen.port}")), 0.05))
    for number in range(len(ROUNDS)):
        FileStore(folder / f"{number}.json").save(stored_token("expired", left=-1))
    barrier, results = spawn.Barrier(PROCESSES), spawn.Queue()
    arguments = (server.url, folder, barrier, results)
    workers = [spawn.Process(target=worker, args=arguments, daemon=True) for _ in range(PROCESSES)]
    for process in workers:
        process.start()
    found: dict[int, Counter[str]] = {number: Counter() for number in range(len(ROUNDS) + 1)}
    for _ in range(PROCESSES * len(found)):
        number, got = results.get(timeout=300)
        found[number].update(got)
    for process in workers:
        process.join(300)
    asked = Counter(b64decode(seen.headers["authorization"][6:]).decode().partition(":")[0] for seen in server.seen)
    server.stop()
    return found, asked


def test_a_fleet_that_meets_an_expired_token_fetches_one(fleet: Any) -> None:
    """T4: one request, however many threads of 4 processes meet."""
    found, asked = fleet
    for number, count in enumerate(ROUNDS):
        got = found[number]
        assert sum(got.values()) == PROCESSES * count
        assert len(got) == 1, got
        assert next(iter(got)).startswith("new-")
        assert asked[f"client-{number}"] == 1


def test_a_fleet_whose_store_is_down_fetches_once_per_process(fleet: Any) -> None:
    found, asked = fleet
    assert sum(found[BROKEN].values()) == PROCESSES * 50
    assert len(found[BROKEN]) == PROCESSES
    assert asked[f"client-{BROKEN}"] == PROCESSES


def hold_on(url: str, path: Path) -> None:
    member(url, "c", FileStore(path)).token()


def test_a_fetcher_that_is_killed_is_replaced(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.json"
    server = serve(hang(), reply(token_document("new")))
    victim = spawn.Process(target=hold_on, args=(server.url, path))
    victim.start()
    wait_until(lambda: server.count, "the request")
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    with FileStore(path)._locked() as kept:
        assert kept["lease_until"] > time.time(), "the lease outlives its owner"
        kept["lease_until"] = time.time() + 0.3  # as if most of it had passed
    assert member(server.url, "c", FileStore(path)).token() == "new"
    assert server.count == 2

"""``govpay.background``: handing over work never blocks, and no work waits for ever."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from govpay.background import Batches
from tests.patience import HANG, SILENCE, Clock, wait_until


def test_things_of_one_moment_go_together_and_in_order() -> None:
    got: list[list[int]] = []
    held = threading.Event()
    batches: Batches[int] = Batches(lambda things: (got.append(list(things)), held.wait(HANG)), most=20)  # type: ignore[arg-type, return-value]
    batches.put(0)
    wait_until(lambda: got)
    for number in range(1, 51):
        assert batches.put(number)
    held.set()
    wait_until(lambda: sum(map(len, got)) == 51)
    assert [number for batch in got for number in batch] == list(range(51))
    assert [len(batch) for batch in got] == [1, 20, 20, 10]


def test_a_slow_receiver_holds_nobody_up() -> None:
    begun, held, ended = threading.Event(), threading.Event(), threading.Event()

    def pass_on(things: object) -> None:
        begun.set()
        held.wait(SILENCE)
        ended.set()

    batches: Batches[int] = Batches(pass_on, pause=0)
    batches.put(0)
    begun.wait(HANG)
    for number in range(1000):
        assert batches.put(number)
    assert not ended.is_set()
    held.set()


def test_a_failure_is_not_repeated_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("govpay.background.time", clock := Clock())
    calls = []

    def fail(things: object) -> None:
        calls.append(things)
        raise ConnectionError("no broker")

    batches: Batches[int] = Batches(fail, pause=0, rest=30)
    assert batches.put(1)
    wait_until(lambda: batches._resting_until)
    clock.pass_on(29.9)
    assert not batches.put(2)
    assert len(calls) == 1
    clock.pass_on(0.2)
    assert batches.put(3)
    wait_until(lambda: len(calls) == 2)


def test_what_waits_is_bounded() -> None:
    held = threading.Event()
    batches: Batches[int] = Batches(lambda things: held.wait(HANG), keep=10, most=1, pause=0)  # type: ignore[arg-type, return-value]
    assert sum(batches.put(number) for number in range(100)) <= 12
    held.set()


def test_a_forked_child_has_its_own_thread() -> None:
    batches: Batches[int] = Batches(lambda things: None)
    batches.put(1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        batches._pass_on = lambda things: os.write(writing, b"x")  # type: ignore[assignment, return-value]
        batches.put(2)
        time.sleep(HANG)
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

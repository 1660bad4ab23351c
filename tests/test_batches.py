"""``govpay.batches``: whoever hands over never waits, and nothing waits for ever."""

from __future__ import annotations

import os
import threading
import time

from govpay.batches import Batches


def wait_for(condition: object, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.005)
    assert condition()  # type: ignore[operator]


def test_things_of_one_moment_go_together_and_in_order() -> None:
    got: list[list[int]] = []
    batches: Batches[int] = Batches(lambda things: got.append(list(things)), most=20)
    for number in range(50):
        assert batches.put(number)
    wait_for(lambda: sum(map(len, got)) == 50)
    assert [number for batch in got for number in batch] == list(range(50))
    assert max(map(len, got)) <= 20
    assert len(got) <= 5


def test_a_slow_receiver_holds_nobody_up() -> None:
    begun = threading.Event()
    batches: Batches[int] = Batches(lambda things: (begun.set(), time.sleep(1)), pause=0)  # type: ignore[arg-type, return-value]
    batches.put(0)
    begun.wait(5)
    started = time.monotonic()
    for number in range(1000):
        batches.put(number)
    assert time.monotonic() - started < 0.5


def test_a_failure_is_not_repeated_for_a_while() -> None:
    calls = []

    def fail(things: object) -> None:
        calls.append(things)
        raise ConnectionError("no broker")

    batches: Batches[int] = Batches(fail, pause=0, rest=0.3)
    assert batches.put(1)
    wait_for(lambda: calls)
    wait_for(lambda: not batches.put(2))
    assert len(calls) == 1
    time.sleep(0.35)
    assert batches.put(3)
    wait_for(lambda: len(calls) == 2)


def test_what_waits_is_bounded() -> None:
    held = threading.Event()
    batches: Batches[int] = Batches(lambda things: held.wait(5), keep=10, most=1, pause=0)  # type: ignore[arg-type, return-value]
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
        time.sleep(1)
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    os.waitpid(child, 0)

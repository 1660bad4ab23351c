"""The demo's supervisor, with small processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from project.demo.processes import ProcessDied, Stopped, Supervisor, first_busy, is_busy, stop_on_signals
from tests.processes import ROOT
from tests.project.driving import free_port, wait_for

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """Where ``python -m`` finds the processes of these tests."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "sleeper.py").write_text("import time; print('up', flush=True); time.sleep(60)")
    (folder / "stubborn.py").write_text(STUBBORN)
    (folder / "dying.py").write_text("import sys; print('last words'); sys.exit(3)")
    (folder / "parent.py").write_text(
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    return folder


def supervisor(tmp_path: Path, modules: Path) -> Supervisor:
    return Supervisor(tmp_path / "log", dict(os.environ), modules)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_leaving_stops_every_process(tmp_path: Path, modules: Path) -> None:
    with supervisor(tmp_path, modules) as started:
        children = [started.start("one", "sleeper"), started.start("two", "sleeper", outlasts=True)]
        started.check()
    assert [child.process.returncode for child in children] == [-signal.SIGTERM] * 2


def test_one_that_outlasts_is_asked_after_the_others_are_gone(tmp_path: Path, modules: Path) -> None:
    asked: list[str] = []
    with supervisor(tmp_path, modules) as started:
        base = started.start("base", "sleeper", outlasts=True)
        other = started.start("other", "sleeper")
        base.ask_to_stop, ask = lambda: asked.append(str(other.process.poll())) or ask(), base.ask_to_stop  # type: ignore[method-assign, assignment, func-returns-value]
    assert asked == [str(-signal.SIGTERM)]


def test_stubborn_one_is_killed_after_its_grace(tmp_path: Path, modules: Path) -> None:
    with supervisor(tmp_path, modules) as started:
        child = started.start("stubborn", "stubborn")
        started.wait_until(lambda: "up" in child.tail(), "It", timeout=300)
        child.ask_to_stop()
        child.stop(grace=0.5)
    assert child.process.returncode == -signal.SIGKILL


def test_grandchildren_go_too(tmp_path: Path, modules: Path) -> None:
    with supervisor(tmp_path, modules) as started:
        child = started.start("parent", "parent")
        started.wait_until(lambda: child.tail().strip().isdigit(), "Its child", timeout=300)
        grandchild = int(child.tail())
        assert is_running(grandchild)
    assert wait_for(lambda: not is_running(grandchild), 300)


def test_dead_one_is_named_with_its_last_words(tmp_path: Path, modules: Path) -> None:
    with supervisor(tmp_path, modules) as started:
        started.start("worker", "dying")
        with pytest.raises(ProcessDied, match=r"The worker process ended with code 3.*\n  last words"):
            started.wait_until(lambda: False, "It", timeout=300)


def test_waiting_ends(tmp_path: Path, modules: Path) -> None:
    with (
        supervisor(tmp_path, modules) as started,
        pytest.raises(ProcessDied, match="The site did not start within 0 seconds"),
    ):
        started.wait_until(lambda: False, "The site", timeout=0.2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells children")
def test_killed_outright_it_takes_its_processes_along(tmp_path: Path, modules: Path) -> None:
    code = f"""
import os, time
from pathlib import Path
from project.demo.processes import Supervisor
started = Supervisor(Path({str(tmp_path)!r}) / "log", dict(os.environ), Path({str(modules)!r}))
print(started.start("one", "sleeper").process.pid, flush=True)
time.sleep(60)
"""
    demo = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert demo.stdout
    pid = int(demo.stdout.readline())
    assert is_running(pid)
    demo.kill()
    demo.wait()
    demo.stdout.close()
    assert wait_for(lambda: not is_running(pid), 300)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signals():
        with pytest.raises(Stopped):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # the second one cannot disturb the stop
    assert signal.getsignal(number) is before


def test_busy_port_is_found_and_a_free_one_is_not() -> None:
    free = free_port()
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        busy = occupant.getsockname()[1]
        assert is_busy(busy)
        assert not is_busy(free)
        assert first_busy([free, busy]) == busy
    assert first_busy([free, busy]) is None

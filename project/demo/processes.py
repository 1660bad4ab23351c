"""Starting, watching and stopping the demo's processes, so that none outlives it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
#: Seconds that a process has for finishing what it is at.
GRACE = 10.0
LOG_TAIL = 15


class Died(Exception):
    """A process of the demo ended by itself; the text says which and shows the end of its log."""


class Stopped(BaseException):
    """Ctrl-C or a polite signal. Not an error, so that no ``except Exception`` swallows it."""


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turns the first SIGINT, SIGTERM or SIGHUP into ``Stopped``; later ones cannot disturb the stop."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(*_: object) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_busy(port: int) -> bool:
    """Whether somebody listens there. Connections of the last run that linger do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return True
    return False


def first_busy(ports: Sequence[int], patience: float = 0.0) -> int | None:
    """The first port that is still in use after ``patience`` seconds, or ``None``."""
    end = time.monotonic() + patience
    while True:
        busy = next((port for port in ports if is_busy(port)), None)
        if busy is None or time.monotonic() >= end:
            return busy
        time.sleep(0.2)


@dataclass
class Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    #: Others talk to it until they have stopped.
    outlasts: bool = False

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_TAIL:])

    def ask_to_stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()

    def stop(self, grace: float = GRACE) -> None:
        """Wait for it, then take down whatever is left of its group."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Company:
    """The demo's processes. Leaving the ``with`` block stops them: first those that need the others."""

    def __init__(self, logs: Path, environment: dict[str, str], folder: Path) -> None:
        self.logs = logs
        self.environment = environment
        self.folder = folder
        self.children: list[Child] = []
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Company:
        return self

    def __exit__(self, *_: object) -> None:
        for outlasts in (False, True):
            wave = [child for child in self.children if child.outlasts is outlasts]
            for child in wave:
                child.ask_to_stop()
            for child in wave:
                child.stop()

    def start(self, name: str, *arguments: str, outlasts: bool = False) -> Child:
        """``python -m …`` in a process group of its own, which writes to ``<name>.log``."""
        log = self.logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with(os.getpid()),  # safe: the demo has no threads
            )
        child = Child(name, process, log, outlasts)
        self.children.append(child)
        return child

    def check(self) -> None:
        """Raises ``Died`` when one has ended."""
        for child in self.children:
            code = child.process.poll()
            if code is not None:
                what = f"The {child.name} process ended with code {code}."
                raise Died(f"{what} The end of {child.log}:\n{child.tail()}")

    def wait_until(self, ready: Callable[[], bool], what: str, patience: float, pause: float = 0.1) -> None:
        """Raises ``Died`` when a process ends or ``what`` takes longer than ``patience`` seconds."""
        end = time.monotonic() + patience
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise Died(f"{what} is not there after {patience:.0f} seconds; see the logs in {self.logs}.")
            time.sleep(pause)


def _end_with(parent: int) -> Callable[[], None] | None:
    """On Linux the kernel ends the children when the demo is killed outright; elsewhere they stay."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def before_exec() -> None:
        prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return before_exec

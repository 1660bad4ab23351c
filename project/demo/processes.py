"""The supervisor of the demo: starts, watches and stops its processes, so that none is left over."""

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
#: Seconds that a process has to end after SIGTERM, before it is killed.
GRACE = 10.0
#: Lines of a log that an error shows.
LOG_TAIL = 15


class ProcessDied(Exception):
    """A process of the demo ended unexpectedly. The text names it and shows the end of its log."""


class Stopped(BaseException):
    """SIGINT, SIGTERM or SIGHUP was received. A ``BaseException``, so that no ``except Exception`` catches it."""


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise ``Stopped`` at the first SIGINT, SIGTERM or SIGHUP. Later ones are ignored while the processes stop."""
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
    """Whether another process listens on the port. Connections in TIME_WAIT do not count."""
    with socket.socket() as probe:
        if os.name == "posix":  # on Windows the option lets two programs listen on one port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return True
    return False


def first_busy(ports: Sequence[int], timeout: float = 0.0) -> int | None:
    """Return the first port that is still in use after ``timeout`` seconds, or ``None``."""
    end = time.monotonic() + timeout
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
    #: Whether it is stopped after the other processes, because they use it until they end.
    outlasts: bool = False

    def tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_TAIL:])

    def ask_to_stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()

    def stop(self, grace: float = GRACE) -> None:
        """Wait for the process to end, then kill what is left of its process group."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Supervisor:
    """The demo's processes. Leaving the ``with`` block stops them; those that ``outlasts`` marks are stopped last."""

    def __init__(self, logs: Path, environment: dict[str, str], folder: Path) -> None:
        self.logs = logs
        self.environment = environment
        self.folder = folder
        self.children: list[Child] = []
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        for outlasts in (False, True):
            wave = [child for child in self.children if child.outlasts is outlasts]
            for child in wave:
                child.ask_to_stop()
            for child in wave:
                child.stop()

    def start(self, name: str, *arguments: str, outlasts: bool = False) -> Child:
        """Start ``python -m …`` in its own process group. Its output goes to ``<name>.log``."""
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
        """Raise ``ProcessDied`` if a process has ended."""
        for child in self.children:
            code = child.process.poll()
            if code is not None:
                what = f"The {child.name} process ended with code {code}."
                raise ProcessDied(f"{what} The end of {child.log}:\n{child.tail()}")

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float, pause: float = 0.1) -> None:
        """Wait until ``ready()``. Raise ``ProcessDied`` if a process ends or after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise ProcessDied(f"{what} did not start within {timeout:.0f} seconds; see the logs in {self.logs}.")
            time.sleep(pause)


def _end_with(parent: int) -> Callable[[], None] | None:
    """Return a hook with which Linux ends a child when the demo is killed. On other systems the child keeps running."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def before_exec() -> None:
        prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return before_exec

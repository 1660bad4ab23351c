"""Runs the demo as a user does: its command starts it, HTTP requests use it, a signal stops it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from tests.processes import ROOT, bare_environment

READY = r"^govpay demo ready: (?P<url>\S+) user=(?P<user>\S+) password=(?P<password>\S+)$"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Demo:
    """``manage.py demo`` on ports and a folder of its own."""

    def __init__(self, var: Path, port: int = 0, sandbox_port: int = 0, **environment: str) -> None:
        self.var = var
        self.port, self.sandbox_port = port or free_port(), sandbox_port or free_port()
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", f"--port={self.port}", f"--sandbox-port={self.sandbox_port}"],
            cwd=ROOT,
            env={**bare_environment(), "VAR_DIR": str(var), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def wait_until_ready(self, patience: float = 600) -> dict[str, str]:
        """``url``, ``user`` and ``password`` of the ready line."""
        line = re.compile(READY, re.MULTILINE)
        end = time.monotonic() + patience
        while not (found := line.search(self.said)):
            assert self.process.poll() is None, f"the demo ended:\n{self.said}{self.logs()}"
            assert time.monotonic() < end, f"the demo is not ready:\n{self.said}{self.logs()}"
            time.sleep(0.1)
        return found.groupdict()

    def logs(self) -> str:
        files = sorted((self.var / "log").glob("*.log"))
        return "".join(f"\n--- {file.name}\n{file.read_text(errors='replace')[-3000:]}" for file in files)

    def stop(self, number: int = signal.SIGTERM, patience: float = 300) -> int:
        self.process.send_signal(number)
        code = self.process.wait(patience)
        self._reader.join(5)
        return code

    def ask(self, path: str) -> Any:
        """Read from the sandbox's control routes."""
        answer = requests.get(f"http://127.0.0.1:{self.sandbox_port}/_sandbox/{path}", timeout=10)
        answer.raise_for_status()
        return answer.json()

    def tell(self, path: str, **body: Any) -> Any:
        """Make a change in the sandbox through its control routes."""
        answer = requests.post(f"http://127.0.0.1:{self.sandbox_port}/_sandbox/{path}", json=body, timeout=10)
        answer.raise_for_status()
        return answer.json()


def processes_on(var: Path) -> list[tuple[int, str]]:
    """(process, command line) of all that work on this demo's folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
        if command and f"VAR_DIR={var}".encode() in environment:
            found.append((int(folder.name), command))
    return found


def wait_for(condition: Any, patience: float = 300) -> bool:
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def running_demo(var: Path, **options: Any) -> Iterator[Demo]:
    demo = Demo(var, **options)
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.stop()


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self.open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.open = True
            method = (given.get("method") or "get").lower()
            self.forms.append({"method": method, "action": given.get("action"), "fields": {}})
        elif tag == "input" and self.open and given.get("name") and given.get("type") != "submit":
            self.forms[-1]["fields"][given["name"]] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.open = False


class Browser:
    """A session with cookies that fills in forms as they were shown."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()

    def get(self, path: str, **query: str) -> requests.Response:
        answer = self.session.get(urljoin(self.url, path), params=query, timeout=30)
        answer.raise_for_status()
        return answer

    def submit(self, page: requests.Response, having: str, **filled: str) -> requests.Response:
        """Posts the form of ``page`` that has the field ``having``."""
        parser = _Forms()
        parser.feed(page.text)
        (form,) = [one for one in parser.forms if one["method"] == "post" and having in one["fields"]]
        answer = self.session.post(
            urljoin(page.url, form["action"] or page.url),
            data={**form["fields"], **filled},
            headers={"Referer": page.url},
            timeout=300,
        )
        answer.raise_for_status()
        return answer

    def log_in(self, user: str, password: str) -> requests.Response:
        return self.submit(self.get("login/", next="/admin/"), "username", username=user, password=password)

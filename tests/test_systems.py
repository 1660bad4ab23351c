"""Every module can be imported on a system that has less than Linux, and reads its files as UTF-8 everywhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import child_environment

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for folder in ("govpay", "project") for path in (ROOT / folder).rglob("*.py"))
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in SOURCES]

#: Takes from our modules what some systems do not have, and leaves it to Django and the other libraries.
IMPORTING = """
import builtins, importlib, sys, types

#: Modules of POSIX alone.
ABSENT = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog", "readline", "curses", "crypt"}
#: What Windows and macOS lack, by module.
LACKING = {
    "os": "register_at_fork fork forkpty getuid geteuid getgid getppid getpgid setsid setpgrp killpg uname nice "
    "sched_getaffinity getloadavg mkfifo chown fchmod O_NOFOLLOW O_DIRECTORY O_CLOEXEC waitid WNOHANG",
    "signal": "SIGKILL SIGHUP SIGALRM SIGUSR1 SIGUSR2 SIGQUIT SIGCHLD SIGSTOP alarm setitimer pthread_sigmask",
    "socket": "AF_UNIX SO_REUSEPORT TCP_KEEPIDLE TCP_USER_TIMEOUT MSG_DONTWAIT MSG_NOSIGNAL",
    "select": "poll epoll kqueue",
    "time": "tzset clock_gettime CLOCK_MONOTONIC CLOCK_BOOTTIME pthread_getcpuclockid",
}
whole, replaced = builtins.__import__, {}

def import_(name, globals=None, locals=None, fromlist=(), level=0):
    ours = str((globals or {}).get("__name__", "")).split(".")[0] in ("govpay", "project")
    if not ours or level:
        return whole(name, globals, locals, fromlist, level)
    if name.split(".")[0] in ABSENT:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    found = whole(name, globals, locals, fromlist, level)
    if name not in LACKING:
        return found
    if name not in replaced:
        lesser = replaced[name] = types.ModuleType(name)
        kept = {each: value for each, value in vars(found).items() if each not in LACKING[name].split()}
        vars(lesser).update(kept)
    return replaced[name]

builtins.__import__ = import_
import django
django.setup()
failed = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(f"{name}: {type(error).__name__}: {error}")
print("\\n".join(failed))
assert "os" in replaced and "signal" in replaced
"""


def test_every_module_is_imported_where_the_system_has_less() -> None:
    """In a process of its own: here the modules are imported already."""
    assert len(MODULES) > 200
    command = [sys.executable, "-c", IMPORTING, *MODULES]
    environment = {**child_environment(), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_files_are_read_as_utf_8_whatever_the_system_prefers() -> None:
    """Python reads text in the system's own encoding if none is named: on Windows that is not UTF-8."""
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in SOURCES
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and opens_text(call) and "encoding" not in {each.arg for each in call.keywords}
    ]
    assert found == []


def opens_text(call: ast.Call) -> bool:
    """Whether the call is ``read_text``, ``write_text``, or ``open`` in a text mode."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in ("read_text", "write_text"):
        return True
    modes = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    mode = next((each for each in modes if re.fullmatch("[rwaxbt+]{1,3}", each)), None)
    if name != "open" or (mode is None and isinstance(call.func, ast.Attribute)):
        return False  # the ``open`` of something else than a file
    return "b" not in (mode or "r")


def test_a_lease_ends_no_process_where_processes_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows ``os.kill(pid, 0)`` is Ctrl-C. Without ``/proc`` no lease has a start of its process."""
    from govpay.models import SyncCursor
    from govpay.sync import lease

    monkeypatch.setattr(lease.Path, "read_text", _no_such_file)
    monkeypatch.setattr(lease.os, "kill", _fail)
    held = SyncCursor(lease_host=lease.this_host(), lease_pid=4711, lease_process_start=lease.process_start(4711))
    assert not lease._owner_is_dead(held)


def _no_such_file(*_: object, **__: object) -> str:
    raise FileNotFoundError


def _fail(*_: object) -> None:
    raise AssertionError("a process got a signal")

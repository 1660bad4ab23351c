"""``manage.py demo``: runs the sandbox, a worker and the web site until Ctrl-C."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.utils import timezone

from project.demo.city import CityFailed, fill_city, provision_city
from project.demo.first_sync import SyncFailed, queue_first_sync, read_stats, rows_there, watch
from project.demo.processes import HOST, ProcessDied, Stopped, Supervisor, first_busy, is_busy, stop_on_signals
from project.demo_secrets import demo_password
from project.ports import port_number
from project.routers import CACHE

try:
    import fcntl
except ModuleNotFoundError:  # not a POSIX system; ``handle`` says so
    fcntl = None  # type: ignore[assignment]

USER = "demo"
#: The provisioning file of the demo city.
EXAMPLE = "provision.example.toml"
#: Seconds between a change in the sandbox and its webhook.
WEBHOOK_DELAY = 1.0


class Command(BaseCommand):
    help = "Run the sandbox, a worker and the web site on this machine. Ctrl-C stops them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", default="8000", help="port of the web site (default: 8000)")
        parser.add_argument(
            "--sandbox-port",
            default=str(settings.SANDBOX_PORT),
            help="port of the sandbox (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if fcntl is None:
            raise CommandError("The demo needs Linux, macOS or another POSIX system. On Windows use WSL.")
        port = port_number("PORT", str(options["port"]))
        sandbox_port = port_number("SANDBOX_PORT", str(options["sandbox_port"]))
        with_sandbox: bool = settings.USES_SANDBOX
        ports = [port, sandbox_port] if with_sandbox else [port]
        if len(set(ports)) < len(ports):
            raise CommandError(f"PORT and SANDBOX_PORT must differ; both are {port}.")
        try:
            with stop_on_signals(), only_demo(settings.VAR_DIR, ports), _supervisor(port, sandbox_port) as supervisor:
                self._run(supervisor, port, sandbox_port if with_sandbox else None)
        except Stopped:
            self._say("govpay demo stopped")
        except (ProcessDied, CityFailed, SyncFailed) as error:
            raise CommandError(str(error)) from None

    def _run(self, supervisor: Supervisor, port: int, sandbox_port: int | None) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        call_command("createcachetable", database=CACHE if CACHE in connections else None, verbosity=0)
        password = make_staff_user()
        if sandbox_port is not None:
            start_sandbox(supervisor, sandbox_port)
            provision_city(supervisor, settings.BASE_DIR / EXAMPLE, settings.VAR_DIR / "provision.toml", port)
            fill_city(sandbox_port)
        start_worker(supervisor)
        start_site(supervisor, port)
        self._sync(supervisor, sandbox_port)
        supervisor.wait_until(lambda: is_busy(port), "The web site", timeout=60)
        self._say(f"govpay demo ready: http://{HOST}:{port}/admin/ user={USER} password={password}")
        while True:
            supervisor.check()
            time.sleep(0.5)

    def _sync(self, supervisor: Supervisor, sandbox_port: int | None) -> None:
        """Queue the first sync for the worker, and show its progress until it has ended."""
        since = timezone.now()
        total = rows_there(read_stats(sandbox_port)) if sandbox_port is not None else None
        queue_first_sync()
        try:
            watch(since, total, supervisor.check)
        except SyncFailed as error:
            if sandbox_port is not None:
                raise
            # A platform other than the sandbox may refuse a list. The rows that arrived can be used.
            self.stderr.write(f"The first sync is not complete: {error}")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _supervisor(port: int, sandbox_port: int) -> Supervisor:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "SANDBOX_PORT": str(sandbox_port),
        "PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }
    return Supervisor(settings.VAR_DIR / "log", environment, settings.BASE_DIR)


@contextmanager
def only_demo(var: Path, ports: list[int]) -> Iterator[None]:
    """Allow one demo per data folder. The operating system releases the lock when the process ends or is killed.

    Raises ``CommandError`` if another demo uses the folder or another program uses one of the ports.
    """
    with (var / "demo.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            alone = False
        file.seek(0)
        # If the previous run was killed, its child processes may need some seconds to end.
        killed = alone and file.read() == "running"
        busy = first_busy(ports, timeout=10 if killed else 0)
        if busy is not None:
            option = "PORT" if busy == ports[0] else "SANDBOX_PORT"
            raise CommandError(f"Port {busy} on {HOST} is in use. Choose another: make demo {option}=…")
        if not alone:
            raise CommandError(f"Another demo is running on {var}.")
        _mark(file, "running")
        try:
            yield
        finally:
            _mark(file, "")


def _mark(file: Any, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()


def make_staff_user() -> str:
    """Create the demo's superuser, and return the password. It stays the same after a restart."""
    password = demo_password(settings.VAR_DIR / "demo_password")
    users = get_user_model()._default_manager
    user, _ = users.get_or_create(username=USER, defaults={"is_staff": True, "is_superuser": True})
    if not user.check_password(password):
        user.set_password(password)
        user.save()
    return password


def start_sandbox(supervisor: Supervisor, port: int) -> None:
    """Start an empty sandbox on ``port``. Its client and accounts are created later through the API."""
    state = str(settings.VAR_DIR / "sandbox.sqlite3")
    options = ["--port", str(port), "--state", state, "--size", "empty", "--webhook-delay", str(WEBHOOK_DELAY)]
    supervisor.start("sandbox", "govpay.sandbox", *options, outlasts=True)
    supervisor.wait_until(lambda: read_stats(port) is not None, "The sandbox", timeout=60)


def start_worker(supervisor: Supervisor) -> None:
    options = "--beat --pool=prefork --concurrency=2 --loglevel=INFO --without-gossip --without-mingle"
    supervisor.start("worker", "celery", "-A", "project", "worker", *options.split(), "--without-heartbeat")


def start_site(supervisor: Supervisor, port: int) -> None:
    bind = f"--bind={HOST}:{port}"
    options = "--worker-class=gthread --workers=1 --threads=8 --graceful-timeout=5 --no-control-socket"
    supervisor.start("site", "gunicorn", "project.wsgi", bind, *options.split(), "--access-logfile=-")

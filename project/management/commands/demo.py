"""``manage.py demo``: the whole thing on this machine, until Ctrl-C."""

from __future__ import annotations

import fcntl
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

from project.demo.first_sync import SyncFailed, order_sync, read_stats, rows_there, watch
from project.demo.founding import NotFounded, provision_city, settle_city
from project.demo.processes import HOST, Company, Died, Stopped, first_busy, is_busy, stop_on_signals
from project.demo_secrets import demo_password
from project.routers import CACHE

USER = "demo"
#: What the demo city is provisioned from.
EXAMPLE = "provision.example.toml"
#: Seconds until news arrives, about as long as one would wait for them.
WEBHOOK_DELAY = 1.0


class Command(BaseCommand):
    help = "Runs the stand-in platform, a worker and the web site on this machine. Ctrl-C stops all of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="of the web site (default: 8000)")
        parser.add_argument(
            "--sandbox-port",
            type=int,
            default=settings.SANDBOX_PORT,
            help="of the stand-in platform (default: %(default)s)",
        )

    def handle(self, *args: Any, port: int, sandbox_port: int, **options: Any) -> None:
        with_sandbox: bool = settings.USES_SANDBOX
        ports = [port, sandbox_port] if with_sandbox else [port]
        try:
            with stop_on_signals(), only_demo(settings.VAR_DIR, ports), _company(port, sandbox_port) as company:
                self._run(company, port, sandbox_port if with_sandbox else None)
        except Stopped:
            self._say("govpay demo stopped")
        except (Died, NotFounded, SyncFailed) as error:
            raise CommandError(str(error)) from None

    def _run(self, company: Company, port: int, sandbox_port: int | None) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        call_command("createcachetable", database=CACHE if CACHE in connections else None, verbosity=0)
        password = make_staff_user()
        if sandbox_port is not None:
            start_sandbox(company, sandbox_port)
            provision_city(company, settings.BASE_DIR / EXAMPLE, settings.VAR_DIR / "provision.toml", port)
            settle_city(sandbox_port)
        start_worker(company)
        start_site(company, port)
        self._sync(company, sandbox_port)
        company.wait_until(lambda: is_busy(port), "The web site", patience=60)
        self._say(f"govpay demo ready: http://{HOST}:{port}/admin/ user={USER} password={password}")
        while True:
            company.check()
            time.sleep(0.5)

    def _sync(self, company: Company, sandbox_port: int | None) -> None:
        """The worker syncs; here one only looks on."""
        since = timezone.now()
        total = rows_there(read_stats(sandbox_port)) if sandbox_port is not None else None
        order_sync()
        try:
            watch(since, total, company.check)
        except SyncFailed as error:
            if sandbox_port is not None:
                raise
            # Somebody else's platform may well refuse a list; what came can be looked at.
            self.stderr.write(f"The first sync is not complete: {error}")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _company(port: int, sandbox_port: int) -> Company:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "SANDBOX_PORT": str(sandbox_port),
        "PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }
    return Company(settings.VAR_DIR / "log", environment, settings.BASE_DIR)


@contextmanager
def only_demo(var: Path, ports: list[int]) -> Iterator[None]:
    """One demo for one folder of data. The lock ends with the process, however that ends."""
    with (var / "demo.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            alone = False
        file.seek(0)
        # A run that was killed left its mark; what it had started needs a moment to go.
        killed = alone and file.read() == "running"
        busy = first_busy(ports, patience=10 if killed else 0)
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
    """The demo's superuser; gives the password, which stays the same over restarts."""
    password = demo_password(settings.VAR_DIR / "demo_password")
    users = get_user_model()._default_manager
    user, _ = users.get_or_create(username=USER, defaults={"is_staff": True, "is_superuser": True})
    if not user.check_password(password):
        user.set_password(password)
        user.save()
    return password


def start_sandbox(company: Company, port: int) -> None:
    """The stand-in on ``port``, empty at first: its client and accounts are made as anybody makes theirs."""
    state = str(settings.VAR_DIR / "sandbox.sqlite3")
    options = ["--port", str(port), "--state", state, "--size", "empty", "--webhook-delay", str(WEBHOOK_DELAY)]
    company.start("sandbox", "govpay.sandbox", *options, outlasts=True)
    company.wait_until(lambda: read_stats(port) is not None, "The stand-in platform", patience=60)


def start_worker(company: Company) -> None:
    options = "--beat --pool=prefork --concurrency=2 --loglevel=INFO --without-gossip --without-mingle"
    company.start("worker", "celery", "-A", "project", "worker", *options.split(), "--without-heartbeat")


def start_site(company: Company, port: int) -> None:
    bind = f"--bind={HOST}:{port}"
    options = "--worker-class=gthread --workers=1 --threads=8 --graceful-timeout=5 --no-control-socket"
    company.start("site", "gunicorn", "project.wsgi", bind, *options.split(), "--access-logfile=-")

"""What a measurement needs around it: a platform, empty databases, and processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

#: Where a PostgreSQL is looked for; ``BENCH_POSTGRES_URL`` goes first.
POSTGRES = (
    "postgres://postgres@127.0.0.1:5432/postgres",
    "postgres://root@127.0.0.1:5432/postgres",
    "postgres://govpay_ci:govpay_ci@127.0.0.1:5432/postgres",
)


@dataclass(frozen=True)
class BenchSandbox:
    api_url: str
    accounts: dict[int, str]


@contextmanager
def bench_sandbox(sizes: Sequence[int]) -> Iterator[BenchSandbox]:
    """The platform with one account for each size."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bench_sandbox", *map(str, dict.fromkeys(sizes))],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        told = json.loads(process.stdout.readline())
        yield BenchSandbox(told["api_url"], {int(size): uid for size, uid in told["accounts"].items()})
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=30)


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """The URLs of empty databases by name: SQLite, and PostgreSQL if one is here."""
    with tempfile.TemporaryDirectory(prefix="govpay-bench-") as folder:
        found = {"SQLite": f"sqlite:///{folder}/bench.sqlite3"}
        server = _postgres()
        if server is None:
            yield found
            return
        name = f"govpay_bench_{os.getpid()}"
        _execute(server, f'CREATE DATABASE "{name}"')
        try:
            yield {**found, "PostgreSQL": f"{server.rpartition('/')[0]}/{name}"}
        finally:
            _execute(server, f'DROP DATABASE IF EXISTS "{name}"')


def run(module: str, *arguments: Any, **environment: Any) -> Any:
    """What ``python -m benchmarks.<module>`` prints, as JSON; ``environment`` are its ``BENCH_*``."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            **{f"BENCH_{name.upper()}": str(value) for name, value in environment.items()},
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _postgres() -> str | None:
    """The first server that lets us in and make databases."""
    given = os.environ.get("BENCH_POSTGRES_URL")
    for url in (given,) if given else POSTGRES:
        try:
            if _execute(url, "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"):
                return url
        except Exception as error:
            if given:
                raise SystemExit(f"BENCH_POSTGRES_URL: {error}") from error
    return None


def _execute(url: str, statement: str) -> Any:
    import psycopg  # noqa: PLC0415 - an extra: without it there is no PostgreSQL to measure

    with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone() if cursor.description else None


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print plain columns: the first to the left, the rest to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for first, *rest in (heads, *rows):
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        print("  " + "  ".join(cells), flush=True)

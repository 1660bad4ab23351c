"""Start other processes that use the databases of the running test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent


def bare_environment() -> dict[str, str]:
    """Return this process's environment without variables that configure govpay, its demo site, Django or pytest."""
    listed = re.findall(r"(?m)^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text())
    foreign = ("GOVPAY", "DJANGO_", "CELERY_", "PYTEST_", "TEST_")
    kept = {name: value for name, value in os.environ.items() if name not in listed}
    kept = {name: value for name, value in kept.items() if not name.startswith(foreign)}
    return {**kept, "ENV_FILE": os.devnull}


def child_environment() -> dict[str, str]:
    """Return the environment for a process that uses this test's database, cache and ``GOVPAY`` settings.

    The test needs real transactions (``django_db(transaction=True)``), otherwise the child sees none of its rows.
    """
    return {
        **bare_environment(),
        **{name: os.environ[name] for name in ("TEST_DATABASE_URL", "TEST_CACHE_URL") if name in os.environ},
        **({"PYTEST_XDIST_WORKER": worker} if (worker := os.environ.get("PYTEST_XDIST_WORKER")) else {}),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(ROOT),
        "TEST_CHILD": json.dumps(
            {
                "files": str(settings.FILES),
                "database": str(connection.settings_dict["NAME"]),
                "govpay": settings.GOVPAY,
            }
        ),
    }


def start_python(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start a Python process that uses the test's databases, calls ``django.setup()`` and runs ``code``."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import django; django.setup()\n{code}", *arguments],
        cwd=ROOT,
        env=child_environment(),
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def start_command(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start ``manage.py`` with ``arguments``, using the test's databases."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        cwd=ROOT,
        env=child_environment(),
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )

"""The demo site's settings, read in separate processes with different environments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, bare_environment

READ = """
import json
from django.conf import settings
from project.celery import app
names = "DEBUG GOVPAY USES_SANDBOX PUBLIC SECURE_SSL_REDIRECT SECURE_HSTS_SECONDS SECRET_KEY"
names += " SESSION_COOKIE_SECURE CSRF_COOKIE_SECURE"
found = {name: getattr(settings, name) for name in names.split()}
databases = settings.DATABASES.items()
found["DATABASES"] = {k: [v["ENGINE"], str(v["NAME"]), v.get("OPTIONS") or {}] for k, v in databases}
found["CACHES"] = settings.CACHES
found["broker"] = app.conf.broker_url
found["acks_late"], found["eager"] = app.conf.task_acks_late, app.conf.task_always_eager
found["remote"], found["beat"] = app.conf.worker_enable_remote_control, sorted(app.conf.beat_schedule)
print(json.dumps(found))
"""


def ask(var: Path, code: str = READ, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={
            **bare_environment(),
            "VAR_DIR": str(var),
            "DJANGO_SETTINGS_MODULE": "project.settings",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def read(var: Path, **environment: str) -> dict[str, Any]:
    done = ask(var, **environment)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_with_nothing_set_it_is_the_demo(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found["USES_SANDBOX"] is True
    assert found["GOVPAY"]["API_URL"] == "http://127.0.0.1:8801"
    assert found["GOVPAY"]["TOKEN_URL"] == "http://127.0.0.1:8801/oauth2/token"
    assert found["DEBUG"] is False
    assert found["SESSION_COOKIE_SECURE"] is False
    engine, name, options = found["DATABASES"]["default"]
    assert (engine, name) == ("django.db.backends.sqlite3", str(tmp_path / "govpay.sqlite3"))
    assert options["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in options["init_command"]
    assert found["CACHES"]["default"]["BACKEND"].endswith("DatabaseCache")
    assert found["DATABASES"]["cache"][1] == str(tmp_path / "cache.sqlite3")
    assert found["broker"] == "demo-files://localhost"
    assert (found["acks_late"], found["eager"], found["remote"]) == (True, False, False)
    assert "govpay-sync-all" in found["beat"]


def test_generated_secret_key_stays_and_is_private(tmp_path: Path) -> None:
    first, second = read(tmp_path)["SECRET_KEY"], read(tmp_path)["SECRET_KEY"]
    assert first == second
    assert len(first) > 50
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0
    assert read(tmp_path / "other")["SECRET_KEY"] != first


@pytest.mark.parametrize("name", ["API_URL", "TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET"])
def test_naming_a_platform_leaves_the_sandbox(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, **{f"GOVPAY_{name}": "https://platform.example"})
    assert found["USES_SANDBOX"] is False
    assert found["GOVPAY"] == {name: "https://platform.example", "TRUSTED_PROXIES": 0}


def test_file_is_read_and_the_environment_goes_before_it(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("CELERY_BROKER_URL=redis://file.example/1\nGOVPAY_SCOPE=from/file\n")
    found = read(tmp_path, ENV_FILE=str(file), GOVPAY_SCOPE="from/environment")
    assert found["broker"] == "redis://file.example/1"
    assert found["GOVPAY"]["SCOPE"] == "from/environment"


def test_empty_values_are_as_good_as_none(tmp_path: Path) -> None:
    names = ("GOVPAY_API_URL", "GOVPAY_TOKEN_URL", "GOVPAY_CLIENT_ID", "GOVPAY_CLIENT_SECRET", "GOVPAY_SCOPE")
    others = ("GOVPAY_ENCRYPTION_KEYS", "ALLOWED_HOSTS", "DATABASE_URL", "CACHE_URL", "CELERY_BROKER_URL", "SECRET_KEY")
    found = read(tmp_path, **dict.fromkeys((*names, *others), ""))
    assert found == read(tmp_path)


def test_scope_and_keys_come_from_the_environment(tmp_path: Path) -> None:
    found = read(tmp_path, GOVPAY_SCOPE="other/scope", GOVPAY_ENCRYPTION_KEYS="one,two")
    assert found["GOVPAY"]["SCOPE"] == "other/scope"
    assert found["GOVPAY"]["ENCRYPTION_KEYS"] == ["one", "two"]


def test_public_host_needs_a_key_of_its_own(tmp_path: Path) -> None:
    done = ask(tmp_path, ALLOWED_HOSTS="pay.example.com")
    assert done.returncode != 0
    assert "SECRET_KEY must be set" in done.stderr


def test_public_host_is_hardened(tmp_path: Path) -> None:
    found = read(tmp_path, ALLOWED_HOSTS="pay.example.com", SECRET_KEY="x" * 60)
    assert found["SECURE_SSL_REDIRECT"] is True
    assert found["SECURE_HSTS_SECONDS"] == 3600
    assert found["SESSION_COOKIE_SECURE"] is True
    assert found["CSRF_COOKIE_SECURE"] is True
    assert not (tmp_path / "secret_key").exists()


def test_servers_come_from_the_environment(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        DATABASE_URL="postgres://someone@db.example:5433/pay",
        CACHE_URL="redis://cache.example:6379/3",
        CELERY_BROKER_URL="amqp://broker.example//",
    )
    assert found["DATABASES"] == {"default": ["django.db.backends.postgresql", "pay", {}]}
    assert found["CACHES"]["default"]["BACKEND"] == "django.core.cache.backends.redis.RedisCache"
    assert found["CACHES"]["default"]["LOCATION"] == "redis://cache.example:6379/3"
    assert found["CACHES"]["default"]["OPTIONS"] == {"socket_connect_timeout": 1, "socket_timeout": 1}
    assert found["broker"] == "amqp://broker.example//"


def test_secrets_that_begin_with_a_dollar_sign_arrive_as_written(tmp_path: Path) -> None:
    """django-environ would look for a variable with the rest of the value as its name, and return nothing."""
    file = tmp_path / "env"
    file.write_text("GOVPAY_CLIENT_SECRET=$2b$10$file\nGOVPAY_ENCRYPTION_KEYS=$one,two\n")
    found = read(
        tmp_path,
        ENV_FILE=str(file),
        SECRET_KEY="$HOME$key",
        GOVPAY_CLIENT_ID="$HOME",
        GOVPAY_TOKEN_URL="$DEBUG",
        GOVPAY_SCOPE="$$scope",
        CELERY_BROKER_URL="$VAR_DIR",
    )
    assert found["SECRET_KEY"] == "$HOME$key"
    assert found["GOVPAY"]["CLIENT_SECRET"] == "$2b$10$file"
    assert found["GOVPAY"]["ENCRYPTION_KEYS"] == ["$one", "two"]
    assert found["GOVPAY"]["CLIENT_ID"] == "$HOME"
    assert found["GOVPAY"]["TOKEN_URL"] == "$DEBUG"
    assert found["GOVPAY"]["SCOPE"] == "$$scope"
    assert found["broker"] == "$VAR_DIR"

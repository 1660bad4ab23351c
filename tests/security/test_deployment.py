"""The demo site with real servers: its deployment check has no findings, and its error reports contain no secret."""

from __future__ import annotations

import json
import re
import string
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.processes import ROOT, bare_environment

#: The environment in docs/operators.md.
PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": string.ascii_letters + string.digits,
    "ALLOWED_HOSTS": "pay.example.gov",
    "CSRF_TRUSTED_ORIGINS": "https://pay.example.gov",
    "SECURE_HSTS_SECONDS": "31536000",
    "SECURE_HSTS_INCLUDE_SUBDOMAINS": "true",
    "SECURE_HSTS_PRELOAD": "true",
    "BEHIND_TLS_PROXY": "true",
    "TRUSTED_PROXIES": "1",
    "GOVPAY_CLIENT_ID": "city",
    "GOVPAY_CLIENT_SECRET": "canary-of-the-client",
    "GOVPAY_TOKEN_URL": "https://auth.example.com/oauth2/token",
    "GOVPAY_API_URL": "https://api.example.com",
    "DATABASE_URL": "postgres://city:canary-of-the-database@db.example/pay",
    "CACHE_URL": "redis://:canary-of-the-cache@cache.example:6379/3",
    "CELERY_BROKER_URL": "amqp://city:canary-of-the-broker@broker.example//",
}
CHECK = "from django.core.management import execute_from_command_line as run; run(['manage.py', 'check', '--deploy'])"
REPORT = """
import json, sys
import django
django.setup()
from django.test import RequestFactory
from django.views.debug import ExceptionReporter
try:
    raise ValueError("planted")
except ValueError:
    told = ExceptionReporter(RequestFactory().get("/"), *sys.exc_info())
print(json.dumps([told.get_traceback_html(), told.get_traceback_text()]))
"""


def ask(code: str, var: Path, **more: str) -> subprocess.CompletedProcess[str]:
    given = {**PRODUCTION, "GOVPAY_ENCRYPTION_KEYS": Fernet.generate_key().decode(), **more}
    environment = {**bare_environment(), "VAR_DIR": str(var), "DJANGO_SETTINGS_MODULE": "project.settings", **given}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_deployment_check_finds_nothing(tmp_path: Path) -> None:
    done = ask(CHECK, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "System check identified no issues (0 silenced)."
    assert done.stderr == ""


@pytest.mark.ci
def test_it_finds_what_is_wrong(tmp_path: Path) -> None:
    wrong = {"TRUSTED_PROXIES": "0", "SECURE_COOKIES": "false", "SECURE_SSL_REDIRECT": "false", "DEBUG": "true"}
    done = ask(CHECK, tmp_path, **wrong)
    for number in ("govpay.W003", "security.W008", "security.W012", "security.W016", "security.W018"):
        assert number in done.stderr


@pytest.mark.ci
def test_reports_leave_out_secrets_and_passwords_of_servers(tmp_path: Path) -> None:
    done = ask(REPORT, tmp_path)
    assert done.returncode == 0, done.stderr
    html, text = json.loads(done.stdout)
    for report in (html, text):
        assert "planted" in report
        assert "ALLOWED_HOSTS" in report, "settings are shown"
        assert "canary" not in report


def test_the_documented_environment_is_the_tested_one() -> None:
    document = (ROOT / "docs" / "operators.md").read_text()
    for name in (*PRODUCTION, "GOVPAY_ENCRYPTION_KEYS"):
        assert f"{name}=" in document


def test_the_documented_nginx_settings_are_where_nginx_accepts_them() -> None:
    """nginx refuses to start with ``client_header_timeout`` in a ``location``."""
    (settings,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "hosts.md").read_text(), re.DOTALL)
    outside = re.sub(r"location [^{]*\{[^}]*\}", "", settings)
    assert settings.count("client_header_timeout") == outside.count("client_header_timeout") == 1

"""``govpay.testing`` in a host's own project, with its own pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, bare_environment

SETTINGS = """
SECRET_KEY = "host"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                  "django.contrib.messages", "django.contrib.sessions", "govpay"]
ROOT_URLCONF = "urls"
USE_TZ = True
GOVPAY = {"CLIENT_ID": "x", "CLIENT_SECRET": "x", "TOKEN_URL": "https://nowhere.invalid/oauth2/token"}
"""
URLS = """
from django.urls import include, path

urlpatterns = [path("payments/", include("govpay.urls"))]
"""
CONFTEST = 'pytest_plugins = ["govpay.testing.plugin"]\n'
TEST = """
from django.core import mail
from django.core.mail import send_mail
from govpay.signals import payment_captured, payment_refunded


def thank(sender, row, source, **kwargs):
    send_mail("Paid", f"{row.total_amount} {source}", None, ["payer@example.com"])


payment_captured.connect(thank)


def test_the_payer_is_thanked(govpay_platform, govpay_deliver):
    account = govpay_platform.add_account()["uid"]
    payment = govpay_platform.add_payment(account, status="captured")
    event = govpay_deliver(account, "payment.completed", payment_uid=payment["uid"])
    assert event.state == "processed"
    assert [each.body for each in mail.outbox] == [f"{payment['total_amount']} webhook"]
    govpay_deliver(account, "payment.completed", payment_uid=payment["uid"])
    assert len(mail.outbox) == 1


def test_a_forged_delivery(client, govpay_platform, govpay_deliver):
    from govpay.models import WebhookEvent
    from govpay.testing import signed_event

    account = govpay_platform.add_account()["uid"]
    payment = govpay_platform.add_payment(account, status="captured")
    govpay_deliver(account, "payment.completed", payment_uid=payment["uid"])
    event = signed_event("payment.completed", {"payment_uid": payment["uid"]}, secret="guessed")
    url = f"/payments/webhooks/{account}/"
    answer = client.post(url, event.body, content_type="application/json", headers=event.headers)
    assert answer.status_code == 401
    assert WebhookEvent.objects.count() == 1
"""


@pytest.mark.ci
def test_a_host_tests_its_receivers(tmp_path: Path) -> None:
    files = {"settings.py": SETTINGS, "urls.py": URLS, "conftest.py": CONFTEST, "test_receivers.py": TEST}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--ds=settings", "-p", "no:cacheprovider", "-c", "/dev/null"]
        + ["--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        env={**bare_environment(), "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert "2 passed" in process.stdout

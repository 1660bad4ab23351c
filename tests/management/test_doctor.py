"""``govpay_doctor``: its text for people and its JSON for monitors."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from govpay.connection import get_authorizer, reset
from govpay.doctor.runner import CHECKS
from govpay.models import HostedSession, PaymentAccount
from tests.doctor.conftest import site as site
from tests.processes import start_command

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> tuple[int, str, str]:
    process = start_command("govpay_doctor", *arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_a_site_in_order_is_all_ok_and_exits_0(site: Any) -> None:
    code, out, err = run()
    assert (code, err) == (0, ""), out
    lines = out.splitlines()
    assert lines[-1].endswith("warning=0 error=0"), out
    assert {line.split()[1].rstrip(":") for line in lines[:-1]} == {name for name, _check in CHECKS}


def test_an_error_exits_1_and_is_told_with_its_cure(site: Any) -> None:
    PaymentAccount.objects.update(callback_url="http://elsewhere.example/")
    code, out, _err = run()
    assert code == 1
    lines = out.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("error   callback"))
    assert "elsewhere.example" in lines[at]
    assert lines[at + 1].startswith("        Set the callback")


def test_the_document_for_monitors_keeps_its_form(site: Any) -> None:
    out = StringIO()
    call_command("govpay_doctor", "--json", stdout=out)
    document = json.loads(out.getvalue())
    assert list(document) == ["version", "level", "checked_at", "seconds", "counts", "findings"]
    assert document["version"] == 1
    assert document["level"] == "ok"
    assert list(document["counts"]) == ["ok", "warning", "error"]
    assert sum(document["counts"].values()) == len(document["findings"])
    for finding in document["findings"]:
        assert list(finding) == ["check", "level", "subject", "what", "cure"]
        assert all(isinstance(value, str) for value in finding.values())
    assert [name for name, _check in CHECKS] == list(dict.fromkeys(each["check"] for each in document["findings"]))


@pytest.mark.parametrize("form", ["", "--json"])
def test_no_secret_is_told(site: Any, settings: Any, form: str) -> None:
    token = get_authorizer().token()
    HostedSession.objects.create(uid="hs_1", account_id=site.account, credential="cs_canary", hosted_url="u#canary")
    PaymentAccount.objects.update(callback_url="https://user:canary-pw@elsewhere.example/?key=canary")
    site.fault("GET /api/clients", status=403, body='{"message": "no: ' + token + '"}', times=9)
    secrets = [settings.GOVPAY["CLIENT_SECRET"], token, *settings.GOVPAY["ENCRYPTION_KEYS"], settings.SECRET_KEY]
    code, out, err = run(*filter(None, [form]))
    assert code == 1
    for secret in [*secrets, "canary"]:
        assert secret not in out + err


def test_without_settings_each_check_still_says_its_part(settings: Any, db: None) -> None:
    settings.GOVPAY = {"CLIENT_IDD": "x"}
    reset()
    process = start_command("govpay_doctor", "--json")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    found = json.loads(out)
    assert {each["check"] for each in found["findings"]} >= {"settings", "token", "worker", "operations", "encryption"}
    assert any("CLIENT_IDD" in each["what"] for each in found["findings"])

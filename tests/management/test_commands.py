"""The commands in real processes: exit codes, and one line of text for each expected error."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from celery import current_app
from django.core.management import CommandError, call_command

from govpay.connection import reset
from govpay.models import Payment
from govpay.schedule import SYNC
from govpay.sync.pull import RESOURCES
from tests.processes import start_command

pytestmark = pytest.mark.django_db(transaction=True)

LINE = re.compile(
    r"^(?P<resource>\w+) account=(?P<account>\S+) fetched=(?P<fetched>\d+) created=(?P<created>\d+) updated=\d+ "
    r"unchanged=\d+ deleted=\d+ rejected=\d+ pages=\d+ seconds=[\d.]+$"
)


def run(name: str, *arguments: str) -> tuple[int, str, str]:
    process = start_command(name, *arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_sync_prints_one_line_a_list(sandbox: Any) -> None:
    account = sandbox.add_account()["uid"]
    sandbox.add_payments(account, 120)
    code, out, err = run("govpay_sync")
    assert (code, err) == (0, "")
    lines = [LINE.match(line) for line in out.splitlines()]
    assert all(lines)
    found = {match["resource"]: match for match in lines if match}
    assert set(found) == set(RESOURCES)
    assert found["clients"]["account"] == found["accounts"]["account"] == "-"
    assert found["payments"]["account"] == account
    assert found["payments"]["created"] == "120"
    assert Payment.objects.count() == 120


def test_sync_of_some_lists_of_one_account(sandbox: Any) -> None:
    one, two = (sandbox.add_account()["uid"] for _ in range(2))
    call_command("govpay_sync", "accounts", stdout=StringIO())
    code, out, _ = run("govpay_sync", "payments", "terminals", "--account", two)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["payments", f"account={two}"],
        ["terminals", f"account={two}"],
    ]
    assert one not in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["payment"], "Unknown resource 'payment'. Known: clients"),
        (["payments", "--account", "nope"], "no payment account"),
    ],
)
def test_what_does_not_exist_is_one_line(sandbox: Any, arguments: list[str], text: str) -> None:
    code, _, err = run("govpay_sync", *arguments)
    assert code == 1
    assert text in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    ["govpay_sync", "govpay_token", "govpay_reconcile"],
)
def test_a_missing_setting_is_one_line_with_its_cure(settings: Any, command: str) -> None:
    settings.GOVPAY = {"CLIENT_ID": "x", "CLIENT_SECRET": "y", "TOKEN_URL": "http://127.0.0.1:9/", "API_URI": "z"}
    code, _, err = run(command)
    assert code == 1
    assert err == "CommandError: GOVPAY has no setting 'API_URI'. Did you mean 'API_URL'?\n"


def test_a_wrong_secret_is_one_line_and_no_storm(sandbox: Any, settings: Any) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "CLIENT_SECRET": "wrong-canary"}
    code, out, err = run("govpay_sync")
    assert code == 1
    assert 'GOVPAY["CLIENT_SECRET"] is wrong' in err
    assert "Traceback" not in err
    assert "canary" not in out + err
    assert err.count("\n") == 1
    assert sandbox.token_requests == 1
    # Another process, during the 30 seconds without attempts: it reads the reason from the cache.
    reset()
    code, out, err = run("govpay_sync")
    assert code == 1
    assert 'GOVPAY["CLIENT_SECRET"] is wrong' in err
    assert err.count("\n") == 1
    assert sandbox.token_requests == 1


def test_exit_1_when_one_list_failed_and_the_others_are_done(sandbox: Any) -> None:
    account = sandbox.add_account()["uid"]
    sandbox.add_payments(account, 5)
    sandbox.fault("GET /api/terminals", status=403, times=100)
    code, _, err = run("govpay_sync")
    assert code == 1
    assert "terminals" in err
    assert "Traceback" not in err
    assert Payment.objects.count() == 5


def test_fan_out_queues_one_task_an_account(sandbox: Any) -> None:
    accounts = {sandbox.add_account()["uid"] for _ in range(2)}
    out = StringIO()
    call_command("govpay_sync", fan_out=True, stdout=out)
    with current_app.connection_for_read() as connection, connection.SimpleQueue(SYNC) as messages:
        queued = set()
        while messages.qsize():
            message = messages.get_nowait()
            if message.headers["task"] == "govpay.tasks.sync_account":
                queued.add(message.payload[0][0])
            message.ack()
    assert queued >= accounts
    assert Payment.objects.count() == 0


def test_the_token_command_never_shows_the_token(sandbox: Any) -> None:
    code, out, _ = run("govpay_token")
    assert code == 0
    assert "no token yet" in out
    code, out, _ = run("govpay_token", "--refresh")
    assert code == 0
    assert re.search(r"age=\d+s expires=\S+Z expires_in=3\d\d\ds", out)
    assert "cache=default backend=" in out
    assert "eyJ" not in out
    code, again, _ = run("govpay_token")
    assert "expires_in=3" in again
    assert sandbox.token_requests == 1


def test_reconcile_says_what_it_did(sandbox: Any) -> None:
    code, out, _ = run("govpay_reconcile")
    assert (code, out) == (0, "succeeded=0 failed=0 waiting=0 late_failures=0\n")


def test_an_unknown_option_is_the_usual_error(sandbox: Any) -> None:
    with pytest.raises(CommandError):
        call_command("govpay_sync", "--nope")

"""``govpay_provision``: output, exit codes, and kill -9."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from govpay.models import PaymentAccount
from tests.operations.merchant import Merchant, wait_for
from tests.operations.test_provisioning import MERCHANT_TOML, WRITES
from tests.operations.test_tenants import ACCOUNT, CHECKOUT, CLIENT, sent
from tests.processes import start_command

pytestmark = pytest.mark.django_db(transaction=True)

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str = MERCHANT_TOML) -> Path:
        path = tmp_path / "merchant.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def run(path: Path, *arguments: str) -> tuple[str, str, str]:
    """Run the command; return its output, its error output, and its error."""
    out, err = StringIO(), StringIO()
    try:
        call_command("govpay_provision", str(path), *arguments, stdout=out, stderr=err)
    except CommandError as error:
        return out.getvalue(), err.getvalue(), str(error)
    return out.getvalue(), err.getvalue(), ""


def test_it_prints_a_diff_and_what_became_of_it(sandbox: Any, write: Write) -> None:
    path = write(MERCHANT_TOML)
    out, err, error = run(path, "--dry-run")
    assert (err, error, sent(sandbox)) == ("", "", [])
    lines = out.splitlines()
    assert lines[:4] == ["--- platform", f"+++ {path}", '@@ client "Town": planned @@', '+ name = "Town"']
    assert '+ allowed_origins = ["https://pay.example.gov", "https://www.example.gov"]' in lines
    assert lines[-1] == "planned=7 unchanged=0 failed=0 left=0"

    out, err, error = run(path)
    assert (err, error) == ("", "")
    assert out.splitlines()[-1] == "changed=7 unchanged=0 failed=0 left=0"
    uid = PaymentAccount.objects.get(name="Water").uid
    assert f'+ callback_url = "https://pay.example.gov/govpay/webhooks/{uid}/"' in out.splitlines()
    assert sandbox.webhook_secret(uid) not in out

    out, err, error = run(path)
    assert out.splitlines()[-1] == "changed=0 unchanged=7 failed=0 left=0"
    assert not [line for line in out.splitlines()[2:] if line.startswith(("+", "-"))]
    assert len(sent(sandbox)) == len(WRITES)


def test_a_refused_step_is_named_with_its_key_path_and_the_exit_code_is_1(sandbox: Any, write: Write) -> None:
    sandbox.fault(CHECKOUT, times=1, status=422)
    path = write(MERCHANT_TOML)
    process = start_command("govpay_provision", str(path))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert out.splitlines()[-1] == "changed=6 unchanged=0 failed=1 left=0"
    first, last = err.splitlines()
    assert first.startswith(f'{path}: accounts[0].checkout: checkout of "Water": ')
    assert last.startswith('CommandError: Failed: checkout of "Water".')
    assert run(path)[2] == ""


def test_each_problem_of_the_file_is_one_line_and_nothing_is_sent(sandbox: Any, write: Write) -> None:
    path = write(MERCHANT_TOML.replace("timezone", "zone").replace("zift", ""))
    out, _, error = run(path)
    lines = error.splitlines()
    assert lines[0].startswith(f"{path}: client.zone: client has no key 'zone'.")
    paths = ["client.zone", "accounts[0].processor", "accounts[1].processor"]
    assert [line.split(": ")[1] for line in lines[:-1]] == paths
    assert lines[-1] == "Nothing was sent."
    assert (out, sandbox.requests()) == ("", [])


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"[client"])
def test_a_file_that_cannot_be_read_is_one_error(sandbox: Any, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "merchant.toml"
    if content is not None:
        path.write_bytes(content)
    _, _, error = run(path)
    assert str(path) in error
    assert sandbox.requests() == []


def test_a_byte_order_mark_is_no_harm(sandbox: Any, write: Write) -> None:
    assert run(write("\ufeff" + MERCHANT_TOML), "--dry-run")[2] == ""


@pytest.mark.parametrize("route", [CLIENT, ACCOUNT, CHECKOUT])
def test_a_killed_run_is_continued(sandbox: Any, write: Write, route: str) -> None:
    path, merchant = write(MERCHANT_TOML), Merchant(sandbox)
    there = len(sandbox.all("client")), len(sandbox.all("account"))
    sandbox.fault(route, times=1, delay=1)
    process = start_command("govpay_provision", str(path))
    wait_for(lambda: [each for each in sandbox.platform.faults.active() if each["hits"]])
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=300)
    time.sleep(1.5)  # the platform carries out the request, and the answer is lost
    merchant.pass_deadlines()
    run(path)
    merchant.reconcile_all()
    assert run(path)[2] == ""
    assert (sent(sandbox).count(CLIENT), sent(sandbox).count(ACCOUNT)) == (1, 2)
    made = len(sandbox.all("client")) - there[0], len(sandbox.all("account")) - there[1]
    assert made == (1, 2)

"""The state file: restarts and SIGKILL; and direct access to objects."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from govpay.sandbox import Address, Sandbox
from govpay.sandbox.__main__ import main

from .conftest import Caller, validation

Doc = dict[str, Any]


def test_state_file_carries_everything_over_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite3"
    with Sandbox(state=file) as sandbox, sandbox.serve() as address:
        account = sandbox.add_account()
        call = Caller(address, account["uid"])
        payment = call("POST", "/api/payments", validation()).json()
        sandbox.add_payment(account["uid"], status="captured")
        ledger = sandbox.ledger()
    assert not (tmp_path / "state.sqlite3-wal").exists()
    with Sandbox(state=file) as sandbox, sandbox.serve() as address:
        again = Caller(address, account["uid"])
        again.token = call.token
        assert again.get(f"/api/payments/{payment['uid']}") == payment
        assert sandbox.ledger() == ledger
        touched = sandbox.touch("payment", payment["uid"], decline_code=None)
        assert touched["updated_at"] > payment["updated_at"]


def started(*arguments: str) -> tuple[subprocess.Popen[str], Address]:
    process = subprocess.Popen(
        [sys.executable, "-m", "govpay.sandbox", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith("govpay sandbox ready: "), line
    words = dict(word.split("=", 1) for word in line.split()[3:])
    port = int(words["api_url"].rpartition(":")[2])
    return process, Address(words["api_url"], words["token_url"], words["client_id"], words["client_secret"], port)


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    file = str(tmp_path / "state.sqlite3")
    process, address = started("--state", file, "--size", "30")
    try:
        call = Caller(address)
        account = call.get("/api/paymentaccounts?$filter=name eq 'Utilities'")[0]["uid"]
        made = [call("POST", "/api/payments", validation(), account=account).json() for _ in range(5)]
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    with Sandbox(state=file, size=30) as sandbox:
        assert [sandbox.get("payment", payment["uid"])["uid"] for payment in made] == [row["uid"] for row in made]  # type: ignore[index]
        assert sandbox.stats()["payments"] == 35


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_clean_end_on_signals(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "state.sqlite3"
    process, address = started("--state", str(file), "--size", "9", "--fault", "GET /api/clients status=503 times=1")
    call = Caller(address)
    assert call("GET", "/api/clients").status_code == 503
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["state.sqlite3"]
    with Sandbox(state=file) as sandbox:
        assert sandbox.stats()["payments"] == 9


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--state", "/nowhere/at/all"], "state file /nowhere/at/all cannot be used"),
        (["--page-cap", "0"], "page_cap must be positive"),
        (["--size", "village"], "must be demo, empty or a number"),
        (["--fault", "GET"], "needs a method and a path"),
        (["--envelope", "xml"], "invalid choice"),
    ],
)
def test_bad_options_end_with_a_line(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["--port", "0", *arguments])
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status
    assert text in capsys.readouterr().err.splitlines()[-1]


def test_busy_port_ends_with_one_line(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert sandbox.address
    assert main(["--port", str(sandbox.address.port), "--size", "empty"]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert str(sandbox.address.port) in told


def test_the_package_needs_no_django() -> None:
    code = "import sys, govpay.sandbox; sys.exit('django' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).resolve().parents[2])
    assert done.returncode == 0


def test_bulk_payments_are_like_any_others(sandbox: Sandbox, call: Caller) -> None:
    before = sandbox.add_payment(call.account_uid)["updated_at"]
    uids = sandbox.add_payments(call.account_uid, 300)
    rows = call.get("/api/payments", params={"$filter": f"updated_at gt {before}", "$orderby": "updated_at,uid"})
    assert [row["uid"] for row in rows] == uids
    assert len({row["updated_at"] for row in rows}) == 300
    like = sandbox.add_payment(call.account_uid, status="captured")
    assert {name: type(value) for name, value in rows[0].items()} == {name: type(value) for name, value in like.items()}
    assert set(rows[0]["payment_method"]["credit"]) == set(like["payment_method"]["credit"])
    assert sandbox.touch("payment", uids[0])["updated_at"] > rows[-1]["updated_at"]
    captures = {row["payment_uid"]: row for row in call.get("/api/transactions")}
    assert all(captures[row["uid"]]["amount"] == row["total_amount"] for row in rows)
    assert len({frozenset(row) for row in captures.values()}) == 1
    assert len(sandbox.ledger()) == 301
    for uid in (uids[0], uids[7]):
        row = sandbox.platform.store.get("payment", uid)
        assert row is not None
        columns = "reference_id, total_amount, status, captured_at, due_at"
        stored = sandbox.platform.store.execute(f"SELECT {columns} FROM payments WHERE uid = ?", (uid,))
        assert stored == [(*(row.doc[name] for name in columns.split(", ")[:4]), None)]
    body = {"amount": 5, "reference_id": "r"}
    assert call("POST", f"/api/payments/{uids[7]}/refund", body).status_code == 201


@pytest.mark.parametrize(
    "status",
    [
        "validated", "captured", "failed", "voided", "partially_refunded", "refunded", "charged_back", "returned",
        "expired",
    ],
)  # fmt: skip
def test_payments_in_every_status(sandbox: Sandbox, account: Doc, status: str) -> None:
    payment = sandbox.add_payment(account["uid"], status=status, created_at="2026-01-02T03:04:05.000000Z")
    assert payment["status"] == status
    assert sandbox.get("payments", payment["uid"]) == payment
    with pytest.raises(ValueError, match="status"):
        sandbox.add_payment(account["uid"], status="lost")


def test_touch_and_remove(sandbox: Sandbox, call: Caller, customer: Doc) -> None:
    method = sandbox.add_method(customer["uid"], default=True)
    uid = method["saved_payment_method_uid"]
    before = sandbox.get("customer", customer["uid"])
    sandbox.touch("method", uid, colour="red")
    after = sandbox.get("customer", customer["uid"])
    assert before
    assert after
    assert after["updated_at"] > before["updated_at"]
    assert call.get(f"/api/customers/{customer['uid']}/payment-methods")[0]["colour"] == "red"
    sandbox.remove("method", uid)
    assert call.get(f"/api/customers/{customer['uid']}")["default_payment_method_uid"] is None
    payment = sandbox.add_payment(call.account_uid, status="captured")
    sandbox.touch("payment", payment["uid"], status="under_review", base_amount="12.30", refunded_amount=2**70)
    assert call.get(f"/api/payments/{payment['uid']}")["base_amount"] == "12.30"
    sandbox.remove("payment", payment["uid"])
    call.refused(404, "GET", f"/api/payments/{payment['uid']}")
    with pytest.raises(KeyError):
        sandbox.touch("payment", payment["uid"])

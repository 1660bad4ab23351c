"""``govpay_import_methods``: files, exit codes, dry runs, and kill -9."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from govpay.models import Operation
from tests.operations.merchant import Merchant, wait_for
from tests.operations.test_wallets import everything, writes
from tests.processes import start_command

pytestmark = pytest.mark.django_db(transaction=True)

IMPORT = "POST /api/saved-payment-methods/import"
HEADER = "customer_reference_id,type,token,last4,exp_month,exp_year,brand,holder_name"
GOOD = "CUST-1,credit,{token},1111,12,2040,VISA,Pat"

Write = Callable[..., Path]


@pytest.fixture
def merchant(sandbox: Any, transactional_db: None) -> Merchant:
    merchant = Merchant(sandbox)
    sandbox.add_customer(merchant.account.uid, reference_id="CUST-1")
    merchant.sync("customers")
    return merchant


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*lines: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
        path = tmp_path / "methods.csv"
        path.write_text("\n".join([header, *lines, ""]), encoding=encoding)
        return path

    return write


def good(number: int) -> str:
    return GOOD.format(token=f"perm_canary_{number}")


def run(merchant: Merchant, path: Path, *arguments: str) -> tuple[str, str]:
    """Run the command; return its output and its error."""
    out = StringIO()
    try:
        call_command("govpay_import_methods", str(path), "--account", merchant.account.uid, *arguments, stdout=out)
    except CommandError as error:
        return out.getvalue(), str(error)
    return out.getvalue(), ""


def refused(path: Path) -> list[dict[str, str]]:
    file = path.with_name("methods.refused.csv")
    return list(csv.DictReader(file.open(newline=""))) if file.exists() else []


def test_all_is_imported_once_and_again_nothing(merchant: Merchant, write: Write) -> None:
    path = write(*[good(n) for n in range(1200)], encoding="utf-8-sig")
    out, error = run(merchant, path)
    assert error == ""
    assert out.startswith(f"account={merchant.account.uid} imported=1200 refused=0 unknown=0 already=0 good=0 seconds=")
    out, error = run(merchant, path)
    assert "imported=0 refused=0 unknown=0 already=1200" in out
    assert error == ""
    assert len(writes(merchant)) == 3
    assert len(merchant.sandbox.all("method")) == 1200
    assert not refused(path)
    assert "canary" not in everything()


BAD = [
    ("CUST-7,credit,t1,1111,12,2040,,", "names no customer"),
    (",credit,t2,1111,12,2040,,", "customer_reference_id is missing"),
    ("CUST-1,cash,t3,1111,12,2040,,", "type must be one of credit, ach"),
    ("CUST-1,credit,,1111,12,2040,,", "token is missing"),
    ("CUST-1,credit,t5,111,12,2040,,", "last4"),
    ("CUST-1,credit,t6,1111,13,2040,,", "exp_month"),
    ("CUST-1,credit,t7,1111,x,2040,,", "exp_month must be a number"),
    ("CUST-1,credit,t8,1111,12,40,,", "exp_year"),
    ("CUST-1,credit,t9,1111,12,2020,,", "expired"),
    ("CUST-1,credit,4111111111111111,1111,12,2040,,", "token looks like a card number"),
    ("CUST-1,credit,t11,1111,12,2040,,Pat 4111-1111-1111-1111", "holder_name looks like a card number"),
    ("CUST-1,ach,t12,9992,12,,,", "exp_month does not belong"),
    ("CUST-1,credit,t13,1111,12,2040,,,,more", "more cells than the header"),
    ("CUST-1,credit,perm_canary_1,1111,12,2040,,", "is in line 2"),
]


def test_refused_rows_are_in_a_file_with_the_reason(merchant: Merchant, write: Write) -> None:
    path = write(good(1), *[line for line, _ in BAD], "", good(2))
    for again in (False, True):
        out, error = run(merchant, path)
        assert f"imported={0 if again else 2} refused={len(BAD)} unknown=0 already={2 if again else 0}" in out
        assert error.startswith(f"{len(BAD)} rows were refused: see ")
        rows = refused(path)
        assert len(rows) == len(BAD)
        found = {row["reason"] for row in rows}
        assert not [why for _, why in BAD if not any(why in reason for reason in found)]
    file = path.with_name("methods.refused.csv")
    assert "4111" not in file.read_text()
    assert oct(os.stat(file).st_mode & 0o777) == "0o600"
    assert len(writes(merchant)) == 1
    assert "1111-1111" not in everything()


def test_corrected_file_of_refused_rows_is_imported_itself(merchant: Merchant, write: Write) -> None:
    path = write(good(1), "CUST-1,credit,perm_2,1111,13,2040,VISA,Pat")
    assert run(merchant, path)[1]
    file = path.with_name("methods.refused.csv")
    file.write_text(file.read_text().replace(",13,", ",12,"))
    out, error = run(merchant, file)
    assert (error, "imported=1 " in out) == ("", True)
    assert len(merchant.sandbox.all("method")) == 2


def test_a_row_corrected_in_the_first_file_is_imported_alone(merchant: Merchant, write: Write) -> None:
    wrong = "CUST-1,credit,perm_x,1111,13,2040,VISA,Pat"
    path = write(*[good(n) for n in range(9)], wrong)
    assert "imported=9 refused=1" in run(merchant, path)[0]
    path = write(*[good(n) for n in range(9)], wrong.replace(",13,", ",12,"))
    for counts in ("imported=1 refused=0 unknown=0 already=9", "imported=0 refused=0 unknown=0 already=10"):
        out, error = run(merchant, path)
        assert (counts in out, error) == (True, "")
    path = write("CUST-7,credit,perm_y,1111,12,2040,,", good(20), good(3), header=HEADER)
    for counts in ("imported=1 refused=1 unknown=0 already=1", "imported=0 refused=1 unknown=0 already=2"):
        assert counts in run(merchant, path)[0]
    assert len(merchant.sandbox.all("method")) == 11
    assert "perm_" not in everything()


def test_what_the_platform_refused_can_be_sent_again(merchant: Merchant, write: Write) -> None:
    path = write(good(1), good(2))
    body = {"imported": 1, "results": [{"index": 0, "error": "No."}, {"index": 1, "saved_payment_method_uid": "spm_1"}]}
    merchant.sandbox.fault(IMPORT, times=1, status=200, body=json.dumps(body))
    assert "imported=1 refused=1" in run(merchant, path)[0]
    assert "imported=1 refused=0 unknown=0 already=1" in run(merchant, write(good(2), good(1)))[0]


@pytest.mark.parametrize("close", ["", "after"])
def test_a_new_secret_key_imports_nothing_twice(merchant: Merchant, write: Write, settings: Any, close: str) -> None:
    path = write(*[good(n) for n in range(5)])
    if close:
        merchant.sandbox.fault(IMPORT, times=1, close=close)
    run(merchant, path)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "n" * 60
    assert "already=5" in run(merchant, path)[0]
    assert len(merchant.sandbox.all("method")) == 5


def test_a_changed_file_waits_for_the_part_whose_answer_was_lost(merchant: Merchant, write: Write) -> None:
    merchant.sandbox.fault(IMPORT, times=1, close="before")
    run(merchant, write(good(1), good(2)))
    out, error = run(merchant, write(good(2), good(3)))
    assert "imported=0 refused=0 unknown=2" in out
    assert "looked up, not repeated" in error
    assert len(writes(merchant)) == 1
    merchant.reconcile_all()
    assert "imported=2" in run(merchant, write(good(2), good(3)))[0]


def test_bank_accounts_and_other_names_of_columns(merchant: Merchant, write: Write) -> None:
    header = "Customer_Reference_ID, payment_method_type ,fingerprint,account_number_suffix,routing_number,account_type"
    path = write("CUST-1,ach,perm_1,9992,021000021,checking", "CUST-1,ach,perm_2,9992,021000021,gold", header=header)
    out, _ = run(merchant, path)
    assert "imported=1 refused=1" in out
    assert "account_type must be one of checking, savings" in refused(path)[0]["reason"]


def test_rehearsal_sends_nothing(merchant: Merchant, write: Write) -> None:
    path, before = write(good(1), BAD[5][0]), len(merchant.sandbox.requests())
    out, error = run(merchant, path, "--dry-run")
    assert "imported=0 refused=1 unknown=0 already=0 good=1" in out
    assert "1 rows were refused" in error
    assert len(refused(path)) == 1
    assert len(merchant.sandbox.requests()) == before
    assert not Operation.objects.exists()
    assert run(merchant, write(good(1)), "--dry-run")[1] == ""


@pytest.mark.parametrize(
    ("header", "line", "text"),
    [
        ("customer_reference_id,type", "CUST-1,credit", "no column token"),
        (f"{HEADER},cvv", f"{GOOD},123", "Column 9 cvv is not known"),
        ("CUST-1,credit,4111111111111111", "x", "Column 1 is not known"),
        (f"{HEADER},fingerprint", f"{GOOD},x", "two columns for token"),
        ("", "", "no column customer_reference_id"),
        (HEADER, 'CUST-1,credit,"perm', "is not CSV"),
    ],
)
def test_file_that_cannot_be_read_is_one_line(
    merchant: Merchant, write: Write, header: str, line: str, text: str
) -> None:
    _, error = run(merchant, write(line, header=header))
    assert text in error
    assert "\n" not in error
    assert "4111" not in error
    assert not writes(merchant)


def test_missing_file_wrong_encoding_and_unknown_account(merchant: Merchant, write: Write, tmp_path: Path) -> None:
    assert "No such file" in run(merchant, tmp_path / "none.csv")[1]
    assert "is not UTF-8" in run(merchant, write("CUST-1,credit,perm,1111,12,2040,,Zoë", encoding="latin-1"))[1]
    merchant.account.uid = "acc_none"
    assert "no such payment account" in run(merchant, write(good(1)))[1]


def test_platform_that_refuses_is_one_line_and_nothing_is_lost(merchant: Merchant, write: Write) -> None:
    path = write(good(1))
    merchant.sandbox.fault(IMPORT, times=1, status=403)
    _, error = run(merchant, path)
    assert error.startswith("One part was not imported")
    assert run(merchant, path)[1] == ""
    assert len(merchant.sandbox.all("method")) == 1


def test_lost_answer_is_looked_up_by_the_next_run(merchant: Merchant, write: Write) -> None:
    path = write(*[good(n) for n in range(501)], BAD[0][0])
    merchant.sandbox.fault(IMPORT, times=1, close="after")
    out, error = run(merchant, path)
    assert "imported=0 refused=0 unknown=500" in out
    assert "looked up, not repeated" in error
    out, error = run(merchant, path)
    assert "imported=1 refused=1 unknown=0 already=500" in out
    assert len(merchant.sandbox.all("method")) == 501


def test_chunk_that_never_arrived_is_sent_anew_once_that_is_certain(merchant: Merchant, write: Write) -> None:
    path = write(good(1))
    merchant.sandbox.fault(IMPORT, times=1, close="before")
    assert run(merchant, path)[1]
    assert "unknown=1" in run(merchant, path)[0], "it is not certain yet"
    assert len(writes(merchant)) == 1
    merchant.reconcile_all()
    assert "imported=1" in run(merchant, path)[0]
    assert len(merchant.sandbox.all("method")) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_in_the_middle_nothing_is_imported_twice(merchant: Merchant, write: Write, moment: str) -> None:
    path = write(*[good(n) for n in range(1100)])
    # The second call hangs, before or after the platform has acted on it.
    merchant.sandbox.fault(IMPORT, skip=1, times=1, delay=2, close=moment)
    process = start_command("govpay_import_methods", str(path), "--account", merchant.account.uid)
    wait_for(lambda: Operation.objects.filter(state="started").exists() and Operation.objects.count() == 2)
    wait_for(lambda: len(writes(merchant)) == 2)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=300)
    wait_for(lambda: len(merchant.sandbox.all("method")) == (1000 if moment == "after" else 500), seconds=10)
    assert "unknown=500" in run(merchant, path)[0], "its call may be under way"
    merchant.reconcile_all()
    assert run(merchant, path)[1] == ""
    marks = Counter(
        merchant.sandbox.platform.store.get("method", each["saved_payment_method_uid"]).doc["credit"]["last4"]
        for each in merchant.sandbox.all("method")
    )
    assert marks == {"1111": 1100}
    assert len(writes(merchant)) == (3 if moment == "after" else 4)


def test_without_a_terminal_there_is_one_line(merchant: Merchant, write: Write) -> None:
    process = start_command("govpay_import_methods", str(write(good(1))), "--account", merchant.account.uid)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err, out.count("\n")) == (0, "", 1)
    process = start_command("govpay_import_methods", str(write(BAD[5][0])), "--account", merchant.account.uid)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err.count("\n"), out.count("\n")) == (1, 1, 1)
    assert "canary" not in out + err

"""Files for spreadsheets: no cell begins a formula."""

from __future__ import annotations

import ast
import csv
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from govpay.security.csv import escape_formula, unescape_formula
from tests.operations.merchant import Merchant

APP = Path(__file__).resolve().parents[2] / "govpay"


@pytest.mark.parametrize("begin", [*"=+-@\t\r\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_formula_begins(begin: str) -> None:
    (cell,) = escape_formula([f"{begin}cmd|' /C calc'!A0"])
    assert cell[0] == "'"
    assert unescape_formula([cell]) == [f"{begin}cmd|' /C calc'!A0"]


def test_what_is_no_formula_stays() -> None:
    row = ["CUST-1", "O'Brien", "'quoted'", "", "4 = 4", -5, 1.5, None]
    assert escape_formula(row) == row


@given(st.lists(st.text(st.sampled_from("'=+-@\t\ra1 ,\"\n"), max_size=8), max_size=4))
def test_a_row_comes_back_as_it_was(cells: list[str]) -> None:
    written = escape_formula(cells)
    assert not [cell for cell in written if cell[:1] in tuple("=+-@\t\r\n")]
    assert unescape_formula(written) == cells


@pytest.mark.django_db(transaction=True)
def test_the_error_file_of_an_import_is_escaped_and_can_be_imported(sandbox: Any, tmp_path: Path) -> None:
    merchant = Merchant(sandbox)
    reference = '=HYPERLINK("http://evil.example")'
    sandbox.add_customer(merchant.account.uid, reference_id=reference)
    merchant.sync("customers")
    path = tmp_path / "methods.csv"
    row = [reference, "credit", "perm_1", "1111", "13", "2040", "@SUM(1+1)"]
    header = ["customer_reference_id", "type", "token", "last4", "exp_month", "exp_year", "holder_name"]

    def run(file: Path) -> None:
        call_command("govpay_import_methods", str(file), "--account", merchant.account.uid, stdout=StringIO())

    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, row])
    with pytest.raises(CommandError):
        run(path)
    refused = path.with_name("methods.refused.csv")
    with refused.open(newline="") as file:
        _header, cells = list(csv.reader(file))
    assert cells[0] == f"'{reference}"
    assert cells[6] == "'@SUM(1+1)"
    refused.write_text(refused.read_text().replace(",13,", ",12,"))
    run(refused)
    assert not refused.with_name("methods.refused.refused.csv").exists()
    assert sandbox.platform.store.count("method") == 1


def test_csv_is_written_where_formulas_are_escaped() -> None:
    """New exports must use the same function."""
    for path in APP.rglob("*.py"):
        if "sandbox" in path.parts or not re.search("csv|tablib|xlsx|openpyxl", path.read_text()):
            continue
        tree = ast.parse(path.read_text())
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        if names & {"csv", "tablib", "openpyxl", "xlsxwriter"}:
            assert "escape_formula(" in path.read_text(), f"{path.name} writes files without govpay.security.csv"

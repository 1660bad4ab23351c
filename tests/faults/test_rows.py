"""Every fault in ``docs/reliability.md`` has a test that exists and names the fault."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

from tests.depth import KEPT

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs" / "reliability.md").read_text()

#: None may be left out of the table, and none of its tests may forget what it is for.
ROWS = (
    *("T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8"),
    *("R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R11", "R12", "R13", "R14"),
    *("W1", "W1b", "W1c", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "W9"),
    *("M1", "M2", "M3", "M4", "M5", "M6", "M7", "M8", "M9", "M10", "M11"),
    *("D1", "D2", "D3", "D4", "C1", "C2", "C3", "C4", "S1", "S2", "S3"),
)

SHOWN = re.findall(r"(?m)^\| ([A-Z]\d+[a-z]?) \|.*\| `(tests/[\w/]+\.py)::(\w+)` \|$", TABLE)


@lru_cache
def said_in(path: str) -> dict[str, str]:
    """The test functions of a module and what each says of itself, its module's first line included."""
    tree = ast.parse((ROOT / path).read_text())
    about = ast.get_docstring(tree) or ""
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return {node.name: f"{about}\n{ast.get_docstring(node) or ''}" for node in found}


def test_the_table_has_every_row_once() -> None:
    assert [row for row, _, _ in SHOWN] == list(ROWS)
    assert [line for line in re.findall(r"(?m)^\| ([A-Z]\d+[a-z]?) \|", TABLE) if line not in ROWS] == []


@pytest.mark.parametrize(("row", "path", "test"), SHOWN, ids=[row for row, _, _ in SHOWN])
def test_the_row_is_shown_by_a_test_that_names_it(row: str, path: str, test: str) -> None:
    assert (ROOT / path).is_file(), path
    assert test in said_in(path), f"{path} has no {test}"
    assert re.search(rf"\b{row}\b", said_in(path)[test]), f"{path}::{test} does not say that it is for {row}"


@pytest.mark.parametrize(("row", "path", "test"), SHOWN, ids=[row for row, _, _ in SHOWN])
def test_make_test_shows_every_row(row: str, path: str, test: str) -> None:
    """Some cases may be left to CI, but not all."""
    file = path.removeprefix("tests/")
    assert KEPT.get(file) != 0
    assert KEPT.get(f"{file}::{test}") != 0

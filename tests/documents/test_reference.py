"""References are complete: operations with their arguments, and the columns of the import file."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from govpay import operations
from govpay.operations.import_files import BANK_COLUMNS, CARD_COLUMNS, COLUMN_ALIASES, KNOWN_COLUMNS, REQUIRED_COLUMNS
from tests.processes import ROOT

REFERENCE = (ROOT / "docs" / "operations.md").read_text()
HOSTS = (ROOT / "docs" / "hosts.md").read_text()
OPERATORS = (ROOT / "docs" / "operators.md").read_text()


def call_of(name: str) -> str:
    """``name(*, payment, amount=None)``: the call without annotations."""
    found = inspect.signature(getattr(operations, name))
    plain: Any = [each.replace(annotation=each.empty) for each in found.parameters.values()]
    return f"{name}{found.replace(parameters=plain, return_annotation=found.empty)}"


def test_each_public_operation_is_documented_once() -> None:
    documented = re.findall(r"(?m)^### `(\w+)\(", REFERENCE)
    assert sorted(documented) == sorted(operations.__all__)


@pytest.mark.parametrize("name", sorted(operations.__all__))
def test_the_documented_call_is_the_real_one(name: str) -> None:
    assert f"### `{call_of(name)}`\n" in REFERENCE


def test_the_calls_without_a_key_are_named() -> None:
    """docs/hosts.md names those that staff start and that change something; the others only read, or are for ticks."""
    with_actor = {
        name
        for name in operations.__all__
        if "actor" in (found := inspect.signature(getattr(operations, name)).parameters) and "key" not in found
    }
    (sentence,) = re.findall(r"Calls without\s`key=`[^.]*\.", HOSTS)
    assert set(re.findall(r"`(\w+)`", sentence)) == with_actor - {"quote_of"}


def test_the_columns_of_the_import_file_are_documented() -> None:
    rows = re.findall(
        r"(?m)^\| `(\w+)` \| (?:`(\w+)`)? ?\| ([^|]*) \|", OPERATORS.split("## Importing payment methods")[1]
    )
    table = {name: (alias, who) for name, alias, who in rows if name in KNOWN_COLUMNS}
    assert set(table) == set(KNOWN_COLUMNS)
    assert {alias: name for name, (alias, _) in table.items() if alias} == COLUMN_ALIASES
    for name, (_, who) in table.items():
        both = name in REQUIRED_COLUMNS or (name in CARD_COLUMNS and name in BANK_COLUMNS)
        assert ("both" in who) == both, name
        assert ("`credit`" in who) == (name in CARD_COLUMNS and not both), name
        assert ("`ach`" in who) == (name in BANK_COLUMNS and not both), name
        assert ("required" in who) == (name in REQUIRED_COLUMNS), name

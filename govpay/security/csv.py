"""Cells of files that people open in a spreadsheet: none of them may begin a formula."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

#: What a spreadsheet takes for the begin of a formula, full-width forms included, or drops before it looks.
_BEGINS = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(f"'*[{_BEGINS}]")
_DISARMED = re.compile(f"'+[{_BEGINS}]")


def escape_formula(cells: Iterable[Any]) -> list[Any]:
    """A row to be written: before a text that could be a formula stands an apostrophe. Numbers stay what they are."""
    return [f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell for cell in cells]


def unescape_formula(cells: Iterable[str]) -> list[str]:
    """The cells of a row that ``escape_formula`` wrote, as they were before."""
    return [cell[1:] if _DISARMED.match(cell) else cell for cell in cells]

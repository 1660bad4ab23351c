"""Escapes cells of CSV files, so that a spreadsheet does not run them as formulas."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

#: Characters that start a formula in a spreadsheet, full-width forms included, or that it strips before it checks.
_BEGINS = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(f"'*[{_BEGINS}]")
_DISARMED = re.compile(f"'+[{_BEGINS}]")


def escape_formula(cells: Iterable[Any]) -> list[Any]:
    """Return the cells of a row to write. A text that could be a formula gets a leading apostrophe."""
    return [f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell for cell in cells]


def unescape_formula(cells: Iterable[str]) -> list[str]:
    """Return the original cells of a row that ``escape_formula`` wrote."""
    return [cell[1:] if _DISARMED.match(cell) else cell for cell in cells]

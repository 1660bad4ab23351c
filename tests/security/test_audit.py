"""``requirements/audit.py``: advisories fail it; an unreachable registry is reported and does not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "requirements" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLEAN = {"name": "django", "version": "5.2", "vulns": []}
UNKNOWN = {"name": "ours", "skip_reason": "not found"}
BAD = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}


@pytest.mark.parametrize(
    ("found", "status", "told"),
    [
        ([CLEAN, CLEAN], 0, "No known advisories for 2 packages."),
        ([CLEAN, UNKNOWN], 0, "Not known to the registry: ours"),
        ([UNKNOWN, UNKNOWN], 0, "ADVISORIES COULD NOT BE REACHED"),
        ([], 0, "ADVISORIES COULD NOT BE REACHED"),
        ([CLEAN, UNKNOWN, BAD], 1, "old 1.0: PYSEC-1, fixed in: 1.1"),
    ],
)
def test_only_findings_fail(audit: Any, capsys: Any, found: Any, status: int, told: str) -> None:
    assert audit.judge(found) == status
    assert told in capsys.readouterr().err


def test_a_registry_that_is_not_there_is_told(audit: Any, capsys: Any, tmp_path: Path) -> None:
    """A file that pip-audit refuses gives no document, as an unreachable registry does."""
    assert audit.main(str(tmp_path / "absent.txt")) == 0
    assert "ADVISORIES COULD NOT BE REACHED" in capsys.readouterr().err

"""``docs/security.md``: each promise names tests that exist, and each of these tests is named."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROWS = [line.split("|") for line in (ROOT / "docs" / "security.md").read_text().splitlines() if line.startswith("| ")]
PROMISES = [[cell.strip() for cell in row[1:-1]] for row in ROWS if "---" not in row[1]][1:]


def test_every_promise_has_a_chapter_and_tests_that_exist() -> None:
    assert len(PROMISES) > 20
    for promise, chapters, tests in PROMISES:
        assert promise
        assert re.fullmatch(r"\d+\.\d+(, \d+\.\d+)*", chapters), promise
        named = re.findall(r"`([^`]+)`", tests)
        assert named, promise
        for path in named:
            assert (ROOT / path).is_file(), path
            assert "def test_" in (ROOT / path).read_text(), path


def test_every_test_of_security_is_named() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    for path in Path(__file__).parent.glob("test_*.py"):
        assert path == Path(__file__) or f"`tests/security/{path.name}`" in text, path.name

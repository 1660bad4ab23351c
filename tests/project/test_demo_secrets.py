"""Secrets that the demo creates."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from project.demo_secrets import demo_password, stored_secret


def test_it_stays_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    first = stored_secret(file, 50)
    assert stored_secret(file, 50) == first
    assert len(first) >= 50
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_many_starting_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: stored_secret(tmp_path / "secret", 50), range(40)))
    assert len(found) == 1


def test_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    first = stored_secret(tmp_path / "secret", 50)
    assert stored_secret(tmp_path / "secret", 50) == first
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_empty_file_is_told_and_not_used(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    with pytest.raises(RuntimeError, match="is empty; delete it"):
        stored_secret(tmp_path / "secret", 50)


def test_password_fits_the_ready_line(tmp_path: Path) -> None:
    password = demo_password(tmp_path / "password")
    assert password == password.strip()
    assert " " not in password

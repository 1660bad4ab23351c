"""Checks that no demo runs, for ``make clean``. It needs no installed package: ``python project/demo/idle.py var``."""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # not a POSIX system, where no demo runs
    fcntl = None  # type: ignore[assignment]


def is_running(var: Path) -> bool:
    """Return whether a demo holds the lock of its data folder ``var``."""
    if fcntl is None:
        return False
    try:
        with (var / "demo.lock").open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if is_running(folder):
        sys.exit(f"A demo is running on {folder}. Stop it with Ctrl-C, then clean again. Nothing was deleted.")

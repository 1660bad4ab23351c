"""Checks that no demo runs, for ``make clean``. It needs no installed package: ``python project/demo/idle.py var``."""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path


def is_running(var: Path) -> bool:
    """Whether a demo holds the lock of its data folder ``var``."""
    try:
        with (var / "demo.lock").open("a+") as file:
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

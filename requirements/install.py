"""Makes the virtual environment and installs one file of pinned requirements and this checkout.

    python3 requirements/install.py .venv requirements/test.txt

Only the standard library, and one run at a time for each environment. The checkout is put on the
path by a ``.pth`` file, which needs no build tool and leaves nothing to be downloaded unpinned.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
import venv
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(target: str, requirements: str) -> int:
    folder = Path(target).resolve()
    name = sha256(str(folder).encode()).hexdigest()[:12]
    with (Path(tempfile.gettempdir()) / f"govpay-venv-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not works(folder):
            if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
                print(f"{target} exists and is no virtual environment.", file=sys.stderr)
                return 1
            print(f"Making {target} with Python {sys.version.split()[0]}", file=sys.stderr)
            venv.create(folder, clear=True, with_pip=True)
        print(f"Installing {requirements}", file=sys.stderr)
        pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        done = subprocess.run([*pip, "-r", requirements], check=False, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            put_on_path(folder)
    return done.returncode


def works(folder: Path) -> bool:
    """A half-made environment is made again."""
    python = folder / "bin" / "python"
    if not python.exists():
        return False
    return subprocess.run([python, "-c", "import pip"], capture_output=True, check=False).returncode == 0


def put_on_path(folder: Path) -> None:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    asked = subprocess.run([folder / "bin" / "python", "-c", code], check=True, capture_output=True, text=True)
    (Path(asked.stdout.strip()) / "govpay-checkout.pth").write_text(f"{ROOT}\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

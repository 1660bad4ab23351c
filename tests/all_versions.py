"""``make test-all``: the suite on every supported Django with every supported Python found here.

Each pair gets an environment of its own, ``.venv-<python>-<django>``. What is absent is skipped
with a word. Arguments go to pytest.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Django's own table of supported Pythons.
SUPPORTED = {
    "5.2": ("3.11", "3.12", "3.13", "3.14"),
    "6.0": ("3.12", "3.13", "3.14"),
    "6.1": ("3.12", "3.13", "3.14"),
}


def find_python(version: str) -> str | None:
    """A Python of this version on ``PATH`` or under pyenv that starts."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    under_pyenv = sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)
    on_path = shutil.which(f"python{version}")
    for candidate in (*map(str, under_pyenv), *([on_path] if on_path else [])):
        asked = subprocess.run(
            [candidate, "-c", "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode == 0 and asked.stdout.strip() == version:
            return candidate
    return None


def requirements_for(django: str, folder: Path) -> Path:
    """The pinned test requirements with another Django."""
    pinned = (ROOT / "requirements" / "test.txt").read_text()
    if django != "5.2":
        pinned = re.sub(r"(?m)^django==\S+", f"django~={django}.0", pinned)
    file = folder / f"django-{django}.txt"
    file.write_text(pinned)
    return file


def run(python: str, version: str, django: str, arguments: list[str]) -> int:
    environment = ROOT / f".venv-{version}-{django}"
    with tempfile.TemporaryDirectory() as folder:
        file = requirements_for(django, Path(folder))
        install = [python, str(ROOT / "requirements" / "install.py"), str(environment), str(file)]
        if subprocess.run(install, cwd=ROOT, check=False).returncode:
            return 1
    pytest = [str(environment / "bin" / "python"), "-m", "pytest", "--ds=tests.settings", "-n", "2", "-q"]
    return subprocess.run([*pytest, *arguments], cwd=ROOT, check=False).returncode


def main(arguments: list[str]) -> int:
    results: list[str] = []
    failed = False
    for django, versions in SUPPORTED.items():
        for version in versions:
            python = find_python(version)
            if python is None:
                results.append(f"Django {django} on Python {version}: skipped, this Python is not here")
                continue
            print(f"\n=== Django {django} on Python {version}", flush=True)
            code = run(python, version, django, arguments)
            failed = failed or code != 0
            results.append(f"Django {django} on Python {version}: {'passed' if code == 0 else 'FAILED'}")
    print("\n" + "\n".join(results))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

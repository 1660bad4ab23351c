"""``make test-all``: the suite on supported pairs of Python and Django.

    python3 tests/all_versions.py [PYTHON-DJANGO …] [arguments of pytest]
    python3 tests/all_versions.py --find PYTHON

Without a pair: every supported one whose Python is here; the others are skipped with a word. A pair that is named,
such as ``3.13-6.1``, has to be here. Each pair gets an environment of its own, ``.venv-<python>-<django>``.
``--find 3.13`` prints where that Python is, and exits with 1 where it is not. Only the standard library.
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

#: Django's own table of supported Pythons, as far as pyproject.toml claims them.
SUPPORTED = {
    "5.2": ("3.11", "3.12", "3.13"),
    "6.0": ("3.12", "3.13"),
    "6.1": ("3.12", "3.13"),
}
PAIRS = [f"{python}-{django}" for django, pythons in SUPPORTED.items() for python in pythons]


def find_python(version: str) -> str | None:
    """A Python of this version that can make environments: pyenv's, one on ``PATH``, or uv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", Path.home() / ".local" / "share" / "uv" / "python"))
    found = [*sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]
    found += [Path(each) for each in [shutil.which(f"python{version}")] if each]
    found += sorted(uv.glob(f"cpython-{version}.*/bin/python{version}"), reverse=True)
    return next((str(each) for each in found if is_usable(each, version)), None)


def is_usable(python: Path, version: str) -> bool:
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return asked.returncode == 0 and asked.stdout.strip() == version


def requirements_for(django: str, folder: Path) -> Path:
    """The pinned test requirements, with the newest release of this Django."""
    pinned = (ROOT / "requirements" / "test.txt").read_text()
    others = re.sub(r"(?m)^django==.*\n", "", pinned)
    file = folder / f"django-{django}.txt"
    file.write_text(f"{others}django~={django}.0\n")
    return file


def run(pair: str, python: str, arguments: list[str]) -> int:
    """Install what the pair needs, and run pytest with ``arguments``. Returns its exit status."""
    environment = ROOT / f".venv-{pair}"
    with tempfile.TemporaryDirectory() as folder:
        file = requirements_for(pair.partition("-")[2], Path(folder))
        install = [python, str(ROOT / "requirements" / "install.py"), str(environment), str(file)]
        if subprocess.run(install, cwd=ROOT, check=False).returncode:
            return 1
    here = environment / "bin" / "python"
    code = "import sys, django; print('%d.%d-%d.%d' % (*sys.version_info[:2], *django.VERSION[:2]))"
    made = subprocess.run([here, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    if made != pair:
        print(f"{environment} holds {made or 'nothing that starts'}; remove it.", file=sys.stderr)
        return 1
    return subprocess.run([here, "-m", "pytest", "--ds=tests.settings", *arguments], cwd=ROOT, check=False).returncode


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--find"]:
        found = find_python(arguments[1])
        print(found or "", end="\n" if found else "")
        return 0 if found else 1
    named = [each for each in arguments if each in PAIRS]
    rest = [each for each in arguments if each not in PAIRS]
    results: dict[str, str] = {}
    for pair in named or PAIRS:
        version = pair.partition("-")[0]
        python = find_python(version)
        if python is None:
            results[pair] = "FAILED, this Python is not here" if named else "skipped, this Python is not here"
            continue
        print(f"\n=== {pair} (Python-Django), with {python}", flush=True)
        results[pair] = "FAILED" if run(pair, python, rest) else "passed"
    print("\n" + "\n".join(f"{pair}: {result}" for pair, result in results.items()))
    return 1 if any(result.startswith("FAILED") for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The suite on each supported pair of Python and Django: ``nox -l`` lists them, ``nox -s "tests(3.13-6.1)"`` runs one.

The pairs come from ``tests/all_versions.py``. ``make test-all`` does the same without nox.
Arguments after ``--`` go to pytest: ``nox -s tests -- -k refund``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from requirements.install import put_on_path  # noqa: E402
from tests.all_versions import PAIRS, requirements_for  # noqa: E402

nox.options.error_on_missing_interpreters = False


@nox.session
@nox.parametrize("python,django", [tuple(pair.split("-")) for pair in PAIRS], ids=PAIRS)
def tests(session: nox.Session, django: str) -> None:
    """The suite with the newest release of this Django."""
    session.install("-r", str(requirements_for(django, Path(session.create_tmp()))))
    put_on_path(Path(session.virtualenv.location))
    arguments = session.posargs or ["-n", "3", "--dist=worksteal", "-m", "not ci"]
    session.run("python", "-m", "pytest", "--ds=tests.settings", *arguments)

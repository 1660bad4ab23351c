"""``docs/compatibility.md`` names tests that exist and agrees with the versions that are declared and run."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import lru_cache
from pathlib import Path

import django
import pytest
from packaging.requirements import Requirement

from tests.all_versions import PAIRS, SUPPORTED

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs" / "compatibility.md").read_text()
#: Cells of each row of a table, headings and rules left out.
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in re.findall(r"(?m)^\|.*\|$", DOCUMENT)
    if "| shown by |" not in line and not line.startswith("| ---")
]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", DOCUMENT)))
#: The themes stay on Django 5.2, which all of them declare.
COMPILED = sorted(path.name for path in (ROOT / "requirements").glob("*.txt") if path.name != "themes.txt")


@lru_cache
def functions_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("path", "test"), NAMED, ids=[test for _, test in NAMED])
def test_a_named_test_exists(path: str, test: str) -> None:
    assert (ROOT / path).is_file(), path
    assert test in functions_in(path), f"{path} has no {test}"


def test_every_row_names_a_test() -> None:
    assert len(ROWS) > 12
    assert not [row for row in ROWS if not re.search(r"`tests/[\w/]+\.py::test_\w+`", row[-1])]


def test_the_suite_runs_on_a_declared_pair() -> None:
    here = "{}.{}-{}.{}".format(*sys.version_info[:2], *django.VERSION[:2])
    assert here in PAIRS


def test_the_package_declares_what_is_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = {python for each in SUPPORTED.values() for python in each}
    assert versions_of("Framework :: Django", project) == set(SUPPORTED)
    assert versions_of("Programming Language :: Python", project) == pythons
    assert project["requires-python"] == ">=3.11"
    wanted = next(Requirement(each) for each in project["dependencies"] if each.startswith("django>"))
    assert all(wanted.specifier.contains(f"{each}.1") for each in SUPPORTED)
    assert not wanted.specifier.contains("6.2")
    assert not wanted.specifier.contains("5.1")


def versions_of(what: str, project: dict[str, list[str]]) -> set[str]:
    found = re.findall(rf"(?m)^{what} :: (\d+\.\d+)$", "\n".join(project["classifiers"]))
    return set(found)


def test_ci_runs_every_django_and_every_python() -> None:
    run = set(re.findall(r"\b3\.\d+-\d\.\d\b", (ROOT / ".ci" / "run").read_text()))
    assert run == {f"{row[0]}-{row[1]}" for row in ROWS if re.fullmatch(r"3\.\d+", row[0])}
    assert run <= set(PAIRS)
    assert {pair.split("-")[0] for pair in run} == {pair.split("-")[0] for pair in PAIRS}
    assert {pair.split("-")[1] for pair in run} == set(SUPPORTED)


@pytest.mark.parametrize("name", COMPILED)
def test_requirements_take_the_newest_django_that_a_python_allows(name: str) -> None:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    pins = [Requirement(line.partition("#")[0].strip()) for line in lines if line.startswith("django==")]
    for python in {each for pythons in SUPPORTED.values() for each in pythons}:
        place = {"python_version": python, "python_full_version": f"{python}.0"}
        versions = [str(pin.specifier) for pin in pins if pin.marker is None or pin.marker.evaluate(place)]
        newest = max(each for each, pythons in SUPPORTED.items() if python in pythons)
        assert len(versions) == 1
        assert versions[0].startswith(f"=={newest}.")


def test_the_sample_of_ci_exists() -> None:
    """pytest runs nothing at all if one of its paths does not exist."""
    sample = re.search(r'(?m)^sample="(.+)"$', (ROOT / ".ci" / "run").read_text())
    assert sample
    assert [path for path in sample[1].split() if not (ROOT / path).exists()] == []

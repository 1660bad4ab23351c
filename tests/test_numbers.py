"""What documents and code cite exists: numbers of assumptions and faults, and the files that documents name.

A numbers are assumptions (``docs/assumptions.md``). T, R, W, M, D, C and S numbers are faults
(``docs/reliability.md``). Rule codes of three digits, such as ``S603`` of ruff, do not count, and neither do the
return codes of banks, except those that are also numbers of faults.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from govpay.client import routes

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("govpay", "tests", "docs", "project", "benchmarks", "templates", "requirements")
SUFFIXES = (".py", ".md", ".toml", ".html", ".txt", ".po", ".yaml")

NUMBER = re.compile(r"(?<![\w.%&#/-])(?:[ATMDCS][1-9]\d?|R[1-9]|R1[0-4]|W[1-9]\d?[a-z]?)(?!\w)")
ROW = re.compile(r"(?m)^\| ([A-Z][1-9]\d*[a-z]?) \|")
#: A fault that is called an assumption, or the reverse.
WRONG_KIND = re.compile(r"(?i)\bfaults?:? A\d|\bassumptions?:? [TRWMDCS]\d")
#: Phrases about documents that are not in this repository. They are split here, so that this file does not hold them.
FORBIDDEN = ("of what peers" + " failed", "first" + " plan", "differs from the" + " plan")


#: A path in a document, such as `govpay/conf.py`; below `govpay/` when no folder at the root has its name.
PATH = re.compile(r"`([\w.]+/[\w./-]+\.(?:py|toml|json))`")


@lru_cache
def files() -> dict[str, str]:
    """The text of each file that is searched, by its path."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    paths += [path for path in ROOT.iterdir() if path.suffix in SUFFIXES and path.is_file()]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in sorted(paths)}


def prose_of_python(text: str) -> Iterator[str]:
    """Comments, and strings that are a statement of their own (docstrings)."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    yield from (token.string for token in tokens if token.type == tokenize.COMMENT)


def prose_of(path: str, text: str) -> Iterator[str]:
    """The parts of a file that may cite a number; other kinds of files cite none."""
    match Path(path).suffix:
        case ".py":
            yield from prose_of_python(text)
        case ".toml":
            yield from re.findall(r"#.*", text)
        case ".html":
            yield from re.findall(r"(?s)\{#.*?#\}|\{% comment.*?endcomment %\}|<!--.*?-->", text)
        case ".md":
            yield text


def rows_of(document: str) -> list[str]:
    return ROW.findall(files()[f"docs/{document}.md"])


@lru_cache
def known() -> set[str]:
    return {*rows_of("assumptions"), *rows_of("reliability")}


def wrong_in(text: str) -> set[str]:
    return {*(set(NUMBER.findall(text)) - known()), *WRONG_KIND.findall(text)}


def unresolved(path: str, text: str) -> set[str]:
    """What a file cites that has no line. Only a file with such a number anywhere in its text is parsed."""
    return wrong_in("\n".join(prose_of(path, text))) if wrong_in(text) else set()


def test_every_cited_number_has_a_line_in_the_documents() -> None:
    found = {path: unresolved(path, text) for path, text in files().items()}
    assert {path: numbers for path, numbers in found.items() if numbers} == {}


def test_every_assumption_that_a_route_cites_has_a_line() -> None:
    cited = {number for route in routes.TABLE for number in NUMBER.findall(route.source)}
    assert cited
    assert cited <= known()


def test_each_number_has_one_line() -> None:
    assumptions, faults = rows_of("assumptions"), rows_of("reliability")
    assert assumptions == [f"A{number + 1}" for number in range(len(assumptions))]
    assert len(set(faults)) == len(faults)
    assert {row[0] for row in faults} == set("TRWMDCS")


DOCUMENTS = [path for path in files() if path.endswith(".md") and path != "CHANGELOG.md"]


@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_name_files_that_exist(path: str) -> None:
    """*Recipes* and *Where it is* in CONTRIBUTING.md are of use only as long as they are right."""
    named = set(PATH.findall(files()[path]))
    assert [each for each in sorted(named) if not any((ROOT / top / each).is_file() for top in ("", "govpay"))] == []


@pytest.mark.parametrize("path", DOCUMENTS)
def test_links_lead_to_files_that_exist(path: str) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", files()[path])
    assert [link for link in links if not ((ROOT / path).parent / link).exists()] == []


def test_code_cites_documents_that_are_here() -> None:
    here = {path.name for folder in (ROOT, ROOT / "docs") for path in folder.glob("*.md")}
    found = {}
    for path, text in files().items():
        if path.endswith(".py") and set(re.findall(r"[\w-]+\.md\b", text)) - here:
            found[path] = set(re.findall(r"[\w-]+\.md\b", "\n".join(prose_of(path, text)))) - here
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("phrase", FORBIDDEN)
def test_no_text_speaks_of_documents_that_are_not_here(phrase: str) -> None:
    assert [path for path, text in files().items() if phrase in " ".join(text.lower().split())] == []


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.py", '"""Faults M99."""\n', {"M99"}),
        ("a.py", "x = 1  # as A77 says\n", {"A77"}),
        ("a.py", 'def f():\n    """W1z."""\n', {"W1z"}),
        ("a.py", 'M99 = "A77"  # noqa: S603\n', set()),
        ("a.py", '"""The bank returns R10 or R01."""\n', set()),
        ("a.py", '"""Faults T1, W1b and S3; assumption A34."""\n', set()),
        ("a.py", '"""Faults A5."""\n', {"Faults A5"}),
        ("a.md", "Assumption R7", {"Assumption R7"}),
        ("a.toml", 'select = ["T20"]  # D99\n', {"D99"}),
        ("a.html", "<path d='M12 4'/>{# C99 #}", {"C99"}),
    ],
)
def test_what_counts_as_cited(path: str, text: str, expected: set[str]) -> None:
    assert unresolved(path, text) == expected

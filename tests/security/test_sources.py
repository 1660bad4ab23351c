"""Checks of our source code: no unescaped HTML, and no requests to addresses from user input."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for folder in ("govpay", "project") for path in sorted((ROOT / folder).rglob("*.py"))]
TEMPLATES = [path for folder in ("govpay", "templates") for path in sorted((ROOT / folder).rglob("*.html"))]

#: Every use of ``format_html`` and its kin: module → how often. All have a literal with places; the values are escaped.
FORMATTED = {
    "govpay/admin/review.py": 1,
    "govpay/admin/base.py": 1,
    "govpay/admin/reports.py": 1,
    "govpay/admin/payments.py": 2,
    "govpay/admin/overview.py": 1,
    "govpay/admin/notes.py": 1,
    "govpay/admin/cashier.py": 1,
    "govpay/admin/formatting.py": 7,
    "govpay/admin/charge_confirmations.py": 1,
    "govpay/admin/charges.py": 1,
    "govpay/admin/flags.py": 2,
    "govpay/admin/operations.py": 1,
    "govpay/admin/replays.py": 1,
    "govpay/admin/confirmation_tables.py": 2,
    "govpay/admin/messages.py": 1,
}
FORMATTERS = {"format_html", "format_html_join"}
#: Names that mark a text as safe without checking it.
UNCHECKED = {"mark_safe", "SafeString", "SafeText", "SafeData", "html_safe", "Markup"}


@cache
def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def test_nothing_is_marked_safe() -> None:
    for path in SOURCES:
        assert not {name_of(call) for call in calls(path)} & UNCHECKED, path
        assert "__html__" not in path.read_text(), path


def test_every_piece_of_html_made_in_python_is_known_and_has_a_literal_form() -> None:
    found: dict[str, int] = {}
    for path in SOURCES:
        for call in calls(path):
            if name_of(call) not in FORMATTERS:
                continue
            name = str(path.relative_to(ROOT))
            found[name] = found.get(name, 0) + 1
            forms = call.args[: 2 if name_of(call) == "format_html_join" else 1]
            assert all(isinstance(form, ast.Constant) for form in forms), f"{name}:{call.lineno}"
    assert found == FORMATTED


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_escape_all(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\|\s*(safe|safeseq|json_script)\b|autoescape\s+off", text)
    forbidden = re.search(r"<script(?![^>]*\bsrc=)[^>]*>|<style\b|\sstyle=|\son\w+=|javascript:", text)
    assert not forbidden, "the policy of the page forbids it"


def test_only_texts_are_not_escaped() -> None:
    """The words of one go to the platform and into a page as a value, which escapes them; the other is a letter."""
    unescaped = [path for path in (ROOT / "govpay").rglob("templates/**/*.*") if "autoescape off" in path.read_text()]
    assert sorted(path.name for path in unescaped) == ["ach_authorization.txt", "digest.txt"]


def test_http_is_used_in_one_module_only() -> None:
    """So callback, logo, success and cancel addresses are never fetched: no other module can."""
    modules = r"requests|urllib3|http\.client|urllib\.request|httpx|aiohttp"
    clients = re.compile(rf"(?m)^\s*(?:import|from)\s+(?:{modules})\b")
    found = {str(path.relative_to(ROOT)) for path in SOURCES if clients.search(path.read_text())}
    # ``wire`` holds the sockets and the errors of the transport; the demo waits for its own servers.
    entry_points = {"govpay/client/transport.py", "govpay/client/wire.py"}
    assert {name for name in found if not name.startswith(("govpay/sandbox/", "project/"))} == entry_points


def test_sessions_of_requests_are_not_used() -> None:
    """They follow redirects and read .netrc over our header."""
    text = (ROOT / "govpay" / "client" / "transport.py").read_text()
    assert not re.search(r"requests\.(Session|get|post|request)\(", text)


def test_views_that_csrf_does_not_guard() -> None:
    """Deliveries are signed. Views of the REST interface check the session's token themselves, or can only be read."""
    exempt = [path for path in SOURCES if "csrf_exempt" in path.read_text() and "sandbox" not in path.parts]
    assert [path.name for path in exempt] == ["urls.py", "webhooks.py"]

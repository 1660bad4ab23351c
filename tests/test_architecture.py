"""Rules of the repository that a machine can check: sizes, names, errors, registrations, documents."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import Model

from govpay import checks, conf, exceptions
from govpay.client import routes
from govpay.models.choices import OperationAction
from govpay.models.permissions import ACTION_PERMISSIONS, REPLAY_EVENT, RESOLVE_OPERATION, SYNC_NOW
from tests.depth import KEPT

ROOT = Path(__file__).resolve().parent.parent
APP = ROOT / "govpay"

LINES_A_FILE = 330
LINES_A_FUNCTION = 50
LINES_A_COMMAND = 60

FORBIDDEN_NAMES = {"utils", "helpers", "misc"}


def modules() -> list[Path]:
    return [path for path in sorted(APP.rglob("*.py")) if "migrations" not in path.parts]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_module = pytest.mark.parametrize("path", modules(), ids=named)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@each_module
def test_module_is_small_and_says_what_it_is(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source)
    if source.strip():
        first = (ast.get_docstring(tree) or "").partition("\n")[0]
        assert first, "no docstring that says in one line what lives here"
        assert len(first) <= 120
    assert source.count("\n") <= LINES_A_FILE
    long = {
        node.name: length
        for node in functions(tree)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > LINES_A_FUNCTION
    }
    assert not long, f"functions of more than {LINES_A_FUNCTION} lines: {long}"


@pytest.mark.parametrize("path", sorted((APP / "management" / "commands").glob("*.py")), ids=named)
def test_command_is_small(path: Path) -> None:
    assert path.read_text().count("\n") <= LINES_A_COMMAND, "move parsing and rules to the packages below"


def test_no_module_has_a_name_that_says_nothing() -> None:
    found = [named(path) for path in APP.rglob("*") if path.stem.lower() in FORBIDDEN_NAMES]
    assert not found


def test_templates_stay_in_the_apps_own_folder() -> None:
    templates = APP / "templates"
    files = [path for path in templates.rglob("*") if path.is_file()]
    # In admin/govpay are templates that Django's admin looks up for this app alone. In admin/auth/user are the pages
    # that delete Django's own user; they add to the pages of the site.
    own = {templates / "govpay", templates / "admin" / "govpay", templates / "admin" / "auth" / "user"}
    assert not [named(path) for path in files if own.isdisjoint(path.parents)]


def test_every_system_check_has_its_own_id() -> None:
    used: dict[str, str] = {}
    for name, function in inspect.getmembers(checks, inspect.isfunction):
        if function.__module__ != checks.__name__:
            continue
        for found in set(re.findall(r"""id=["'](govpay\.[EWI]\d{3})["']""", inspect.getsource(function))):
            assert found not in used, f"{found} is used by {used.get(found)} and {name}"
            used[found] = name
    assert len(used) >= 5
    assert all(re.fullmatch(r"govpay\.[EWI]\d{3}", number) for number in used)


# --- Errors -------------------------------------------------------------------------------------


def errors() -> list[type[exceptions.GovPayError]]:
    kinds = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass)]
    ours = [kind for kind in kinds if issubclass(kind, exceptions.GovPayError)]
    return [kind for kind in ours if not kind.__name__.startswith("_")]


@pytest.mark.parametrize("kind", errors(), ids=lambda kind: kind.__name__)
def test_error_survives_pickling_with_its_attributes(kind: type[exceptions.GovPayError]) -> None:
    optional = {
        name: value
        for name, value in {
            "status": 409,
            "code": "conflict",
            "request_id": "req_1",
            "recoverable": False,
            "retry_after": 2.5,
            "operation_key": "abc",
        }.items()
        if _accepts(kind, name)
    }
    error = kind("No.", **optional)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert all(getattr(again, name) == value for name, value in optional.items())
    assert kind().message == "", "message first, everything else with a default"


def _accepts(kind: type, name: str) -> bool:
    return any(name in inspect.signature(base.__init__).parameters for base in kind.__mro__[:-1])


# --- Registrations ------------------------------------------------------------------------------


def models() -> list[type[Model]]:
    return list(apps.get_app_config("govpay").get_models())


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_model_has_an_admin(model: type[Model]) -> None:
    assert model in admin.site._registry


@pytest.mark.parametrize("route", routes.TABLE, ids=lambda route: route.operation)
def test_route_says_whether_it_is_documented_and_where(route: routes.Route) -> None:
    assert isinstance(route.documented, bool)
    source = str(route.source)
    if route.documented:
        assert source.startswith("/"), "a documented route names the vendor's page"
    else:
        assert re.search(r"\bA\d+\b", source), "an assumed route names its assumption"


# --- Documents ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", conf.DEFAULTS)
def test_setting_is_documented_for_hosts(name: str) -> None:
    rows = [line for line in (ROOT / "docs" / "hosts.md").read_text().splitlines() if f"`{name}`" in line]
    assert rows
    default = conf.DEFAULTS[name][1]
    if isinstance(default, int | str) and default:
        assert any(f"`{default}`" in row for row in rows), f"the default is {default}"


def test_every_environment_variable_of_the_demo_is_listed() -> None:
    source = (ROOT / "project" / "settings.py").read_text()
    used = set(re.findall(r"""env\.\w+\(\s*"([A-Z_]+)\"""", source))
    used |= {f"GOVPAY_{name}" for name in ("CLIENT_ID", "CLIENT_SECRET", "TOKEN_URL", "API_URL", "SCOPE")}
    listed = set(re.findall(r"(?m)^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text()))
    assert used == listed


def test_documents_link_to_files_that_exist() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{named(document)} links to {target}"


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listing.stdout.splitlines() if (path := ROOT / name).is_file()]


#: Paths of one machine, addresses of package indexes, words of a workplace.
FOREIGN = re.compile(
    r"(?<![\w./])/(?:work|root|home/\w+|opt/\w*pypi|opt/wheels)\b|\.\./shared/"
    r"|index-url|find-links|\b(?:claude|anthropic|chatgpt|subagent)\b",
    re.IGNORECASE,
)


def test_no_file_names_a_machine_a_package_index_or_a_workplace() -> None:
    for path in tracked_files():
        if path == Path(__file__) or path.suffix in {".png", ".mo", ".ico", ".woff2"}:
            continue
        found = FOREIGN.search(path.read_text(errors="replace"))
        assert not found, f"{named(path)}: {found and found.group()}"


def test_each_action_has_a_permission_that_exists() -> None:
    assert set(ACTION_PERMISSIONS) == set(OperationAction.values)
    made = {f"govpay.{codename}" for model in models() for codename, _ in model._meta.permissions}
    assert {*ACTION_PERMISSIONS.values(), RESOLVE_OPERATION, SYNC_NOW, REPLAY_EVENT} <= made


def test_class_names_are_unique_in_the_package() -> None:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name not in ("Command", "Media", "Meta", "Migration"):
                found[node.name].append(named(path))
    assert {name: files for name, files in found.items() if len(files) > 1} == {}


def test_each_test_that_is_left_to_ci_exists() -> None:
    for name in KEPT:
        file, _, function = name.partition("::")
        assert f"def {function}" in (ROOT / "tests" / file).read_text(), name


def test_one_module_makes_the_keys_of_the_cache() -> None:
    """``connection`` and the doctor use a cache directly, with keys from ``govpay.cache``."""
    users = {named(path) for path in modules() if "django.core.cache" in path.read_text()}
    assert users <= {f"govpay/{name}.py" for name in ("cache", "checks/__init__", "connection", "doctor/site")}


def test_lint_checks_the_types_of_a_host() -> None:
    """``make test`` has no mypy. ``make lint`` checks the module, with unused ignores as errors."""
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert "tests/typed_host.py" in mypy["files"]
    assert mypy["warn_unused_ignores"] is True
    lint = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
    assert re.search(r"(?m)/mypy$", lint)

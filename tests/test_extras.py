"""A site without the extra ``rest``: its addresses are missing, a check says so, and nothing else changes."""

from __future__ import annotations

import json
import pkgutil
import re
import tomllib
from typing import Any

from packaging.requirements import Requirement

import govpay
from govpay import extras
from tests.processes import ROOT, start_python

#: Names of the distribution and of its package, where they are not the same but for hyphens.
IMPORTED_AS = {"django_filter": "django_filters"}

SITE = """
import json, sys
blocked = sys.argv[1].split()
sys.modules.update(dict.fromkeys(blocked))  # None: an import raises ModuleNotFoundError
from importlib import import_module
from pkgutil import walk_packages
from django.core.checks import run_checks
from django.test import Client
from django.urls import URLResolver, get_resolver
import govpay

left_out = ("govpay.rest", "govpay.testing") if blocked else ("govpay.testing",)
modules = [each.name for each in walk_packages(govpay.__path__, "govpay.") if not each.name.startswith(left_out)]
for name in modules:
    if not name.endswith("__main__"):
        import_module(name)

def addresses(resolver, prefix=""):
    for each in resolver.url_patterns:
        where = f"{prefix}{each.pattern}"
        if isinstance(each, URLResolver):
            yield from addresses(each, where)
        else:
            yield f"{where} {each.name}"

client = Client(SERVER_NAME="localhost")
answers = {path: client.get(path).status_code for path in ("/govpay/api/schema/", "/govpay/webhooks/x/")}
print(json.dumps({
    "checks": [each.id for each in run_checks()],
    "addresses": sorted(addresses(get_resolver())),
    "answers": answers,
    "loaded": [name for name in ("django_filters", "drf_spectacular") if sys.modules.get(name)],
}))
"""


def site_without(*packages: str) -> dict[str, Any]:
    out, errors = start_python(SITE, " ".join(packages)).communicate(timeout=300)
    assert out, errors
    return dict(json.loads(out))


def test_without_rest_nothing_but_its_addresses_is_missing() -> None:
    everything, without = site_without(), site_without(*extras.EXTRAS["rest"])
    assert everything["checks"] == []
    assert without["checks"] == ["govpay.I001"]
    missing = set(everything["addresses"]) - set(without["addresses"])
    assert len(missing) > 30
    assert all(re.match("govpay/api/", each) for each in missing)
    assert not set(without["addresses"]) - set(everything["addresses"])
    assert everything["answers"] == {"/govpay/api/schema/": 200, "/govpay/webhooks/x/": 405}
    assert without["answers"] == {"/govpay/api/schema/": 404, "/govpay/webhooks/x/": 405}
    assert (everything["loaded"], without["loaded"]) == (["django_filters", "drf_spectacular"], [])


def test_half_of_rest_is_none() -> None:
    without = site_without("drf_spectacular")
    assert without["checks"] == ["govpay.I001"]
    assert without["answers"]["/govpay/api/schema/"] == 404


def test_the_extras_are_those_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra, packages in extras.EXTRAS.items():
        names = [Requirement(each).name.replace("-", "_") for each in project["optional-dependencies"][extra]]
        assert tuple(IMPORTED_AS.get(name, name) for name in names) == packages
        assert not set(project["optional-dependencies"][extra]) & set(project["dependencies"])


def test_only_rest_needs_the_packages_of_rest() -> None:
    names = "|".join(extras.EXTRAS["rest"])
    found = set()
    for module in pkgutil.walk_packages(govpay.__path__, "govpay."):
        path = ROOT / module.name.replace(".", "/")
        file = path / "__init__.py" if module.ispkg else path.with_suffix(".py")
        if re.search(rf"(?m)^\s*(?:from|import) (?:{names})\b", file.read_text()):
            found.add(module.name.split(".")[1])
    assert found == {"rest"}

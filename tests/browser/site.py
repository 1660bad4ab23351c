"""Settings of a host's site that shares rows and platform with the demo, and has pages and a template of its own."""

from __future__ import annotations

from pathlib import Path

from project.settings import *  # noqa: F403
from project.settings import MIDDLEWARE, TEMPLATES

HERE = Path(__file__).resolve().parent

ROOT_URLCONF = "tests.browser.urls"
TEMPLATES[0]["DIRS"] = [HERE / "templates"]
# A host that shows the component in a page of its own has a policy that allows it, or none.
MIDDLEWARE[:] = [each for each in MIDDLEWARE if ".csp." not in each]

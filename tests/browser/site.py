"""Settings of a host's own site beside the demo: the same rows and platform, further pages, a template of its own."""

from __future__ import annotations

from pathlib import Path

from project.settings import *  # noqa: F403
from project.settings import TEMPLATES

HERE = Path(__file__).resolve().parent

ROOT_URLCONF = "tests.browser.urls"
TEMPLATES[0]["DIRS"] = [HERE / "templates"]

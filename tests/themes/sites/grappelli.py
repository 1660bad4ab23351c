"""Settings of a host with django-grappelli."""

from __future__ import annotations

from tests.themes.sites.plain import *  # noqa: F403
from tests.themes.sites.plain import with_theme

with_theme("grappelli")
ROOT_URLCONF = "tests.themes.sites.grappelli_urls"

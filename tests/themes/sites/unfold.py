"""Settings of a host with django-unfold."""

from __future__ import annotations

from tests.themes.sites.plain import *  # noqa: F403
from tests.themes.sites.plain import with_theme

with_theme("unfold")

"""Settings of a host with django-jazzmin."""

from __future__ import annotations

from tests.themes.sites.plain import *  # noqa: F403
from tests.themes.sites.plain import with_theme

with_theme("jazzmin")
# Otherwise each page asks a stranger for its fonts.
JAZZMIN_SETTINGS = {"use_google_fonts_cdn": False}

"""Settings of a host with Django's own admin and a strict policy; the themes' settings extend them."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE, TEMPLATES

INSTALLED_APPS[:] = [each for each in INSTALLED_APPS if each != "project"]
MIDDLEWARE.insert(1, "csp.middleware.CSPMiddleware")
TEMPLATES[0]["OPTIONS"]["context_processors"].append("django.template.context_processors.i18n")
SESSION_COOKIE_NAME = "session"

DIRECTIVES: dict[str, list[str]] = {
    "default-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "object-src": ["'none'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
}
CONTENT_SECURITY_POLICY = {"DIRECTIVES": DIRECTIVES}


def with_theme(*apps: str) -> None:
    """Before the admin, whose templates they replace."""
    place = INSTALLED_APPS.index("django.contrib.admin")
    INSTALLED_APPS[place:place] = apps
    # These themes need inline scripts in their policy, and one needs ``unsafe-eval``.
    DIRECTIVES["script-src"] = ["'self'", "'unsafe-inline'", "'unsafe-eval'"]
    DIRECTIVES["style-src"] = ["'self'", "'unsafe-inline'"]

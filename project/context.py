"""Context processor: variables for every template of the demo site."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def platform(request: HttpRequest) -> dict[str, object]:
    """Return ``uses_sandbox``: whether the platform is the sandbox, so that no real money moves."""
    return {"uses_sandbox": settings.USES_SANDBOX}

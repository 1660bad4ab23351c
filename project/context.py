"""What every page of the demo site knows."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def platform(request: HttpRequest) -> dict[str, object]:
    """Whether money here is play money."""
    return {"uses_sandbox": settings.USES_SANDBOX}

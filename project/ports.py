"""Port numbers as they are typed."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

HIGHEST = 65_535


def port_number(name: str, text: str) -> int:
    """Return the port in ``text``. Raises ``ImproperlyConfigured`` in one line that names the option ``name``."""
    port = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    if not 0 < port <= HIGHEST:
        raise ImproperlyConfigured(f"{name} must be a port number from 1 to {HIGHEST}, not {text!r}.")
    return port

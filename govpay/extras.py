"""The optional extras of the distribution, and whether their packages are installed."""

from __future__ import annotations

from importlib.util import find_spec

#: Extra → the packages that it installs, by import name.
EXTRAS = {"rest": ("django_filters", "drf_spectacular"), "qr": ("segno",)}

#: Extra → the number of its check, and what a site without it lacks.
WITHOUT = {
    "rest": (
        "govpay.I001",
        "govpay.urls has no REST interface (api/): django-filter or drf-spectacular cannot be imported.",
    ),
    "qr": ("govpay.I002", "The admin shows no QR codes of payment links: segno cannot be imported."),
}


def missing_packages(extra: str) -> list[str]:
    """Return the packages of the extra that are not installed. Nothing is imported."""
    return [name for name in EXTRAS[extra] if find_spec(name) is None]

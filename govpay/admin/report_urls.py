"""The addresses of the overview, the reports and the system page, below the admin of payments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.urls import URLPattern

from govpay.admin.cashier import cashier_view
from govpay.admin.confirmations import own_url
from govpay.admin.overview import overview_view, system_view
from govpay.admin.register import register_view
from govpay.admin.reports import reports_view

VIEWS: dict[str, Callable[..., Any]] = {
    "overview": overview_view,
    "reports": reports_view,
    "register": register_view,
    "cashier": cashier_view,
    "system": system_view,
}


def report_urls(admin: Any) -> list[URLPattern]:
    """Return the URL patterns ``admin:govpay_overview``, ``…_reports``, ``…_register``, ``…_cashier``, ``…_system``."""
    return [own_url(admin, f"{name}/", f"govpay_{name}", partial(view, admin)) for name, view in VIEWS.items()]

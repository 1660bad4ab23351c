"""Pages of our own in the admin: what the context of each holds."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.options import ModelAdmin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst

from govpay.security.headers import STAFF_POLICY

#: Styles and scripts of these pages. The widgets of their forms need none.
MEDIA = forms.Media(css={"all": ["govpay/admin.css"]}, js=["govpay/once.js"])


def render(
    admin: ModelAdmin[Any], request: HttpRequest, template: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """``template``, which extends ``govpay/admin/page.html``, with what the admin's base template needs.

    The context has no ``opts`` and no ``original``: these pages are no change forms, and themes take a page with
    ``opts`` for one.
    """
    site = admin.admin_site
    request.current_app = site.name
    common = {
        **site.each_context(request),
        "media": MEDIA,
        "model_admin": admin,
        "crumbs": _crumbs(admin, request),
        "policy": STAFF_POLICY,
    }
    return TemplateResponse(request, template, {**common, **context}, status=status)


def _crumbs(admin: ModelAdmin[Any], request: HttpRequest) -> list[tuple[Any, str]]:
    """Labels and addresses between the index and the page's title; an empty address where nothing may be seen."""
    opts, site = admin.opts, admin.admin_site.name
    listed = ""
    if admin.has_view_permission(request):
        listed = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist", current_app=site)
    app = reverse("admin:app_list", args=[opts.app_label], current_app=site)
    return [(opts.app_config.verbose_name, app), (capfirst(opts.verbose_name_plural), listed)]

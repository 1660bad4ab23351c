"""Render this app's own pages in the admin with the context that the base template needs."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.options import ModelAdmin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst

from govpay.security.headers import STAFF_POLICY

#: Styles and scripts of these pages. The widgets of their forms need no other ones.
MEDIA = forms.Media(css={"all": ["govpay/admin.css"]}, js=["govpay/once.js"])


def render(
    admin: ModelAdmin[Any], request: HttpRequest, template: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """Return a response with ``template``, which must extend ``govpay/admin/page.html``.

    The context has everything that the admin's base template needs, but neither ``opts`` nor ``original``: admin themes
    treat a page with ``opts`` as a change form.
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
    """Return the breadcrumbs (label, URL) from index to title. The URL is empty if the user may not see the list."""
    opts, site = admin.opts, admin.admin_site.name
    listed = ""
    if admin.has_view_permission(request):
        listed = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist", current_app=site)
    app = reverse("admin:app_list", args=[opts.app_label], current_app=site)
    return [(opts.app_config.verbose_name, app), (capfirst(opts.verbose_name_plural), listed)]

"""Render this app's own pages in the admin with the context that the base template needs."""

from __future__ import annotations

import logging
from typing import Any

from django import forms
from django.contrib.admin.exceptions import DisallowedModelAdminLookup, DisallowedModelAdminToField
from django.contrib.admin.options import TO_FIELD_VAR, ModelAdmin
from django.contrib.admin.views.main import ERROR_FLAG, IGNORED_PARAMS, PAGE_VAR
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from govpay.security.headers import STAFF_POLICY

#: Styles and scripts of these pages. The widgets of their forms need no other ones.
MEDIA = forms.Media(css={"all": ["govpay/admin.css"]}, js=["govpay/once.js"])

#: Errors of Django's admin about the parameters of an address.
BAD_ADDRESS = (DisallowedModelAdminLookup, DisallowedModelAdminToField)
#: Parameters of a list that are no filters.
TAKEN = {*IGNORED_PARAMS, PAGE_VAR, ERROR_FLAG}
#: Maximum number of parameters that the page names.
MAX_NAMES = 20


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


def bad_address(admin: ModelAdmin[Any], request: HttpRequest, error: Exception) -> HttpResponse:
    """Return a page that names the parameters which ``admin`` does not take, and log ``error`` as Django does.

    Django answers a bare *Bad Request*.
    """
    logger = logging.getLogger(f"django.security.{type(error).__name__}")
    logger.error(str(error), extra={"status_code": 400, "request": request})
    names = [TO_FIELD_VAR]
    if isinstance(error, DisallowedModelAdminLookup):
        given = [(name, str(value)) for name, value in request.GET.items() if name not in TAKEN]
        names = [name for name, value in given if not admin.lookup_allowed(name, value, request)]
    context = {"title": _("Bad address"), "names": names[:MAX_NAMES]}
    return render(admin, request, "govpay/admin/bad_address.html", context, status=400)


def _crumbs(admin: ModelAdmin[Any], request: HttpRequest) -> list[tuple[Any, str]]:
    """Return the breadcrumbs (label, URL) from index to title. The URL is empty if the user may not see the list."""
    opts, site = admin.opts, admin.admin_site.name
    listed = ""
    if admin.has_view_permission(request):
        listed = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist", current_app=site)
    app = reverse("admin:app_list", args=[opts.app_label], current_app=site)
    return [(opts.app_config.verbose_name, app), (capfirst(opts.verbose_name_plural), listed)]

"""Pages of our own in the admin: what each is given, and how an error is told above the next one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.options import ModelAdmin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from govpay.admin.wording import outcome_of_error
from govpay.exceptions import GovPayError


def render(
    admin: ModelAdmin[Any], request: HttpRequest, template: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """``template`` with what the admin's own pages have; ``context`` goes before it."""
    site = admin.admin_site
    request.current_app = site.name
    common = {
        **site.each_context(request),
        "opts": admin.opts,
        "has_view_permission": admin.has_view_permission(request),
        "media": admin.media,
    }
    return TemplateResponse(request, template, {**common, **context}, status=status)


def tell(request: HttpRequest, error: GovPayError) -> None:
    """The error in its own words, under what it means."""
    outcome = outcome_of_error(error)
    messages.add_message(request, outcome.level, str(outcome))

"""Tags of the admin's own templates: the app's index with the overview."""

from __future__ import annotations

from typing import Any

from django import template

from govpay.admin.overview import index_context
from govpay.admin.rendering import MEDIA

register = template.Library()


@register.simple_tag
def govpay_media() -> Any:
    """Return the styles and scripts of the app's own pages."""
    return MEDIA.render()


@register.inclusion_tag("govpay/admin/index.html", takes_context=True)
def govpay_index(context: Any) -> dict[str, Any]:
    """Render the overview and the lists that the user may see, in groups."""
    return index_context(context["request"], context["app_list"])

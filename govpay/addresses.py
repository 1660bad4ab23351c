"""Addresses of this site for outsiders: the platform, payers, readers of a mail. They do not depend on who asks."""

from __future__ import annotations

from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.http import HttpRequest
from django.urls import reverse
from django.utils import translation

from govpay import conf


def public_url() -> str:
    """Scheme and host at which outsiders reach this site, from ``PUBLIC_URL``; an empty text if it is not set."""
    return str(conf.get("PUBLIC_URL") or conf.get("SITE_URL")).rstrip("/")


def public_path(name: str, *args: str) -> str:
    """Return the path of a view in the default language, in the site's own URLs. Raises ``NoReverseMatch``.

    ``reverse`` alone uses the language and the URLs of the current request: under ``i18n_patterns`` it may return
    ``/de/…``.
    """
    with translation.override(_default_language()):
        return reverse(name, urlconf=settings.ROOT_URLCONF, args=args)


def public_address(request: HttpRequest, name: str, *args: str) -> str:
    """Return the address of a view for outsiders. Without ``PUBLIC_URL`` it has the host of ``request``.

    Raises ``NoReverseMatch``.
    """
    path, site = public_path(name, *args), public_url()
    return site + path if site else request.build_absolute_uri(path)


def _default_language() -> str:
    _used, has_prefix = is_language_prefix_patterns_used(settings.ROOT_URLCONF)
    if not has_prefix:
        return settings.LANGUAGE_CODE
    try:
        # ``LANGUAGE_CODE`` may be en-us where LANGUAGES has only en. Then only the prefix /en/ leads to a page.
        return translation.get_supported_language_variant(settings.LANGUAGE_CODE)
    except LookupError:
        return settings.LANGUAGE_CODE

"""Security headers of our pages: Content-Security-Policy, frames, referrers, caches."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpResponse

#: The hosts of the frames of the vendor's component; /guides/hosted-redirect/.
CHECKOUT_HOSTS = ("https://checkout.govifi.io", "https://checkout.govifi.dev")


#: Policy in the HTML head of our admin pages. It limits no script and no style, so it breaks no theme. In the head it
#: adds to the host's policy. As a header it would replace the host's policy: the middleware of Django 6 and of
#: django-csp skips a response that has the header. A policy in the head cannot forbid frames; X-Frame-Options does.
STAFF_POLICY = "base-uri 'none'; form-action 'self'; object-src 'none'"


def with_security_headers(response: HttpResponse, policy: str = "", referrer: str = "no-referrer") -> HttpResponse:
    """Set all headers of a public page on ``response``. The default of ``policy`` is ``page_policy()``."""
    response.headers.setdefault("Content-Security-Policy", policy or page_policy())
    return private(response, referrer)


def private(response: HttpResponse, referrer: str = "no-referrer") -> HttpResponse:
    """Set the security headers of this app's pages on ``response``, and return it.

    Other sites cannot frame the page, and no browser or proxy caches it. By default linked pages do not receive its URL
    as the referrer.
    """
    response.headers.setdefault("Referrer-Policy", referrer)
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store, private")
    return response


def secure_view(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Decorate a view of our admin pages. The host sets their CSP header; their HTML head has ``STAFF_POLICY``.

    Its forms need the referrer of the same site, because Django's CSRF check reads it.
    """

    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> HttpResponse:
        return private(view(*args, **kwargs), referrer="same-origin")

    return answer


def page_policy(pictures: str = "'self' https: data:") -> str:
    """Return the policy of a page without the component. It allows fonts and pictures of a host's own template."""
    ours = _ours()
    return (
        f"default-src 'none'; style-src {ours}; script-src {ours}; img-src {pictures}; font-src {ours}; "
        "connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def component_policy(script_url: str, api_url: str) -> str:
    """Return the policy of the page with the component. It allows our own files, and its script, requests and frames.

    The sources that the component needs are not documented. Its style sheet and fonts may come from the origin of its
    script.
    """
    script, api, ours = _origin(script_url), _origin(api_url), _ours()
    frames = " ".join(dict.fromkeys((script, api, *CHECKOUT_HOSTS)))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {ours} {script}",
            f"style-src {ours} {script}",
            "img-src 'self' https: data:",
            f"font-src {ours} {script}",
            f"connect-src 'self' {' '.join(dict.fromkeys((api, script)))}",
            f"frame-src {frames}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def _ours() -> str:
    """Return the sources of this site: itself, and the origin of its static files if it is a different one."""
    static = str(settings.STATIC_URL or "")
    return f"'self' {_origin(static)}" if urlsplit(static).netloc and urlsplit(static).scheme else "'self'"


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"

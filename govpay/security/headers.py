"""What browsers may do with our pages: Content-Security-Policies, frames, referrers, caches."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpResponse

#: Where the vendor's component puts its own frames; /guides/hosted-redirect/.
CHECKOUT_HOSTS = ("https://checkout.govifi.io", "https://checkout.govifi.dev")


#: Policy in the head of our pages in the admin. It limits no script and no style, so it breaks no theme. In the head it
#: adds to the host's policy. As a header it would replace that one: the middleware of Django 6 and of django-csp leaves
#: a response alone that has the header. A head cannot forbid frames; X-Frame-Options does.
STAFF_POLICY = "base-uri 'none'; form-action 'self'; object-src 'none'"


def with_security_headers(response: HttpResponse, policy: str = "", referrer: str = "no-referrer") -> HttpResponse:
    """``response`` with every header of a public page; ``policy`` is ``page_policy`` where it is not given."""
    response.headers.setdefault("Content-Security-Policy", policy or page_policy())
    return private(response, referrer)


def private(response: HttpResponse, referrer: str = "no-referrer") -> HttpResponse:
    """``response`` with the headers of every page of ours.

    No frame may show it, nobody may keep it, and what it leads to is not told its address.
    """
    response.headers.setdefault("Referrer-Policy", referrer)
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store, private")
    return response


def secure_view(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A page of ours in the admin; its Content-Security-Policy is the host's, with ``STAFF_POLICY`` in its head.

    Its forms need our own referrer, which Django's CSRF check looks at.
    """

    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> HttpResponse:
        return private(view(*args, **kwargs), referrer="same-origin")

    return answer


def page_policy(pictures: str = "'self' https: data:") -> str:
    """A page without the component; a host's own template may have its fonts and a picture on it."""
    ours = _ours()
    return (
        f"default-src 'none'; style-src {ours}; script-src {ours}; img-src {pictures}; font-src {ours}; "
        "connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def component_policy(script_url: str, api_url: str) -> str:
    """The Content-Security-Policy of the page with the component: its script, its calls, its frames, and ours.

    What the component needs is not documented; it may bring its style sheet and fonts from where its script is.
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
    """This site, and where its static files are if that is elsewhere."""
    static = str(settings.STATIC_URL or "")
    return f"'self' {_origin(static)}" if urlsplit(static).netloc and urlsplit(static).scheme else "'self'"


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"

"""The Content-Security-Policies of our pages."""

from __future__ import annotations

from urllib.parse import urlsplit

#: Where the vendor's component puts its own frames; /guides/hosted-redirect/.
CHECKOUT_HOSTS = ("https://checkout.govifi.io", "https://checkout.govifi.dev")


def page_policy() -> str:
    """A page without the component; a host's own template may have its fonts and a picture on it."""
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' https: data:; font-src 'self'; "
        "connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def component_policy(script_url: str, api_url: str) -> str:
    """The Content-Security-Policy of the page with the component: its script, its calls, its frames, and ours.

    What the component needs is not documented; it may bring its style sheet and fonts from where its script is.
    """
    script, api = _origin(script_url), _origin(api_url)
    frames = " ".join(dict.fromkeys((script, api, *CHECKOUT_HOSTS)))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {script}",
            f"style-src 'self' {script}",
            "img-src 'self' https: data:",
            f"font-src 'self' {script}",
            f"connect-src 'self' {' '.join(dict.fromkeys((api, script)))}",
            f"frame-src {frames}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"

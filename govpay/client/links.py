"""The links that a list gives to its next page: which may be followed, and how."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, urljoin, urlsplit

from govpay.exceptions import APIError


class PagingFault(APIError):
    """The list cannot be walked: it repeats, leads elsewhere, or never ends (faults R6)."""


def pinned(link: str, current_url: str, origin: str) -> str:
    """Path and query of ``link``, if it leads to our own API. Raises ``PagingFault`` otherwise.

    Only path and query are given back, so that the address itself is never taken from an answer: no
    difference between two ways to read a URL can send the token elsewhere.
    """
    if any(c.isspace() or not c.isprintable() or c == "\\" for c in link) or len(link) > 8192:
        raise PagingFault("@odata.nextLink is not an address.")
    try:
        target, ours = urlsplit(urljoin(current_url, link)), urlsplit(origin)
        same = _origin(target) == _origin(ours)
    except ValueError:
        raise PagingFault("@odata.nextLink is not an address.") from None
    if not same or "@" in target.netloc:
        where = f"{target.scheme}://{target.hostname or ''}"[:100]
        raise PagingFault(f"@odata.nextLink leads to {where}, not to our API. It was not followed.")
    return (target.path or "/") + (f"?{target.query}" if target.query else "")


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").lower(), port


def by_skip(link: str) -> bool:
    """Whether a link pages by counting rows."""
    return any(name.lower() == "$skip" for name, _ in parse_qsl(urlsplit(link).query, keep_blank_values=True))

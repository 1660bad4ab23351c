"""Links from a page of a list to the next page: which ones may be followed, and how."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, urljoin, urlsplit

from govpay.exceptions import APIError


class PagingFault(APIError):
    """The list cannot be read to its end: it repeats, links to another host, or never ends (faults R6)."""


def pinned(link: str, current_url: str, origin: str) -> str:
    """Path and query of ``link``, if it leads to our own API. Raises ``PagingFault`` otherwise.

    Only path and query are returned, so the host is never taken from an answer. Differences between URL parsers
    therefore cannot send the token to another host.
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
        raise PagingFault(f"@odata.nextLink points to {where}, not to our API. It was not followed.")
    return (target.path or "/") + (f"?{target.query}" if target.query else "")


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").lower(), port


def by_skip(link: str) -> bool:
    """Whether a link pages by an offset (``$skip``)."""
    return any(name.lower() == "$skip" for name, _ in parse_qsl(urlsplit(link).query, keep_blank_values=True))

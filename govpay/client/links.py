"""Links from a page of a list to the next page: which ones may be followed, and how."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

from govpay.exceptions import APIError


class PagingFault(APIError):
    """The list cannot be read to its end: it repeats, its links lead elsewhere, or it never ends (faults R6)."""


class Repeats(PagingFault):
    """The same page, which is not full, came twice: the platform ignores the options of this order."""


def next_query(link: str, list_url: str) -> str | None:
    """Return the query of ``link`` if its path is the path of the list at ``list_url``, else None.

    The next page is read at ``list_url`` with this query. Scheme, host and port of the link are never used: a
    platform behind a proxy may name a host that only its own network knows, and the token must not leave our API.
    """
    if any(c.isspace() or not c.isprintable() or c == "\\" for c in link) or len(link) > 8192:
        return None
    try:
        target = urlsplit(urljoin(list_url, link))
    except ValueError:
        return None
    same = target.scheme in ("http", "https") and unquote(target.path) == unquote(urlsplit(list_url).path)
    return target.query if same else None


def by_skip(link: str) -> bool:
    """Return whether a link pages by an offset (``$skip``). False for a link that cannot be parsed."""
    try:
        query = urlsplit(link).query
    except ValueError:
        return False
    return any(name.lower() == "$skip" for name, _ in parse_qsl(query, keep_blank_values=True))

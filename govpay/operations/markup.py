"""Clean the checkout's ``page_message``, the only text that may contain HTML."""

from __future__ import annotations

import nh3

#: The allowed tags: enough for a short notice. No headings, pictures, styles, classes or scripts.
TAGS = frozenset({"a", "b", "strong", "i", "em", "p", "br", "ul", "ol", "li", "span"})
#: How the address of a link must begin. A relative address would depend on the page that shows the message.
ADDRESSES = ("https://", "mailto:", "tel:")


def clean_message(html: str) -> str:
    """Return ``html`` with only the allowed tags, and links to https, mail and telephone. Plain text keeps its meaning.

    Cleaning a cleaned text again changes nothing, so that provisioning can compare the wanted text with the text on the
    platform.
    """
    return nh3.clean(
        html,
        tags=set(TAGS),
        attributes={"a": {"href"}},
        attribute_filter=_kept,
        url_schemes={"https", "mailto", "tel"},
        link_rel="noopener noreferrer",
    ).strip()


def _kept(tag: str, attribute: str, value: str) -> str | None:
    # nh3 also calls this for the "rel" attribute that it adds.
    return value if attribute != "href" or value.lower().startswith(ADDRESSES) else None

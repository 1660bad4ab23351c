"""The one text that may be HTML, the checkout's ``page_message``: what of it is kept."""

from __future__ import annotations

import nh3

#: What a short notice needs. No headings, pictures, styles, classes or scripts.
TAGS = frozenset({"a", "b", "strong", "i", "em", "p", "br", "ul", "ol", "li", "span"})
#: Where a link may lead, written out: a relative one would lead to wherever the message is shown.
ADDRESSES = ("https://", "mailto:", "tel:")


def clean_message(html: str) -> str:
    """``html`` with these tags alone, and links to https, mail and telephone; a plain text stays what it says.

    Cleaning twice changes nothing more, so that provisioning may compare what it wants with what was sent.
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
    # It is asked about the "rel" that was added, too.
    return value if attribute != "href" or value.lower().startswith(ADDRESSES) else None

"""Links to a next page: followed only within our own API (A2; faults R6, R8)."""

from __future__ import annotations

import pytest

from govpay.client import PagingFault
from govpay.client.links import by_skip, pinned

ORIGIN = "https://api.govifi.com"
CURRENT = "https://api.govifi.com/api/payments?$top=100"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("https://api.govifi.com/api/payments?$skiptoken=x", "/api/payments?$skiptoken=x"),
        ("HTTPS://API.GOVIFI.COM:443/api/payments?a=1", "/api/payments?a=1"),
        ("/api/payments?page=2", "/api/payments?page=2"),
        ("?page=2", "/api/payments?page=2"),
        ("payments?page=2", "/api/payments?page=2"),
        ("//api.govifi.com/x", "/x"),
        ("https://api.govifi.com", "/"),
        ("/x?$filter=uid%20gt%20'a'#part", "/x?$filter=uid%20gt%20'a'"),
        ("../../../x", "/x"),
    ],
)
def test_links_within_our_api_are_followed(link: str, target: str) -> None:
    assert pinned(link, CURRENT, ORIGIN) == target


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/api/payments", "http://api.govifi.com/x", "https://api.govifi.com:8443/x",
        "//evil.example/x", "https://api.govifi.com.evil.example/x", "https://api.govifi.com@evil.example/x",
        "https://user:pw@api.govifi.com/x", "https://evil.example\\@api.govifi.com/x", "\\\\evil.example/x",
        "/\\evil.example/x", "https:\\\\evil.example", "javascript:alert(1)", "file:///etc/passwd", "ftp://api.govifi.com/",
        "https://api.govifi.com:port/x", "https://[::1/x", "https://api.govifi.com /x", "/x\r\nHost: evil.example",
        "\thttps://evil.example", "/x" * 9000,
    ],
)  # fmt: skip
def test_links_that_lead_elsewhere_are_not(link: str) -> None:
    """R6, R8: no token leaves the origin."""
    with pytest.raises(PagingFault) as caught:
        pinned(link, CURRENT, ORIGIN)
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


def test_the_text_names_where_it_leads() -> None:
    with pytest.raises(PagingFault, match=r"points to https://evil\.example, not to our API"):
        pinned("https://evil.example/x?secret=1", CURRENT, ORIGIN)


@pytest.mark.parametrize(
    ("link", "counts"),
    [
        ("/x?$skip=5", True),
        ("/x?a=1&%24Skip=5", True),
        ("?$skip=", True),
        ("/x?$skiptoken=5", False),
        ("/$skip", False),
    ],
)
def test_links_that_count_rows(link: str, counts: bool) -> None:
    assert by_skip(link) is counts

"""Links to a next page: followed only to the same list at our own address (A2; faults R6, R8)."""

from __future__ import annotations

import pytest

from govpay.client.links import by_skip, next_query

LIST = "https://api.govifi.com/base/api/customers/a%20b/payment-methods"
PATH = "/base/api/customers/a%20b/payment-methods"


@pytest.mark.parametrize(
    ("link", "query"),
    [
        (f"{LIST}?$skiptoken=x", "$skiptoken=x"),
        (f"HTTPS://API.GOVIFI.COM:443{PATH}?a=1", "a=1"),
        (f"http://payments.internal:8080{PATH}?a=1", "a=1"),
        (f"//payments.internal{PATH}?a=1", "a=1"),
        (f"https://user:pw@evil.example{PATH}?a=1", "a=1"),
        (f"https://api.govifi.com:port{PATH}?a=1", "a=1"),
        (f"{PATH}?page=2", "page=2"),
        ("?page=2", "page=2"),
        ("payment-methods?page=2", "page=2"),
        ("../a%20b/payment-methods?page=2", "page=2"),
        ("/base/api/customers/%61%20b/payment-methods?page=2", "page=2"),
        (f"{PATH}?$filter=uid%20gt%20'a'#part", "$filter=uid%20gt%20'a'"),
        (PATH, ""),
    ],
)
def test_a_link_to_the_same_list_gives_its_query_whatever_host_it_names(link: str, query: str) -> None:
    assert next_query(link, LIST) == query


@pytest.mark.parametrize(
    "link",
    [
        "https://api.govifi.com/base/api/payments?a=1", "https://api.govifi.com", "/x?a=1", "x?a=1", "../../../x",
        f"{LIST}/?a=1", f"https://api.govifi.com/other{PATH}?a=1", "/api/customers/a%20b/payment-methods?a=1",
        "//api.govifi.com/x", "javascript:alert(1)", f"file://{PATH}", f"ftp://api.govifi.com{PATH}",
        f"https://evil.example\\@api.govifi.com{PATH}", f"\\\\evil.example{PATH}", f"/\\evil.example{PATH}",
        f"https://[::1{PATH}", f"https://api.govifi.com {PATH}", f"{PATH}?a=1\r\nHost: evil.example",
        f"\thttps://evil.example{PATH}", f"{PATH}?" + "x" * 9000,
    ],
)  # fmt: skip
def test_a_link_to_anything_else_gives_none(link: str) -> None:
    """R6, R8: no token leaves the origin, and no other address of it is read."""
    assert next_query(link, LIST) is None


@pytest.mark.parametrize(
    ("link", "counts"),
    [
        ("/x?$skip=5", True),
        ("/x?a=1&%24Skip=5", True),
        ("?$skip=", True),
        ("/x?$skiptoken=5", False),
        ("/$skip", False),
        ("http://[backend/x?$skip=1", False),
    ],
)
def test_links_that_count_rows(link: str, counts: bool) -> None:
    assert by_skip(link) is counts

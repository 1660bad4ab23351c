"""OData options, envelopes, paging."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from govpay.sandbox import Sandbox

from .conftest import Caller

Doc = dict[str, Any]
AMOUNTS = (1_000, 2_000, 3_000, 4_000, 5_000)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Caller]:
    """Five captured payments, REF-0 to REF-4, of 10 to 50 dollars; only read from."""
    with Sandbox() as sandbox, sandbox.serve() as address:
        account, other = sandbox.add_account()["uid"], sandbox.add_account()["uid"]
        sandbox.add_payment(other, status="captured", reference_id="FOREIGN")
        for number, amount in enumerate(AMOUNTS):
            sandbox.add_payment(account, status="captured", base_amount=amount, reference_id=f"REF-{number}")
        caller = Caller(address, account)
        yield caller
        caller.close()


def references(call: Caller, condition: str, path: str = "/api/payments") -> list[str]:
    rows = call.get(path, params={"$filter": condition, "$orderby": "reference_id"})
    return [row["reference_id"].removeprefix("REF-") for row in rows]


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("reference_id eq 'REF-2'", "2"),
        ("reference_id ne 'REF-2'", "0134"),
        ("base_amount gt 3000", "34"),
        ("base_amount ge 3000", "234"),
        ("base_amount lt 3000", "01"),
        ("base_amount le 3000", "012"),
        ("base_amount gt 2999.5", "234"),
        ("3000 lt base_amount", "34"),
        ("base_amount eq 1000 or base_amount eq 5000", "04"),
        ("base_amount gt 1000 and base_amount lt 4000", "12"),
        ("base_amount eq 1000 or base_amount eq 2000 and reference_id eq 'REF-0'", "0"),
        ("(base_amount eq 1000 or base_amount eq 2000) and reference_id eq 'REF-1'", "1"),
        ("not (base_amount eq 1000)", "1234"),
        ("not (session_id eq 'x')", "01234"),
        ("session_id ne 'x'", "01234"),
        ("session_id eq null", "01234"),
        ("captured_at ne null", "01234"),
        ("session_id ne null", ""),
        ("contains(reference_id, 'F-3')", "3"),
        ("contains(reference_id, 'f-3')", ""),
        ("contains(reference_id, '%')", ""),
        ("contains(reference_id, '_')", ""),
        ("startswith(reference_id, 'REF')", "01234"),
        ("startswith(reference_id, '')", "01234"),
        ("endswith(reference_id, '4')", "4"),
        ("endswith(reference_id, '')", "01234"),
        ("not contains(reference_id, '4')", "0123"),
        ("created_at gt 2020-01-01T00:00:00Z", "01234"),
        ("created_at gt 2020-01-01T00:00:00.123456+02:00", "01234"),
        ("created_at lt 2020-01-01T00:00:00Z", ""),
        ("  reference_id   eq   'REF-2'  ", "2"),
        ("true", "01234"),
        ("false or reference_id eq 'REF-1'", "1"),
    ],
)
def test_filter(shelf: Caller, condition: str, wanted: str) -> None:
    assert "".join(references(shelf, condition)) == wanted


@pytest.mark.parametrize(
    "condition",
    [
        "reference_id",
        "reference_id eq",
        "reference_id eq REF",
        'reference_id eq "REF-2"',
        "reference_id = 'REF-2'",
        "reference_id eq 5",
        "base_amount eq '1000'",
        "base_amount eq 1000 and",
        "(base_amount eq 1000",
        "updated_at gt '2026-01-01T00:00:00Z'",
        "updated_at gt 2026-01-01T00:00:00",
        "updated_at gt 2026-01-01",
        "updated_at gt 2026-13-01T00:00:00Z",
        "updated_at gt yesterday",
        "unknown eq 1",
        "doc eq 'x'",
        "account_uid eq 'x'",
        "due_at eq null",
        "payment_method/credit/last4 eq '1111'",
        "contains(unknown, 'x')",
        "contains(base_amount, '1')",
        "contains(reference_id, base_amount)",
        "tolower(reference_id) eq 'ref-1'",
        "sleep(5)",
        "base_amount add 5 eq 10",
        "base_amount in (1000, 2000)",
        "base_amount gt null",
        "1 eq 1",
        "reference_id eq reference_id",
        "reference_id eq 'x'; drop table payments",
        "' or '1'='1",
        "base_amount eq 99999999999999999999999",
        " or ".join(["base_amount eq 1"] * 3_000),
    ],
)
def test_bad_filter_is_400(shelf: Caller, condition: str) -> None:
    shelf.refused(400, "GET", "/api/payments", params={"$filter": condition}, code="validation_error")


@pytest.mark.parametrize("name", ["O'Hare", "100% _ok_", 'say "hi"', "ünïcode", "x') or (1 eq 1", "a;b--", "\\"])
def test_text_literals_are_quoted_safely(sandbox: Sandbox, call: Caller, name: str) -> None:
    made = sandbox.add_customer(call.account_uid, reference_id=name, name=name)
    sandbox.add_customer(call.account_uid, reference_id="other")
    literal = name.replace("'", "''")
    for condition in (f"reference_id eq '{literal}'", f"contains(name, '{literal}')", f"startswith(name,'{literal}')"):
        assert call.get("/api/customers", params={"$filter": condition}) == [made]


@pytest.mark.parametrize(
    "query",
    [
        "$top=x", "$top=-1", "$top=1.5", "$top=", "$skip=x", "$skip=-1", "$orderby=unknown", "$orderby=doc",
        "$orderby=uid up", "$orderby=uid,uid", "$orderby=,", "$count=yes", "$select=uid", "$expand=customer",
        "$search=x", "top=5", "page=2", "$top=1&$top=2", "$skiptoken=nonsense", "$skiptoken=W10=",
    ],
)  # fmt: skip
def test_bad_options_are_400(shelf: Caller, query: str) -> None:
    shelf.refused(400, "GET", f"/api/payments?{query}")


def test_order_top_and_skip(shelf: Caller) -> None:
    def listed(query: str) -> list[int]:
        return [row["base_amount"] for row in shelf.get(f"/api/payments?{query}")]

    assert listed("$orderby=base_amount desc") == sorted(AMOUNTS, reverse=True)
    assert listed("$orderby=currency desc, base_amount asc&$top=2") == [1_000, 2_000]
    assert listed("$orderby=session_id,base_amount&$skip=3") == [4_000, 5_000]
    assert listed("$orderby=base_amount&$top=2&$skip=1") == [2_000, 3_000]
    assert listed("$orderby=created_at") == list(AMOUNTS)
    assert listed("$top=0") == []
    uids = [row["uid"] for row in shelf.get("/api/payments")]
    assert uids == sorted(uids)


def test_booleans(sandbox: Sandbox, call: Caller) -> None:
    closed = sandbox.add_account(active=False)["uid"]

    def found(condition: str) -> list[str]:
        return [row["uid"] for row in call.get("/api/paymentaccounts", params={"$filter": condition})]

    assert found("active eq false") == found("not active") == found("active ne true") == [closed]
    assert found("active eq true") == found("active") == [call.account_uid]
    assert found("maximum_payment_amount gt 5.5 and active eq false") == [closed]
    for condition in ("active eq 1", "active gt false", "active eq 'true'"):
        call.refused(400, "GET", "/api/paymentaccounts", params={"$filter": condition})


def test_same_instant_rows_are_not_lost_by_keyset(sandbox: Sandbox, call: Caller) -> None:
    uids = sandbox.add_payments(call.account_uid, 25)
    instant = "2026-06-11T10:00:00.000001Z"
    for uid in uids:
        sandbox.touch("payment", uid, updated_at=instant)
    seen: list[str] = []
    condition = f"updated_at ge {instant}"
    while page := call.get(
        "/api/payments", params={"$filter": condition, "$orderby": "updated_at asc,uid asc", "$top": 4}
    ):
        seen += [row["uid"] for row in page]
        last = page[-1]
        condition = (
            f"(updated_at gt {last['updated_at']}) or (updated_at eq {last['updated_at']} and uid gt '{last['uid']}')"
        )
    assert seen == sorted(uids)


@pytest.mark.parametrize("order", ["updated_at asc,uid asc", "uid asc"])
def test_keyset_reads_are_served_by_an_index(sandbox: Sandbox, call: Caller, order: str) -> None:
    sandbox.add_payments(call.account_uid, 500, transactions=False)
    statements: list[str] = []
    connection = sandbox.platform.store._connection
    connection.set_trace_callback(statements.append)
    instant = "2026-06-11T10:00:00Z"
    wanted = {
        "updated_at asc,uid asc": f"(updated_at gt {instant}) or (updated_at eq {instant} and uid gt 'p')",
        "uid asc": "uid gt 'pay_5'",
    }[order]
    call.get("/api/payments", params={"$filter": wanted, "$orderby": order, "$top": 100})
    connection.set_trace_callback(None)
    (select,) = [text for text in statements if "FROM payments WHERE account_uid" in text]
    plan = " ".join(str(row[3]) for row in sandbox.platform.store.execute(f"EXPLAIN QUERY PLAN {select}"))
    assert "SEARCH payments USING INDEX" in plan
    assert "TEMP B-TREE" not in plan
    assert "account_uid=? AND" in plan


def served(**options: Any) -> Sandbox:
    sandbox = Sandbox(size=57, **options)
    sandbox.start()
    return sandbox


def test_array_is_bare_and_capped() -> None:
    with served(page_cap=10) as sandbox:
        assert sandbox.address
        account = sandbox.all("account")[0]["uid"]
        call = Caller(sandbox.address, account)
        assert [len(call.get(f"/api/payments{query}")) for query in ("", "?$top=5", "?$top=50")] == [10, 5, 10]


def test_items_envelope() -> None:
    with served(envelope="items") as sandbox:
        assert sandbox.address
        call = Caller(sandbox.address, sandbox.all("account")[0]["uid"])
        assert set(call.get("/api/payments")) == {"items"}
        assert len(call.get("/api/payments")["items"]) == 19


@pytest.mark.parametrize(
    "query", ["", "$top=4", "$orderby=updated_at desc", "$orderby=session_id desc,base_amount asc"]
)
@pytest.mark.parametrize("cap", [1, 7, 100])
def test_odata_links_give_every_row_once(query: str, cap: int) -> None:
    with served(envelope="odata", page_cap=cap) as sandbox:
        assert sandbox.address
        account = sandbox.all("account")[0]["uid"]
        call = Caller(sandbox.address, account)
        seen: list[str] = []
        path = f"/api/payments?{quote(query, safe='$=&,')}" + ("&" if query else "") + "$count=true"
        while True:
            page = call.get(path)
            assert page["@odata.count"] == 19
            seen += [row["uid"] for row in page["value"]]
            link = page.get("@odata.nextLink")
            if link is None:
                break
            assert link.startswith(sandbox.address.api_url + "/api/payments?")
            path = link.removeprefix(sandbox.address.api_url)
        assert len(seen) == 19
        assert sorted(seen) == sorted(row["uid"] for row in sandbox.all("payment", account))


def test_odata_links_in_other_styles() -> None:
    with served(envelope="odata", next_links="until_top", page_cap=4) as sandbox:
        assert sandbox.address
        call = Caller(sandbox.address, sandbox.all("account")[0]["uid"])
        page, sizes = call.get("/api/payments?$top=10"), []
        while True:
            sizes.append(len(page["value"]))
            if "@odata.nextLink" not in page:
                break
            page = call.get(page["@odata.nextLink"].removeprefix(sandbox.address.api_url))
        assert sizes == [4, 4, 2]
        assert "@odata.count" not in page
    with served(envelope="odata", next_links="never", page_cap=4) as sandbox:
        assert sandbox.address
        call = Caller(sandbox.address, sandbox.all("account")[0]["uid"])
        assert set(call.get("/api/payments")) == {"value"}


def test_methods_follow_the_envelope_and_are_not_paged() -> None:
    with served(envelope="odata", page_cap=2) as sandbox:
        assert sandbox.address
        account = sandbox.all("account")[0]["uid"]
        customer = sandbox.add_customer(account)["uid"]
        for _ in range(5):
            sandbox.add_method(customer)
        call = Caller(sandbox.address, account)
        assert len(call.get(f"/api/customers/{customer}/payment-methods")["value"]) == 5
        assert set(call.get("/api/webhooks/subscriptions")) == {"subscriptions"}


def test_unknown_settings_are_refused() -> None:
    for options in ({"envelope": "xml"}, {"next_links": "sometimes"}, {"page_cap": 0}, {"size": "village"}):
        with pytest.raises(ValueError, match="must be"):
            Sandbox(**options)  # type: ignore[arg-type]

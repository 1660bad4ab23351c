"""``govpay.sync.walks``: every list is read completely, whichever pages, orders and filters the API supports."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from govpay.client.pages import ORDERS
from govpay.models import Payment, SyncRun, Terminal
from govpay.sandbox import Sandbox
from govpay.sync.pull import pull
from govpay.sync.walks import OVERLAP
from tests.reading import agree, counts, cursor_of, picky, read, rows_of, watch

pytestmark = pytest.mark.django_db(transaction=True)

INSTANT = "2026-02-03T04:05:06.789000Z"


def names(options: list[dict[str, str]]) -> list[str]:
    """A short form of each request's options."""
    return [
        " ".join(sorted(f"{name}={value}" if name == "$orderby" else name for name, value in each.items()))
        for each in options
    ]


BY_TIME, BY_UID = "$orderby=updated_at asc,uid asc", "$orderby=uid asc"


# --- Envelopes, caps, ends (A1, A2) ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "full"),
    [
        ({"envelope": "array"}, False),
        ({"envelope": "items", "page_cap": 7}, True),
        ({"envelope": "array", "page_cap": 3}, False),
        ({"envelope": "odata", "page_cap": 7}, False),
        ({"envelope": "odata", "page_cap": 7}, True),
        ({"envelope": "odata", "next_links": "until_top", "page_cap": 7}, False),
        ({"envelope": "odata", "next_links": "never", "page_cap": 1}, True),
    ],
    ids=lambda value: " ".join(f"{v}" for v in value.values()) if isinstance(value, dict) else "",
)
def test_all_envelopes_and_short_pages(
    start_sandbox: Callable[..., Any], pages_of: Callable[[int], None], options: dict[str, Any], full: bool
) -> None:
    sandbox = start_sandbox(**options)
    account = sandbox.add_account()["uid"]
    sandbox.add_payments(account, 43)
    pages_of(10)
    assert counts(read("payments", account, full=full)) == {"created": 43}
    assert agree(sandbox, "payment", Payment)
    assert counts(read("payments", account, full=True)) == {"unchanged": 43}


def test_an_empty_list_is_one_call(sandbox: Any, account: str) -> None:
    calls = watch(sandbox)
    assert counts(read("payments", account)) == {}
    assert len(calls) == 1


def test_rows_of_other_accounts_stay_theirs(sandbox: Any, account: str) -> None:
    other = sandbox.add_account()["uid"]
    sandbox.add_payments(account, 3)
    sandbox.add_payments(other, 4)
    read("payments", account)
    read("payments", other, full=True)
    read("payments", account, full=True)
    assert Payment.objects.filter(account=account).count() == 3
    assert Payment.objects.filter(account=other).count() == 4
    assert not Payment.objects.exclude(deleted_at=None).exists()


# --- Incremental (A3) -----------------------------------------------------------------------------


def test_only_what_changed_is_read_again(sandbox: Any, account: str, pages_of: Callable[[int], None]) -> None:
    uids = sandbox.add_payments(account, 60)
    pages_of(10)
    read("payments", account)
    for uid in uids[:3]:
        sandbox.touch("payment", uid, status="voided")
    new = sandbox.add_payments(account, 2)
    calls = watch(sandbox)
    run = read("payments", account)
    assert (run.created, run.updated) == (2, 3)
    assert len(calls) <= 3
    assert agree(sandbox, "payment", Payment)
    assert Payment.objects.filter(uid__in=new).count() == 2


@pytest.mark.parametrize("same_instant", [False, True])
@pytest.mark.parametrize("cap", [None, 4])
def test_nothing_new_is_two_calls_and_stays_so(
    start_sandbox: Callable[..., Any], pages_of: Callable[[int], None], same_instant: bool, cap: int | None
) -> None:
    """Budget, also when all rows share one instant and when the server cuts our pages."""
    sandbox = start_sandbox(page_cap=cap)
    account = sandbox.add_account()["uid"]
    for uid in sandbox.add_payments(account, 47):
        if same_instant:
            sandbox.touch("payment", uid, updated_at=INSTANT)
    pages_of(20)
    read("payments", account)
    for _ in range(3):
        calls = watch(sandbox)
        run = read("payments", account)
        assert len(calls) <= 2
        assert not run.created + run.updated
        assert 0 < run.unchanged <= 10, "the overlap is read again, at most half a page"


def test_rows_of_one_instant_over_page_bounds(sandbox: Any, account: str, pages_of: Callable[[int], None]) -> None:
    """A3: same-instant rows must not be lost."""
    for uid in sandbox.add_payments(account, 35):
        sandbox.touch("payment", uid, updated_at=INSTANT)
    pages_of(10)
    assert counts(read("payments", account)) == {"created": 35}
    for uid in sandbox.add_payments(account, 35):
        sandbox.touch("payment", uid, updated_at=INSTANT)
    read("payments", account)
    read("payments", account, full=True)
    assert agree(sandbox, "payment", Payment)


def test_a_row_that_was_committed_late_is_within_the_overlap(
    sandbox: Any, account: str, pages_of: Callable[[int], None]
) -> None:
    """The platform sets a row's timestamp, commits other rows first, and shows the row only after our read."""
    uids = sandbox.add_payments(account, 30)
    pages_of(20)
    read("payments", account)
    stamps = sorted(document["updated_at"] for document in sandbox.all("payment"))
    late = sandbox.add_payment(account)["uid"]
    sandbox.touch("payment", late, updated_at=stamps[-8][:-1] + "5Z")
    read("payments", account)
    assert Payment.objects.filter(uid=late).exists()
    assert Payment.objects.count() == len(uids) + 1


def test_the_next_walk_starts_a_minute_before_the_newest_row_and_no_more(
    sandbox: Any, account: str, pages_of: Callable[[int], None]
) -> None:
    uids = sandbox.add_payments(account, 10)
    for second, uid in enumerate(uids):
        sandbox.touch("payment", uid, updated_at=f"2026-02-03T04:{second:02}:00.000000Z")
    pages_of(100)
    read("payments", account)
    assert OVERLAP.total_seconds() == 60
    assert cursor_of("payments", account).watermark == {
        "order": "updated_at",
        "updated_at": "2026-02-03T04:07:00.000000Z",
        "uid": uids[7],
        "skip": 0,
    }
    assert read("payments", account).fetched == 2


def test_one_row_from_the_future_does_not_blind_the_next_walks(sandbox: Any, account: str) -> None:
    uids = sandbox.add_payments(account, 5)
    sandbox.touch("payment", uids[0], updated_at="2099-01-01T00:00:00.000000Z")
    read("payments", account)
    sandbox.touch("payment", uids[1], status="voided")
    assert read("payments", account).updated == 1


def test_a_first_full_walk_leaves_a_watermark_from_before_it_began(sandbox: Any, account: str) -> None:
    """Changes during a full walk are found by the next incremental one."""
    uids = sandbox.add_payments(account, 12)
    changed = []

    def change_one(run: SyncRun) -> None:
        if not changed:
            changed.append(sandbox.touch("payment", min(uids), status="voided"))

    read("payments", account, full=True, progress=change_one)
    assert Payment.objects.get(uid=min(uids)).status == "captured"
    calls = watch(sandbox)
    assert read("payments", account).updated == 1
    assert len(calls) <= 2
    assert "updated_at ge" in calls.options[0]["$filter"]


# --- Resuming -------------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
def test_an_interrupted_walk_goes_on_where_its_last_page_was_committed(
    sandbox: Any, account: str, pages_of: Callable[[int], None], settings: Any, full: bool
) -> None:
    """Faults R2: a rerun costs only the missing pages."""
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    pages_of(10)
    sandbox.add_payments(account, 60)
    sandbox.fault("GET /api/payments", status=500, skip=4, times=1)
    run = pull("payments", account, full=full)
    assert (run.state, run.pages) == ("failed", 4)
    assert "500" in run.error
    assert cursor_of("payments", account).error == run.error
    calls = watch(sandbox)
    assert counts(read("payments", account, full=full)) == {"created": 20}
    assert len(calls) == 3
    assert agree(sandbox, "payment", Payment)
    assert cursor_of("payments", account).error == ""


def test_a_full_walk_that_stands_still_holds_up_no_incremental_one(
    sandbox: Any, account: str, pages_of: Callable[[int], None], settings: Any
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    pages_of(10)
    uids = sandbox.add_payments(account, 60)
    read("payments", account)
    sandbox.fault("GET /api/payments", status=500, skip=3, times=1)
    assert pull("payments", account, full=True).state == "failed"
    sandbox.touch("payment", uids[0], status="voided")
    assert read("payments", account).updated == 1
    calls = watch(sandbox)
    assert read("payments", account, full=True).mode == "full"
    assert len(calls) == 4, "the full walk went on at its own place"


@pytest.mark.parametrize("known", [True, False], ids=["start known", "position of an earlier release"])
def test_a_resumed_full_walk_skips_no_change_made_since_it_began(
    sandbox: Any, account: str, pages_of: Callable[[int], None], settings: Any, known: bool
) -> None:
    """A row that was read in the first slot changes before the second one. The list had no watermark yet."""
    settings.GOVPAY = {**settings.GOVPAY, "MAX_RETRIES": 0}
    pages_of(10)
    uids = sorted(sandbox.add_payments(account, 30))
    for uid in uids:
        sandbox.touch("payment", uid, updated_at=INSTANT)
    sandbox.fault("GET /api/payments", status=500, skip=2, times=1)
    assert pull("payments", account, full=True).state == "failed"
    earlier = timezone.now() - dt.timedelta(hours=1)
    stamp = (earlier + dt.timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    sandbox.touch("payment", uids[0], status="voided", updated_at=stamp)
    cursor = cursor_of("payments", account)
    began = {"began": earlier.isoformat()} if known else {}
    cursor.full_position = {name: cursor.full_position[name] for name in ("order", "updated_at", "uid", "skip")} | began
    cursor.save()
    read("payments", account, full=True)
    assert read("payments", account).updated == 1
    assert agree(sandbox, "payment", Payment)


# --- Orders that the API does not serve -------------------------------------------------------------


def test_an_api_without_order_by_time_is_read_by_uid_and_that_is_remembered(
    sandbox: Any, account: str, pages_of: Callable[[int], None], settings: Any
) -> None:
    pages_of(10)
    uids = sandbox.add_payments(account, 25)
    with picky(sandbox, settings, "$orderby", because="updated_at"):
        calls = watch(sandbox)
        assert counts(read("payments", account)) == {"created": 25}
        # The first answer was 400; the wrapper hides what it had asked for.
        assert names(calls.options)[1:] == [f"{BY_UID} $top"] + [f"$filter {BY_UID} $top"] * 3
        assert cursor_of("payments", account).order == "uid"
        sandbox.touch("payment", uids[0], status="voided")
        calls = watch(sandbox)
        assert counts(read("payments", account)) == {"updated": 1, "unchanged": 24}
        assert len(calls) == 4, "remembered: no request was wasted"


@pytest.mark.parametrize(
    ("refused", "order", "calls_again"),
    [(("$filter",), "skip", 4), (("$filter", "$skip"), "listing", 1), (("$orderby",), "offset", 4)],
)
def test_an_api_without_filter_or_skip_is_read_all_the_same(
    sandbox: Any,
    account: str,
    pages_of: Callable[[int], None],
    settings: Any,
    refused: tuple[str, ...],
    order: str,
    calls_again: int,
) -> None:
    """A2, A3: by counting rows, in uid order if that can be had, or in one full listing; remembered once it worked."""
    settings.GOVPAY = {**settings.GOVPAY, "UNPAGED_LISTS": ["payments"]}
    pages_of(10)
    uids = sandbox.add_payments(account, 25)
    with picky(sandbox, settings, *refused):
        read("payments", account)
        assert agree(sandbox, "payment", Payment)
        assert cursor_of("payments", account).order == order
        sandbox.touch("payment", uids[0], status="voided")
        sandbox.remove("payment", uids[1])
        calls = watch(sandbox)
        assert counts(read("payments", account)) == {"updated": 1, "unchanged": 23, "deleted": 1}
        assert len(calls) == calls_again + 2, "the pages, and two GETs of the removed row"
        assert agree(sandbox, "payment", Payment)


def test_a_full_walk_tries_the_better_orders_again(
    sandbox: Any, account: str, pages_of: Callable[[int], None], settings: Any
) -> None:
    """An API may learn, and a 400 may have been a bad day's."""
    pages_of(10)
    sandbox.add_payments(account, 25)
    with picky(sandbox, settings, "$filter"):
        read("payments", account)
    read("payments", account, full=True)
    assert cursor_of("payments", account).order == ""
    calls = watch(sandbox)
    read("payments", account)
    assert set(names(calls.options)) == {f"$filter {BY_TIME} $top"}


def test_an_order_is_not_remembered_before_it_has_worked(sandbox: Any, account: str) -> None:
    sandbox.add_payments(account, 5)
    sandbox.fault("GET /api/payments", status=400, times=len(ORDERS))
    assert pull("payments", account).state == "failed"
    assert cursor_of("payments", account).order == ""
    calls = watch(sandbox)
    assert counts(read("payments", account)) == {"created": 5}
    assert names(calls.options)[0] == f"{BY_TIME} $top"


@pytest.mark.parametrize("status", [422, 403, 409])
def test_other_refusals_are_no_reason_to_try_another_order(sandbox: Any, account: str, status: int) -> None:
    sandbox.fault("GET /api/payments", status=status)
    calls = watch(sandbox)
    assert pull("payments", account).state == "failed"
    assert len(calls) == 1


@pytest.mark.parametrize("moment", [None, "yesterday", 5])
def test_a_row_without_a_time_sends_only_this_walk_another_way(
    sandbox: Any, account: str, pages_of: Callable[[int], None], moment: Any
) -> None:
    """The walk cannot continue from such a page; the row may be corrected later."""
    pages_of(5)
    uids = sandbox.add_payments(account, 12)
    read("payments", account)
    sandbox.touch("payment", uids[3], updated_at=moment)
    pull("payments", account)
    assert cursor_of("payments", account).order == ""
    sandbox.touch("payment", uids[3])
    calls = watch(sandbox)
    read("payments", account)
    assert names(calls.options)[0] == f"$filter {BY_TIME} $top"
    assert agree(sandbox, "payment", Payment)


def test_an_api_that_knows_no_options_is_read_whole(
    sandbox: Any, settings: Any, account: str, pages_of: Callable[[int], None]
) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "UNPAGED_LISTS": ["payments"]}
    pages_of(10)
    sandbox.add_payments(account, 30)
    with picky(sandbox, settings, "$filter", "$skip", "$orderby"):
        assert read("payments", account).created == 30
        assert cursor_of("payments", account).order == "listing"
        # One page is the whole list, so missing rows are found in any order.
        gone = sandbox.all("payment")[7]["uid"]
        sandbox.remove("payment", gone)
        assert counts(read("payments", account)) == {"unchanged": 29, "deleted": 1}


# --- Odd lists ------------------------------------------------------------------------------------


def test_a_list_that_repeats_stops_and_says_so(sandbox: Any, account: str, pages_of: Callable[[int], None]) -> None:
    """Faults R6."""
    pages_of(2)
    sandbox.add_payments(account, 6)
    page = [{"uid": "pay_a", "updated_at": INSTANT}, {"uid": "pay_b", "updated_at": INSTANT}]
    sandbox.fault("GET /api/payments", body=json.dumps(page), status=200)
    run = pull("payments", account)
    assert run.state == "failed"
    assert "repeat" in run.error
    assert set(rows_of()) == {"pay_a", "pay_b"}


@pytest.fixture
def linking(start_sandbox: Callable[..., Any]) -> Iterator[Callable[[str], Any]]:
    """``linking("http://internal{path}?{query}")``: a platform of 20 payments, three a page, with such links.

    ``{trap}`` is the address of another platform, which must not get any request.
    """
    with Sandbox() as trap, trap.serve() as elsewhere:

        def start(link: str) -> Any:
            sandbox = start_sandbox(envelope="odata", page_cap=3)
            sandbox.add_payments(sandbox.add_account()["uid"], 20)
            here = sandbox.address.api_url.removeprefix("http://")
            link = link.replace("{here}", here).replace("{trap}", elsewhere.api_url)
            sandbox.fault("GET /api/payments", next_link=link)
            return sandbox

        yield start
        assert trap.requests() == []


NO_OPTIONS = ("$filter", "$orderby", "$skip", "$top")


@pytest.mark.parametrize("way", ["by time", "full", "without options"])
@pytest.mark.parametrize(
    "link",
    [
        *("https://{here}{path}?{query}", "http://payments.internal:8080{path}?{query}", "{trap}{path}?{query}"),
        *("//payments.internal{path}?{query}", "{path}?{query}", "?{query}", "payments?{query}"),
    ],
)
def test_a_link_that_names_another_host_brings_every_row(
    linking: Callable[[str], Any], settings: Any, way: str, link: str
) -> None:
    """Faults R6, R8: a platform behind a proxy may link to a host that only its own network knows."""
    sandbox = linking(link)
    (account,) = (row["uid"] for row in sandbox.all("account"))
    with picky(sandbox, settings, *(NO_OPTIONS if way == "without options" else ())):
        calls = watch(sandbox)
        assert counts(read("payments", account, full=way == "full")) == {"created": 20}
    assert agree(sandbox, "payment", Payment)
    assert sum("$skiptoken" in options for options in calls.options) == 6, "the links were followed"
    assert {call["path"] for call in calls.all} == {"/api/payments"}


@pytest.mark.parametrize("link", ["/api/transactions?{query}", "{trap}/api/customers?{query}", "{path}/x?{query}"])
def test_a_link_to_another_path_is_not_followed(linking: Callable[[str], Any], settings: Any, link: str) -> None:
    sandbox = linking(link)
    (account,) = (row["uid"] for row in sandbox.all("account"))
    calls = watch(sandbox)
    assert counts(read("payments", account)) == {"created": 20}
    assert counts(read("payments", account, full=True)) == {"unchanged": 20}
    with picky(sandbox, settings, *NO_OPTIONS):
        run = pull("payments", account, full=True)
    assert (run.state, run.fetched, run.deleted) == ("failed", 3, 0)
    assert "something else than this list" in run.error
    assert {call["path"] for call in calls.all} == {"/api/payments"}
    assert not any("$skiptoken" in options for options in calls.options)


def test_clients_and_accounts_have_no_account(sandbox: Any) -> None:
    for _ in range(3):
        sandbox.add_account()
    assert counts(read("clients")) == counts(read("accounts")) == {"created": 3}
    assert counts(read("accounts", full=True)) == {"unchanged": 3}
    assert all(call["account"] is None for call in watch(sandbox).sandbox.requests())


def test_terminals_are_read(sandbox: Any, account: str) -> None:
    uid = sandbox.add_terminal(account, name="Counter 1")["uid"]
    assert counts(read("terminals", account)) == {"created": 1}
    row = Terminal.objects.get()
    assert (row.uid, row.name, row.account_id) == (uid, "Counter 1", account)

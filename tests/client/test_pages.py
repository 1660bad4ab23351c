"""Walks over lists: each row once, a proven end, and no endless walk (A1-A3; faults R5, R6)."""

from __future__ import annotations

import itertools
import json
import random
import tracemalloc
from typing import Any

import pytest

from govpay.client import NoKeyset, Page, PagingFault, Position, Query, parse_page, walk
from govpay.exceptions import APIError, InvalidAnswer
from tests.client.lists import Listing


def rows(count: int, *, same_time: int = 1) -> list[dict[str, Any]]:
    """Rows whose times come in groups, with seven digits, and whose uids hold a quote."""
    found = []
    for i in range(count):
        minutes, seconds = divmod(i // same_time, 60)
        moment = f"2026-06-11T10:{minutes:02}:{seconds:02}.1234567Z"
        found.append({"uid": f"o'{(i * 7919) % 100_000:05}", "updated_at": moment})
    return found


def collected(steps: Any) -> list[str]:
    return [row["uid"] for page in steps for row in page.items]


# -- envelopes ---------------------------------------------------------------------------------------------

ROW = {"uid": "a"}


@pytest.mark.parametrize(
    ("document", "page"),
    [
        ([], Page()),
        ([ROW], Page((ROW,))),
        ({"value": [ROW]}, Page((ROW,))),
        ({"value": [ROW], "@odata.nextLink": "/n", "@odata.count": 5}, Page((ROW,), "/n", 5)),
        ({"value": [], "@odata.nextLink": None, "@odata.count": None}, Page()),
        ({"value": [], "@odata.nextLink": "", "@odata.count": "5"}, Page()),
        ({"value": [], "@odata.count": True}, Page()),
        ({"value": [], "@odata.count": -1}, Page()),
        ({"items": [ROW], "total": 1}, Page((ROW,))),
        ({"subscriptions": [{"event_type": "x"}]}, Page(({"event_type": "x"},))),
        ({"methods": [ROW], "allowed_methods": ["card"]}, Page((ROW,))),
    ],
)
def test_every_envelope_is_a_page(document: Any, page: Page) -> None:
    assert parse_page(document) == page


@pytest.mark.parametrize(
    "document",
    [None, 5, "a", True, {}, {"value": None}, {"value": {}}, {"rows": []}, [1], [None], [ROW, "x"], [[ROW]],
     {"value": [], "@odata.nextLink": 5}, {"value": "x", "items": []}, {"error": {"code": "x"}}],
)  # fmt: skip
def test_anything_else_is_no_page(document: Any) -> None:
    with pytest.raises(InvalidAnswer):
        parse_page(document)


# -- what is asked -----------------------------------------------------------------------------------------


def asked(order: Any, start: Position | None = None, data: Any = None) -> list[list[tuple[str, str]]]:
    listing = Listing(rows(5) if data is None else data)
    list(walk(listing, order, 2, start))
    return [query.params() for query in listing.asked]


def test_by_time_asks_after_the_last_row_to_its_last_digit() -> None:
    order, top = ("$orderby", "updated_at asc,uid asc"), ("$top", "2")
    first, second, *_ = asked("updated_at")
    assert first == [order, top]
    moment = "2026-06-11T10:00:01.1234567Z"
    assert second == [
        ("$filter", f"(updated_at gt {moment}) or ((updated_at eq {moment}) and (uid gt 'o''07919'))"), order, top,
    ]  # fmt: skip


def test_by_time_starts_inclusive_without_a_uid_and_after_the_row_with_one() -> None:
    moment = "2026-06-11T10:00:02.1234567Z"
    assert asked("updated_at", Position("updated_at", moment))[0][0] == ("$filter", f"updated_at ge {moment}")
    resumed = asked("updated_at", Position("updated_at", moment, "x"))[0][0]
    assert resumed == ("$filter", f"(updated_at gt {moment}) or ((updated_at eq {moment}) and (uid gt 'x'))")


def test_by_uid_asks_after_the_last_uid() -> None:
    first, second, *_ = asked("uid")
    assert first == [("$orderby", "uid asc"), ("$top", "2")]
    assert second == [("$filter", "uid gt 'o''07919'"), ("$orderby", "uid asc"), ("$top", "2")]
    assert asked("uid", Position("uid", uid="z"))[0][0] == ("$filter", "uid gt 'z'")


def test_by_skip_counts_the_rows() -> None:
    order, top = ("$orderby", "uid asc"), ("$top", "2")
    found = asked("skip")
    assert found == [[order, top], *([order, top, ("$skip", str(n))] for n in (2, 4, 5))]
    assert asked("skip", Position("skip", skip=4))[0] == [order, top, ("$skip", "4")]


def test_a_listing_asks_for_nothing_and_ends_with_its_page() -> None:
    assert asked("listing") == [[]]
    assert asked("listing", data=[]) == [[]]


# -- every row once, and the end (A2) ----------------------------------------------------------------------


@pytest.mark.parametrize("order", ["updated_at", "uid", "skip"])
@pytest.mark.parametrize("count", [False, True], ids=["plain", "counted"])
@pytest.mark.parametrize(("size", "cap"), [(7, 1000), (100, 3), (1, 1000), (1000, 1000)])
def test_every_row_comes_once_whatever_the_server_caps(order: Any, count: bool, size: int, cap: int) -> None:
    data = rows(20, same_time=6)
    listing = Listing(data, cap=cap, count=count)
    steps = walk(listing, order, size)
    found = collected(steps)
    assert sorted(found) == sorted(row["uid"] for row in data)
    pages = -(-20 // min(size, cap))
    assert len(listing.asked) == pages + (not count)
    assert (steps.rows, steps.pages, steps.ended) == (20, pages, True)
    assert steps.announced == (20 if count else None)


@pytest.mark.parametrize("order", ["updated_at", "uid", "skip"])
def test_an_empty_list_is_one_request(order: Any) -> None:
    listing = Listing([])
    steps = walk(listing, order)
    assert list(steps) == []
    assert (len(listing.asked), steps.ended, steps.pages) == (1, True, 0)


def test_a_walk_is_lazy() -> None:
    listing = Listing(rows(10))
    steps = walk(listing, "uid", 2)
    assert listing.asked == []
    next(steps)
    assert len(listing.asked) == 1


@pytest.mark.parametrize("order", ["updated_at", "uid", "skip"])
def test_a_walk_goes_on_from_the_position_of_any_page(order: Any) -> None:
    data = rows(20, same_time=6)
    whole = list(walk(Listing(data), order, 3))
    for number, page in enumerate(whole):
        assert page.position is not None
        kept = json.loads(json.dumps(page.position.to_dict()))
        rest = collected(walk(Listing(data), order, 3, Position.from_dict(kept)))
        assert rest == [row["uid"] for later in whole[number + 1 :] for row in later.items]


def test_a_counted_walk_by_skip_that_is_resumed_ends_as_early() -> None:
    listing = Listing(rows(10), count=True)
    assert len(collected(walk(listing, "skip", 4, Position("skip", skip=6)))) == 4
    assert len(listing.asked) == 1


def test_a_failed_fetch_leaves_what_was_read_and_a_place_to_go_on() -> None:
    data = rows(6)
    listing = Listing(data)

    def fetch(query: Query, link: str | None) -> Page:
        if len(listing.asked) == 2:
            raise APIError("down")
        return listing(query, link)

    got: list[Any] = []
    steps, position = walk(fetch, "uid", 2), None
    with pytest.raises(APIError, match="down"):
        for page in steps:
            got += page.items
            position = page.position
    assert (len(got), steps.ended) == (4, False)
    assert len(got) + len(collected(walk(Listing(data), "uid", 2, position))) == 6


class Changing:
    """A list that changes between the pages: updates, new rows and removals, in the order of one clock."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.clock = 0
        self.rows: list[dict[str, Any]] = []
        for _ in range(self.dice.randrange(1, 25)):
            self.add()
        self.changes = self.dice.randrange(0, 30)  # they end at last, or a walk would rightly go on for ever

    def now(self) -> str:
        """Each timestamp is used once. Equal timestamps are handled by the caller's overlap (A3)."""
        self.clock += 1
        return f"2026-06-11T10:{self.clock // 60:02}:{self.clock % 60:02}.0000001Z"

    def add(self) -> None:
        uid = f"{self.dice.randrange(10**9):09}"
        self.rows.append({"uid": uid, "updated_at": self.now(), "version": 0})

    def change(self, page: int) -> None:
        for _ in range(min(self.changes, self.dice.randrange(0, 4))):
            self.changes -= 1
            action = self.dice.choice(("update", "update", "add", "remove"))
            if action == "add" or not self.rows:
                self.add()
            elif action == "remove":
                del self.rows[self.dice.randrange(len(self.rows))]
            else:
                row = self.dice.choice(self.rows)
                row.update(updated_at=self.now(), version=row["version"] + 1)


def test_in_a_thousand_histories_no_row_is_lost_or_doubled_while_rows_change() -> None:
    """R5: 0 lost, 0 doubled."""
    for seed in range(1000):
        history = Changing(seed)
        listing = Listing(history.rows, cap=history.dice.randrange(1, 8), meanwhile=history.change)
        seen: set[tuple[str, int]] = set()
        for step in walk(listing, "updated_at", 5):
            for row in step.items:
                assert (row["uid"], row["version"]) not in seen, f"doubled in history {seed}"
                seen.add((row["uid"], row["version"]))
        missing = [row for row in history.rows if (row["uid"], row["version"]) not in seen]
        # Changes made after the last page was cut come after every row that was seen: the next walk's.
        last = max((row["updated_at"] for row in listing.served), default="")
        assert all(row["updated_at"] > last for row in missing), f"lost in history {seed}"


# -- links -------------------------------------------------------------------------------------------------


class Linked:
    """Pages by name; each link leads to the next name."""

    def __init__(self, pages: dict[str | None, Page]) -> None:
        self.pages = pages
        self.followed: list[str | None] = []

    def __call__(self, query: Query, link: str | None) -> Page:
        self.followed.append(link)
        return self.pages[link]


def page(uids: str, link: str | None = None, count: int | None = None, at: str = "10:00:00Z") -> Page:
    return Page(tuple({"uid": uid, "updated_at": f"2026-06-11T{at}"} for uid in uids), link, count)


@pytest.mark.parametrize("order", ["updated_at", "uid", "skip", "listing"])
def test_links_are_followed_to_the_end(order: Any) -> None:
    fetch = Linked({None: page("ab", "/2", 5), "/2": page("c", "/3", 5), "/3": page("de", "/4", 5)})
    steps = walk(fetch, order, 2)
    assert collected(steps) == ["a", "b", "c", "d", "e"]
    assert fetch.followed == [None, "/2", "/3"]
    assert steps.ended


def test_an_empty_page_ends_even_if_it_links_on() -> None:
    fetch = Linked({None: page("ab", "/2"), "/2": Page((), "/3")})
    assert collected(walk(fetch, "uid", 2)) == ["a", "b"]


@pytest.mark.parametrize("count", [False, True], ids=["plain", "counted"])
def test_pages_by_offset_without_an_order_prove_no_end(count: bool) -> None:
    """R12: a row may have moved to a page that was already read."""
    start = Position("offset", skip=4)
    for order, size, begin, proved in (
        ("offset", 3, None, False), ("offset", 5, None, True), ("skip", 3, None, True), ("offset", 5, start, False),
    ):  # fmt: skip
        steps = walk(Listing(rows(5), count=count), order, size, begin)
        collected(steps)
        assert (steps.ended, steps.proved) == (True, proved), (order, size, begin)


@pytest.mark.parametrize(("link", "proved"), [("/x?$skip=2", False), ("/x?$skiptoken=b", True)])
def test_by_offset_the_platforms_own_links_prove_the_end(link: str, proved: bool) -> None:
    steps = walk(Linked({None: page("ab", link), link: page("c", None, 3)}), "offset", 2)
    assert collected(steps) == ["a", "b", "c"]
    assert steps.proved is proved


def test_a_listing_ends_where_the_links_do() -> None:
    fetch = Linked({None: page("ab", "/2"), "/2": page("c")})
    assert collected(walk(fetch, "listing")) == ["a", "b", "c"]
    assert fetch.followed == [None, "/2"]


def test_without_a_link_the_keyset_goes_on_after_the_last_row() -> None:
    """Some servers stop linking once $top is satisfied (A2)."""
    answers = iter([page("ab", "/2"), page("c"), page("d"), Page()])
    queries: list[Any] = []

    def fetch(query: Query, link: str | None) -> Page:
        queries.append(link or str(query.filter))
        return next(answers)

    assert collected(walk(fetch, "uid", 2)) == ["a", "b", "c", "d"]
    assert queries == ["None", "/2", "uid gt 'c'", "uid gt 'd'"]


@pytest.mark.parametrize("order", ["updated_at", "uid"])
@pytest.mark.parametrize("link", ["/x?$skip=2", "/x?%24skip=2&$top=2", "?$SKIP=2"])
def test_a_link_that_counts_rows_is_not_followed_by_keyset(order: Any, link: str) -> None:
    """Rows that move meanwhile would be lost (faults R5); our own filter loses none."""
    answers = iter([page("ab", link), page("cd", link), Page()])
    followed: list[str | None] = []

    def fetch(query: Query, link: str | None) -> Page:
        followed.append(link)
        return next(answers)

    assert collected(walk(fetch, order, 2)) == ["a", "b", "c", "d"]
    assert followed == [None, None, None]


def test_by_skip_such_a_link_is_followed() -> None:
    fetch = Linked({None: page("ab", "/x?$skip=2"), "/x?$skip=2": page("c", None, 3)})
    assert collected(walk(fetch, "skip", 2)) == ["a", "b", "c"]


@pytest.mark.parametrize("order", ["updated_at", "uid", "skip", "offset"])
def test_a_link_that_must_not_be_followed_leaves_the_walk_to_its_own_position(order: Any) -> None:
    answers = iter([page("ab", "/other"), page("cd", "/other"), Page()])
    followed: list[str | None] = []

    def fetch(query: Query, link: str | None) -> Page:
        followed.append(link)
        return next(answers)

    steps = walk(fetch, order, 2, resolve=lambda link: None)
    assert collected(steps) == ["a", "b", "c", "d"]
    assert (followed, steps.ended) == ([None, None, None], True)


def test_without_a_position_such_a_link_ends_the_walk_with_an_error() -> None:
    for order, error in (("listing", PagingFault), ("updated_at", NoKeyset)):
        steps = walk(lambda query, link: Page(({"uid": "a"},), "/other"), order, 2, resolve=lambda link: None)
        assert len(next(steps).items) == 1
        with pytest.raises(error):
            next(steps)
        assert not steps.ended


# -- walks that would never end (faults R6) ----------------------------------------------------------------


def test_a_link_that_was_read_already_stops_the_walk() -> None:
    fetch = Linked({None: page("ab", "/2"), "/2": page("cd", "/3"), "/3": page("ef", "/2")})
    got: list[Any] = []
    with pytest.raises(PagingFault, match=r"already read"):
        for step in walk(fetch, "listing"):
            got += step.items
    assert len(got) == 6, "the page that carried the link was good"


@pytest.mark.parametrize("order", ["updated_at", "uid", "skip", "listing"])
def test_a_page_that_repeats_stops_the_walk(order: Any) -> None:
    """R6: it stops and names it."""
    numbers = itertools.count()

    def fetch(query: Query, link: str | None) -> Page:
        return page("ab", f"/{next(numbers)}")

    got: list[Any] = []
    with pytest.raises(PagingFault, match="repeats"):
        for step in walk(fetch, order, 2):
            got += step.items
    assert len(got) == 2


def test_rows_without_identity_that_repeat_stop_the_walk_too() -> None:
    with pytest.raises(PagingFault, match="repeats"):
        list(walk(lambda query, link: Page(({"name": "x"},), f"/{query}{random.random()}"), "listing"))


@pytest.mark.parametrize("order", ["updated_at", "uid"])
def test_pages_that_take_turns_stop_the_walk(order: Any) -> None:
    turns = itertools.cycle([page("ab"), page("cd")])
    with pytest.raises(PagingFault, match="does not move on"):
        list(walk(lambda query, link: next(turns), order, 2))


def test_a_list_beyond_the_ceiling_stops_the_walk() -> None:
    numbers = itertools.count()
    steps = walk(lambda query, link: page(f"{next(numbers)}"), "skip", 1, max_pages=5)
    with pytest.raises(PagingFault, match="more than 5 pages"):
        list(steps)
    assert (steps.pages, steps.ended) == (5, False)


# -- rows that a keyset cannot use -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "last",
    [
        {"uid": "b"}, {"uid": "b", "updated_at": None}, {"uid": "b", "updated_at": "yesterday"},
        {"uid": "b", "updated_at": 5}, {"uid": "b", "updated_at": "2026-02-30T00:00:00Z"},
        {"updated_at": "2026-06-11T10:00:00Z"}, {"uid": 5, "updated_at": "2026-06-11T10:00:00Z"},
        {"uid": "a\x00", "updated_at": "2026-06-11T10:00:00Z"},
        {"uid": "x" * 200, "updated_at": "2026-06-11T10:00:00Z"},
        {"uid": "b", "updated_at": "2026-06-11T09:00:00Z"},
    ],
)  # fmt: skip
def test_a_page_that_no_keyset_can_follow_is_handed_out_first(last: dict[str, Any]) -> None:
    first = {"uid": "a", "updated_at": "2026-06-11T10:00:00Z"}
    steps = walk(lambda query, link: Page((first, last)), "updated_at", 2)
    got = next(steps)
    assert (len(got.items), got.position) == (2, None)
    with pytest.raises(NoKeyset, match="updated_at"):
        next(steps)
    assert not steps.ended


def test_but_not_when_the_list_had_ended_anyway() -> None:
    steps = walk(lambda query, link: Page(({"uid": "a"},), None, 1), "updated_at", 2)
    assert len(list(steps)) == 1
    assert steps.ended


def test_nor_when_a_link_leads_on() -> None:
    fetch = Linked({None: Page(({"uid": "a"},), "/2"), "/2": Page()})
    assert collected(walk(fetch, "updated_at", 2)) == ["a"]


def test_by_uid_only_the_uid_matters() -> None:
    with pytest.raises(NoKeyset):
        list(walk(lambda query, link: Page(({"name": "x"},)), "uid", 2))


# -- positions and memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kept",
    [{}, {"order": "name"}, {"order": "uid", "uid": 5}, {"order": "skip", "skip": -1}, {"order": "skip", "skip": True},
     {"order": "updated_at", "updated_at": 5}, {"order": None}],
)  # fmt: skip
def test_what_is_no_position_is_refused(kept: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Position.from_dict(kept)


def test_a_position_of_another_order_is_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        walk(Listing([]), "uid", 2, Position("skip", skip=5))


def test_memory_does_not_grow_with_the_list() -> None:
    def fetch(query: Query, link: str | None) -> Page:
        at = int(str(query.filter).split("'")[1]) if query.filter is not None else 0
        return Page(tuple({"uid": f"{at + i + 1:09}", "text": "x" * 500} for i in range(100)) if at < limit else ())

    peaks = []
    for limit in (2_000, 20_000):
        tracemalloc.start()
        assert sum(len(page.items) for page in walk(fetch, "uid", 100)) == limit
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000

"""A list is read in the first way that the platform serves to the end (A2, A3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from govpay.client import NoKeyset, PagingFault
from govpay.client.links import Repeats
from govpay.client.orders import NotServed, first_served
from govpay.exceptions import APIError, InvalidRequest

REFUSED = InvalidRequest("unknown option", status=400)


class Platform:
    """Serves two rows in each way, then fails with the error of that way, if it has one."""

    def __init__(self, **failing: APIError) -> None:
        self.failing = failing
        self.known: list[list[APIError]] = []

    def read(self, way: str, errors: list[APIError]) -> Iterator[str]:
        self.known.append(list(errors))
        yield from (f"{way}1", f"{way}2")
        if way in self.failing:
            raise self.failing[way]


def test_the_first_way_that_ends_is_the_last_one_tried() -> None:
    none, again = NoKeyset("no time"), Repeats("again")
    platform = Platform(a=REFUSED, b=none, c=again)
    assert "".join(first_served("list_payments", "abcde", platform.read)) == "a1a2b1b2c1c2d1d2"
    assert platform.known == [[], [REFUSED], [REFUSED, none], [REFUSED, none, again]]


@pytest.mark.parametrize("error", [InvalidRequest("no", status=422), PagingFault("too many pages"), APIError("down")])
def test_another_error_ends_it_at_once(error: APIError) -> None:
    platform = Platform(a=error)
    with pytest.raises(type(error)) as caught:
        list(first_served("list_payments", "ab", platform.read))
    assert caught.value is error
    assert len(platform.known) == 1


def test_the_caller_may_go_on_after_every_paging_fault() -> None:
    platform = Platform(a=PagingFault("too many pages"))
    assert "".join(first_served("list_payments", "ab", platform.read, fault=PagingFault)) == "a1a2b1b2"


def test_the_last_refusal_is_named() -> None:
    platform = Platform(a=Repeats("again"), b=REFUSED)
    with pytest.raises(NotServed, match=r"list_payments cannot be read to its end: .*unknown option") as caught:
        list(first_served("list_payments", "ab", platform.read))
    assert caught.value.__cause__ is REFUSED

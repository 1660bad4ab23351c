"""The retry rules, without a network."""

from __future__ import annotations

import random
from email.utils import formatdate
from typing import Any

import pytest

from govpay.client.retry import (
    BACKOFF_CAP,
    DOCUMENTED_REFUSALS,
    TRANSIENT_STATUSES,
    Failure,
    backoff,
    may_repeat,
    parse_http_date,
    parse_retry_after,
)


@pytest.mark.parametrize("failure", Failure)
def test_a_write_is_repeated_only_if_it_never_left(failure: Failure) -> None:
    assert may_repeat(failure, safe=False) is (failure is Failure.UNSENT)
    assert may_repeat(failure, safe=True) is (failure is not Failure.FINAL)


def test_no_status_both_passes_by_itself_and_proves_that_nothing_was_done() -> None:
    assert not TRANSIENT_STATUSES & DOCUMENTED_REFUSALS


def test_the_wait_is_jittered_in_full_and_grows_to_a_cap() -> None:
    rng = random.Random(7)
    for attempt, ceiling in ((1, 0.5), (2, 1.0), (3, 2.0), (10, BACKOFF_CAP), (10_000, BACKOFF_CAP)):
        waits = [backoff(attempt, 0.5, rng) for _ in range(300)]
        assert 0 <= min(waits) < ceiling * 0.1
        assert ceiling * 0.9 < max(waits) <= ceiling


NOW = 1_781_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5), (" 5 ", 5), ("0", 0), ("1.5", 1.5), ("86400", 86400),
        (None, None), ("", None), ("-1", None), ("inf", None), ("nan", None), ("soon", None), ("1,5", None),
        (formatdate(NOW + 30, usegmt=True), 30), (formatdate(NOW - 30, usegmt=True), 0),
        ("Wed, 99 Foo 2026 00:00:00 GMT", None), ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_both_forms(value: Any, seconds: float | None) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


def test_a_date_is_measured_by_the_servers_clock_if_it_shows_one() -> None:
    date = formatdate(NOW + 3600 + 30, usegmt=True)
    assert parse_retry_after(date, now=NOW, server_now=NOW + 3600) == 30


@pytest.mark.parametrize(("value", "epoch"), [(formatdate(NOW, usegmt=True), NOW), (None, None), ("yesterday", None)])
def test_dates_of_servers(value: str | None, epoch: float | None) -> None:
    assert parse_http_date(value) == epoch

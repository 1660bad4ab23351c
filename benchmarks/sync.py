"""Part 1: a list of payments, first time and unchanged, in turns with the yardstick. Prints JSON."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable

from django.conf import settings

from benchmarks import ready, yardstick
from govpay.models import Payment
from govpay.sync.pull import pull


def main(account: str, rows: int, rounds: int) -> None:
    page_size = settings.GOVPAY["PAGE_SIZE"]
    works: dict[str, Callable[[], int]] = {
        "yardstick": lambda: yardstick.sync(account, page_size, "updated_at"),
        "govpay": lambda: pull("payments", account).fetched,
        "yardstick again": lambda: yardstick.sync(account, page_size, "uid"),
        "govpay again": lambda: pull("payments", account, full=True).fetched,
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for who in ("yardstick", "govpay"):
            ready.empty_database()
            for name in (who, f"{who} again"):
                seconds[name].append(timed(works[name], rows))
                check(rows)
    print(json.dumps(seconds))


def timed(work: Callable[[], int], rows: int) -> float:
    gc.collect()
    started = time.perf_counter()
    fetched = work()
    taken = time.perf_counter() - started
    assert fetched == rows, f"{fetched} of {rows} rows"
    return taken


def check(rows: int) -> None:
    assert Payment.objects.filter(status="captured", total_amount__gt=0, last4__gt="").count() == rows


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

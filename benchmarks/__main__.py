"""``python -m benchmarks``: measure and print plain tables. Nothing here is asserted."""

from __future__ import annotations

import argparse
import platform
from statistics import median

from benchmarks.surroundings import BenchSandbox, bench_sandbox, databases, run, table

PAGE_SIZES = (100, 1000)
PARTS = ("sync", "webhooks", "rest", "reports", "memory", "startup")
MEBIBYTE = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="payments in the list of part 1")
    parser.add_argument("--rounds", type=int, default=3, help="how often the two take turns")
    parser.add_argument("--quick", "--smoke", action="store_true", help="small sizes: shows that it runs, not how fast")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="one database")
    options = parser.parse_args()
    rows, rounds = (1_000, 1) if options.quick else (options.rows, options.rounds)
    sizes = (1_000, 3_000) if options.quick else (20_000, 100_000)
    wanted = [options.only] if options.only else list(PARTS)
    in_use = [*([rows] if "sync" in wanted else []), *(sizes if "memory" in wanted else [])]
    print(f"Python {platform.python_version()}, {platform.machine()}\n")
    with bench_sandbox(in_use) as there, databases() as urls:
        if options.database:
            urls = {name: url for name, url in urls.items() if name.lower() == options.database}
        if "sync" in wanted:
            show_sync(there, urls, rows, rounds)
        if "webhooks" in wanted:
            show_webhooks(urls, 200 if options.quick else 2_000, rounds)
        if "rest" in wanted:
            show_rest(urls, 20_000 if options.quick else 1_000_000, 5 if options.quick else 50)
        if "reports" in wanted:
            show_reports(urls, 20_000 if options.quick else 1_000_000, 1 if options.quick else 5)
        if "memory" in wanted:
            show_memory(there, urls, sizes)
        if "startup" in wanted:
            show_startup(urls, 1 if options.quick else 7)


def show_sync(there: BenchSandbox, urls: dict[str, str], rows: int, rounds: int) -> None:
    print(f"1. Sync of {rows} payments, rows/s; the share is the median of {rounds} turns (goal: 50 %)")
    lines = []
    for database, url in urls.items():
        for page_size in PAGE_SIZES:
            seconds = run(
                "sync",
                *(there.accounts[rows], rows, rounds),
                database_url=url,
                api_url=there.api_url,
                page_size=page_size,
            )
            for what, suffix in (("first", ""), ("unchanged", " again")):
                yard, ours = seconds[f"yardstick{suffix}"], seconds[f"govpay{suffix}"]
                share = median(a / b for a, b in zip(yard, ours, strict=True))
                speeds = (f"{rows / median(times):,.0f}" for times in (yard, ours))
                lines.append((f"{database}, pages of {page_size}, {what}", *speeds, f"{share:.0%}"))
    table(("", "yardstick", "govpay", "share"), lines)
    print()


def show_webhooks(urls: dict[str, str], count: int, rounds: int) -> None:
    print(f"2. {count} deliveries, requests/s; the share of a bare view that writes one row (goal: 60 %, p99 4 ms)")
    lines = []
    for database, url in urls.items():
        found = run("webhooks", count, rounds, database_url=url)
        share = median(a / b for a, b in zip(found["bare"], found["accept"], strict=True))
        speeds = [f"{count / median(found[what]):,.0f}" for what in ("bare", "accept", "duplicate", "forged")]
        lines.append((database, *speeds, f"{share:.0%}", f"{median(found['p99']) * 1000:.1f} ms"))
    table(("", "bare view", "accepted", "duplicates", "forged", "share", "p99"), lines)
    print()


def show_rest(urls: dict[str, str], rows: int, rounds: int) -> None:
    print(f"3. REST with {rows} payments in the table, ms; medians of {rounds} (goal: 100 payments in 25 ms of CPU)")
    lines = []
    apps = "auth contenttypes rest_framework.authtoken govpay"
    for database, url in urls.items():
        for what, found in run("rest", rows, rounds, database_url=url, apps=apps).items():
            figures = (f"{found['cpu'] * 1000:.1f}", f"{found['wall'] * 1000:.1f}", f"{found['bytes'] / 1024:.0f}")
            lines.append((f"{database}, {what}", *figures, str(found["statements"])))
    table(("", "CPU", "in all", "KiB", "statements"), lines)
    print()


def show_reports(urls: dict[str, str], rows: int, rounds: int) -> None:
    goal = "a month by day 300, all by month 1500"
    print(f"   Totals with {rows} payments in the table, ms; medians of {rounds} (goal: {goal})")
    lines = []
    for database, url in urls.items():
        for what, found in run("reports", rows, rounds, database_url=url).items():
            figures = (f"{found['wall'] * 1000:.0f}", str(found["statements"]), f"{found['captures']:,}")
            lines.append((f"{database}, {what}", *figures))
    table(("", "in all", "statements", "captures"), lines)
    print()


def show_memory(there: BenchSandbox, urls: dict[str, str], sizes: tuple[int, ...]) -> None:
    print("4. Peak memory of a sync, MiB (goal: at most 30 above idle, flat)")
    lines = []
    for database, url in urls.items():
        for rows in sizes:
            found = run("memory", there.accounts[rows], rows, database_url=url, api_url=there.api_url)
            idle, peak = found["idle"] / MEBIBYTE, found["peak"] / MEBIBYTE
            lines.append((f"{database}, {rows} rows", f"{idle:.1f}", f"{peak:.1f}", f"{peak - idle:.1f}"))
    table(("", "idle", "peak", "above"), lines)
    print()


def show_startup(urls: dict[str, str], rounds: int) -> None:
    print(f"   Start of a process, ms; median of {rounds} turns (goal: the app adds at most 150)")
    url = next(iter(urls.values()))
    apps = "admin auth contenttypes sessions messages"
    times: dict[str, list[float]] = {apps: [], f"{apps} govpay": []}
    for _ in range(rounds):
        for installed, found in times.items():
            found.append(run("startup", database_url=url, apps=installed) * 1000)
    bare, whole = (median(found) for found in times.values())
    table(("", "without", "with", "added"), [("django.setup()", f"{bare:.0f}", f"{whole:.0f}", f"{whole - bare:.0f}")])


if __name__ == "__main__":
    main()

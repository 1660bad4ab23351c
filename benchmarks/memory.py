"""Part 4: the most memory that a sync of so many rows takes in a fresh process. Prints JSON (bytes)."""

from __future__ import annotations

import gc
import json
import re
import sys
from pathlib import Path

from benchmarks import ready
from govpay.sync.pull import pull


def read(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def main(account: str, rows: int) -> None:
    ready.empty_database()
    pull("clients")  # the connections and the code that a first page needs
    gc.collect()
    idle = read("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    run = pull("payments", account)
    assert run.fetched == rows, f"{run.fetched} of {rows} rows: {run.error}"
    print(json.dumps({"idle": idle, "peak": read("VmHWM")}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""How long ``import django`` and ``django.setup()`` take in a fresh process. Prints JSON (seconds)."""

from __future__ import annotations

import json
import time


def main() -> None:
    started = time.perf_counter()
    import django  # noqa: PLC0415 - it is what is measured

    django.setup()
    print(json.dumps(time.perf_counter() - started))


if __name__ == "__main__":
    main()

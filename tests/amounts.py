"""How often a test repeats what chance decides: as promised where servers are required, less on a laptop."""

from __future__ import annotations

import os


def repeats(promised: int, few: int) -> int:
    """``promised`` under ``GOVPAY_REQUIRE``, which ``.ci/run`` sets; else ``few``, so that the suite stays short."""
    return promised if os.environ.get("GOVPAY_REQUIRE") else few

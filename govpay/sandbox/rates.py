"""Rate limits: a maximum number of calls a minute for each caller. Further calls get 429 with the time to wait."""

from __future__ import annotations

import time

from govpay.sandbox.errors import Refusal

# For each caller, the times (monotonic seconds) of its calls in the last minute.
Calls = dict[str, list[float]]


def limit_rate(calls: Calls, caller: str, most: int) -> None:
    """Count one call of `caller`, or refuse it. Uses real time, so moving the clock lifts no limit."""
    now = time.monotonic()
    recent = [moment for moment in calls.get(caller, []) if moment > now - 60]
    if len(recent) >= most:
        wait = max(1, round(recent[0] + 60 - now))
        raise Refusal(429, "rate_limited", "Too many requests.", recoverable=True, headers={"Retry-After": str(wait)})
    calls[caller] = [*recent, now]

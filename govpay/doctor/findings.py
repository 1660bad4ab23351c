"""Types shared by all checks: the context of a run, a finding, and the report of all findings."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from govpay.models.choices import Level

#: From harmless to serious.
ORDER = (Level.OK, Level.WARNING, Level.ERROR)

#: Version of the JSON document for monitors. Increase it when a key changes its name or its meaning.
VERSION = 1


#: Seconds that all calls to the platform may take together in one run, and each call alone.
RUN_TIMEOUT = 20.0
CALL_TIMEOUT = 5.0

#: With less time left than this, in seconds, no further call is made.
MIN_CALL_TIME = 0.5


class CheckContext:
    """State shared by the checks of one run: the time left for calls to the platform, and whether it answers."""

    def __init__(self) -> None:
        self._end = time.monotonic() + RUN_TIMEOUT
        #: Set by the check of reachability. No further check calls a platform that does not answer.
        self.reachable = False

    @property
    def call_timeout(self) -> float:
        """Timeout in seconds for the next call. 0 means that no time is left for a call."""
        left = self._end - time.monotonic()
        return min(CALL_TIMEOUT, left) if left > MIN_CALL_TIME else 0.0


@dataclass(frozen=True)
class Finding:
    """One result of one check. Its texts hold no secret, no token and no payer's data."""

    check: str
    level: Level
    what: str
    hint: str = ""
    #: Set when a check looks at several things: the payment account's uid, or the column.
    subject: str = ""


@dataclass(frozen=True)
class Report:
    """All findings of one run."""

    findings: tuple[Finding, ...]
    checked_at: dt.datetime
    seconds: float

    @property
    def level(self) -> Level:
        """Return the most serious level among the findings; OK if there are none."""
        return max((finding.level for finding in self.findings), key=ORDER.index, default=Level.OK)

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(finding.level for finding in self.findings)
        return {level.value: found[level] for level in ORDER}

    def document(self) -> dict[str, Any]:
        """Return the JSON document for monitors: its keys, ``check`` and ``level`` are stable, the texts may change."""
        return {
            "version": VERSION,
            "level": self.level.value,
            "checked_at": self.checked_at.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "counts": self.counts,
            "findings": [
                {
                    "check": finding.check,
                    "level": finding.level.value,
                    "subject": finding.subject,
                    "what": finding.what,
                    "cure": finding.hint,
                }
                for finding in self.findings
            ],
        }


def listed(values: Iterable[object], limit: int = 8) -> str:
    """Return the first ``limit`` values as ``a, b, c``, and the number of further values."""
    texts = [str(value) for value in values]
    return ", ".join(texts[:limit]) + (f", … (+{len(texts) - limit})" if len(texts) > limit else "")


def span(seconds: float) -> str:
    """Return a duration as ``45 s``, ``12 min``, ``5 h`` or ``3 d``. The text is the same in every language."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


__all__ = ["CheckContext", "Finding", "Level", "Report", "listed", "span"]

"""What a check says: how bad it is, what it is, and the cure."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from govpay.models.choices import Level

#: From harmless to bad.
ORDER = (Level.OK, Level.WARNING, Level.ERROR)

#: The form of the document for monitors; raised when a key changes its name or its meaning.
VERSION = 1


@dataclass(frozen=True)
class Finding:
    """One result of one check. No secret, no token and no payer's data in any of its texts."""

    check: str
    level: Level
    what: str
    cure: str = ""
    #: What it is about when a check looks at several: a payment account's uid, or a column.
    subject: str = ""


@dataclass(frozen=True)
class Report:
    """All findings of one examination."""

    findings: tuple[Finding, ...]
    checked_at: dt.datetime
    seconds: float

    @property
    def level(self) -> Level:
        """The worst."""
        return max((finding.level for finding in self.findings), key=ORDER.index, default=Level.OK)

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(finding.level for finding in self.findings)
        return {level.value: found[level] for level in ORDER}

    def document(self) -> dict[str, Any]:
        """For monitors; ``check`` and ``level`` are stable, the texts are for people."""
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
                    "cure": finding.cure,
                }
                for finding in self.findings
            ],
        }


def listed(values: Iterable[object], most: int = 8) -> str:
    """``a, b, c`` and how many more."""
    texts = [str(value) for value in values]
    return ", ".join(texts[:most]) + (f", … (+{len(texts) - most})" if len(texts) > most else "")


def span(seconds: float) -> str:
    """``45 s``, ``12 min``, ``5 h``, ``3 d``: short, and the same in every language."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


__all__ = ["Finding", "Level", "Report", "listed", "span"]

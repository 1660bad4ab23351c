"""Faults of webhooks: duplicates, wrong order, old timestamps, wrong signatures; holding deliveries."""

from __future__ import annotations

import random
import threading
from dataclasses import asdict, dataclass
from typing import Any

KINDS = ("duplicate", "reorder", "stale", "bad_signature")


@dataclass
class WebhookFault:
    """Affects a `share` of the delivery attempts, at most `times` of them (None: until cleared).

    `duplicate` posts the same delivery twice, `reorder` holds it back until the account's next one was
    sent, `stale` dates and signs it five hours ago, `bad_signature` signs it with another secret.
    """

    kind: str
    times: int | None = None
    share: float = 1.0
    hits: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a webhook fault is one of {', '.join(KINDS)}, not {self.kind!r}")
        if not 0 < self.share <= 1:
            raise ValueError("share must be more than 0 and at most 1")
        if self.times is not None and self.times < 1:
            raise ValueError("times must be positive")

    def described(self) -> dict[str, Any]:
        return asdict(self)


class WebhookFaults:
    """The active webhook faults, and whether all webhooks are held back."""

    def __init__(self) -> None:
        self.held = False
        self._faults: list[WebhookFault] = []
        self._lock = threading.Lock()
        # Seeded, so that a share affects the same attempts in each run.
        self._random = random.Random(1)

    def add(self, fault: WebhookFault) -> WebhookFault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def active(self) -> list[dict[str, Any]]:
        with self._lock:
            return [fault.described() for fault in self._faults]

    def take(self, kind: str) -> bool:
        """Return whether a fault of this kind applies now. Counts it down."""
        with self._lock:
            for fault in self._faults:
                spent = fault.times is not None and fault.hits >= fault.times
                if fault.kind == kind and not spent and self._random.random() < fault.share:
                    fault.hits += 1
                    return True
        return False


def parse_webhook_fault(spec: str) -> WebhookFault:
    """Return a fault from text: `duplicate`, or `duplicate:0.2` for a fifth of the attempts. Raises ValueError."""
    kind, colon, share = spec.partition(":")
    try:
        return WebhookFault(kind, share=float(share) if colon else 1.0)
    except ValueError as error:
        raise ValueError(f"webhook fault {spec!r}: {error}") from None

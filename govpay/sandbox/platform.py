"""The platform's settings, store, clock and switches."""

from __future__ import annotations

import random
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from govpay.sandbox.clock import Clock
from govpay.sandbox.control.faults import Faults
from govpay.sandbox.rates import Calls
from govpay.sandbox.shapes import Doc
from govpay.sandbox.store import Store
from govpay.sandbox.webhooks.faults import WebhookFaults

REQUESTS_KEPT = 10_000


@dataclass(frozen=True)
class Settings:
    """Behaviour that the vendor's pages leave open. Times are in seconds."""

    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105  opens sandboxes only
    # The envelope of lists: array, odata or items (A1).
    envelope: str = "array"
    # When an odata page has a link to the next page (A2). always: while there are more rows; until_top: while there
    # are more rows and fewer than $top were served, as OData defines it; never.
    next_links: str = "always"
    page_cap: int | None = None
    token_lifetime: int = 3600
    # Seconds after which a pending ACH refund succeeds by itself (A10).
    settle_after: float = 60.0
    # Seconds before a webhook is sent.
    webhook_delay: float = 0.0
    # Calls a minute with one session's credential; the limit is documented, the figure is our choice.
    session_rate: int = 300

    def __post_init__(self) -> None:
        if self.envelope not in ("array", "odata", "items"):
            raise ValueError(f"envelope must be array, odata or items, not {self.envelope!r}")
        if self.next_links not in ("always", "until_top", "never"):
            raise ValueError(f"next_links must be always, until_top or never, not {self.next_links!r}")
        if self.page_cap is not None and self.page_cap < 1:
            raise ValueError("page_cap must be positive")


@dataclass
class Platform:
    settings: Settings
    store: Store
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    webhook_faults: WebhookFaults = field(default_factory=WebhookFaults)
    requests: deque[Doc] = field(default_factory=lambda: deque(maxlen=REQUESTS_KEPT))
    token_requests: int = 0
    client_config_calls: Calls = field(default_factory=dict)
    session_calls: Calls = field(default_factory=dict)
    # Set while the demo city is built, so that the same seed gives the same ids.
    rng: random.Random | None = None
    # Notifies the courier about new deliveries; set while the platform is served.
    wake: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.store.notify = self.clock.moved = lambda: self.wake()
        self.store.ending = self.clock.ending

    @classmethod
    def open(cls, settings: Settings, state: str | Path | None) -> Platform:
        platform = cls(settings, Store(state))
        if latest := platform.store.latest():
            platform.clock.seen(latest)
        return platform

    def new_uid(self, prefix: str) -> str:
        """Return a random id, so that the order by uid differs from the order by age."""
        digits = self.rng.randbytes(10).hex() if self.rng else secrets.token_hex(10)
        return f"{prefix}_{digits}"

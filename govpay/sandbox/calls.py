"""`Call`, a request in the form that routes receive, and `SandboxRoute`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from govpay.sandbox.answers import Answer
from govpay.sandbox.errors import Refusal
from govpay.sandbox.platform import Platform
from govpay.sandbox.store import StoredRow

# Required credential: none, the admin token, the admin token with an account, a session's own credential.
ANYONE, ADMIN, ACCOUNT, SESSION = "anyone", "admin", "account", "session"


@dataclass
class Call:
    """A request whose route, credential, account header and JSON have been checked."""

    platform: Platform
    path: str
    origin: str
    headers: dict[str, str]
    query: dict[str, list[str]] = field(default_factory=dict)
    body: Any = None
    data: bytes = b""
    account: StoredRow | None = None
    session: StoredRow | None = None
    # Maximum rows of a page, in addition to the platform's own limit.
    page_cap: int | None = None
    # Whether a list refuses every query option.
    no_options: bool = False
    # `act_after`: seconds until a write is carried out (None: at once). `lag`: a read shows the state of so many
    # seconds ago.
    act_after: float | None = None
    lag: float = 0.0

    @property
    def account_uid(self) -> str:
        return self.the_account.uid

    @property
    def the_account(self) -> StoredRow:
        if self.account is None:
            raise Refusal(400, "validation_error", "X-Payment-Account-Uid is required.")
        return self.account


@dataclass(frozen=True)
class SandboxRoute:
    """One route. `path` is in werkzeug's notation. `json` is true if the route requires a JSON body."""

    method: str
    path: str
    run: Callable[..., Answer]
    credential: str = ACCOUNT
    json: bool = False

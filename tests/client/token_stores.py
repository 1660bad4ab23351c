"""Token stores for tests: one in a file that processes share, one in memory, one that is broken."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from govpay.client import Token


class FileStore:
    """A ``TokenStore`` in one JSON file, atomic through a lock on another."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _locked(self) -> Iterator[dict[str, Any]]:
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            kept = json.loads(self.path.read_text()) if self.path.exists() else {}
            before = json.dumps(kept)
            yield kept
            if json.dumps(kept) != before:
                self.path.write_text(json.dumps(kept))

    def load(self) -> Token | None:
        with self._locked() as kept:
            return Token(**kept["token"]) if "token" in kept else None

    def save(self, token: Token) -> None:
        with self._locked() as kept:
            kept["token"] = asdict(token)

    def drop(self, access_token: str) -> None:
        with self._locked() as kept:
            if kept.get("token", {}).get("access_token") == access_token:
                del kept["token"]

    def acquire(self, owner: str, lease: float) -> bool:
        with self._locked() as kept:
            if kept.get("lease_until", 0) > time.time():
                return False
            kept.update(lease_owner=owner, lease_until=time.time() + lease)
            return True

    def release(self, owner: str) -> None:
        with self._locked() as kept:
            if kept.get("lease_owner") == owner:
                kept.pop("lease_until", None)

    def block(self, seconds: float, why: str) -> None:
        with self._locked() as kept:
            kept.update(blocked_until=time.time() + seconds, why=why)

    def blocked(self) -> tuple[float, str]:
        with self._locked() as kept:
            return max(0.0, kept.get("blocked_until", 0) - time.time()), kept.get("why", "")


@dataclass
class MemoryStore:
    """A ``TokenStore`` that several authorizers of one process share as if they were processes; counts its use."""

    token: Token | None = None
    lease: tuple[str, float] | None = None
    blocked_until: float = 0.0
    why: str = ""
    uses: list[str] = field(default_factory=list)

    def load(self) -> Token | None:
        self.uses.append("load")
        return self.token

    def save(self, token: Token) -> None:
        self.uses.append("save")
        self.token = token

    def drop(self, access_token: str) -> None:
        self.uses.append("drop")
        if self.token is not None and self.token.access_token == access_token:
            self.token = None

    def acquire(self, owner: str, lease: float) -> bool:
        self.uses.append("acquire")
        if self.lease is not None and self.lease[1] > time.monotonic():
            return False
        self.lease = owner, time.monotonic() + lease
        return True

    def release(self, owner: str) -> None:
        self.uses.append("release")
        if self.lease is not None and self.lease[0] == owner:
            self.lease = None

    def block(self, seconds: float, why: str) -> None:
        self.uses.append("block")
        self.blocked_until, self.why = time.monotonic() + seconds, why

    def blocked(self) -> tuple[float, str]:
        self.uses.append("blocked")
        return max(0.0, self.blocked_until - time.monotonic()), self.why


class BrokenStore:
    """A cache that is down: each call raises an error that quotes its arguments."""

    def __getattr__(self, name: str) -> Any:
        def fail(*args: Any) -> Any:
            raise ConnectionError(f"redis is down: {args!r}")

        return fail


def stored_token(access_token: str = "stored", *, left: float, life: float = 3600.0) -> Token:
    now = time.time()
    return Token(access_token, now + left, life, now + left - life)

"""What a site on this machine alone keeps in files: secrets made once, and the names of its databases."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path


def kept_secret(path: Path, length: int) -> str:
    """The text in ``path``; the first caller writes it, even when several start at once."""
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(length))
    try:
        os.link(fresh, path)  # unlike a rename, it never replaces what another process wrote
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return _read(path)


def _read(path: Path) -> str:
    text = path.read_text().strip()
    if not text:
        raise RuntimeError(f"{path} is empty; delete it and start again.")
    return text


def demo_secret_key(path: Path) -> str:
    """``SECRET_KEY`` of the demo."""
    return kept_secret(path, 50)


def demo_password(path: Path) -> str:
    """The password of the demo's staff user, the same at each start."""
    return kept_secret(path, 9)


def mark(address: str) -> str:
    """A short name for a platform, for a file that belongs to it."""
    return hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:8]

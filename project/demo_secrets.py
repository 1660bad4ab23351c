"""Secrets that the demo creates once and keeps in files, and the short names of its databases."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path


def stored_secret(path: Path, length: int) -> str:
    """Return the secret in ``path``. The first caller creates it, also if several processes start at once.

    ``length``: random bytes of a new secret. Raises ``RuntimeError`` if the file is empty.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(length))
    try:
        os.link(fresh, path)  # unlike a rename, a link never replaces the file of another process
    except FileExistsError:
        pass
    except OSError:  # some file systems have no links, such as folders that a virtual machine shares with its host
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    return _read(path)


def _read(path: Path) -> str:
    text = path.read_text(encoding="utf-8").strip()
    if not text:
        raise RuntimeError(f"{path} is empty; delete it and start again.")
    return text


def demo_secret_key(path: Path) -> str:
    """Return the demo's ``SECRET_KEY``."""
    return stored_secret(path, 50)


def demo_password(path: Path) -> str:
    """Return the password of the demo's staff user. It is the same at each start."""
    return stored_secret(path, 9)


def mark(address: str) -> str:
    """Return a short hash of a platform's URL, for the names of files that belong to that platform."""
    return hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:8]

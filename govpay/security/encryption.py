"""Encryption of stored secrets: Fernet with several keys. The newest key encrypts, and every key decrypts."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from django.conf import settings

from govpay import conf
from govpay.exceptions import ConfigurationError, EncryptionError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


def seal(text: str) -> str:
    """Encrypt ``text`` with the newest key. Raises ``ConfigurationError`` for a malformed key."""
    return _cipher(_keys()).encrypt(text.encode()).decode("ascii")


def unseal(token: str, whose: str = "") -> str:
    """Decrypt a token of ``seal`` with any configured key. ``whose`` names the row in the error.

    Raises ``EncryptionError`` when no key fits: a key was lost or removed too early.
    """
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 - loaded with the first secret, not with the models

    try:
        return _cipher(_keys()).decrypt(token.encode("ascii", "replace")).decode()
    except InvalidToken:
        raise EncryptionError(
            f'{whose or "A stored secret"} cannot be read with any key of GOVPAY["ENCRYPTION_KEYS"]. '
            "Add the missing old key to the end of the list again."
        ) from None


def resealed(token: str, whose: str = "") -> str | None:
    """Return the token encrypted with the newest key; ``None`` if it already is. Raises the errors of ``unseal``."""
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 - see above

    try:
        _cipher(_keys()[:1]).decrypt(token.encode("ascii", "replace"))
    except InvalidToken:
        return seal(unseal(token, whose))
    return None


def _keys() -> tuple[str, ...]:
    """Return the keys, newest first. Keys made from SECRET_KEY come last: they decrypt values older than the others."""
    keys = tuple(str(key) for key in conf.get("ENCRYPTION_KEYS"))
    if not keys and not settings.SECRET_KEY:
        raise ConfigurationError('Neither GOVPAY["ENCRYPTION_KEYS"] nor SECRET_KEY is set.')
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return (*keys, *(_derived(str(secret)) for secret in secrets if secret))


def _derived(secret: str) -> str:
    # The label makes this key differ from every other key that Django derives from SECRET_KEY.
    return base64.urlsafe_b64encode(hashlib.sha256(b"govpay.encryption:" + secret.encode()).digest()).decode()


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - see above

    try:
        return MultiFernet([Fernet(key) for key in keys])
    except (ValueError, TypeError):
        raise ConfigurationError(
            'GOVPAY["ENCRYPTION_KEYS"] must hold Fernet keys: 32 bytes in url-safe base64, newest first.'
        ) from None

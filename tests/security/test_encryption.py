"""``govpay.security.encryption``: key rotation, a lost key, and the default without a setting."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet

from govpay.exceptions import ConfigurationError, EncryptionError
from govpay.models.fields import Sealed
from govpay.security.encryption import resealed, seal, unseal


def keyed(settings: Any, *keys: str) -> None:
    settings.GOVPAY = {**settings.GOVPAY, "ENCRYPTION_KEYS": list(keys)}


def test_round_trip_with_the_key_derived_from_secret_key() -> None:
    token = seal("whsec_canary")
    assert "canary" not in token
    assert unseal(token) == "whsec_canary"


def test_both_keys_read_and_the_newest_writes(settings: Any) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    keyed(settings, old)
    written = seal("before")
    keyed(settings, new, old)
    assert unseal(written) == "before"
    after = seal("after")
    keyed(settings, new)
    assert unseal(after) == "after"
    with pytest.raises(EncryptionError, match="ENCRYPTION_KEYS"):
        unseal(written)


def test_secret_key_fallbacks_read(settings: Any) -> None:
    written = seal("x")
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    with pytest.raises(EncryptionError):
        unseal(written)
    settings.SECRET_KEY_FALLBACKS = [old]
    assert unseal(written) == "x"


def test_what_secret_key_wrote_is_read_once_there_are_keys(settings: Any) -> None:
    written = seal("x")
    keyed(settings, Fernet.generate_key().decode())
    assert unseal(written) == "x"
    assert resealed(written) is not None
    own = seal("y")
    settings.GOVPAY = {**settings.GOVPAY, "ENCRYPTION_KEYS": []}
    with pytest.raises(EncryptionError):
        unseal(own)


def test_a_value_under_the_newest_key_is_left(settings: Any) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    keyed(settings, old)
    written = seal("x")
    assert resealed(written) is None
    keyed(settings, new, old)
    again = resealed(written)
    assert again is not None
    keyed(settings, new)
    assert unseal(again) == "x"
    with pytest.raises(EncryptionError, match="The secret of it cannot be read"):
        resealed(written, "The secret of it")


def test_a_malformed_key_is_a_configuration_error_without_the_key(settings: Any) -> None:
    keyed(settings, "not-a-key-canary")
    with pytest.raises(ConfigurationError) as caught:
        seal("x")
    assert "canary" not in str(caught.value)


def test_a_sealed_value_shows_nothing() -> None:
    sealed = Sealed.of("whsec_canary")
    assert repr(sealed) == str(sealed) == "<sealed>"
    assert sealed.reveal() == "whsec_canary"

"""``govpay.conf`` and the system checks that speak for it."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks

from govpay import conf
from govpay.exceptions import ConfigurationError

GOOD = {
    "CLIENT_ID": "id",
    "CLIENT_SECRET": "secret",
    "TOKEN_URL": "https://auth.example/oauth2/token",
    "API_URL": "https://api.example",
}


def found(settings: Any, **changes: Any) -> list[tuple[str, str]]:
    """The messages of govpay's checks: (id, message and hint)."""
    settings.GOVPAY = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    return [(str(m.id), f"{m.msg} {m.hint}") for m in run_checks(tags=["govpay"])]


def test_good_settings_have_no_findings(settings: Any) -> None:
    assert found(settings) == []


@pytest.mark.parametrize("name", conf.REQUIRED)
def test_a_missing_setting_is_an_error_with_its_cure(settings: Any, name: str) -> None:
    ((check, text),) = found(settings, **{name: ...})
    assert check == "govpay.E001"
    assert f'GOVPAY["{name}"] is not set' in text
    with pytest.raises(ConfigurationError, match=name):
        conf.get(name)


def test_a_misspelt_setting_names_the_nearest(settings: Any) -> None:
    ((check, text),) = found(settings, CLIENT_SECRT="x")
    assert check == "govpay.E001"
    assert "Did you mean 'CLIENT_SECRET'?" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [("PAGE_SIZE", "100"), ("PAGE_SIZE", 0), ("PAGE_SIZE", True), ("READ_TIMEOUT", -1), ("ROUTES", []), ("SCOPE", 5)],
)
def test_a_wrong_type_or_value_is_an_error(settings: Any, name: str, value: Any) -> None:
    ids = {check for check, text in found(settings, **{name: value}) if name in text}
    assert ids == {"govpay.E001"}


def test_not_a_dict(settings: Any) -> None:
    settings.GOVPAY = ["CLIENT_ID"]
    messages = run_checks(tags=["govpay"])
    assert "must be a dict" in messages[0].msg


@pytest.mark.parametrize("name", ["API_URL", "TOKEN_URL"])
def test_plain_http_is_for_loopback_only(settings: Any, name: str) -> None:
    ((check, text),) = found(settings, **{name: "http://api.example/x"})
    assert check == "govpay.E002"
    assert name in text
    assert found(settings, **{name: "http://127.0.0.1:8801/x"}) == []


def test_an_unknown_cache_alias(settings: Any) -> None:
    ((check, text),) = found(settings, CACHE="elsewhere")
    assert check == "govpay.E003"
    assert "elsewhere" in text


@pytest.mark.parametrize("backend", ["locmem.LocMemCache", "dummy.DummyCache", "filebased.FileBasedCache"])
def test_caches_that_processes_cannot_share_are_told(settings: Any, backend: str, tmp_path: Any) -> None:
    backend = f"django.core.cache.backends.{backend}"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(tmp_path)}}
    ((check, text),) = found(settings)
    assert check == "govpay.W001"
    assert "default" in text


def test_encryption_keys_that_fernet_refuses(settings: Any) -> None:
    ((check, text),) = found(settings, ENCRYPTION_KEYS=["too short"])
    assert check == "govpay.E004"
    assert "too short" not in text


def test_a_route_override_without_its_placeholder(settings: Any) -> None:
    ((check, text),) = found(settings, ROUTES={"refund_payment": "/api/refunds"})
    assert check == "govpay.E005"
    assert "refund_payment" in text


def test_a_site_without_time_zones(settings: Any) -> None:
    settings.USE_TZ = False
    ((check, text),) = found(settings)
    assert check == "govpay.E006"
    assert "USE_TZ" in text

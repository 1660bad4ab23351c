"""``govpay.conf`` and the system checks of the settings."""

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
    [
        ("PAGE_SIZE", "100"),
        ("PAGE_SIZE", 0),
        ("PAGE_SIZE", True),
        ("READ_TIMEOUT", -1),
        ("ROUTES", []),
        ("SCOPE", 5),
        ("LIMIT_STAFF_TO_ACCOUNTS", "no"),
        ("LIMIT_STAFF_TO_ACCOUNTS", 1),
    ],
)
def test_a_wrong_type_or_value_is_an_error(settings: Any, name: str, value: Any) -> None:
    ids = {check for check, text in found(settings, **{name: value}) if name in text}
    assert ids == {"govpay.E001"}


@pytest.mark.parametrize("value", [True, False])
def test_a_switch_may_be_off(settings: Any, value: bool) -> None:
    assert found(settings, LIMIT_STAFF_TO_ACCOUNTS=value) == []


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


@pytest.mark.parametrize(
    "address",
    [
        "/static/component.js",
        "cdn.example/component.js",
        "http://cdn.example/component.js",
        "https:///component.js",
        "https://[::1/component.js",
        "https://cdn.example:x/component.js",
        "https://user@cdn.example/component.js",
        "https://cdn.example/a b.js",
        "https://cdn.example/a.js; script-src *",
        "https://cdn.example,evil.example/a.js",
    ],
)
def test_a_component_that_no_page_may_load(settings: Any, address: str) -> None:
    ((check, text),) = found(settings, COMPONENT_SCRIPT_URL=address, COMPONENT_SCRIPT_INTEGRITY="sha384-x")
    assert check == "govpay.E007"
    assert "COMPONENT_SCRIPT_URL" in text


def test_a_component_that_is_loaded_is_pinned(settings: Any) -> None:
    address = "https://cdn.example/component.js"
    assert found(settings, COMPONENT_SCRIPT_URL=address, COMPONENT_SCRIPT_INTEGRITY="sha384-x") == []
    assert [check for check, _ in found(settings, COMPONENT_SCRIPT_URL=address)] == ["govpay.W002"]
    settings.ALLOWED_HOSTS = ["cdn.example"]
    assert found(settings, COMPONENT_SCRIPT_URL=address) == []
    assert found(settings, COMPONENT_SCRIPT_URL="http://127.0.0.1:8801/component.js") == []
    settings.DEBUG = True
    assert [check for check, _ in found(settings, COMPONENT_SCRIPT_URL="http://dev.example/x.js")] == ["govpay.W002"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://pay.example.gov/paid",
        "https://pay.example.gov?x=1",
        "https://user@pay.example.gov",
        "http://pay.example.gov",
        "pay.example.gov",
        "https://*.example.gov",
        "https://a.example, https://b.example",
        "https://[::1",
        "",
        None,
    ],
)
def test_an_origin_that_is_none(settings: Any, origin: Any) -> None:
    ((check, text),) = found(settings, CHECKOUT_ORIGINS=["https://good.example", origin])
    assert check == "govpay.E008"
    assert "CHECKOUT_ORIGINS" in text
    assert "[1]" in text


def test_origins_that_are_some(settings: Any) -> None:
    good = ["https://pay.example.gov", "https://Pay.example.gov:8443/", "http://127.0.0.1:8000", "http://[::1]:8000"]
    assert found(settings, CHECKOUT_ORIGINS=good) == []


@pytest.mark.parametrize("path", ["nowhere.Token", "rest_framework.authentication.Nobody", "token", "", None, 5])
def test_a_way_to_sign_in_that_is_none(settings: Any, path: Any) -> None:
    good = "rest_framework.authentication.TokenAuthentication"
    ((check, text),) = found(settings, REST_AUTHENTICATION=[good, path])
    assert check == "govpay.E010"
    assert repr(path) in text
    assert found(settings, REST_AUTHENTICATION=[good]) == []


@pytest.mark.parametrize("rate", ["600", "min", "x/min", "-1/min", "5/week", "/", "5/", "²/min"])
def test_a_rate_that_is_none(settings: Any, rate: str) -> None:
    ((check, text),) = found(settings, REST_RATE=rate)
    assert check == "govpay.E001"
    assert "REST_RATE" in text
    assert found(settings, REST_RATE="", REST_ACT_RATE="5/hour") == []


@pytest.mark.parametrize("name", ["API_URL", "TOKEN_URL"])
def test_an_address_that_is_none_is_no_crash(settings: Any, name: str) -> None:
    assert [check for check, _ in found(settings, **{name: "https://[::1"})] == ["govpay.E002"]


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


REDIS = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:6379/0"}
BOTH = {"socket_connect_timeout": 1, "socket_timeout": 1}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["govpay.W004"]),
        ({"OPTIONS": {"socket_timeout": 1}}, ["govpay.W004"]),
        ({"OPTIONS": {"socket_connect_timeout": 1}}, ["govpay.W004"]),
        ({"OPTIONS": BOTH}, []),
        ({"LOCATION": f"{REDIS['LOCATION']}?socket_timeout=1&socket_connect_timeout=1"}, []),
        ({"LOCATION": [REDIS["LOCATION"]], "OPTIONS": BOTH}, []),
        ({"BACKEND": "django_redis.cache.RedisCache", "OPTIONS": {name.upper(): 1 for name in BOTH}}, []),
    ],
)
def test_a_redis_cache_needs_timeouts(settings: Any, changes: dict[str, Any], expected: list[str]) -> None:
    settings.CACHES = {"default": {**REDIS, **changes}}
    assert [check for check, _ in found(settings)] == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"CONN_MAX_AGE": 0}, []),
        ({"CONN_MAX_AGE": 60}, ["govpay.W005"]),
        ({"CONN_MAX_AGE": None}, ["govpay.W005"]),
        ({"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}, []),
        ({"OPTIONS": {"pool": True}}, ["govpay.W005"]),
        ({"OPTIONS": {"pool": {"min_size": 2}}, "CONN_HEALTH_CHECKS": True}, []),
    ],
)
def test_kept_database_connections_need_health_checks(
    settings: Any, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], expected: list[str]
) -> None:
    for name, value in options.items():
        monkeypatch.setitem(settings.DATABASES["default"], name, value)
    assert [check for check, _ in found(settings)] == expected


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


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"DIGEST_RECIPIENTS": ["finance"]}, "'finance'"),
        ({"DIGEST_RECIPIENTS": [None]}, "None"),
        ({"SITE_URL": "http://pay.city.example"}, "SITE_URL"),
        ({"PUBLIC_URL": "http://pay.city.example"}, "PUBLIC_URL"),
        ({"PUBLIC_URL": "https://pay.city.example/?a"}, "PUBLIC_URL"),
        ({"SITE_URL": "https://pay.city.example/admin/"}, "SITE_URL"),
    ],
)
def test_a_digest_that_reaches_nobody(settings: Any, given: dict[str, Any], part: str) -> None:
    ((check, text),) = found(settings, **given)
    assert check == "govpay.E009"
    assert part in text


def test_a_digest_as_it_should_be(settings: Any) -> None:
    given = {"DIGEST_RECIPIENTS": ["finance@city.example"], "PUBLIC_URL": "https://pay.city.example/"}
    assert found(settings, **given) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("payment", "'payments'"),
        ("methods", "Known: clients"),
        ("Terminals", "'terminals'"),
        (None, "Known"),
        (["payments"], "payments"),
    ],
)
def test_a_list_that_is_no_paged_one(settings: Any, name: Any, hint: str) -> None:
    """A misspelt name would have no effect. Saved methods, sessions and subscriptions are never paged."""
    ((check, text),) = found(settings, UNPAGED_LISTS=["payments", name])
    assert check == "govpay.E011"
    assert repr(name) in text
    assert hint in text


def test_every_paged_list_may_come_whole(settings: Any) -> None:
    assert (
        found(settings, UNPAGED_LISTS=("clients", "accounts", "customers", "payments", "transactions", "terminals"))
        == []
    )
    ((check, _),) = found(settings, UNPAGED_LISTS="payments")
    assert check == "govpay.E001"

"""Settings: the host's ``GOVPAY`` dict. It is read each time a setting is used."""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from govpay.exceptions import ConfigurationError

#: Every key with its type and default. ``None`` marks a required setting.
DEFAULTS: dict[str, tuple[type | tuple[type, ...], Any]] = {
    "CLIENT_ID": (str, None),
    "CLIENT_SECRET": (str, None),
    "TOKEN_URL": (str, None),
    "API_URL": (str, "https://api.govifi.com"),
    "SCOPE": (str, "com.govineer.payments/admin"),
    "CACHE": (str, "default"),
    "TOKEN_REFRESH_MARGIN": ((int, float), 300),
    "CONNECT_TIMEOUT": ((int, float), 5),
    "READ_TIMEOUT": ((int, float), 30),
    "CALL_TIMEOUT": ((int, float), 60),
    "ABSENT_AFTER": ((int, float), 900),
    "MAX_RETRIES": (int, 3),
    "PAGE_SIZE": (int, 100),
    "SYNC_INTERVAL": ((int, float), 900),
    "SYNC_SLOT": ((int, float), 300),
    "FULL_SYNC_INTERVAL": ((int, float), 86400),
    "UNPAGED_LISTS": ((list, tuple), ()),
    "WEBHOOK_TOLERANCE": ((int, float), 14400),
    "WEBHOOK_SECRET_GRACE": ((int, float), 86400),
    "EVENT_RETENTION_DAYS": (int, 90),
    "TIME_ZONES": (dict, {}),
    "DAY_ENDS_AT": (str, "00:00"),
    "VOID_DAY_ZONE": (str, "UTC"),
    "ENCRYPTION_KEYS": ((list, tuple), ()),
    "ROUTES": (dict, {}),
    "COMPONENT_SCRIPT_URL": (str, ""),
    "COMPONENT_SCRIPT_INTEGRITY": (str, ""),
    "CHECKOUT_ORIGINS": ((list, tuple), ()),
    "LIMIT_STAFF_TO_ACCOUNTS": (bool, False),
    "DIGEST_RECIPIENTS": ((list, tuple), ()),
    "DIGEST_INTERVAL": ((int, float), 86400),
    "PUBLIC_URL": (str, ""),
    "SITE_URL": (str, ""),  # the former name of PUBLIC_URL, until the next release
    "PUBLIC_PAGE_RATE": (int, 300),
    "TRUSTED_PROXIES": (int, 0),
    "REST_AUTHENTICATION": ((list, tuple), ()),
    "REST_RATE": (str, "600/min"),
    "REST_ACT_RATE": (str, "60/min"),
}

#: Settings that hold a rate, such as ``600/min``; an empty text means no limit.
RATES = ("REST_RATE", "REST_ACT_RATE")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

#: Settings that hold a time of day, such as ``17:00``.
TIMES = ("DAY_ENDS_AT",)

REQUIRED = tuple(name for name, (_, default) in DEFAULTS.items() if default is None)

#: Numbers that may be zero. All other numbers must be positive.
MAY_BE_ZERO = frozenset(
    {"TOKEN_REFRESH_MARGIN", "MAX_RETRIES", "WEBHOOK_SECRET_GRACE", "PUBLIC_PAGE_RATE", "TRUSTED_PROXIES"}
)


def given() -> dict[str, Any]:
    """Return the ``GOVPAY`` dict of the host, or an empty dict."""
    value = getattr(settings, "GOVPAY", {})
    return value if isinstance(value, dict) else {}


def get(name: str) -> Any:
    """Return the value of one setting.

    Raises ``ConfigurationError`` when a required setting is missing, and ``KeyError`` for an unknown name.
    """
    _, default = DEFAULTS[name]
    value = given().get(name, default)
    if value is None or (value == "" and default is None):
        raise ConfigurationError(f'GOVPAY["{name}"] is not set. Add it to the GOVPAY dict of the settings.')
    return value


def parse_rate(text: str) -> tuple[int, int]:
    """Parse ``"600/min"`` into the number and the period in seconds. Raises ``ValueError``."""
    count, _, period = text.partition("/")
    if not (count.isascii() and count.isdigit()) or period[:1] not in _SECONDS:
        raise ValueError("no rate")
    return int(count), _SECONDS[period[:1]]


def parse_time(text: str) -> dt.time:
    """``"17:00"`` → the time of day. Raises ``ValueError``."""
    if not re.fullmatch(r"[0-9]{2}:[0-9]{2}", text):
        raise ValueError("no time of day")
    return dt.time.fromisoformat(text)


def time_of(name: str) -> dt.time:
    """Return the value of a setting of ``TIMES``. Raises ``ConfigurationError`` if it is no time of day."""
    try:
        return parse_time(get(name))
    except ValueError:
        raise ConfigurationError(f'GOVPAY["{name}"] is no time of day such as 17:00.') from None


def problems() -> Iterator[tuple[str, str, str]]:
    """Return the errors in the dict as (key, message, hint), for the system checks and the commands."""
    if not isinstance(getattr(settings, "GOVPAY", {}), dict):
        yield "GOVPAY", "the setting GOVPAY must be a dict.", "Write GOVPAY = {...} in the settings."
        return
    values = given()
    for name in values:
        if name not in DEFAULTS:
            near = difflib.get_close_matches(str(name), DEFAULTS, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(DEFAULTS)}."
            yield str(name), f"GOVPAY has no setting {name!r}.", hint
    for name in REQUIRED:
        if not values.get(name):
            yield name, f'GOVPAY["{name}"] is not set.', f'Add "{name}" to the GOVPAY dict of the settings.'
    for name, value in values.items():
        if name in DEFAULTS and value is not None:
            yield from _value_problems(name, value)


def _value_problems(name: str, value: Any) -> Iterator[tuple[str, str, str]]:
    kind, _ = DEFAULTS[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        yield name, f'GOVPAY["{name}"] must be {names}, not {type(value).__name__}.', f"Give a {names}."
    elif name in RATES:
        try:
            parse_rate(str(value or "1/s"))
        except ValueError:
            yield name, f'GOVPAY["{name}"] is no rate.', "Give one such as 600/min, or an empty text for none."
    elif name in TIMES:
        try:
            parse_time(str(value))
        except ValueError:
            yield name, f'GOVPAY["{name}"] is no time of day.', "Give hours and minutes, such as 17:00."
    elif (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (value < 0 or (value == 0 and name not in MAY_BE_ZERO))
    ):
        yield name, f'GOVPAY["{name}"] must be positive.', "Give a number above zero."

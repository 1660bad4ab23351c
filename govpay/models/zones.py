"""Time zones by name: those of the IANA database, and those of Windows, which the platform uses."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.functional import lazy

from govpay import conf


@lru_cache(maxsize=256)
def zone_named(name: str) -> ZoneInfo | None:
    """Return the zone of an IANA name, or of a Windows name such as ``Mountain Standard Time``, or ``None``."""
    name = name.strip()
    # A Windows name is no IANA name, except "UTC", which is the same zone in both.
    return _iana(name) or _iana(_iana_name_of(name))


def _iana_name_of(windows: str) -> str:
    from babel.core import get_global  # noqa: PLC0415 - 18 ms, and few zones have a Windows name

    return str(get_global("windows_zone_mapping").get(windows, ""))


def _iana(name: str) -> ZoneInfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a directory, or one that is too long
        return None


def void_day_zone() -> ZoneInfo:
    """Return the zone of the day on which a captured payment can be voided: ``VOID_DAY_ZONE``, else UTC."""
    return zone_named(conf.get("VOID_DAY_ZONE")) or ZoneInfo("UTC")


def with_void_day_zone(text: Any) -> Any:
    """``text``, a lazy translation, whose ``%(zone)s`` becomes the name of that zone when it is shown."""
    return lazy(lambda: str(text) % {"zone": void_day_zone().key}, str)()

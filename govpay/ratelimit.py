"""Rate limits: visits of one address and of one page, and logged refusals of one address.

We do not use ``django-ratelimit``: its last release is from 2023, its system check refuses ``DatabaseCache`` and
Django's own ``RedisCache``, and a cache that is down breaks the page. DRF's throttles store lists of timestamps.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import Counter

from django.http import HttpRequest

from govpay import conf
from govpay.cache import FailOpenCache, visits_key

#: Length in seconds of the window in which visits are counted.
WINDOW = 60
#: Maximum number of addresses for which a process counts refusals at a time.
MAX_ADDRESSES = 10_000

_cache = FailOpenCache("cache of visits")


def address_retry_after(request: HttpRequest) -> int:
    """Count this visit of an address; returns the seconds until the next visit is allowed, 0 if it is allowed now."""
    address = address_of(request)
    return _wait("address", address) if address else 0


def page_retry_after(public_id: str) -> int:
    """Count a visit of one page; returns the same as ``address_retry_after``. Call it for existing pages only."""
    return _wait("page", public_id)


def address_of(request: HttpRequest) -> str:
    """Return the visitor's address, for IPv6 its /64 network; empty when it is not known.

    Only the parts of ``X-Forwarded-For`` that our own proxies wrote are trusted (``TRUSTED_PROXIES``). Without proxies,
    an address that is not public counts as unknown: it is probably a proxy that is not configured, and all visitors
    would seem to have this address.
    """
    proxies: int = conf.get("TRUSTED_PROXIES")
    told = str(request.META.get("REMOTE_ADDR", ""))
    if proxies:
        seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
        told = seen[-proxies] if len(seen) >= proxies else told
    try:
        address = ipaddress.ip_address(_bare(told))
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            network = ipaddress.ip_network((int(address) >> 64 << 64, 64))
            return str(network) if proxies or address.is_global else ""
        address = address.ipv4_mapped
    return str(address) if proxies or address.is_global else ""


def _bare(told: str) -> str:
    """Return the address without the port that some proxies add."""
    if told.startswith("["):
        return told[1:].partition("]")[0]
    return told.partition(":")[0] if told.count(":") == 1 else told.partition("%")[0]


def _wait(kind: str, name: str) -> int:
    most: int = conf.get("PUBLIC_PAGE_RATE")
    if not most:
        return 0
    now = time.time()
    if _cache.count(visits_key(kind, name, int(now // WINDOW)), 2 * WINDOW, otherwise=0) <= most:
        return 0
    return max(1, round(WINDOW - now % WINDOW))


class Refusals:
    """Counts this process's refusals per address and minute. In memory, because a flood must not reach a cache."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window = 0
        self._count: Counter[str] = Counter()

    def too_many(self, address: str) -> int:
        """Count one refusal. Above ``PUBLIC_PAGE_RATE``, returns the seconds without further log lines; else 0."""
        most: int = conf.get("PUBLIC_PAGE_RATE")
        if not most or not address:
            return 0
        now = time.time()
        with self._lock:
            if self._window != int(now // WINDOW):
                self._window = int(now // WINDOW)
                self._count.clear()
            if address not in self._count and len(self._count) >= MAX_ADDRESSES:
                return 0
            self._count[address] += 1
            over = self._count[address] > most
        return max(1, round(WINDOW - now % WINDOW)) if over else 0

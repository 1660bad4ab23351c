"""How often one address may come and one page be asked for, and how many refusals of an address are told.

Our own and not ``django-ratelimit``: its last release is of 2023, its system check refuses ``DatabaseCache`` and
Django's own ``RedisCache``, and a cache that is down breaks the page. DRF's throttles keep lists of moments.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import Counter

from django.http import HttpRequest

from govpay import conf
from govpay.cache import FailOpenCache, visits_key

#: Seconds over which visits are counted.
WINDOW = 60
#: Addresses that a process counts refusals of at a time.
MAX_ADDRESSES = 10_000

_cache = FailOpenCache("cache of visits")


def wait_of_address(request: HttpRequest) -> int:
    """Seconds until this visitor may come again, 0 for at once; counts this visit. So do the others."""
    address = address_of(request)
    return _wait("address", address) if address else 0


def wait_of_page(public_id: str) -> int:
    """The same for one page, whoever comes. Only for pages that exist: others would fill the cache."""
    return _wait("page", public_id)


def address_of(request: HttpRequest) -> str:
    """The visitor's address, of IPv6 the network of the connection (/64); empty where it is not known.

    Of ``X-Forwarded-For`` only what our own proxies wrote is believed (``TRUSTED_PROXIES``). Without any, an address
    that is not public is taken for that of a proxy nobody has told of, behind which all visitors look alike.
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
    """Without the port that some proxies write."""
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
    """What this process refused to each address within this minute. In memory: a flood must not reach a cache."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window = 0
        self._count: Counter[str] = Counter()

    def too_many(self, address: str) -> int:
        """Counts one; seconds until they are told again, once there are more than ``PUBLIC_PAGE_RATE``; else 0."""
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

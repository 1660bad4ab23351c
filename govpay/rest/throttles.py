"""How often one user may ask: a window that is counted in the shared cache."""

from __future__ import annotations

import math
import time
from typing import Any

from django.core.cache import caches
from rest_framework.throttling import BaseThrottle

from govpay import conf
from govpay.client.stores import Guard

_guard = Guard("cache of throttles")


class Rate(BaseThrottle):
    """One user's requests in a window. A cache that is down holds nobody up.

    Strangers, and who may not ask, are refused before: they cost no more than this count would.
    """

    scope = ""
    setting = ""

    def allow_request(self, request: Any, view: Any) -> bool:
        rate = conf.get(self.setting)
        if not rate:
            return True
        most, seconds = conf.parse_rate(rate)
        now = time.time()
        self.left = seconds - now % seconds
        cache = caches[conf.get("CACHE")]
        key = f"govpay:rest:{self.scope}:{request.user.pk}:{int(now // seconds)}"
        if _guard(lambda: cache.add(key, 1, timeout=seconds + 1), True):
            return most >= 1
        return int(_guard(lambda: cache.incr(key), 1)) <= most

    def wait(self) -> float:
        return math.ceil(self.left)


class UserRate(Rate):
    scope = "all"
    setting = "REST_RATE"


class ActRate(Rate):
    scope = "acts"
    setting = "REST_ACT_RATE"

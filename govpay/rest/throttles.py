"""How often one user may ask: a window that is counted in the shared cache."""

from __future__ import annotations

import math
import time
from typing import Any

from rest_framework.throttling import BaseThrottle

from govpay import conf
from govpay.cache import FailOpenCache, throttle_key

_cache = FailOpenCache("cache of throttles")


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
        return _cache.count(throttle_key(self.scope, request.user.pk, int(now // seconds)), seconds + 1) <= most

    def wait(self) -> float:
        return math.ceil(self.left)


class UserRate(Rate):
    scope = "all"
    setting = "REST_RATE"


class ActRate(Rate):
    scope = "acts"
    setting = "REST_ACT_RATE"

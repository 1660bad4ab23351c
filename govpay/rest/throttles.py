"""Rate limits of each user, counted per time window in the shared cache."""

from __future__ import annotations

import math
import time
from typing import Any

from rest_framework.throttling import BaseThrottle

from govpay import conf
from govpay.cache import FailOpenCache, throttle_key

_cache = FailOpenCache("cache of throttles")


class Rate(BaseThrottle):
    """Limits one user's requests in a time window. If the cache is down, requests are not limited.

    Anonymous users and users without permission are not counted: they are refused earlier, and a refusal costs no more
    than counting.
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

"""The router keeps the cache table and all other tables in separate databases."""

from __future__ import annotations

import pytest
from django.core.cache import caches
from django.db import connections

from govpay.models import Payment
from project.routers import CACHE, CacheRouter


def test_only_the_cache_goes_to_its_database() -> None:
    router = CacheRouter()
    assert router.allow_migrate(CACHE, "django_cache") is True
    assert router.allow_migrate(CACHE, "govpay") is False
    assert router.allow_migrate("default", "django_cache") is False
    assert router.allow_migrate("default", "govpay") is None
    assert router.db_for_read(Payment) is None
    assert router.db_for_write(Payment) is None


@pytest.mark.skipif(CACHE not in connections, reason="the cache is elsewhere")
def test_cache_of_the_suite_works_without_the_mark_of_a_database_test() -> None:
    cache = caches["default"]
    assert cache.add("key", 1)
    assert not cache.add("key", 2)
    assert cache.get("key") == 1

"""Database router: the cache table has its own SQLite file, and no other table is in that file."""

from __future__ import annotations

from typing import Any

CACHE = "cache"
CACHE_APP = "django_cache"  # the label that DatabaseCache gives its table


class CacheRouter:
    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return CACHE if model._meta.app_label == CACHE_APP else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        if db == CACHE or app_label == CACHE_APP:
            return db == CACHE and app_label == CACHE_APP
        return None

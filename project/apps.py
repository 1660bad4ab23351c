"""The demo site as a Django app, with the command ``demo``. ``migrate`` creates its cache table."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.core.management import call_command
from django.db import connections
from django.db.models.signals import post_migrate

from project.routers import CACHE


class ProjectConfig(AppConfig):
    name = "project"

    def ready(self) -> None:
        post_migrate.connect(make_cache_table, sender=apps.get_app_config("govpay"))


def make_cache_table(**_: Any) -> None:
    """Create the table of the cache. Without it each process would fetch an access token of its own."""
    if CACHE in connections:
        call_command("createcachetable", database=CACHE, verbosity=0)

"""System checks of the databases: their connections, their places, and times with a zone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import router


@register("govpay")
def check_connections(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.W005``: database connections that outlive a request, or come from a pool, and are not tested."""
    return [
        Warning(
            f"DATABASES[{alias!r}] keeps connections and does not test them before a request.",
            hint="Set CONN_HEALTH_CHECKS = True. Otherwise a request fails when the database has ended its connection.",
            id="govpay.W005",
        )
        for alias, database in settings.DATABASES.items()
        if (database.get("CONN_MAX_AGE", 0) != 0 or (database.get("OPTIONS") or {}).get("pool"))
        and not database.get("CONN_HEALTH_CHECKS")
    ]


@register("govpay")
def check_databases(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.E012``: tables of govpay, or tables that they refer to, which a router sends to different databases."""
    models: list[Any] = list(apps.get_app_config("govpay").get_models())
    models += [field.related_model for model in models for field in model._meta.concrete_fields if field.is_relation]
    if len({router.db_for_write(model) for model in models}) == 1:
        return []
    places = ", ".join(sorted({f"{router.db_for_write(model)}: {model._meta.label}" for model in models}))
    text = f"DATABASE_ROUTERS send govpay's tables and those that they refer to to different databases ({places})."
    hint = "A database for govpay alone must hold django.contrib.auth (or your user model) too: there are foreign keys."
    return [Error(text, hint=hint, id="govpay.E012")]


@register("govpay")
def check_time_zones(app_configs: Any = None, **_: Any) -> Sequence[CheckMessage]:
    """``govpay.E006``: a site with ``USE_TZ = False`` cannot store the platform's times."""
    if settings.USE_TZ:
        return []
    return [Error("USE_TZ is False.", hint="Set USE_TZ = True, Django's default.", id="govpay.E006")]

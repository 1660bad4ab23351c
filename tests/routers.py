"""Routers of sites with more than one database."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS

REPLICA = "replica"
OTHER = "other"


class ReplicaRouter:
    """All reads of govpay's tables go to a replica, as in the example of Django's documentation.

    The whole suite runs with it. ``tests.replica_database`` fails at the first read.
    """

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return REPLICA if model._meta.app_label == "govpay" else None

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if db == REPLICA else None


class AppsRouter:
    """The tables of these apps are in the database ``other``, all the rest is in ``default``."""

    def __init__(self, *labels: str) -> None:
        self.labels = labels

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return OTHER if model._meta.app_label in self.labels else DEFAULT_DB_ALIAS

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return db == (OTHER if app_label in self.labels else DEFAULT_DB_ALIAS)


class ModelsRouter:
    """Keeps the tables of govpay out of ``other`` by the names of the models. All else may be in both."""

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool | None:
        return False if db == OTHER and app_label == "govpay" and model_name else None

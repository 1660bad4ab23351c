"""A backup of govpay's tables, and its restore while the platform keeps its newer state."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import transaction


class Backup:
    """Every row of govpay as it is now. ``restore`` deletes what was written since and brings back the rest."""

    def __init__(self) -> None:
        models: list[Any] = list(apps.get_app_config("govpay").get_models())
        self.rows = {model: list(model._base_manager.order_by("pk")) for model in models}

    def restore(self) -> None:
        with transaction.atomic():
            for model in self.rows:
                rows = model._base_manager.all()
                rows._raw_delete(rows.db)
            for model, kept in self.rows.items():
                model._base_manager.bulk_create(kept)

"""Finds every column with sealed values, and reads their rows in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import models, router
from django.db.models import Q

from govpay.models.fields import SealedField

#: Rows read by one statement, by default.
BATCH = 500


def sealed_columns() -> list[tuple[type[models.Model], tuple[str, ...]]]:
    """Return each model with its sealed columns. This includes the models of the host."""
    found = []
    for model in apps.get_models():
        names = tuple(field.name for field in model._meta.concrete_fields if isinstance(field, SealedField))
        if names:
            found.append((model, names))
    return found


def filled(names: tuple[str, ...]) -> Q:
    """Return the filter for rows with a value in at least one of these columns."""
    found = Q()
    for name in names:
        found |= Q(**{f"{name}__isnull": False})
    return found


def rows_to_write(model: type[models.Model]) -> models.QuerySet[Any]:
    """Return all rows of a model, which may be the host's, in the database that is written to."""
    return model._base_manager.using(router.db_for_write(model))


def batches(model: type[models.Model], names: tuple[str, ...], size: int = BATCH) -> Iterator[list[tuple[Any, ...]]]:
    """Yield batches of rows ``(pk, value, …)`` with a value in at least one of these columns, ordered by key."""
    rows = rows_to_write(model).filter(filled(names)).order_by("pk").values_list("pk", *names)
    last: Any = None
    while True:
        page = list((rows if last is None else rows.filter(pk__gt=last))[:size])
        if page:
            yield page
        if len(page) < size:
            return
        last = page[-1][0]

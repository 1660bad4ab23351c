"""Secrets at rest under the newest key: each sealed value written anew, unless somebody else just did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from govpay.exceptions import EncryptionError
from govpay.models.fields import Sealed
from govpay.models.sealed import batches, filled, sealed_columns
from govpay.security.encryption import resealed, seal

#: So often a value is looked at again that changed between our reading and our writing.
ATTEMPTS = 5


@dataclass
class Rotated:
    """What became of one column."""

    model: type[models.Model]
    name: str
    rewritten: int = 0
    #: Written with the newest key already, perhaps by an earlier run.
    current: int = 0
    #: Keys of rows whose value no key can read; they are left as they are.
    lost: list[Any] = field(default_factory=list)
    #: Changed under our hands each time, by a process that still writes with an older key.
    busy: int = 0

    @property
    def label(self) -> str:
        return f"{self.model._meta.object_name}.{self.name}"


def count_sealed() -> int:
    """Rows that ``rotate_keys`` will look at."""
    return sum(model._base_manager.filter(filled(names)).count() for model, names in sealed_columns())


def rotate_keys(advance: Callable[[int], object] = lambda rows: None) -> Iterator[list[Rotated]]:
    """Write every sealed value with the newest key; gives the columns of one model after another.

    Each value is replaced only if it is still what was read, so a change that somebody makes meanwhile
    stays. A stop at any point leaves values under either key, both of which are read; the next run goes
    over all rows and writes what is left. ``advance`` is told how many rows were looked at.

    Raises ``ConfigurationError`` for keys that are none, before anything is written.
    """
    seal("")
    for model, names in sealed_columns():
        found = [Rotated(model, name) for name in names]
        for rows in batches(model, names):
            for pk, *values in rows:
                for column, sealed in zip(found, values, strict=True):
                    if sealed is not None:
                        _rotate(column, pk, sealed)
            advance(len(rows))
        yield found


def _rotate(column: Rotated, pk: Any, sealed: Sealed) -> None:
    rows = column.model._base_manager.filter(pk=pk)
    found: Sealed | None = sealed
    for _attempt in range(ATTEMPTS):
        if found is None:
            return  # wiped, or the row is gone
        try:
            fresh = resealed(found.token)
        except EncryptionError:
            column.lost.append(pk)
            return
        if fresh is None:
            column.current += 1
            return
        if rows.filter(**{column.name: found}).update(**{column.name: Sealed(fresh)}):
            column.rewritten += 1
            return
        found = rows.values_list(column.name, flat=True).first()
    column.busy += 1

"""Key rotation: encrypt every sealed value again with the newest key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from govpay.exceptions import EncryptionError
from govpay.models.fields import Sealed
from govpay.models.sealed import batches, filled, rows_to_write, sealed_columns
from govpay.security.encryption import resealed, seal

#: Maximum tries for a value that another process changes between our read and our write.
ATTEMPTS = 5


@dataclass
class Rotated:
    """The result for one column."""

    model: type[models.Model]
    name: str
    rewritten: int = 0
    #: Values that already use the newest key, perhaps because of an earlier run.
    current: int = 0
    #: Primary keys of rows whose value no key can decrypt. These values stay as they are.
    lost: list[Any] = field(default_factory=list)
    #: Values that another process, which still writes with an older key, changed during each of our tries.
    busy: int = 0

    @property
    def label(self) -> str:
        return f"{self.model._meta.object_name}.{self.name}"


def count_sealed() -> int:
    """Return the number of rows that ``rotate_keys`` will read."""
    return sum(rows_to_write(model).filter(filled(names)).count() for model, names in sealed_columns())


def rotate_keys(advance: Callable[[int], object] = lambda rows: None) -> Iterator[list[Rotated]]:
    """Encrypt every sealed value with the newest key. Yields the results model by model.

    A value is replaced only if it is still the value that was read, so that concurrent changes are kept. The run may be
    stopped at any point, because values of the old and the new key can both be decrypted. The next run reads all rows
    and rewrites the remaining values. ``advance`` is called with the number of rows of each batch.

    Raises ``ConfigurationError`` for invalid keys, before anything is written.
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
    rows = rows_to_write(column.model).filter(pk=pk)
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

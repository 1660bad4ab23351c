"""Serializers of rows: read-only columns, relations as uids, times in UTC."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any

from django.db import models
from rest_framework import serializers

#: The last fields of every mirror serializer.
RECORD = ("created_at", "updated_at", "synced_at", "deleted_at")


class UtcField(serializers.DateTimeField):
    """A time in ISO 8601 and UTC, independent of the host's settings."""

    def to_representation(self, value: Any) -> str | None:
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if value else None


class RowSerializer(serializers.ModelSerializer):
    """Read-only serializer of the columns in ``Meta.fields``. ``?fields=`` selects some of them."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: UtcField,
        # DRF's own field writes texts if the host has set ``COERCE_BIGINT_TO_STRING``.
        models.BigAutoField: serializers.IntegerField,
        models.BigIntegerField: serializers.IntegerField,
    }

    def build_standard_field(self, field_name: str, model_field: Any) -> Any:
        kind, _ = super().build_standard_field(field_name, model_field)
        if model_field.choices:
            kind = serializers.CharField  # an unknown value is shown as it is
        return kind, {"read_only": True, **({"allow_null": True} if model_field.null else {})}

    def build_relational_field(self, field_name: str, relation_info: Any) -> Any:
        # Show the uid in the column: the related row may not be synced yet, or this user may not see it.
        return serializers.CharField, {"source": f"{field_name}_id", "read_only": True, "allow_null": True}

    def get_fields(self) -> dict[str, Any]:
        found: dict[str, Any] = super().get_fields()
        wanted = self.context.get("fields") if self.is_outermost else None
        return found if wanted is None else {name: field for name, field in found.items() if name in wanted}

    @property
    def is_outermost(self) -> bool:
        return self.parent is None or (isinstance(self.parent, serializers.ListSerializer) and not self.parent.parent)


class MirrorSerializer(RowSerializer):
    created_at = UtcField(source="remote_created_at", read_only=True, allow_null=True)
    updated_at = UtcField(source="remote_updated_at", read_only=True, allow_null=True)


@cache
def columns_of(kind: Any) -> tuple[str, ...]:
    """Return the columns that are shown. Only these are read from the database, so no raw documents and no secrets."""
    known = {name for field in kind.Meta.model._meta.concrete_fields for name in (field.name, field.attname)}
    sources = [str(field.source).split(".")[0] for field in kind().fields.values()]
    return tuple(dict.fromkeys(("pk", *(name for name in sources if name in known))))


def names_of(kind: type[RowSerializer]) -> tuple[str, ...]:
    """Return the names that ``?fields=`` accepts."""
    return tuple(kind.Meta.fields)

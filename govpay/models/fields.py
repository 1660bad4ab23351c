"""Column types: remote identifiers, links between mirrors, and sealed text."""

from __future__ import annotations

from typing import Any

from django.db import models

from govpay.encryption import seal, unseal

#: The longest remote identifier that is kept.
UID_LENGTH = 128


class UidField(models.CharField):
    """A remote identifier, compared byte by byte on every database.

    The platform's keyset order is by code point; a linguistic collation would disagree with it
    (and be slower), so PostgreSQL is told "C". SQLite compares bytes anyway.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", UID_LENGTH)
        super().__init__(*args, **kwargs)

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        parameters = dict(super().db_parameters(connection))
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters


def mirror_key(to: str, related_name: str = "+", **options: Any) -> Any:
    """A link to another mirror by its ``uid``.

    No constraint and no own index: rows arrive in any order, the target may never come, and the
    composite indexes of each model serve the look-ups.
    """
    return models.ForeignKey(
        to,
        to_field="uid",
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name=related_name,
        **options,
    )


class Sealed:
    """A secret as it lies in the table. Nothing but ``reveal`` shows it."""

    __slots__ = ("_token",)

    def __init__(self, token: str) -> None:
        self._token = token

    @classmethod
    def of(cls, text: str) -> Sealed:
        """Seal ``text`` now, with the newest key."""
        return cls(seal(text))

    @property
    def token(self) -> str:
        """The ciphertext, for the database."""
        return self._token

    def reveal(self) -> str:
        """The secret. Raises ``EncryptionError`` when its key is gone."""
        return unseal(self._token)

    def __repr__(self) -> str:
        return "<sealed>"

    __str__ = __repr__


class SealedField(models.TextField):
    """Text that is encrypted at rest. Takes ``str`` or ``Sealed``, gives ``Sealed`` or ``None``.

    Reading a row never decrypts, so a lost key breaks the one use of the secret and not the lists.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(null=True, blank=True, editable=False)
        super().__init__(*args, **kwargs)

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Sealed | None:
        return None if value is None else Sealed(value)

    def get_prep_value(self, value: Any) -> str | None:
        if value is None:
            return None
        return value.token if isinstance(value, Sealed) else seal(str(value))

    def value_to_string(self, obj: models.Model) -> str:
        """Serializers (dumpdata) get the ciphertext, never the secret."""
        value = self.value_from_object(obj)
        return "" if value is None else str(self.get_prep_value(value))

    def to_python(self, value: Any) -> Any:
        return value

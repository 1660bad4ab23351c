"""Column types: remote identifiers, links between mirrors, and sealed text."""

from __future__ import annotations

import re
from typing import Any

from django.db import models
from django.db.models.query_utils import DeferredAttribute

from govpay.security.encryption import seal, unseal
from govpay.security.tracebacks import Secret

#: The longest remote identifier that is kept.
UID_LENGTH = 128

#: How dumpdata writes a sealed value. Only this is taken for one when it is read: a secret is any text.
_DUMPED = re.compile(r"sealed:(gAAAA[A-Za-z0-9_-]+=*)")


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

    __slots__ = ("_token", "whose")

    def __init__(self, token: str, whose: str = "") -> None:
        self._token = token
        #: The row and column it was read from, for the error when its key is lost.
        self.whose = whose

    @classmethod
    def of(cls, text: str) -> Sealed:
        """Seal ``text`` now, with the newest key."""
        return cls(seal(text))

    @property
    def token(self) -> str:
        """The ciphertext, for the database."""
        return self._token

    def reveal(self) -> str:
        """The secret. Raises ``EncryptionError``, which names the row, when its key is gone."""
        return Secret(unseal(self._token, self.whose))

    def __repr__(self) -> str:
        return "<sealed>"

    __str__ = __repr__


class _Owned(DeferredAttribute):
    """Tells a sealed value whose it is when it is taken from its row."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if instance is not None and isinstance(value, Sealed) and not value.whose:
            row = getattr(instance, "uid", None) or f"no. {instance.pk}"
            value.whose = f"{self.field.verbose_name} of {instance._meta.object_name} {row}"
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        # Without this Python would look into the row itself first and never ask the descriptor.
        instance.__dict__[self.field.attname] = value


class SealedField(models.TextField):
    """Text that is encrypted at rest. Takes ``str`` or ``Sealed``, gives ``Sealed`` or ``None``.

    Reading a row never decrypts, so a lost key breaks the one use of the secret and not the lists.
    """

    descriptor_class = _Owned

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
        """Serializers (dumpdata) get the ciphertext, never the secret; marked, or it would be sealed again."""
        value = self.value_from_object(obj)
        return "" if value is None else f"sealed:{self.get_prep_value(value)}"

    def to_python(self, value: Any) -> Any:
        dumped = _DUMPED.fullmatch(value) if isinstance(value, str) else None
        return Sealed(dumped[1]) if dumped else value

"""Model fields: the platform's identifiers, links between mirrors, and sealed text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models
from django.db.models.query_utils import DeferredAttribute

from govpay.security.encryption import seal, unseal
from govpay.security.tracebacks import Secret

#: The types that an attribute of a row accepts and returns, for django-stubs, also in a host's code.
SetType = TypeVar("SetType", contravariant=True)
GetType = TypeVar("GetType", covariant=True)

if TYPE_CHECKING:
    _Text = models.CharField
else:

    class _Text(models.CharField):
        """Takes the parameters that Django's class lacks at run time."""

        def __class_getitem__(cls, _: Any) -> type:
            return cls


#: Maximum length of an identifier of the platform.
UID_LENGTH = 128

#: The form in which dumpdata writes a sealed value. Any other text is a plain secret.
_DUMPED = re.compile(r"sealed:(gAAAA[A-Za-z0-9_-]+=*)")


class UidField(_Text[SetType, GetType]):
    """An identifier of the platform, compared byte by byte on every database.

    The platform's keyset order is by code point. A linguistic collation would use another order and be slower, so
    PostgreSQL uses collation "C". SQLite compares bytes anyway.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", UID_LENGTH)
        super().__init__(*args, **kwargs)

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        parameters = dict(super().db_parameters(connection))
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters


class MirrorKey(models.ForeignKey[SetType, GetType]):
    """Return a foreign key to another mirror by its ``uid``.

    It has no constraint and no index of its own: rows arrive in any order, the target may never arrive, and the
    composite indexes of each model serve the look-ups.
    """

    if TYPE_CHECKING:  # it is always nullable
        _pyi_private_set_type: Any | None
        _pyi_private_get_type: Any | None

    def __init__(self, to: str, verbose_name: Any = None, related_name: str = "+", **options: Any) -> None:
        options = {
            "to_field": "uid",
            "null": True,
            "blank": True,
            "on_delete": models.DO_NOTHING,
            "db_constraint": False,
            "db_index": False,
            **options,
        }
        super().__init__(to, verbose_name=verbose_name, related_name=related_name, **options)

    def deconstruct(self) -> Any:
        """A plain foreign key, so that migrations do not name this class."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.ForeignKey", args, kwargs

    def get_internal_type(self) -> str:
        return "ForeignKey"


#: The name that the models use.
mirror_key = MirrorKey


class Sealed:
    """An encrypted secret as stored in the table. Only ``reveal`` returns the secret."""

    __slots__ = ("_token", "whose")

    def __init__(self, token: str, whose: str = "") -> None:
        self._token = token
        #: The row and column that it was read from, for the error message when the key is lost.
        self.whose = whose

    @classmethod
    def of(cls, text: str) -> Sealed:
        """Encrypt ``text`` now, with the newest key."""
        return cls(seal(text))

    @property
    def token(self) -> str:
        """The ciphertext, for the database."""
        return self._token

    def reveal(self) -> str:
        """Return the secret. Raises ``EncryptionError``, which names the row, if no configured key can decrypt it."""
        return Secret(unseal(self._token, self.whose))

    def __repr__(self) -> str:
        return "<sealed>"

    __str__ = __repr__


class _Owned(DeferredAttribute):
    """Gives a sealed value its row and column when the value is read from the row."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if instance is not None and isinstance(value, Sealed) and not value.whose:
            row = getattr(instance, "uid", None) or f"no. {instance.pk}"
            value.whose = f"{self.field.verbose_name} of {instance._meta.object_name} {row}"
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        # Without ``__set__`` Python would read the instance's dict first and never call ``__get__``.
        instance.__dict__[self.field.attname] = value


class SealedField(models.TextField):
    """Text that is encrypted at rest. Accepts ``str`` or ``Sealed``, returns ``Sealed`` or ``None``.

    Reading a row never decrypts. A lost key therefore breaks only the use of the secret, not the lists of rows.
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
        """Return the ciphertext for serializers (dumpdata), never the secret. Its prefix prevents sealing it twice."""
        value = self.value_from_object(obj)
        return "" if value is None else f"sealed:{self.get_prep_value(value)}"

    def to_python(self, value: Any) -> Any:
        dumped = _DUMPED.fullmatch(value) if isinstance(value, str) else None
        return Sealed(dumped[1]) if dumped else value

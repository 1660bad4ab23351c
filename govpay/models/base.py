"""The base class of all mirrors and its queryset."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from govpay.models.access import AccountQuerySet, GovPayModel, Row
from govpay.models.fields import UidField


class MirrorQuerySet(AccountQuerySet[Row]):
    """Querysets of mirrors."""

    def present(self) -> Self:
        """Return the rows that are not marked as deleted on the platform."""
        return self.filter(deleted_at=None)


class Mirror(GovPayModel):
    """One object of the platform as last read. Only ``govpay.sync.upsert`` writes the mirrored columns."""

    #: Local columns, which the upsert does not overwrite.
    LOCAL: ClassVar[tuple[str, ...]] = ()
    #: Local columns that the upsert resets to their default whenever the document changes.
    RESET: ClassVar[tuple[str, ...]] = ()

    uid = UidField(_("UID"))
    raw = models.JSONField(_("last document"), default=dict, blank=True)
    #: Hash of the document, and of the document that it replaced: for the upsert's compare-and-swap.
    digest = models.CharField(_("digest"), max_length=40, default="", blank=True, editable=False)
    replaced_digest = models.CharField(_("replaced digest"), max_length=40, default="", blank=True, editable=False)
    remote_created_at = models.DateTimeField(_("created"), null=True, blank=True)
    remote_updated_at = models.DateTimeField(_("updated"), null=True, blank=True)
    synced_at = models.DateTimeField(_("last change here"), null=True, blank=True)
    deleted_at = models.DateTimeField(_("gone since"), null=True, blank=True)
    #: The names of the properties whose value no column takes, separated by commas. Their text was mended or cut.
    mended = models.TextField(_("mended properties"), default="", db_default="", blank=True, editable=False)
    #: Hash of a document that is older than the stored one, and when it was first read (``govpay.sync.older``).
    older_digest = models.CharField(
        _("older digest"), max_length=40, default="", db_default="", blank=True, editable=False
    )
    older_seen_at = models.DateTimeField(_("older document first read"), null=True, blank=True, editable=False)

    objects = MirrorQuerySet.as_manager()

    class Meta:
        abstract = True

    @classmethod
    def mirrored_fields(cls) -> tuple[models.Field[Any, Any], ...]:
        """Return the columns that an upsert overwrites, in table order."""
        return _mirrored_fields(cls)


@cache
def _mirrored_fields(model: type[Mirror]) -> tuple[models.Field[Any, Any], ...]:
    return tuple(
        field
        for field in model._meta.concrete_fields
        if not field.primary_key and (field.name not in model.LOCAL or field.name in model.RESET)
    )


def unique_uid(name: str) -> models.UniqueConstraint:
    """Return a unique constraint on ``uid``. ``unique=True`` would add a second (pattern) index on PostgreSQL."""
    return models.UniqueConstraint(fields=["uid"], name=f"govpay_{name}_uid")

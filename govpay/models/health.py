"""Signs of life of the workers, and what the platform's answers held beyond what is known of them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from govpay.models.access import AccountQuerySet
from govpay.models.choices import Source


class Heartbeat(models.Model):
    """The last sign of one kind of process: ``beat`` (its tick was carried out) or ``worker`` (any task was)."""

    name = models.CharField(max_length=32)
    #: Since when signs have come without a long gap.
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    last_seen = models.DateTimeField(_("last sign"), default=timezone.now)
    host = models.CharField(_("worker's host"), max_length=255, blank=True, default="")
    #: What the same process put into the cache: whoever finds it there shares the cache with it.
    mark = models.CharField(max_length=64, blank=True, default="", editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["name"], name="govpay_heartbeat_name")]

    def __str__(self) -> str:
        return self.name


class ContractNotice(models.Model):
    """A property, or a value of an enum, that answers hold and that nothing here knows of.

    Never the value of such a property: nobody can tell what it is.
    """

    #: The model of the object's mirror, in lower case.
    kind = models.CharField(max_length=32)
    #: Path of the property, with dots.
    name = models.CharField(max_length=160)
    #: The value of an enum; empty for a property that is itself unknown.
    value = models.CharField(max_length=64, blank=True, default="")
    #: Where objects of this kind are read, and what read the last one.
    route = models.CharField(max_length=255, blank=True, default="")
    source = models.CharField(max_length=16, choices=Source, blank=True, default="")
    first_seen = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen = models.DateTimeField(_("last seen"), default=timezone.now)
    count = models.PositiveBigIntegerField(default=0)

    objects = AccountQuerySet.as_manager()

    class Meta:
        ordering = ["-last_seen", "-id"]
        constraints = [models.UniqueConstraint(fields=["kind", "name", "value"], name="govpay_notice_item")]
        indexes = [models.Index(fields=["-last_seen", "-id"], name="govpay_notice_seen")]

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}" + (f" = {self.value}" if self.value else "")

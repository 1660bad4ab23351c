"""Heartbeats of the workers, and contract notices about the platform's answers."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from govpay.models.access import AccountQuerySet, GovPayModel
from govpay.models.choices import Source


class Heartbeat(GovPayModel):
    """The last heartbeat of one kind of process: ``beat`` (a periodic task ran) or ``worker`` (any task ran)."""

    name = models.CharField(_("name"), max_length=32)
    #: The start of the heartbeats without a long gap.
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    last_seen = models.DateTimeField(_("last sign"), default=timezone.now)
    host = models.CharField(_("worker's host"), max_length=255, blank=True, default="")
    #: The value that the same process stored in the cache. A process that finds it there shares the cache.
    mark = models.CharField(_("mark"), max_length=64, blank=True, default="", editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["name"], name="govpay_heartbeat_name")]

    def __str__(self) -> str:
        return self.name


class ContractNotice(GovPayModel):
    """A property or an enum value in an answer that is not known here.

    The value of an unknown property is never stored, because it may be sensitive.
    """

    #: The model of the object's mirror, in lower case.
    kind = models.CharField(_("kind"), max_length=32)
    #: Path of the property, with dots.
    name = models.CharField(_("name"), max_length=160)
    #: The unknown enum value; empty when the property itself is unknown.
    value = models.CharField(_("value"), max_length=64, blank=True, default="")
    #: The route that reads objects of this kind, and the source of the last answer.
    route = models.CharField(_("route"), max_length=255, blank=True, default="")
    source = models.CharField(_("source"), max_length=16, choices=Source, blank=True, default="")
    first_seen = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen = models.DateTimeField(_("last seen"), default=timezone.now)
    count = models.PositiveBigIntegerField(_("count"), default=0)

    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("contract notice")
        verbose_name_plural = _("contract notices")
        ordering = ["-last_seen", "-id"]
        constraints = [models.UniqueConstraint(fields=["kind", "name", "value"], name="govpay_notice_item")]
        indexes = [models.Index(fields=["-last_seen", "-id"], name="govpay_notice_seen")]

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}" + (f" = {self.value}" if self.value else "")

"""The position and the lease of each list, the record of each run, and the signals not yet sent."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from govpay.models.access import AccountQuerySet, GovPayModel
from govpay.models.choices import RunState, Source, SyncMode, label_of
from govpay.models.fields import mirror_key


class SyncCursor(GovPayModel):
    """The position in one list of the platform. ``account`` is null for the lists of clients and accounts.

    It is also the lease on that list: only the worker named here reads it.
    """

    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="sync_cursors")
    resource = models.CharField(_("resource"), max_length=32)
    #: The order that the API accepts (``govpay.client.pages``); empty: not known yet.
    order = models.CharField(_("order"), max_length=16, blank=True, default="")
    #: The mode of the current walk, and the position after its last committed page. A full walk has a position of
    #: its own, so that a full walk that is stuck does not block the incremental ones.
    mode = models.CharField(_("mode"), max_length=16, blank=True, default="", choices=SyncMode)
    position = models.JSONField(_("position"), null=True, blank=True)
    full_position = models.JSONField(_("full position"), null=True, blank=True)
    #: The uids of rows that are gone. The end of the pass marks them as deleted, unless there are too many.
    missing = models.JSONField(_("missing"), null=True, blank=True, editable=False)
    #: The start of the next incremental walk: a little before the last row seen.
    watermark = models.JSONField(_("watermark"), null=True, blank=True)
    completed_at = models.DateTimeField(_("last success"), null=True, blank=True)
    full_completed_at = models.DateTimeField(_("last full success"), null=True, blank=True)
    attempted_at = models.DateTimeField(_("last attempt"), null=True, blank=True)
    not_offered_at = models.DateTimeField(_("not offered since"), null=True, blank=True)
    #: Since when nothing proves that the list was read to its end.
    unproved_at = models.DateTimeField(_("perhaps incomplete since"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True, default="")

    lease_token = models.UUIDField(_("lease token"), null=True, blank=True, editable=False)
    lease_host = models.CharField(_("worker's host"), max_length=255, blank=True, default="")
    lease_pid = models.PositiveBigIntegerField(_("worker's process"), null=True, blank=True)
    #: A process id can be reused. Together with the start time of the process it is unique.
    lease_process_start = models.CharField(
        _("lease process start"), max_length=64, blank=True, default="", editable=False
    )
    heartbeat_at = models.DateTimeField(_("worker's last sign"), null=True, blank=True)

    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("sync cursor")
        verbose_name_plural = _("sync cursors")
        ordering = ["account_id", "resource", "id"]  # not "account": that would join, and hide rows without one
        constraints = [
            models.UniqueConstraint(
                fields=["account", "resource"],
                condition=Q(account__isnull=False),
                name="govpay_cursor_scoped",
            ),
            models.UniqueConstraint(
                fields=["resource"], condition=Q(account__isnull=True), name="govpay_cursor_global"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.resource} · {self.account_id}" if self.account_id else self.resource


class SyncRun(GovPayModel):
    """The record of one sync of one list."""

    account = mirror_key("govpay.PaymentAccount", _("account"), related_name="sync_runs")
    resource = models.CharField(_("resource"), max_length=32)
    mode = models.CharField(_("mode"), max_length=16, choices=SyncMode)
    state = models.CharField(_("state"), max_length=16, choices=RunState, default=RunState.RUNNING)
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    fetched = models.PositiveBigIntegerField(pgettext_lazy("rows", "fetched"), default=0)
    created = models.PositiveBigIntegerField(pgettext_lazy("rows", "created"), default=0)
    updated = models.PositiveBigIntegerField(pgettext_lazy("rows", "updated"), default=0)
    unchanged = models.PositiveBigIntegerField(pgettext_lazy("rows", "unchanged"), default=0)
    deleted = models.PositiveBigIntegerField(pgettext_lazy("rows", "deleted"), default=0)
    pages = models.PositiveBigIntegerField(_("pages"), default=0)
    rejected_count = models.PositiveBigIntegerField(_("rejected rows"), default=0)
    #: The first hundred rows that could not be mapped: ``[{"uid": …, "error": …}]``.
    rejected = models.JSONField(_("rejected"), default=list, blank=True)
    error = models.TextField(_("error"), blank=True, default="")

    #: The error that ended the run. Only in the process that carried it out.
    cause: Exception | None = None

    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("sync run")
        verbose_name_plural = _("sync runs")
        ordering = ["-started_at", "-id"]
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="govpay_run_started"),
            models.Index(fields=["state", "-started_at", "-id"], name="govpay_run_state"),
            models.Index(fields=["account", "resource", "-started_at"], name="govpay_run_list"),
        ]

    def __str__(self) -> str:
        return " · ".join(filter(None, (self.resource, self.account_id, label_of(self.state, RunState))))


class OutboxSignal(GovPayModel):
    """A signal to send to the host. It is written with the change and deleted when it was sent."""

    name = models.CharField(_("name"), max_length=64)
    model = models.CharField(_("model"), max_length=64)
    row = models.BigIntegerField(_("row"))
    source = models.CharField(_("source"), max_length=16, choices=Source)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)

    objects = AccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("outbox signal")
        verbose_name_plural = _("outbox signals")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.name} {self.model} {self.row}"

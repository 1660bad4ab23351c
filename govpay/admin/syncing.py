"""The admin of sync cursors, sync runs, and signals that wait in the outbox."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from govpay.admin.base import ReadOnlyAdmin
from govpay.admin.filters import AccountListFilter, known_values, linked
from govpay.admin.formatting import (
    Table,
    badge_column,
    clip,
    column,
    document_field,
    label_of,
    link_column,
    list_of,
    moment_column,
    text_column,
)
from govpay.models import OutboxSignal, SyncCursor, SyncRun
from govpay.models.choices import RunState, SyncMode


@admin.register(SyncCursor)
class SyncCursorAdmin(ReadOnlyAdmin):
    account_link = link_column("account", _("payment account"))
    completed = moment_column("completed_at", _("last success"))
    full_completed = moment_column("full_completed_at", _("last full success"))
    attempted = moment_column("attempted_at", _("last attempt"))
    error_text = text_column("error", _("error"))
    position_document = document_field("position", _("position"))
    watermark_document = document_field("watermark", _("watermark"))

    list_display = (
        "resource",
        "account_link",
        "standing",
        "completed",
        "full_completed",
        "attempted",
        "error_text",
    )
    list_filter = (AccountListFilter,)
    list_select_related = ("account",)
    ordering = ("account_id", "resource", "id")

    page_select_related = ("account",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "resource",
                    "account_link",
                    "standing",
                    "error",
                    "completed_at",
                    "full_completed_at",
                    "attempted_at",
                    "not_offered_at",
                    "unproved_at",
                )
            },
        ),
        (_("Current run"), {"fields": ("mode", "lease_host", "lease_pid", "heartbeat_at")}),
        (
            _("Position"),
            {"classes": ("collapse",), "fields": ("order", "position_document", "watermark_document")},
        ),
    )

    @column(_("state"))
    def standing(self, row: SyncCursor) -> Any:
        if row.lease_token is not None:
            return _("A worker is reading it")
        if row.error:
            return _("Failed last time")
        if row.not_offered_at is not None:
            return _("Not offered by this API")
        if row.unproved_at is not None:
            return _("Perhaps incomplete")
        if row.completed_at is None:
            return _("Never completed")
        return _("Interrupted, will go on") if row.position else _("Complete")

    def related_tables(self, request: HttpRequest, row: Any) -> list[Table]:
        filters = {"resource": row.resource, **({"account": row.account_id} if row.account_id else {})}
        return [
            Table(
                title=_("Runs"),
                heads=(),
                rows=[],
                more=(list_of(SyncRun, **filters), _("Runs over this list")),
            )
        ]


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    account_link = link_column("account", _("payment account"))
    started = moment_column("started_at", _("started"))
    state_badge = badge_column("state", _("state"), RunState)
    error_text = text_column("error", _("error"))

    list_display = (
        "resource",
        "started",
        "account_link",
        "kind",
        "state_badge",
        "rows",
        "rejected_rows",
        "pages",
        "seconds",
        "error_text",
    )
    list_filter = (
        known_values("state", _("state"), RunState),
        AccountListFilter,
        linked("resource", _("resource")),
    )
    list_select_related = ("account",)
    sortable_by = ("started",)
    date_hierarchy = "started_at"

    page_select_related = ("account",)
    fieldsets = (
        (None, {"fields": ("resource", "account_link", "kind", "state_badge", "error")}),
        (_("Time"), {"fields": ("started_at", "finished_at", "seconds")}),
        (
            _("Rows"),
            {"fields": ("fetched", "created", "updated", "unchanged", "deleted", "rejected_count", "pages")},
        ),
    )

    @column(_("kind"))
    def kind(self, row: SyncRun) -> Any:
        return label_of(row.mode, SyncMode)

    @column(_("rows"))
    def rows(self, row: SyncRun) -> str:
        parts = [
            (row.created, _("new")),
            (row.updated, _("changed")),
            (row.deleted, _("no longer there")),
            (row.unchanged, _("unchanged")),
        ]
        return ", ".join(f"{count} {word}" for count, word in parts if count) or str(_("none"))

    @column(_("rejected"))
    def rejected_rows(self, row: SyncRun) -> int | None:
        return row.rejected_count or None

    @column(_("seconds"))
    def seconds(self, row: SyncRun) -> str | None:
        if row.finished_at is None:
            return None
        return f"{(row.finished_at - row.started_at).total_seconds():.1f}"

    def related_tables(self, request: HttpRequest, row: Any) -> list[Table]:
        listed = [item for item in row.rejected if isinstance(item, dict)] if isinstance(row.rejected, list) else []
        if not listed:
            return []
        title = ngettext("%(count)d rejected row", "%(count)d rejected rows", row.rejected_count)
        return [
            Table(
                title=title % {"count": row.rejected_count},
                heads=(_("UID"), _("Why it could not be read")),
                rows=[(clip(item.get("uid"), 128), clip(item.get("error"), 500)) for item in listed],
            )
        ]


@admin.register(OutboxSignal)
class OutboxSignalAdmin(ReadOnlyAdmin):
    """Signals that were not sent to the host's receivers yet. The list is empty when the dispatcher keeps up."""

    created = moment_column("created_at", _("created"))

    list_display = ("name", "model", "row", "source", "created", "attempts")
    fieldsets = ((None, {"fields": ("name", "model", "row", "source", "created", "attempts")}),)

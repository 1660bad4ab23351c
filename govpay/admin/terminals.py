"""The admin of card terminals, which is read-only."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from govpay.admin.base import MirrorAdmin
from govpay.admin.filters import AccountListFilter
from govpay.admin.formatting import clip, column, link_column, text_column
from govpay.models import Terminal


@admin.register(Terminal)
class TerminalAdmin(MirrorAdmin):
    serial = text_column("serial_number", _("serial number"))
    kind = text_column("model", _("model"))
    condition = text_column("status", _("status"))
    account_link = link_column("account", _("payment account"))

    list_display = ("terminal", "serial", "kind", "condition", "account_link", "created")
    list_filter = (AccountListFilter,)
    list_select_related = ("account",)
    search_fields = ("uid__exact", "serial_number__exact")
    search_help_text = _("The whole UID or serial number.")

    page_select_related = ("account",)
    fieldsets = (
        (None, {"fields": ("name", "serial_number", "model", "status", "account_link")}),
        MirrorAdmin.RECORD,
        MirrorAdmin.RAW,
    )

    @column(_("terminal"))
    def terminal(self, row: Terminal) -> str | None:
        return clip(row)

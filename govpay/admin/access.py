"""Admin of account access. This is the only admin of govpay in which staff add, change and delete rows."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils.translation import gettext_lazy as _

from govpay import conf
from govpay.admin.base import ExplainedAdmin, with_retried_reads
from govpay.admin.filters import AccountListFilter
from govpay.models import AccountAccess
from govpay.models.access import reach_of

OPEN = _("A user sees every payment account if no row here names the user or one of the user's groups.")
CLOSED = _("A user sees no payment account if no row here names the user or one of the user's groups.")


@admin.register(AccountAccess)
class AccountAccessAdmin(ExplainedAdmin):
    """Edit account access. Needs access to all accounts, because other users could remove their limits here."""

    list_display = ("account", "user", "group")
    list_display_links = ("account", "user", "group")
    list_select_related = ("account", "user", "group")
    list_filter = (AccountListFilter,)
    list_per_page = 100
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_help_text = _("The whole UID of a payment account, or the name of a user or group.")
    # Used if the admin of the host has no searchable page of users or groups.
    raw_id_fields = ("user", "group")

    def get_urls(self) -> list[URLPattern]:
        return with_retried_reads(super().get_urls())

    def get_autocomplete_fields(self, request: HttpRequest) -> list[str]:
        registered = self.admin_site._registry
        models = {name: self.opts.get_field(name).related_model for name in ("user", "group")}
        return [name for name, model in models.items() if model in registered and registered[model].search_fields]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return ["account__uid__exact", f"user__{get_user_model().USERNAME_FIELD}__exact", "group__name__exact"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        says = CLOSED if conf.get("LIMIT_STAFF_TO_ACCOUNTS") else OPEN
        return [(None, {"description": says, "fields": ("account", "user", "group")})]

    def get_queryset(self, request: HttpRequest) -> Any:
        rows: Any = super().get_queryset(request)
        return rows.visible_to(request.user)

    # Each permission method checks the accounts too, so that the rule holds for every request method and address.

    def has_module_permission(self, request: HttpRequest) -> bool:
        return super().has_module_permission(request) and reach_of(request.user).is_all

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and reach_of(request.user).is_all

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and reach_of(request.user).is_all

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and reach_of(request.user).is_all

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and reach_of(request.user).is_all

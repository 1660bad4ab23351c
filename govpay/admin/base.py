"""What all our admins share: they show rows and never change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from govpay.admin.changelist import BoundedPaginator, LeanChangeList, joined, requested_page
from govpay.admin.formatting import EMPTY, Table, clip, document_field, moment_column
from govpay.models.fields import SealedField

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = admin.ModelAdmin

#: Years that a date may name in the address; Django adds one to it, and time zones shift it.
PLAUSIBLE_YEARS = range(1900, 3000)


#: A search that finds more rows than this goes on inside the database.
FOUND = 900


class ReadOnlyAdmin(AnyModelAdmin):
    """Looking only: the platform (or our journal) is the one that writes these rows."""

    list_per_page = 100
    list_max_show_all = 100
    show_full_result_count = False
    #: Facets count every choice of every filter.
    show_facets = admin.ShowFacets.NEVER
    list_select_related: tuple[str, ...] = ()
    #: Columns that an index sorts.
    sortable_by: tuple[str, ...] = ()
    actions_selection_counter = True
    view_on_site = False
    empty_value_display = EMPTY
    change_list_template = "govpay/admin/change_list.html"
    change_form_template = "govpay/admin/change_form.html"

    #: Relatives that a row's own page joins.
    page_select_related: tuple[str, ...] = ()

    class Media:
        css = {"all": ["govpay/admin.css"]}
        js = ["govpay/once.js"]

    # Nothing is added, changed or deleted here, whoever asks.

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # Twice over: should a host's subclass grant changes, there is still nothing to type into.
        return flatten_fieldsets(self.get_fieldsets(request, obj))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows of the accounts that this user sees: lists, pages, searches and choices all begin here."""
        rows: Any = super().get_queryset(request)
        return rows.visible_to(request.user)

    # Lists

    def list_tools(self, request: HttpRequest) -> list[tuple[Any, str]]:
        """Labels and addresses of the links above the list."""
        return []

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "tools": self.list_tools(request)})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return LeanChangeList

    def get_paginator(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        per_page: int,
        orphans: int = 0,
        allow_empty_first_page: bool = True,
    ) -> Paginator[Any]:
        return BoundedPaginator(queryset, per_page, orphans, allow_empty_first_page, page=requested_page(request))

    def action_checkbox(self, obj: Any) -> SafeString:
        """Django's tick box, with a label that stays short."""
        label = _("Select %(row)s") % {"row": clip(obj)}
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="{}">',
            ACTION_CHECKBOX_NAME,
            obj.pk,
            label,
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """The whole term against each column, exactly: that is what the indexes can answer.

        The keys are looked up first, each column by itself. An OR over the columns, or beside the other
        filters, leaves it to the planner whether to walk the whole table, and SQLite's does. What of them this
        user may see is up to ``queryset``, which is limited already.
        """
        term = search_term.strip()
        if not term or not self.search_fields:
            return queryset, False
        keys = self._found(request, self.search_terms(term))
        if keys is None:
            return queryset.none(), False
        few = list(keys[: FOUND + 1])
        return queryset.filter(pk__in=few if len(few) <= FOUND else keys), False

    def search_terms(self, term: str) -> list[str]:
        """Spellings that mean the same."""
        return [term]

    def _found(self, request: HttpRequest, terms: list[str]) -> QuerySet[Any, Any] | None:
        arms = []
        rows = self.model._default_manager.order_by()
        for lookup in self.get_search_fields(request):
            field: Any = self.opts.get_field(str(lookup).split("__")[0])
            for term in terms:
                try:
                    arms.append(rows.filter(**{str(lookup): field.to_python(term)}).values_list("pk", flat=True))
                except ValidationError:
                    continue  # not a UUID, so not that column
        if not arms:
            return None
        # A union takes the model's default ordering, by columns that are not selected here: Django 6.1 refuses that.
        return arms[0].union(*arms[1:], all=True).order_by() if len(arms) > 1 else arms[0]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what a filter offers. Django lets staff probe any column, sealed ones included."""
        dates = f"{self.date_hierarchy}__"
        if self.date_hierarchy and lookup.startswith(dates):
            # A month or day by itself would be a function over the whole table; with a year it is a range.
            by_year = request is None or f"{dates}year" in request.GET
            return by_year and _is_plausible_date_part(lookup.removeprefix(dates), value)
        names = {getattr(item, "parameter_name", item) for item in self.list_filter}
        return lookup.removesuffix("__exact") in names

    # A row's own page

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        field: Any = self.opts.pk if from_field is None else self.opts.get_field(from_field)
        if "\x00" in object_id:
            return None
        try:
            return self.get_page_queryset(request).get(**{field.name: field.to_python(object_id)})
        except (self.model.DoesNotExist, ValidationError, ValueError):
            return None

    def get_page_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """One row with its relatives; sealed columns stay in the database."""
        sealed = [field.name for field in self.opts.concrete_fields if isinstance(field, SealedField)]
        return joined(self.get_queryset(request), self.page_select_related, leave_out=sealed)

    def related_tables(self, request: HttpRequest, row: Any) -> list[Table]:
        """Tables below the row's own fields."""
        return []

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """More for the template of the row's own page."""
        return {}

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if obj is not None:
            context["related_tables"] = self.related_tables(request, obj)
            context.update(self.page_context(request, obj))
        return super().render_change_form(request, context, add=add, change=change, form_url=form_url, obj=obj)


def _is_plausible_date_part(part: str, value: str) -> bool:
    if part not in ("year", "month", "day") or not (value.isascii() and value.isdigit()):
        return False
    return part != "year" or int(value) in PLAUSIBLE_YEARS


class MirrorAdmin(ReadOnlyAdmin):
    """A remote object as it was last read."""

    created = moment_column("remote_created_at", _("created"))
    raw_document = document_field("raw", _("last document"))

    #: The same two sections at the foot of every mirror's page.
    RECORD: Any = (
        _("Record"),
        {"fields": ("uid", "remote_created_at", "remote_updated_at", "synced_at", "deleted_at")},
    )
    RAW: Any = (_("Last document from the platform"), {"classes": ("collapse",), "fields": ("raw_document",)})

"""Base classes of the admins of govpay, which show rows and never change them."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import flatten_fieldsets, quote, unquote
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from govpay.admin.changelist import BoundedPaginator, LeanChangeList, joined, requested_page
from govpay.admin.formatting import EMPTY, Table, clip, document_field, moment_column
from govpay.admin.history import has_history, history_of
from govpay.admin.rendering import BAD_ADDRESS, bad_address
from govpay.decorators import retry_read
from govpay.models.fields import SealedField
from govpay.reports.search import SEARCHED, search

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = admin.ModelAdmin

#: Years that the address may contain. The range leaves room: Django adds one year, and time zones shift the date.
PLAUSIBLE_YEARS = range(1900, 3000)


#: Maximum number of keys that a search passes as a list. If it finds more, the keys stay a subquery.
FOUND = 900


#: Labels that say more than the verbose names of the fields.
LABELS = {"deleted_at": _("no longer on the platform since")}


def with_retried_reads(patterns: list[URLPattern]) -> list[URLPattern]:
    """Make Django's own views of a model survive a lost database connection when they only show something."""
    for pattern in patterns:
        pattern.callback = retry_read(pattern.callback)
    return patterns


class ExplainedAdmin(AnyModelAdmin):
    """An admin that says what is wrong with an address, where Django answers a bare *Bad Request*."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            return super().changelist_view(request, extra_context)
        except BAD_ADDRESS as error:
            return bad_address(self, request, error)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except BAD_ADDRESS as error:
            return bad_address(self, request, error)


class ReadOnlyAdmin(ExplainedAdmin):
    """An admin that only shows rows. The sync writes the platform's rows; operations write the journal."""

    list_per_page = 100
    list_max_show_all = 100
    show_full_result_count = False
    #: Never, because facets count the rows of every choice of every filter.
    show_facets = admin.ShowFacets.NEVER
    list_select_related: tuple[str, ...] = ()
    #: Columns that can be sorted. Each needs an index.
    sortable_by: tuple[str, ...] = ()
    actions_selection_counter = True
    view_on_site = False
    empty_value_display = EMPTY
    change_list_template = "govpay/admin/change_list.html"
    change_form_template = "govpay/admin/change_form.html"
    object_history_template = "govpay/admin/history.html"

    paginator_class = BoundedPaginator
    #: Foreign keys that the row's own page joins.
    page_select_related: tuple[str, ...] = ()

    class Media:
        css = {"all": ["govpay/admin.css"]}
        js = ["govpay/once.js"]

    def __init__(self, model: Any, admin_site: Any) -> None:
        super().__init__(model, admin_site)
        # Django's pages would show a time in another format, without its zone.
        for field in self.opts.concrete_fields:
            if isinstance(field, models.DateTimeField):
                label = LABELS.get(field.name, field.verbose_name)
                setattr(self, f"{field.name}_moment", MethodType(moment_column(field.name, label), self))

    def get_urls(self) -> list[URLPattern]:
        return with_retried_reads(super().get_urls())

    # Nobody may add, change or delete rows here, not even a superuser.

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # A second safeguard: if a host's subclass allows changes, the page still has no input fields.
        return flatten_fieldsets(self.get_fieldsets(request, obj))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fieldsets; for the page of a row, with each time in our format."""
        given = super().get_fieldsets(request, obj)
        if obj is None:
            return given
        return [(title, {**each, "fields": tuple(map(self._shown, each["fields"]))}) for title, each in given]

    def _shown(self, name: Any) -> Any:
        own = f"{name}_moment"
        return own if hasattr(self, own) else name

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what is known about the row. Django's own page has only what was done on admin pages."""
        row = self.get_object(request, unquote(object_id))
        if row is not None and self.has_view_permission(request, row):
            extra_context = {**(extra_context or {}), "tables": [history_of(row, request.user)]}
        return super().history_view(request, object_id, extra_context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that this user may see. All lists, pages, searches and choices use this queryset."""
        rows: Any = super().get_queryset(request)
        return rows.visible_to(request.user)

    # Lists

    def list_tools(self, request: HttpRequest) -> list[tuple[Any, str]]:
        """Return (label, URL) of each link above the list."""
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
        # Django pages a row's history with this method too.
        kind = self.paginator_class if queryset.model is self.model else BoundedPaginator
        paginator = kind(queryset, per_page, orphans, allow_empty_first_page, page=requested_page(request))
        if getattr(request, "govpay_frequent_term", False):
            paginator.count_one_page_ahead()
        return paginator

    def action_checkbox(self, obj: Any) -> SafeString:
        """Return Django's checkbox for a row, with a shortened label."""
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
        """Filter by the whole search term, which must equal the value of a search column, so that indexes are used.

        The primary keys are looked up first, in each column separately. With an OR of the columns, or together
        with the other filters, the query planner could scan the whole table, and SQLite does. The lookup is not
        limited to the rows that this user may see; ``queryset`` already is. Models that staff look for by name,
        amount and the like have a search of their own.
        """
        if self.model in SEARCHED:
            found, request.govpay_frequent_term = search(self.model, search_term, queryset)  # type: ignore[attr-defined]
            return found, False
        term = search_term.strip()
        if not term or not self.search_fields:
            return queryset, False
        keys = self._found(request, term)
        if keys is None:
            return queryset.none(), False
        few = list(keys[: FOUND + 1])
        return queryset.filter(pk__in=few if len(few) <= FOUND else keys), False

    def _found(self, request: HttpRequest, term: str) -> QuerySet[Any, Any] | None:
        arms = []
        rows = self.model._default_manager.order_by()
        for lookup in self.get_search_fields(request):
            field: Any = self.opts.get_field(str(lookup).split("__")[0])
            try:
                arms.append(rows.filter(**{str(lookup): field.to_python(term)}).values_list("pk", flat=True))
            except ValidationError:
                continue  # the term is no valid value of this column, such as a UUID
        if not arms:
            return None
        # Without order_by() the union has the model's default ordering. Its columns are not selected here, and
        # Django 6.1 refuses to order a union by such columns.
        return arms[0].union(*arms[1:], all=True).order_by() if len(arms) > 1 else arms[0]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow only lookups that a filter offers. Django's default allows any column, also a sealed one."""
        dates = f"{self.date_hierarchy}__"
        if self.date_hierarchy and lookup.startswith(dates):
            # A month or day alone would evaluate a function on each row of the table. With a year it is a range.
            by_year = request is None or f"{dates}year" in request.GET
            return by_year and _is_plausible_date_part(lookup.removeprefix(dates), value)
        filters: list[Any] = list(self.list_filter)
        names = {getattr(item, "parameter_name", item) for item in filters if not hasattr(item, "parameter_names")}
        names.update(name for item in filters if hasattr(item, "parameter_names") for name in item.parameter_names())
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
        """Return the queryset for a row's own page. It joins related rows and leaves out sealed columns."""
        sealed = [field.name for field in self.opts.concrete_fields if isinstance(field, SealedField)]
        return joined(self.get_queryset(request), self.page_select_related, leave_out=sealed)

    def related_tables(self, request: HttpRequest, row: Any) -> list[Table]:
        """Return the tables that are shown below the fields of the row."""
        return []

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return additional context for the template of the row's own page."""
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
            if has_history(obj):
                context["history_url"] = reverse(f"admin:govpay_{self.opts.model_name}_history", args=[quote(obj.pk)])
            context["related_tables"] = self.related_tables(request, obj)
            context.update(self.page_context(request, obj))
        return super().render_change_form(request, context, add=add, change=change, form_url=form_url, obj=obj)


def _is_plausible_date_part(part: str, value: str) -> bool:
    if part not in ("year", "month", "day") or not (value.isascii() and value.isdigit()):
        return False
    return part != "year" or int(value) in PLAUSIBLE_YEARS


class MirrorAdmin(ReadOnlyAdmin):
    """Base of the admins of mirrors, which show the platform's objects as they were last read."""

    created = moment_column("remote_created_at", _("created"))
    raw_document = document_field("raw", _("last document"))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fieldsets, without properties that only few rows have."""
        given = super().get_fieldsets(request, obj)
        absent = {"mended"} if obj is not None and not obj.mended else set()
        if obj is not None and obj.deleted_at is None:
            absent.add("deleted_at_moment")
        return [
            (title, {**each, "fields": tuple(name for name in each["fields"] if name not in absent)})
            for title, each in given
        ]

    #: The two sections at the end of the page of each mirror.
    RECORD: Any = (
        _("Record"),
        {"fields": ("uid", "remote_created_at", "remote_updated_at", "synced_at", "deleted_at", "mended")},
    )
    RAW: Any = (_("Last document from the platform"), {"classes": ("collapse",), "fields": ("raw_document",)})

"""Base classes of all views: permissions, query parameters, reading of rows, response headers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.http import HttpResponseNotModified
from django.utils.cache import patch_cache_control, patch_vary_headers, set_response_etag
from django.utils.http import parse_etags
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from govpay.rest import problems
from govpay.rest.bodies import StrictJSON
from govpay.rest.filters import RowFilter
from govpay.rest.pagination import CursorPagination
from govpay.rest.permissions import MayAsk, authenticators
from govpay.rest.rows import RowSerializer, columns_of, names_of
from govpay.rest.throttles import ActRate, UserRate

#: Query parameters of every list, in addition to its filters.
PAGING = ("cursor", "page_size", "fields")


class JSON(JSONRenderer):
    """Renders JSON in one fixed form, independent of the host's settings."""

    compact = strict = True
    ensure_ascii = False


class AlwaysJSON(BaseContentNegotiation):
    """Always renders JSON, whatever ``Accept`` says. Reads a body only if its content type is JSON."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        given = (request.content_type or "").partition(";")[0].strip().lower()
        return parsers[0] if given == StrictJSON.media_type else None

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class View(GenericAPIView):
    """Base of all views. It sets its own DRF classes, so that this API and the host's API do not affect each other."""

    model: ClassVar[type[Model]]
    #: The serializer of the response. Its fields also decide which columns are read.
    serializer_class: ClassVar[type[RowSerializer]]
    #: Relations that are joined with ``select_related``.
    relatives: ClassVar[tuple[str, ...]] = ()

    http_method_names = ["get", "head", "post", "delete"]
    renderer_classes = (JSON,)
    parser_classes = (StrictJSON,)
    content_negotiation_class = AlwaysJSON
    permission_classes = (MayAsk,)
    pagination_class: Any = None
    filter_backends: Any = ()
    versioning_class = None
    metadata_class = None
    #: Keeps these views out of the host's own OpenAPI document. Ours is in ``govpay.rest.schema``.
    schema = None

    def get_authenticators(self) -> Any:
        return authenticators()

    def get_throttles(self) -> Any:
        reads = self.request is not None and self.request.method in ("GET", "HEAD")
        return [UserRate()] if reads else [UserRate(), ActRate()]

    def get_exception_handler(self) -> Any:
        return problems.answer

    def is_allowed(self, user: Any) -> bool:
        return bool(user.has_perm(f"govpay.view_{self.model._meta.model_name}"))

    # Rows

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows of the accounts that this user may see, with the columns that are shown."""
        if getattr(self, "swagger_fake_view", False):
            return self.model._default_manager.none()
        kind: Any = self.serializer_class
        rows = self.visible(self.model)
        if self.relatives:
            rows = rows.select_related(*self.relatives)
        return rows.only(*columns_of(kind), *self.joined_columns())

    def joined_columns(self) -> tuple[str, ...]:
        return ()

    def visible(self, model: type[Model]) -> QuerySet[Any]:
        rows: Any = model._default_manager
        found: QuerySet[Any] = rows.visible_to(self.request.user)
        return found

    def find(self, model: type[Model], *columns: str, **which: Any) -> Any:
        """Return one row, with all columns unless ``columns`` are given.

        Raises ``NotFound``, also if this user may not see its account.
        """
        rows = self.visible(model)
        return _one(rows.only(*columns) if columns else rows, which)

    # Answers

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "fields": self.wanted()}

    def wanted(self) -> frozenset[str] | None:
        """Return the names in ``?fields=``; ``None`` stands for all fields. Raises ``ValidationError``."""
        if self.request is None or self.request.method not in ("GET", "HEAD"):
            return None
        text = self.request.query_params.get("fields", "")
        if not text:
            return None
        found = frozenset(text.split(","))
        if unknown := found - set(names_of(self.serializer_class)):
            known = ", ".join(names_of(self.serializer_class))
            raise ValidationError({"fields": [f"{len(unknown)} of them not known here. Known: {known}."]})
        return found

    def demand_known(self, *names: str) -> None:
        """Raises ``ValidationError`` for a query parameter that is unknown, maybe misspelt, repeated, or empty.

        An empty filter is a mistake of the caller, such as a variable without a value. It must not mean all rows.
        """
        for name in self.request.query_params:
            if name not in names:
                shown = name if name.isidentifier() and len(name) <= 40 else "…"
                raise ValidationError({shown: [f"Is no parameter here. Known: {', '.join(names) or 'none'}."]})
            if len(self.request.query_params.getlist(name)) > 1:
                raise ValidationError({name: ["Is given more than once."]})
            if not self.request.query_params[name].strip():
                raise ValidationError({name: ["Is empty. Leave it out, or give a value."]})

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        patch_vary_headers(response, ("Authorization", "Cookie"))
        if request.method in ("GET", "HEAD") and response.status_code == 200:
            patch_cache_control(response, private=True, no_cache=True)
            response.add_post_render_callback(lambda rendered: _unless_known(request, rendered))
        else:
            patch_cache_control(response, no_store=True)
        return response


def _unless_known(request: Any, response: Any) -> Any:
    """Return 304 if the client has the same response already. Other conditional headers are ignored."""
    set_response_etag(response)
    known = {each.removeprefix("W/") for each in parse_etags(request.headers.get("If-None-Match", ""))}
    if not known & {"*", response["ETag"]}:
        return response
    unchanged = HttpResponseNotModified()
    for name in ("Cache-Control", "ETag", "Vary"):
        unchanged[name] = response[name]
    return unchanged


def _one(rows: QuerySet[Any], which: dict[str, Any]) -> Any:
    if any("\x00" in value for value in which.values() if isinstance(value, str)):
        raise NotFound
    row = rows.filter(**which).first()
    if row is None:
        raise NotFound
    return row


class Rows(View):
    """Base view of a list, newest first."""

    many = True
    filterset_class: ClassVar[type[RowFilter]]
    #: The indexed column by which the list is sorted; if empty, it is sorted by primary key.
    order_column = "remote_created_at"
    pagination_class = CursorPagination
    #: Only for the OpenAPI document: ``get`` applies the filters itself.
    filter_backends = (DjangoFilterBackend,)

    def get(self, request: Any, **address: Any) -> Response:
        self.demand_known(*self.filterset_class.base_filters, *PAGING)
        chosen = self.filterset_class(request.query_params, queryset=self.get_queryset(), request=request)
        if not chosen.is_valid():
            raise ValidationError({name: list(texts) for name, texts in chosen.errors.items()})
        page = self.paginate_queryset(chosen.qs)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class RowView(View):
    """Base view of one row."""

    #: The column by which the URL names the row.
    lookup_field = "uid"

    def get(self, request: Any, **address: Any) -> Response:
        self.demand_known("fields")
        row = self.complete(self.get_object())
        return Response(self.get_serializer(row).data)

    def get_object(self) -> Any:
        return _one(self.get_queryset(), {name: self.kwargs[name] for name in self.kwargs})

    def complete(self, row: Any) -> Any:
        """Return ``row`` with the attributes that this view shows in addition to its columns."""
        return row


class Nowhere(View):
    """Answers every other URL with a 404 problem instead of an HTML page."""

    def is_allowed(self, user: Any) -> bool:
        return True

    def get(self, request: Any, **address: Any) -> Response:
        raise NotFound

    post = delete = get

"""What all views share: who is answered, what may be asked for, how rows are found and told."""

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

#: What every list takes beside its filters.
PAGING = ("cursor", "page_size", "fields")


class JSON(JSONRenderer):
    """In one form, too, whatever the host's settings say of JSON."""

    compact = strict = True
    ensure_ascii = False


class AlwaysJSON(BaseContentNegotiation):
    """There is one form of answers, whatever is asked for."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        given = (request.content_type or "").partition(";")[0].strip().lower()
        return parsers[0] if given == StrictJSON.media_type else None

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class View(GenericAPIView):
    """Names its own classes: what the host has chosen for its own API neither breaks this one nor is changed."""

    model: ClassVar[type[Model]]
    #: What is shown, and with which permission it is seen.
    serializer_class: ClassVar[type[RowSerializer]]
    #: Relatives that are joined.
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
    #: Nothing of this in the host's own document, which its settings shape; ours is ``govpay.rest.schema``.
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
        """The rows of the accounts that this user sees, with the columns that are shown."""
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
        """One row, in full for an act on it. Raises ``NotFound``, also for one of another account."""
        rows = self.visible(model)
        return _one(rows.only(*columns) if columns else rows, which)

    # Answers

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "fields": self.wanted()}

    def wanted(self) -> frozenset[str] | None:
        """What ``?fields=`` names; ``None``: everything."""
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
        """Raises ``ValidationError`` for a parameter that is misspelt, and would go unheard, or is given twice."""
        for name in self.request.query_params:
            if name not in names:
                shown = name if name.isidentifier() and len(name) <= 40 else "…"
                raise ValidationError({shown: [f"Is no parameter here. Known: {', '.join(names) or 'none'}."]})
            if len(self.request.query_params.getlist(name)) > 1:
                raise ValidationError({name: ["Is given more than once."]})

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
    """304 for who has the same answer already. Other conditions are for writing, and not looked at."""
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
    """A list, newest first."""

    many = True
    filterset_class: ClassVar[type[RowFilter]]
    #: The column whose index gives the order; empty: the key alone.
    order_column = "remote_created_at"
    pagination_class = CursorPagination
    #: For the document alone: ``get`` asks the filters itself.
    filter_backends = (DjangoFilterBackend,)

    def get(self, request: Any, **address: Any) -> Response:
        self.demand_known(*self.filterset_class.base_filters, *PAGING)
        chosen = self.filterset_class(request.query_params, queryset=self.get_queryset(), request=request)
        if not chosen.is_valid():
            raise ValidationError({name: list(texts) for name, texts in chosen.errors.items()})
        page = self.paginate_queryset(chosen.qs)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class RowView(View):
    """One row by its address."""

    #: The column that the address names.
    lookup_field = "uid"

    def get(self, request: Any, **address: Any) -> Response:
        self.demand_known("fields")
        row = self.complete(self.get_object())
        return Response(self.get_serializer(row).data)

    def get_object(self) -> Any:
        return _one(self.get_queryset(), {name: self.kwargs[name] for name in self.kwargs})

    def complete(self, row: Any) -> Any:
        """``row`` with what its own page shows beside its columns."""
        return row

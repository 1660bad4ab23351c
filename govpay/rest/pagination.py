"""``?cursor=``: keyset pagination by the columns of an index."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from django.db import connections
from django.db.models import Q, QuerySet
from django.utils.http import urlencode
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.response import Response

#: The last row of the previous page: its time and its primary key.
Position = tuple[dt.datetime | None, int]

#: Default and maximum number of rows of a page.
DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 50, 100
#: Primary keys have 64 bits.
LARGEST_KEY = 2**63


class CursorPagination(BasePagination):
    """Keyset pagination, newest first. A page begins after the last row of the previous page, not at an offset.

    Therefore each page costs as much as the first, and new rows cause no repeated and no missing rows.
    """

    def paginate_queryset(self, queryset: QuerySet[Any], request: Any, view: Any = None) -> list[Any]:
        size = _size(request.query_params)
        column = view.order_column
        order = [f"-{column}", "-pk"] if column else ["-pk"]
        found = _rows(queryset.order_by(*order), column, _read(request.query_params), size + 1)
        page = found[:size]
        self.next = _address(request, cursor_of(page[-1], column)) if len(found) > size else None
        return page

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next, "results": data})

    def get_paginated_response_schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        address = {"type": ["string", "null"], "format": "uri", "description": "The next page; null on the last one."}
        return {"type": "object", "required": ["next", "results"], "properties": {"next": address, "results": schema}}

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "From the `next` of the page before.",
                "schema": {"type": "string"},
            },
            {
                "name": "page_size",
                "in": "query",
                "required": False,
                "description": "Rows of a page.",
                "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
            },
        ]


def _rows(rows: QuerySet[Any], column: str, after: Position | None, count: int) -> list[Any]:
    """Return ``count`` rows after ``after``. Rows without a time come first or last, depending on the database."""
    if after is None:
        return list(rows[:count])
    moment, pk = after
    if not column:
        return list(rows.filter(pk__lt=pk)[:count])
    # Two statements, because a single one with OR would read the index from its beginning.
    without = rows.filter(**{f"{column}__isnull": True})
    dated = rows.filter(**{f"{column}__isnull": False})
    first_without = connections[rows.db].features.nulls_order_largest
    if moment is None:
        found = list(without.filter(pk__lt=pk)[:count])
        return [*found, *dated[: count - len(found)]] if first_without and len(found) < count else found
    earlier = rows.filter(Q(**{f"{column}__lt": moment}) | Q(pk__lt=pk), **{f"{column}__lte": moment})
    found = list(earlier[:count])
    if first_without or len(found) == count or not rows.model._meta.get_field(column).null:
        return found
    return [*found, *without[: count - len(found)]]


def _size(parameters: Mapping[str, str]) -> int:
    text = parameters.get("page_size", "")
    if not text:
        return DEFAULT_PAGE_SIZE
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_PAGE_SIZE):
        raise ValidationError({"page_size": [f"Must be a whole number from 1 to {MAX_PAGE_SIZE}."]})
    return int(text)


def cursor_of(row: Any, column: str) -> str:
    moment = getattr(row, column) if column else None
    place = [moment.isoformat() if moment else None, row.pk]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _read(parameters: Mapping[str, str]) -> Position | None:
    text = parameters.get("cursor", "")
    if not text:
        return None
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        moment, pk = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if isinstance(pk, bool) or not isinstance(pk, int) or not -LARGEST_KEY < pk < LARGEST_KEY:
            raise ValueError("no key")
        at = None if moment is None else dt.datetime.fromisoformat(moment).astimezone(dt.UTC)
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        raise ValidationError({"cursor": ["This cursor is not valid; start again without a cursor."]}) from None
    return at, pk


def _address(request: Any, cursor: str) -> str:
    others = {name: value for name, value in request.query_params.items() if name != "cursor"}
    return str(request.build_absolute_uri(f"{request.path}?{urlencode({**others, 'cursor': cursor})}"))

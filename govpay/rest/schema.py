"""The OpenAPI document: how it is made of the views, and where it is served from."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from govpay.decorators import public
from govpay.rest.problems import CONTENT_TYPE, TITLES, Problem, written
from govpay.security.headers import page_policy, with_security_headers

#: Made by ``make schema``, and served as it is: to make it takes DRF's settings for the whole process.
FILE = Path(__file__).with_name("openapi.json")

KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    OpenApiParameter.HEADER,
    required=True,
    description="Any string of yours. The same key with the same body is the same act, however often it is sent.",
)
FIELDS = OpenApiParameter(
    "fields",
    str,
    OpenApiParameter.QUERY,
    description="Names of properties, with commas: the others are left out, the required ones too.",
)
ETAG = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="The `ETag` of an earlier answer: 304 if it is still so."
)


def told(name: str, kind: Any, statuses: Sequence[int], text: str) -> OpenApiParameter:
    """A header of answers."""
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, response=list(statuses), description=text)


TAG = told("ETag", OpenApiTypes.STR, [200, 304], "Stays the same while the answer does.")
WAIT = told(
    "Retry-After", OpenApiTypes.INT, [409, 429, 503], "Seconds until it may be asked again; of 409 `in-progress`."
)

PROBLEMS = {
    400: "What is wrong with the request, by its field.",
    401: "Not signed in.",
    402: "The payer's bank said no.",
    403: "Signed in, without the permission; or not signed in, where tokens are not in use.",
    404: "Nothing of this name that you may see.",
    409: "The key stands for something else or is under way (with `Retry-After`), or the platform says that the state "
    "of the object does not allow it.",
    410: "Expired.",
    411: "The body came without its `Content-Length`.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "Refused by our rules, with nothing sent, or by the platform's.",
    429: "Too many requests, with `Retry-After`.",
    500: "A fault of this site. It has been reported; an act may be repeated with its key.",
    502: "The platform gave no usable answer to a read, or does not accept this site's credentials.",
    503: "Nothing was sent: the platform or the broker cannot be reached now, or this site was restored from a backup "
    "and reads everything again. With `Retry-After`.",
}
READ_PROBLEMS = (400, 401, 403, 429, 500)
ACT_PROBLEMS = (400, 401, 402, 403, 409, 410, 411, 413, 415, 422, 429, 500, 502, 503)


class Schema(AutoSchema):
    """Reads what a view says of itself, so that nothing hangs on the host's own DRF settings."""

    def _is_list_view(self, serializer: Any = None) -> bool:
        return self.method == "GET" and getattr(self.view, "many", False)

    def get_operation_id(self) -> str:
        return str(self.view.operations[self.method])

    def get_summary(self) -> str | None:
        return None

    def get_description(self) -> str:
        texts = self.view.reads if self.method == "GET" else self.view.does
        return str(texts)

    def get_tags(self) -> list[str]:
        return [self.path.removeprefix("/").removeprefix("v1/").split("/")[0]]

    def get_override_parameters(self) -> list[Any]:
        return [FIELDS, ETAG, TAG, WAIT] if self.method == "GET" else [KEY, *self._told_of_acts(), WAIT]

    def _told_of_acts(self) -> Iterator[OpenApiParameter]:
        """Beside what came of it: which operation it was, and where to look."""
        of_operations = hasattr(self.view, "action")
        done = [status for status in self.view.answers if status != 202]
        if of_operations:
            yield told(
                "Operation-Id", OpenApiTypes.UUID, [*done, 202], "The operation's key; none where it needed none."
            )
            yield told("Retry-After", OpenApiTypes.INT, [202], "Seconds until its `state` may be known.")
            where = [*(done if self.view.made_at else ()), 202]
            yield told("Location", OpenApiTypes.URI, where, "Of what was made; for 202 of the operation.")

    def get_request_serializer(self) -> Any:
        return None if self.method == "GET" else self.view.body

    def get_response_serializers(self) -> Any:
        if self.method == "GET":
            found: dict[Any, Any] = {200: self.view.serializer_class, 304: OpenApiResponse(description="Unchanged.")}
            statuses = (*READ_PROBLEMS, *((404,) if "{" in self.path else ()))
        else:
            found = dict(self.view.answers)
            statuses = (*ACT_PROBLEMS, *((404,) if "{" in self.path else ()))
        told = {status: OpenApiResponse(Problem, PROBLEMS[status]) for status in sorted(statuses)}
        return {**found, **{(status, CONTENT_TYPE): each for status, each in told.items()}}


def reading(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A view that is read alone; any other method is a problem."""

    @csrf_exempt
    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request)
        return written(405, *TITLES[405], "This can be read alone.", Allow="GET, HEAD")

    return answer


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


@public
@reading
def schema(request: HttpRequest) -> HttpResponse:
    """The OpenAPI 3.1 document, with this site's address in it. It holds no data, so everybody may read it."""
    base = reverse("govpay:rest:schema").removesuffix("/schema/")
    found = copy.deepcopy(document())
    found["servers"] = [{"url": request.build_absolute_uri(base)}]
    found["components"]["securitySchemes"]["cookieAuth"]["name"] = settings.SESSION_COOKIE_NAME
    return JsonResponse(found)


@public
@reading
def page(request: HttpRequest) -> HttpResponse:
    """The same to be browsed, and to be tried: with files of this site alone."""
    installed = apps.is_installed("drf_spectacular_sidecar")
    context = {"schema": reverse("govpay:rest:schema"), "installed": installed}
    response = render(request, "govpay/rest/docs.html", context)
    return with_security_headers(response, page_policy(pictures="'self' data:"), referrer="same-origin")

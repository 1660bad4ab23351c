"""Errors as RFC 9457 problem details.

Our own texts name the wrong property. They repeat no value, except the origin of an address and the name of an unknown
property. The platform's messages are shown as they are, but shortened and with possible secrets masked
(``client.redaction``).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.utils.log import log_response
from rest_framework import exceptions as drf
from rest_framework import serializers
from rest_framework.response import Response

from govpay.exceptions import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    ConfigurationError,
    Conflict,
    EncryptionError,
    Gone,
    GovPayError,
    InvalidRequest,
    KeyReused,
    NotFound,
    OperationInProgress,
    OperationRefused,
    OperationsHeld,
    OutcomeUnknown,
    PaymentDeclined,
    RateLimited,
)
from govpay.security.tracebacks import scrub_traceback

CONTENT_TYPE = "application/problem+json"

#: ``Retry-After`` in seconds: for an action under way, and for an action that could not be sent.
ASK_AGAIN, TRY_AGAIN = 2, 30

#: Error class → HTTP status, name and title. The first matching row counts. A refusal by the platform is never a 5xx.
KINDS: tuple[tuple[type[GovPayError], int, str, str], ...] = (
    (KeyReused, 409, "key-reused", "The key stands for something else"),
    (OperationInProgress, 409, "in-progress", "Under way"),
    (OperationsHeld, 503, "held", "Held after a restore, nothing was sent"),
    (OperationRefused, 422, "refused", "Refused, nothing was sent"),
    (PaymentDeclined, 402, "declined", "Declined"),
    (InvalidRequest, 422, "platform-refused", "Refused by the platform"),
    (Conflict, 409, "platform-refused", "Refused by the platform"),
    (NotFound, 409, "platform-refused", "Refused by the platform"),
    (Gone, 410, "expired", "Expired"),
    (RateLimited, 503, "platform-busy", "The platform asks to wait"),
    (APIConnectionError, 503, "not-sent", "Not sent, the platform could not be reached"),
    (AuthenticationError, 502, "platform-credentials", "The platform does not accept this site's credentials"),
    (OutcomeUnknown, 202, "unknown", "Outcome not known"),
    (APIError, 502, "platform-failed", "The platform failed"),
    (ConfigurationError, 503, "misconfigured", "Not sent, a setting is wrong"),
    (EncryptionError, 503, "misconfigured", "A stored secret cannot be read"),
)

TITLES = {
    400: ("invalid", "Not valid"),
    401: ("not-signed-in", "Not signed in"),
    403: ("forbidden", "Not allowed"),
    404: ("not-found", "Not found"),
    405: ("method", "Method not allowed"),
    411: ("no-length", "Length required"),
    413: ("too-large", "Too large"),
    415: ("media-type", "Only JSON is read here"),
    429: ("throttled", "Too many requests"),
    500: ("fault", "A fault of this site"),
}


class Unavailable(drf.APIException):
    """A service other than the platform, such as the broker, cannot be reached. Nothing was done."""

    status_code = 503
    default_code = "unavailable"


class LengthRequired(drf.APIException):
    status_code = 411
    default_detail = "Send the body at once with its Content-Length, not in chunks; without a body, say 0."


class TooLarge(drf.APIException):
    status_code = 413
    default_detail = "The body is too large."


class FieldProblem(serializers.Serializer):
    field = serializers.CharField(help_text="The parameter, header or property; a dot before a nested one.")
    detail = serializers.CharField()


class Problem(serializers.Serializer):
    """The problem document of RFC 9457."""

    type = serializers.CharField(help_text="`urn:govpay:problem:` and a name; see the documents.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="For people. It may change.")
    errors = FieldProblem(many=True, required=False, help_text="The faults of the request.")
    code = serializers.CharField(required=False, help_text="The platform's code, such as `insufficient_funds`.")
    operation_id = serializers.UUIDField(required=False, help_text="The operation that this is about.")
    request_id = serializers.CharField(required=False, help_text="The platform's request id.")


def answer(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Return the problem for ``error``; ``None`` for an unexpected error, which ``reporting`` handles."""
    if isinstance(error, SuspiciousOperation):
        error = _suspicious(error, context.get("request"))
    elif isinstance(error, UnreadablePostError):
        error = drf.ParseError("The body was cut short.")
    elif isinstance(error, Http404):
        error = drf.NotFound()
    elif isinstance(error, PermissionDenied):
        error = drf.PermissionDenied()
    view = context.get("view")
    if isinstance(error, GovPayError):
        return _of_ours(error, view)
    if isinstance(error, drf.APIException):
        return _of_drf(error)
    return None


def _suspicious(error: SuspiciousOperation, request: Any) -> drf.APIException:
    """Log the error with Django's logger for suspicious requests, and return the error of the response."""
    found = (
        TooLarge() if isinstance(error, RequestDataTooBig) else drf.ParseError("The request is too large or malformed.")
    )
    logger = logging.getLogger(f"django.security.{type(error).__name__}")
    logger.error(str(error), extra={"status_code": found.status_code, "request": getattr(request, "_request", request)})
    return found


def reporting(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Wrap ``view``: report unexpected errors as Django does, without local variables, and return a problem."""

    @scrub_traceback
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: Any = view(request, *args, **kwargs)
        return response.render()

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return answered(request, *args, **kwargs)
        except Exception as error:
            if settings.DEBUG_PROPAGATE_EXCEPTIONS:
                raise
            got_request_exception.send(sender=None, request=request)
            detail = "It was reported. An action may be repeated with its key: nothing is done twice."
            response = written(500, *TITLES[500], detail)
            told = (response.reason_phrase, request.path)
            log_response("%s: %s", *told, response=response, request=request, exception=error)
            return response

    return wrapper


def _of_ours(error: GovPayError, view: Any) -> Response:
    field = getattr(error, "field", "")
    if field:
        return invalid([{"field": field, "detail": error.message}])
    found = next((kind for kind in KINDS if isinstance(error, kind[0])), (None, 500, *TITLES[500]))
    _, status, name, title = found
    more: dict[str, Any] = {"code": getattr(error, "code", ""), "request_id": getattr(error, "request_id", "")}
    operation = view.operation_of_key() if hasattr(view, "operation_of_key") else None
    if operation is not None:
        more["operation_id"] = str(operation.key)
        more["request_id"] = more["request_id"] or operation.remote_request_id
    headers = {}
    if isinstance(error, OperationInProgress):
        headers["Retry-After"] = str(ASK_AGAIN)
    elif status == 503:
        headers["Retry-After"] = str(math.ceil(getattr(error, "retry_after", None) or TRY_AGAIN))
    return problem(status, name, title, error.message, headers=headers, **more)


def _of_drf(error: drf.APIException) -> Response:
    if isinstance(error, drf.ValidationError):
        return invalid(list(_fields(error.detail)))
    status = error.status_code
    name, title = TITLES.get(status, (str(error.default_code), "Not done"))
    headers = {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if (wait := getattr(error, "wait", None)) is not None or status == 503:
        headers["Retry-After"] = str(math.ceil(wait or TRY_AGAIN))
    # The texts of parsers do not quote the body, but the text for a wrong media type would quote the header.
    detail = title + "." if isinstance(error, drf.UnsupportedMediaType) else _words(error.detail, title)
    return problem(status, name, title, detail, headers=headers)


def _words(detail: Any, title: str) -> str:
    """Return the text of ``detail``. In some third-party classes it is an object or a list."""
    if isinstance(detail, Mapping):
        detail = detail.get("detail")
    texts = detail if isinstance(detail, list | tuple) else [detail]
    return " ".join(str(each) for each in texts if isinstance(each, str)) or f"{title}."


def _fields(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    if isinstance(detail, Mapping):
        for name, item in detail.items():
            # DRF puts errors of a whole object under a name that the host's settings choose.
            inner = path if name in ("non_field_errors", "__all__") else f"{path}.{name}" if path else str(name)
            yield from _fields(item, inner)
    elif isinstance(detail, list | tuple):
        for index, item in enumerate(detail):
            yield from _fields(item, f"{path}[{index}]" if isinstance(item, Mapping) else path)
    else:
        yield {"field": path, "detail": str(detail)}


def invalid(errors: list[dict[str, str]]) -> Response:
    detail = " ".join(f"{error['field']}: {error['detail']}" if error["field"] else error["detail"] for error in errors)
    return problem(400, *TITLES[400], detail, errors=errors)


def problem(
    status: int, name: str, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    document = _document(status, name, title, detail, more)
    return Response(document, status=status, headers=dict(headers or {}), content_type=CONTENT_TYPE)


def written(status: int, name: str, title: str, detail: str, **headers: str) -> HttpResponse:
    """Return the same problem as ``problem``, for views that do not use DRF."""
    document = _document(status, name, title, detail, {})
    given = {"Cache-Control": "no-store", **headers}
    return JsonResponse(document, status=status, headers=given, content_type=CONTENT_TYPE)


def _document(status: int, name: str, title: str, detail: str, more: Mapping[str, Any]) -> dict[str, Any]:
    found = {"type": f"urn:govpay:problem:{name}", "title": title, "status": status, "detail": detail}
    return {**found, **{key: value for key, value in more.items() if value}}

"""Parses answers into documents or errors: strict JSON, the error forms of A23, the statuses of A24."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from govpay.client.redaction import one_line
from govpay.client.types import WireFault
from govpay.exceptions import (
    APIError,
    AuthenticationError,
    Conflict,
    Gone,
    InvalidRequest,
    NotFound,
    PaymentDeclined,
    RateLimited,
    ServerError,
)

#: Status of a documented refusal -> error (A24). 429 and 5xx need more values; ``refusal`` makes those errors.
REFUSALS: dict[int, type[APIError]] = {
    400: InvalidRequest,
    401: AuthenticationError,
    402: PaymentDeclined,
    403: AuthenticationError,
    404: NotFound,
    405: NotFound,
    409: Conflict,
    410: Gone,
    422: InvalidRequest,
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """The content of an error answer, with secrets already masked."""

    code: str = ""
    words: str = ""
    request_id: str = ""
    recoverable: bool | None = None


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number beyond any range")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


#: Floats stay floats: the document is stored as ``raw`` in a JSON column, which takes no Decimal. The ``repr`` of a
#: float returns the exact digits of any amount below 10**15 (``values.dollars`` uses it).
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


_STRICTER = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant, object_pairs_hook=_once)


def parse_json(body: bytes, *, once: bool = False) -> Any:
    """Return the document in ``body``, which must be UTF-8 JSON and nothing else. Raises ``ValueError``.

    ``once``: an object with the same name twice is refused, because parsers differ in which value they use.

    NaN, Infinity and numbers beyond a double are refused: Python accepts them, but databases and browsers do not.
    A nesting that overflows the stack raises ``ValueError`` too.
    """
    try:
        text = body.decode("utf-8-sig")
        return (_STRICTER if once else _DECODER).decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def decoded(body: bytes, encoding: str, cap: int) -> bytes:
    """Return ``body`` decompressed, at most ``cap`` bytes. Requests accept only gzip. Raises ``WireFault``."""
    if encoding.strip().lower() in ("", "identity") or not body:
        return body
    if encoding.strip().lower() not in ("gzip", "x-gzip"):
        raise WireFault("the answer has an encoding that was not asked for", answered=True)
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, cap + 1)
    except zlib.error as error:
        raise WireFault("the compressed answer is damaged", answered=True) from error
    if len(plain) > cap:
        raise WireFault(f"the answer is larger than {cap} bytes", answered=True)
    if not unpacker.eof or unpacker.unused_data:
        raise WireFault("the compressed answer is cut short", answered=True)
    return plain


def explain(body: bytes, header_request_id: str = "", known: tuple[str, ...] = ()) -> Explanation:
    """Read an error body in any form of A23. Never raises, whatever ``body`` is.

    ``known``: secrets of this call (its token, its session credential). They are masked everywhere.
    """
    request_id = _identifier(header_request_id, known)
    try:
        document = parse_json(body)
    except ValueError:
        return Explanation(words=one_line(body[:8192].decode("utf-8", "replace"), known=known), request_id=request_id)
    if isinstance(document, Mapping) and isinstance(document.get("error"), Mapping):
        request_id = _identifier(document.get("request_id"), known) or request_id
        document = document["error"]
    if not isinstance(document, Mapping):
        words = one_line(document if isinstance(document, str) else json.dumps(document)[:8192], known=known)
        return Explanation(words=words if document else "", request_id=request_id)
    recoverable = document.get("recoverable")
    return Explanation(
        code=_identifier(_code(document), known),
        words=one_line(_words(document), known=known),
        request_id=_identifier(document.get("request_id"), known) or request_id,
        recoverable=recoverable if isinstance(recoverable, bool) else None,
    )


def _identifier(value: Any, known: tuple[str, ...]) -> str:
    return one_line(value, 100, known) if isinstance(value, str) else ""


def _code(document: Mapping[str, Any]) -> Any:
    """Return ``code``, OAuth's ``error`` (RFC 6749 5.2) or the last part of a problem's ``type`` (RFC 9457)."""
    for name in ("code", "error"):
        if isinstance(document.get(name), str):
            return document[name]
    kind = document.get("type")
    if isinstance(kind, str) and kind != "about:blank":
        return kind.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1]
    return ""


def _words(document: Mapping[str, Any]) -> str:
    """Return the readable text: the platform's message, or OAuth's, or a problem's title, detail and field errors."""
    for name in ("message", "error_description"):
        if isinstance(document.get(name), str) and document[name]:
            return str(document[name])
    parts = [part for part in (document.get("title"), document.get("detail")) if isinstance(part, str) and part]
    return "; ".join([*parts, *_field_errors(document.get("errors"))])


def _field_errors(errors: Any) -> Iterator[str]:
    """Return ``errors`` as {field: [text]} or [{field|pointer, message|detail}] or [text]; the first five."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(errors, Mapping):
        pairs = list(errors.items())
    elif isinstance(errors, list):
        for item in errors:
            if isinstance(item, Mapping):
                where = item.get("field") or item.get("pointer") or ""
                pairs.append((where, item.get("message") or item.get("detail")))
            else:
                pairs.append(("", item))
    for where, what in pairs[:5]:
        texts = [text for text in (what if isinstance(what, list) else [what]) if isinstance(text, str)]
        if texts:
            label = f"{where}: " if isinstance(where, str) and where else ""
            yield label + ", ".join(texts[:3])


def refusal(status: int, said: Explanation, retry_after: float | None = None) -> APIError:
    """Return the error for an answer that is not a success.

    The text is the platform's own text if there is one (A23), so that staff can quote it.
    """
    context: dict[str, Any] = {
        "status": status,
        "code": said.code,
        "request_id": said.request_id,
        "recoverable": said.recoverable,
    }
    words = said.words or f"The platform refused it without a reason (HTTP {status})."
    if status == 429:
        return RateLimited(words, retry_after=retry_after, **context)
    if status in REFUSALS:
        return REFUSALS[status](words, **context)
    if status >= 500 or status == 408:
        return ServerError(f"The platform answered {status}. {said.words}".rstrip(), **context)
    return APIError(f"The platform answered {status}. {said.words}".rstrip(), **context)

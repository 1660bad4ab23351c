"""Request bodies: JSON objects that may have only the listed properties, each with exactly its type."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from drf_spectacular.drainage import set_override
from rest_framework import ISO_8601, serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from govpay.client.cards import refuse_cards
from govpay.client.errors import parse_json
from govpay.exceptions import OperationRefused
from govpay.models.money import MAX_AMOUNT
from govpay.rest.problems import LengthRequired, TooLarge

#: Maximum length of a body in bytes.
MAX_BODY_LENGTH = 256 * 1024
#: Maximum nesting depth of objects and lists.
DEEPEST = 24

#: Characters that no column can store: control characters and surrogates.
_UNSTORABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
#: Pattern for the OpenAPI document. It describes only values that are certainly accepted; others are accepted, too.
PRINTABLE = r"^[!-~]([ -~]*[!-~])?$"

#: This property may contain numbers that look like card numbers. The operation itself checks it.
NUMBERS = "fraud_signals"


class StrictJSON(BaseParser):
    """Parses JSON with limits of size and depth, and rejects repeated properties. Errors do not quote the body."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        body = stream.read(MAX_BODY_LENGTH + 1)
        if len(body) > MAX_BODY_LENGTH:
            raise TooLarge
        try:
            found = parse_json(body, once=True)
        except ValueError:
            raise ParseError("The body is not JSON, or has a property twice.") from None
        if _is_deeper(found, DEEPEST):
            raise ParseError("The body is nested too deeply.")
        return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not _UNSTORABLE.search(value)


def _is_deeper(value: Any, left: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return left == 0 or any(_is_deeper(item, left - 1) for item in items)


class Strict(serializers.Field):
    """Base of the fields. Each gives its own schema for the OpenAPI document."""

    def __init__(self, schema: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        set_override(self, "field", dict(schema))


class TextField(Strict):
    """A text. Numbers are not converted to texts. ``one_of`` lists the allowed values."""

    default_error_messages = {
        "text": "Must be a text of at most {longest} characters, not blank and without control characters.",
        "choice": "Must be one of {choices}.",
    }

    def __init__(self, *, longest: int = 255, one_of: Sequence[str] = (), **kwargs: Any) -> None:
        sized = {"minLength": 1, "maxLength": longest, "pattern": PRINTABLE}
        super().__init__({"type": "string", **({"enum": list(one_of)} if one_of else sized)}, **kwargs)
        self.longest, self.one_of = longest, one_of

    def to_internal_value(self, data: Any) -> str:
        if not _is_text(data) or len(data) > self.longest:
            self.fail("text", longest=self.longest)
        if self.one_of and data not in self.one_of:
            self.fail("choice", choices=", ".join(self.one_of))
        return str(data)


class Texts(Strict):
    """A list of texts."""

    default_error_messages = {"texts": "Must be a list of texts, without control characters."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__({"type": "array", "items": {"type": "string", "minLength": 1, "pattern": PRINTABLE}}, **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        if not isinstance(data, list) or not all(_is_text(each) for each in data):
            self.fail("texts")
        return list(data)


class CentsField(Strict):
    """An amount in minor units: a whole number, never a text."""

    default_error_messages = {"cents": "Must be a whole number of minor units from {least} to {most}."}

    def __init__(self, *, least: int = 1, most: int = MAX_AMOUNT, **kwargs: Any) -> None:
        super().__init__({"type": "integer", "minimum": least, "maximum": most}, **kwargs)
        self.least, self.most = least, most

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int) or not self.least <= data <= self.most:
            self.fail("cents", least=self.least, most=self.most)
        return int(data)


class Whole(CentsField):
    default_error_messages = {"cents": "Must be a whole number from {least} to {most}."}


class StrictFlagField(Strict):
    """A boolean: ``true`` or ``false``, never a text."""

    default_error_messages = {"flag": "Must be true or false."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__({"type": "boolean"}, **kwargs)

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("flag")
        return bool(data)


class StrictMomentField(serializers.DateTimeField):
    """A date and time with a time zone, so that its meaning does not depend on the site's time zone."""

    input_formats = (ISO_8601,)

    def to_internal_value(self, value: Any) -> Any:
        if not isinstance(value, str) or not re.search(r"(?:[Zz]|[+-]\d\d:\d\d)$", value):
            self.fail("invalid", format="2026-03-01T00:00:00Z")
        try:
            return super().to_internal_value(value)
        except OverflowError:
            self.fail("overflow")


class Json(Strict):
    """An object of the vendor, or a list of them. ``govpay.operations`` checks the properties."""

    default_error_messages = {"object": "Must be an object.", "list": "Must be a list of objects."}

    def __init__(self, *, many: bool = False, **kwargs: Any) -> None:
        item = {"type": "object"}
        super().__init__({"type": "array", "items": item} if many else item, **kwargs)
        self.many = many

    def to_internal_value(self, data: Any) -> Any:
        if self.many and not (isinstance(data, list) and all(isinstance(each, dict) for each in data)):
            self.fail("list")
        if not self.many and not isinstance(data, dict):
            self.fail("object")
        return data


class Body(serializers.Serializer):
    """Base of the bodies. Rejects unknown properties, so that a misspelt option is not silently ignored."""

    default_error_messages = {"unknown": "Is not known here."}

    def to_internal_value(self, data: Any) -> Any:
        for name in data if isinstance(data, Mapping) else ():
            if name not in self.fields:
                shown = name if re.fullmatch(r"[a-z_]{1,40}", name) else "…"
                raise serializers.ValidationError({shown: [self.error_messages["unknown"]]})
        return super().to_internal_value(data)


def _refuse_cards(data: Mapping[str, Any]) -> None:
    try:
        refuse_cards(body=data)
    except OperationRefused as refused:
        named = "" if " " in refused.field else refused.field.removeprefix("body.")
        raise serializers.ValidationError({named: ["Looks like a card number, which is never accepted."]}) from None


def _demand_length(meta: Mapping[str, Any], *, always: bool) -> None:
    """Raises ``LengthRequired`` without a Content-Length, because DRF treats a body without a length as empty."""
    length = str(meta.get("CONTENT_LENGTH") or ("" if always else "0"))
    if "HTTP_TRANSFER_ENCODING" in meta or not (length.isascii() and length.isdigit()):
        raise LengthRequired


def read(kind: type[Body] | None, request: Any) -> dict[str, Any]:
    """Return the request's body, validated by ``kind``. Without ``kind`` the body must have no properties.

    Raises ``LengthRequired``, ``ParseError`` and ``ValidationError``. For a card number, the error names its property
    but never its value.
    """
    _demand_length(request.META, always=kind is not None)
    data = request.data
    if not isinstance(data, Mapping):
        raise ParseError("The body must be an object.")
    _refuse_cards({name: value for name, value in data.items() if name != NUMBERS})
    body = (kind or Body)(data=data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)

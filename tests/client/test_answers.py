"""Documents and error bodies in every form that A23 knows, and in many that it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from govpay.client.errors import explain, parse_json, refusal
from govpay.exceptions import APIError, RateLimited

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)


def said(document: Any, **more: Any) -> Any:
    return explain(json.dumps(document).encode(), **more)


def test_the_documented_error_object() -> None:
    found = said({"code": "card_declined", "message": "Declined.", "recoverable": True, "request_id": "req_1"})
    assert (found.code, found.words, found.recoverable, found.request_id) == (
        "card_declined",
        "Declined.",
        True,
        "req_1",
    )


def test_the_object_in_an_envelope_keeps_the_request_id_from_either_level() -> None:
    assert said({"error": {"code": "a", "message": "b", "request_id": "in"}, "request_id": "out"}).request_id == "in"
    assert said({"error": {"code": "a", "message": "b"}, "request_id": "out"}).request_id == "out"
    assert said({"error": {"code": "a", "message": "b"}}, header_request_id="head").request_id == "head"


def test_problem_details() -> None:
    found = said(
        {
            "type": "https://errors.example/problems/validation_error",
            "title": "Invalid",
            "status": 422,
            "detail": "Two fields are wrong",
            "errors": {"amount": ["must be positive", "must be whole"], "currency": "unknown"},
        }
    )
    assert found.code == "validation_error"
    assert found.words == ("Invalid; Two fields are wrong; amount: must be positive, must be whole; currency: unknown")
    assert said({"type": "about:blank", "title": "Not Found"}).code == ""
    listed = {"title": "T", "errors": [{"field": "a", "message": "b"}, {"pointer": "/c", "detail": "d"}, "e"]}
    assert said(listed).words == "T; a: b; /c: d; e"


def test_oauth_errors() -> None:
    found = said({"error": "invalid_client", "error_description": "No such client"})
    assert (found.code, found.words) == ("invalid_client", "No such client")


def test_anything_else_is_its_first_two_hundred_characters_on_one_line() -> None:
    found = explain(b"<html>\n<head><title>502</title></head><body>  Bad\tGateway " + b"x" * 1000)
    assert found.words.startswith("502 Bad Gateway xxx")
    assert len(found.words) == 200
    assert explain(b"").words == ""
    assert explain(b"\xff\x00\xfe").words.isprintable()
    assert said(None).words == said([]).words == said({}).words == ""
    assert said("Too bad").words == "Too bad"
    assert said(["a", "b"]).words == '["a", "b"]'


@pytest.mark.parametrize("name", ["code", "message", "recoverable", "request_id", "error", "errors", "title", "type"])
@pytest.mark.parametrize("value", [None, 5, [], {}, ["x"], {"x": {"y": 1}}, True, "text"])
def test_wrong_types_are_borne(name: str, value: Any) -> None:
    found = said({"code": "c", "message": "m", name: value})
    assert isinstance(found.code, str)
    assert isinstance(found.words, str)
    assert isinstance(found.request_id, str)
    assert found.recoverable in (None, True, False)


@given(JSON_VALUES | st.fixed_dictionaries({"error": JSON_VALUES, "errors": JSON_VALUES, "type": JSON_VALUES}))
@settings(max_examples=60, deadline=None)
def test_no_document_breaks_it(document: Any) -> None:
    found = said(document)
    assert len(found.words) <= 200
    assert found.words.isprintable()


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_no_bytes_break_it(data: bytes) -> None:
    found = explain(data, "id\r\nX: y")
    assert len(found.words) <= 200
    assert "\n" not in found.words + found.request_id


@pytest.mark.parametrize(
    "body",
    [b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b"{", b"{} {}", b"", b"'a'", b"\xff", b"[" * 100_000, b"\x00"],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(body)


def test_numbers_keep_their_digits() -> None:
    document = parse_json(b'\xef\xbb\xbf{"a": 999999.99, "b": 9007199254740993, "c": 0.1}')
    assert document == {"a": 999999.99, "b": 9007199254740993, "c": 0.1}
    assert repr(document["a"]) == "999999.99"


def test_a_refusal_without_words_is_a_sentence_and_keeps_its_code() -> None:
    assert str(refusal(404, explain(b""))) == "The platform refused it without a reason (HTTP 404)."
    coded = refusal(409, said({"code": "already_captured"}))
    assert (str(coded), coded.code) == ("The platform refused it without a reason (HTTP 409).", "already_captured")
    limited = refusal(429, explain(b""), 3.0)
    assert isinstance(limited, RateLimited)
    assert limited.retry_after == 3.0
    assert type(refusal(302, explain(b""))) is APIError

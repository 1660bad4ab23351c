"""Answers of a token endpoint: which are valid tokens and which are refused (faults T3)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from govpay.client import tokens
from govpay.client.tokens import Token, read_token
from govpay.client.types import RawAnswer, TokenGrant
from govpay.exceptions import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    InvalidAnswer,
    RateLimited,
    ServerError,
)
from tests.client.servers import token_document


def answer(document: Any, status: int = 200) -> RawAnswer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return RawAnswer(status=status, headers={}, body=body)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in token_document().items() if key != name}


def test_a_documented_answer_is_a_token() -> None:
    token = read_token(answer(token_document("eyJ.a.b", 3600)), 1000.0)
    assert token == Token("eyJ.a.b", 4600.0, 3600.0, 1000.0)
    assert "eyJ" not in repr(token)


def test_the_type_may_be_written_in_any_case_and_life_may_have_a_fraction() -> None:
    assert read_token(answer({**token_document(), "token_type": "bearer", "expires_in": 90.5}), 0).expires_in == 90.5


@pytest.mark.parametrize(("text", "seconds"), [("3600", 3600.0), ("90.5", 90.5), (" 60 ", 60.0)])
def test_a_life_may_be_text(text: str, seconds: float) -> None:
    assert read_token(answer(token_document("a", text)), 1000.0) == Token("a", 1000.0 + seconds, seconds, 1000.0)


@pytest.mark.parametrize("document", [without("expires_in"), token_document(expires_in=None)])
def test_without_a_life_a_token_is_used_for_five_minutes_with_one_warning(
    document: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    tokens._warn_of_missing_lifetime.cache_clear()
    for now in (0.0, 300.0):
        token = read_token(answer(document), now)
        assert (token.expires_in, token.expires_at) == (300.0, now + 300.0)
        assert token.margin(300) == 30.0
    warnings = [each for each in caplog.records if each.levelname == "WARNING"]
    assert [each.getMessage() for each in warnings] == [
        "the token endpoint's answer has no expires_in; each token is used for 5 minutes"
    ]


RUBBISH: dict[str, Any] = {
    "HTML": b"<html>Maintenance</html>",
    "empty": b"",
    "half a JSON": b'{"access_token": "a',
    "a list": [],
    "a text": "token",
    "null": None,
    "NaN life": b'{"access_token": "a", "expires_in": NaN, "token_type": "Bearer"}',
    "no token": without("access_token"),
    "no type": without("token_type"),
    "another type": token_document(token_type="mac"),
    "a type that is no text": token_document(token_type=1),
    "negative life": token_document(expires_in=-1),
    "no life at all": token_document(expires_in=0),
    "a life of true": token_document(expires_in=True),
    "a life in words": token_document(expires_in="an hour"),
    "a life of an empty text": token_document(expires_in=""),
    "an endless life in text": token_document(expires_in="inf"),
    "a life of no number in text": token_document(expires_in="nan"),
    "a life in milliseconds in text": token_document(expires_in="3600000000"),
    "a life in a list": token_document(expires_in=[3600]),
    "a life in milliseconds": token_document(expires_in=3_600_000_000),
    "an endless life": token_document(expires_in=10**400),
    "an empty token": token_document(""),
    "a token that is no text": {**token_document(), "access_token": ["a"]},
    "a token with a line break": token_document("a\r\nX-Evil: 1"),
    "a token with a space": token_document("a b"),
    "a token with an accent": token_document("é"),
    "a token that no header holds": token_document("a" * 9000),
}


@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish_is_refused(name: str) -> None:
    with pytest.raises(InvalidAnswer, match="The token endpoint's answer is refused"):
        read_token(answer(RUBBISH[name]), 0.0)


@pytest.mark.parametrize(
    ("status", "document", "kind", "words"),
    [
        (400, {"error": "invalid_client"}, AuthenticationError, r'GOVPAY\["CLIENT_ID"\] or GOVPAY\["CLIENT_SECRET"\]'),
        (401, {"error": "invalid_client"}, AuthenticationError, r'GOVPAY\["CLIENT_ID"\] or GOVPAY\["CLIENT_SECRET"\]'),
        (401, b"", AuthenticationError, "is wrong"),
        (400, {"error": "invalid_scope"}, AuthenticationError, r'GOVPAY\["SCOPE"\]'),
        (400, {"error": "unsupported_grant_type"}, AuthenticationError, "unsupported_grant_type"),
        (404, b"<html>", AuthenticationError, r'GOVPAY\["TOKEN_URL"\]'),
        (302, b"", AuthenticationError, r'GOVPAY\["TOKEN_URL"\]'),
        (429, b"", RateLimited, "too many"),
        (500, b"<html>", ServerError, "500"),
        (503, b"", ServerError, "503"),
    ],
)
def test_a_refusal_says_in_one_line_what_to_do(status: int, document: Any, kind: type[APIError], words: str) -> None:
    with pytest.raises(APIError, match=words) as caught:
        read_token(answer(document, status), 0.0)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert "\n" not in str(caught.value)


def test_what_the_endpoint_says_cannot_leak_the_secret() -> None:
    echo = {"error": "unsupported_the-very-secret", "error_description": "secret the-very-secret is wrong"}
    with pytest.raises(AuthenticationError) as caught:
        read_token(answer(echo, 400), 0.0, ("the-very-secret",))
    assert "the-very-secret" not in f"{caught.value} {caught.value.code}"


@pytest.mark.parametrize(
    ("life", "wanted", "margin"), [(3600, 300, 300), (600, 300, 300), (300, 300, 30), (60, 300, 6), (3600, 0, 0)]
)
def test_the_margin_of_a_short_lived_token_is_a_tenth_of_its_life(life: float, wanted: float, margin: float) -> None:
    assert Token("a", 0.0, life, 0.0).margin(wanted) == margin


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"token_url": "http://auth.example/oauth2/token"}, "TOKEN_URL"),
        ({"token_url": ""}, "TOKEN_URL"),
        ({"client_id": ""}, "CLIENT_ID"),
        ({"client_id": "a:b"}, "CLIENT_ID"),
        ({"client_secret": None}, "CLIENT_SECRET"),
        ({"scope": " "}, "SCOPE"),
    ],
)
def test_settings_that_cannot_work_are_named(changed: dict[str, Any], setting: str) -> None:
    good = {"token_url": "https://auth.example/t", "client_id": "id", "client_secret": "very-secret", "scope": "s"}
    assert "very-secret" not in repr(TokenGrant(**good))
    with pytest.raises(ConfigurationError, match=rf'GOVPAY\["{setting}"\]'):
        TokenGrant(**{**good, **changed})

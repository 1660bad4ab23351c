"""The token endpoint and the lifetime of tokens."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from govpay.sandbox import Sandbox

from .conftest import FORM, SCOPE, Caller


def test_token_is_issued_as_documented(call: Caller) -> None:
    answer = call.fetch_token()
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"access_token", "expires_in", "token_type"}
    assert body["expires_in"] == 3600
    assert body["token_type"] == "Bearer"
    assert body["access_token"].count(".") == 2
    assert body["access_token"].startswith("ey")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("auth", [None, ("sandbox-client", "wrong"), ("wrong", "sandbox-secret"), ("", "")], ids=str)
def test_wrong_client_is_401_invalid_client(call: Caller, auth: Any) -> None:
    answer = call.fetch_token(auth=auth)
    assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_credentials_in_the_form_are_not_enough(call: Caller) -> None:
    data = {**FORM, "client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    assert call.fetch_token(auth=None, data=data).status_code == 401


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Bearer abc", "Basic " + base64.b64encode(b"x").decode()])
def test_broken_authorization_is_401(call: Caller, header: str) -> None:
    assert call.fetch_token(auth=None, headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"scope": SCOPE}, "invalid_request"),
        ({"grant_type": "", "scope": SCOPE}, "invalid_request"),
        ({"grant_type": "password", "scope": SCOPE}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "other"}, "invalid_scope"),
        ([*FORM.items(), ("grant_type", "client_credentials")], "invalid_request"),
    ],
)
def test_wrong_form_is_400(call: Caller, data: Any, error: str) -> None:
    answer = call.fetch_token(data=data)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_json_instead_of_a_form_is_400(call: Caller) -> None:
    answer = call.fetch_token(data=None, json=FORM)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_get_is_405(call: Caller) -> None:
    assert call.session.get(call.address.token_url).status_code == 405


def test_missing_or_unknown_token_is_401(call: Caller) -> None:
    for token in (None, "nonsense", "a.b.c"):
        call.refused(401, "GET", "/api/clients", code="unauthorized", token=token)
    call.refused(401, "GET", "/api/clients", token=None, headers={"Authorization": "Basic eA=="})


def test_token_expires_with_its_lifetime() -> None:
    with Sandbox(token_lifetime=50) as sandbox, sandbox.serve() as address:
        call = Caller(address)
        assert call.fetch_token().json()["expires_in"] == 50
        sandbox.advance(49)
        assert call.get("/api/clients") == []
        sandbox.advance(2)
        call.refused(401, "GET", "/api/clients", code="unauthorized")


def test_revoked_tokens_are_401_and_new_ones_work(sandbox: Sandbox, call: Caller) -> None:
    assert sandbox.revoke_tokens() == 1
    call.refused(401, "GET", "/api/clients", code="unauthorized")
    call.token = call.fetch_token().json()["access_token"]
    call.get("/api/clients")
    assert sandbox.token_requests == 2


def test_credentials_can_be_chosen() -> None:
    with Sandbox(client_id="me", client_secret="p:ss") as sandbox, sandbox.serve() as address:
        assert (address.client_id, address.client_secret) == ("me", "p:ss")
        assert Caller(address).get("/api/clients") == []

"""REST clients, each with its own token."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.operations.conftest import impatient, merchant  # noqa: F401 - fixtures

BASE = "/govpay/api/v1/"


class Program:
    """Asks with a token, in JSON, and keys every act."""

    def __init__(self, user: Any = None, token: str = "") -> None:
        self.user = user
        self.client = Client(headers={"Authorization": f"Token {token}"} if token else {})

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(address(path), **options)

    def act(self, path: str, body: Any = None, *, key: str | None = "", method: str = "post", **headers: str) -> Any:
        """``key``: empty for a fresh one, ``None`` for none."""
        if key is not None:
            headers["Idempotency-Key"] = key or uuid.uuid4().hex
        call = getattr(self.client, method)
        return call(address(path), json.dumps(body or {}), content_type="application/json", headers=headers)


def address(path: str) -> str:
    return path if path.startswith(("/", "http")) else f"{BASE}{path}"


@pytest.fixture
def program() -> Callable[[Any], Program]:
    """``program(user)``: one that asks in that user's name."""

    def make(user: Any) -> Program:
        from rest_framework.authtoken.models import Token

        return Program(user, Token.objects.create(user=user).key)

    return make


@pytest.fixture
def finance_program(finance: Any, program: Callable[[Any], Program]) -> Program:
    """A program that acts for a user of the group *Finance*."""
    return program(finance)


def problem(response: Any, status: int, name: str) -> dict[str, Any]:
    """The problem that ``response`` is, of this status and name."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["type"] == f"urn:govpay:problem:{name}", found
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    return found


@pytest.fixture
def superuser(db: None, program: Callable[[Any], Program]) -> Program:
    from django.contrib.auth.models import User

    return program(User.objects.create_superuser("boss"))

"""Fixtures of the admin's tests: logged-in staff, and a counter of a page's statements."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

#: Statements of any admin page for the session, the user and the permissions.
OVERHEAD = re.compile(r'"(django_session|auth_user|auth_permission|auth_group_permissions)"')


@dataclass(frozen=True)
class Page:
    """The response and its statements."""

    response: Any
    statements: list[str]

    @property
    def status(self) -> int:
        return int(self.response.status_code)

    @property
    def html(self) -> str:
        return str(self.response.content.decode())

    @property
    def size(self) -> int:
        return len(self.response.content)


def is_overhead(sql: str) -> bool:
    """Session, user and permissions. Our own statements join other tables, and then they are ours."""
    return OVERHEAD.search(sql) is not None and "govpay_" not in sql


@pytest.fixture
def look() -> Callable[..., Page]:
    """``look(client, address)``: GET it and count."""

    def get(client: Client, address: str, **options: Any) -> Page:
        ContentType.objects.clear_cache()
        with CaptureQueriesContext(connection) as context:
            response = client.get(address, **options)
            if hasattr(response, "render"):
                response.render()
        return Page(response, [q["sql"] for q in context.captured_queries if not is_overhead(q["sql"])])

    return get


@pytest.fixture
def desk(finance: Any, browse: Callable[..., Client]) -> Client:
    """A finance officer's browser."""
    return browse(finance)


@pytest.fixture
def counter(support: Any, browse: Callable[..., Client]) -> Client:
    """A browser of a user who may only view."""
    return browse(support)

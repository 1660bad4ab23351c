"""Header values are plain ``str``: strict servers refuse subclasses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import URLPattern
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from govpay.decorators import exact_headers, own_view
from govpay.models.choices import LinkState
from govpay.security.tracebacks import Secret
from tests.security.test_pages import DJANGOS_OWN, is_rest, ours, patterns

VALUES = [Secret("secret"), mark_safe("safe"), gettext_lazy("lazy"), LinkState.OPEN, 7, b"bytes"]


@pytest.mark.parametrize("value", VALUES, ids=[type(each).__name__ for each in VALUES])
def test_values_of_headers_are_exact(value: Any) -> None:
    response = own_view(lambda request: HttpResponse(headers={"X-One": value}))(None)
    expected = value.decode() if isinstance(value, bytes) else str(value)
    assert response["X-One"] == expected
    assert {type(each) for pair in response.items() for each in pair} == {str}


def own_patterns() -> Iterator[URLPattern]:
    """Every address with a view of ours, and not one of Django's admin."""
    yield from (each for each in ours() if not (each.name or "").endswith(DJANGOS_OWN))
    yield from filter(is_rest, patterns())


def wrappers(view: Any) -> Iterator[Any]:
    while view is not None:
        yield getattr(view, "__code__", None)
        view = getattr(view, "__wrapped__", None)


def test_every_view_of_ours_is_wrapped() -> None:
    wrapper = exact_headers(lambda: HttpResponse()).__code__
    found = list(own_patterns())
    assert len(found) > 90
    assert not [each.name or each.pattern for each in found if wrapper not in wrappers(each.callback)]

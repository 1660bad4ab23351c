"""The ``money`` filter."""

from __future__ import annotations

from typing import Any

import pytest
from django.template import Context, Template
from django.utils.translation import override


def render(amount: Any, currency: Any) -> str:
    template = Template("{% load govpay %}{{ amount|money:currency }}")
    return template.render(Context({"amount": amount, "currency": currency}))


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (1234, "USD", "$12.34"),
        (-1234, "USD", "-$12.34"),
        (0, "USD", "$0.00"),
        (1234, "JPY", "¥1,234"),
        ("1234", "USD", "$12.34"),
        (None, "USD", "—"),
        ("", "USD", "—"),
        ("12.34", "USD", "—"),
        (12.34, "USD", "—"),
        (True, "USD", "—"),
        (1234, "<b>", "&lt;b&gt; 12.34"),
        (1234, None, "12.34"),
    ],
)
def test_money(amount: Any, currency: Any, written: str) -> None:
    assert render(amount, currency) == written


def test_money_follows_the_language() -> None:
    with override("de"):
        assert render(123456, "EUR") == "1.234,56\xa0€"
